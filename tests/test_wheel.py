"""The wheel, installed in an empty environment, serves a suite of a user's own in an empty folder: trained, judged, reported, audited."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs" / "own.md").read_text()
SUITE, PAIR = (re.search(rf"```{kind}\n(.*?)```", DOCUMENT, re.S)[1] for kind in ("yaml", "python"))
CLAIM = {
    "id": "C1",
    "statement": "The proper form is not worse.",
    "source": "none",
    "pair": "a2c",
    "arm": "a2c-proper",
    "against": "a2c-naive",
    "test": "non-inferiority",
    "method": "paired",
    "margin": 0.5,
    "reason": "a test",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The bin folder of an environment that has our wheel and our dependencies, and nothing of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("algorithms", "harness", "reports", "suites"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation"]
    built = subprocess.run([*pip, "wheel", *options, "-w", folder, source], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("softbench-*.whl")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)
    # The dependencies are those of this environment; its own link to the checkout is not followed from here.
    (packages,) = (folder / "env").glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python.parent


@pytest.fixture
def run(installed, tmp_path):
    """Run a command in an empty folder, with the installed package alone: what it printed."""
    path = os.pathsep.join([str(installed), str(Path(sys.executable).parent), os.environ["PATH"]])
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "own_pair.py").write_text(PAIR)
    (tmp_path / "suites" / "mine").mkdir(parents=True)

    (tmp_path / "suites" / "mine" / "suite.yaml").write_text(SUITE)

    def run(*words):
        found = {**variables, "PATH": path, "COLUMNS": "200", "PYTHONPATH": str(tmp_path / "modules")}
        done = subprocess.run(words, cwd=tmp_path, env=found, capture_output=True, text=True)
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


@pytest.mark.slow
def test_a_suite_of_ones_own_in_an_empty_folder(run, tmp_path):
    (tmp_path / "suites" / "mine" / "claims.yaml").write_text(yaml.safe_dump({"claims": [CLAIM]}))
    where = run("python", "-c", "import harness, reports; print(harness.__file__, reports.__file__)")
    assert str(ROOT) not in where
    assert "mine" in run("softbench", "list")
    run("softbench", "train", "mine", "--workers", "1")
    assert "index.html" in run("softbench", "report")
    assert json.loads(run("softbench", "judge", "--json", "--fail-on", "none"))[0]["claim"] == "C1"
    assert "equal" in run("softbench", "audit", "results/mine", "--members", "1", "--workers", "1")
    run("softbench", "train", "mine", "--steps", "500", "--workers", "1")
    assert "mine@500.html" in run("softbench", "report", "mine@500", "--out", "other")


@pytest.mark.slow
def test_the_pipeline_of_an_empty_folder(run, tmp_path):
    run("dvc", "init", "--no-scm", "--quiet")
    run("softbench", "pipeline")
    run("dvc", "repro")
    assert (tmp_path / "site" / "mine.html").exists()
    manifest = json.loads((tmp_path / "results/mine/own_pair_Own/CartPole-v1/manifest.json").read_text())
    assert list(manifest["code"]["module"]) == ["own_pair.py"] and manifest["device"] == "cpu"
    stages = {name for name in json.loads(run("dvc", "status", "--json")) if "identity" not in name}
    assert not stages, "all is up to date; the digests alone are looked at every time"
    module = tmp_path / "modules" / "own_pair.py"
    module.write_text(PAIR + "\n# A comment.\n")
    run("softbench", "pipeline", "--identity")
    assert not {name for name in json.loads(run("dvc", "status", "--json")) if "identity" not in name}
    module.write_text(PAIR + "\nCHANGED = True\n")
    run("softbench", "pipeline", "--identity")
    changed = {name for name in json.loads(run("dvc", "status", "--json")) if "identity" not in name}
    assert changed == {"suites/mine/dvc.yaml:own_pair_Own@CartPole-v1"}
