"""The committed DVC files are the generated ones, and a pair depends on what its numbers depend on."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness import pipeline
from harness.files import ROOT
from harness.plan import code as provenance
from harness.run.environments import BACKENDS
from harness.run.spec import pair_names


@pytest.fixture(autouse=True)
def _root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_committed_pipelines_are_the_generated_ones():
    for path, text in pipeline.pipelines().items():
        assert path.read_text() == text, f"{path}: run `softbench pipeline`"
    assert {str(path.relative_to(ROOT)) for path in ROOT.glob("suites/*/dvc.yaml")} | {"dvc.yaml"} == set(
        map(str, pipeline.pipelines())
    )


IMPORTED = """
import json, os, sys
import torch, pydantic, gymnasium
root, pairs = {root!r} + "/", {pairs}
for pair in pairs:
    if not os.fork():
        import harness.run.cohort
        __import__("algorithms.pairs." + pair)
        import suites.envs.classic
        files = [getattr(module, "__file__", None) or "" for module in sys.modules.values()]
        ours = sorted(file.removeprefix(root) for file in files if file.startswith(root) and "site-packages" not in file)
        print(json.dumps([pair, ours]), flush=True)
        os._exit(0)
    os.wait()
"""
"""Each pair in a fork of its own, since a process imports torch once only in seconds."""


def test_the_code_of_a_pair_is_what_python_imports():
    """What the static walk finds is what a process has loaded after importing the pair and the fold."""
    script = IMPORTED.format(pairs=list(pair_names()), root=str(ROOT))
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = dict(map(json.loads, run.stdout.splitlines()))
    assert set(loaded) == set(pair_names())
    for pair, files in loaded.items():
        assert "algorithms/population/__init__.py" in files
        assert [name for name in files if (ROOT / name).stat().st_size] == provenance.code_files(pair, "batched"), pair


@pytest.mark.parametrize("task", ["algorithms.tabular:Task-v0", "suites.theory.statement:Task-v0"])
def test_a_task_or_pair_kept_among_ours_is_part_of_the_identity(task):
    """`module:name` names a file; the fold does not import it, so the walk must start there too."""
    name = task.partition(":")[0].replace(".", "/") + ".py"
    assert (ROOT / name).is_file() and name not in provenance.code_files("ppo", "batched")
    assert name in provenance.code_files("ppo", "batched", task)
    assert name in provenance.code(task, "batched")["files"]


def test_a_pair_depends_on_its_own_file_and_on_no_report():
    for pair in pair_names():
        files = provenance.code_files(pair, "batched")
        own = ["ddpg", "sql"] if pair == "sql" else [pair]  # whose hard arm is another pair's
        assert [file for file in files if file.startswith("algorithms/pairs/")] == [
            f"algorithms/pairs/{name}.py" for name in own
        ]
        assert not any(
            file.startswith(("reports/", "tests/")) or file in ("harness/cli.py", "harness/bench/measure.py")
            for file in files
        )
        assert {
            "harness/run/cohort.py",
            "harness/run/streams.py",
            "harness/run/environments.py",
            "algorithms/population/torso.py",
        } <= set(files)


def edit(monkeypatch, name, change):
    """Let every file of ours read as it is, but `name` as `change` makes it."""
    original, edited = Path.read_bytes, ROOT / name
    monkeypatch.setattr(Path, "read_bytes", lambda path: change(original(path)) if path == edited else original(path))


@pytest.mark.parametrize("name", ["algorithms/pairs/dqn.py", "algorithms/population/torso.py", "harness/run/cohort.py"])
def test_a_comment_changes_no_identity(monkeypatch, name):
    before = pipeline.identities()
    edit(
        monkeypatch,
        name,
        lambda source: b'"""Another docstring."""\n# A comment.\n' + source.partition(b'"""')[2].partition(b'"""')[2],
    )
    assert pipeline.identities() == before


def test_a_changed_sign_in_one_pair_changes_the_identity_of_that_pair_alone(monkeypatch):
    before = yaml.safe_load(pipeline.identities())
    edit(monkeypatch, "algorithms/pairs/dqn.py", lambda source: source.replace(b" - ", b" + "))
    after = yaml.safe_load(pipeline.identities())
    assert [pair for pair in before if after[pair] != before[pair]] == ["dqn"]


def test_the_committed_identities_are_those_of_the_code():
    assert pipeline.IDENTITY.read_text() == pipeline.identities(), "run `softbench pipeline --identity`"


def test_a_cell_depends_on_its_own_environments_alone():
    files = {name: set(provenance.code_files("ppo", name)) for name in BACKENDS}
    own = {name: {BACKENDS[name].replace(".", "/") + ".py"} for name in BACKENDS}
    for ours in ("batched", "minatar", "multigoal"):
        own[ours].add("suites/envs/batched.py")
    own["multigoal"].add("harness/run/outcomes.py")
    assert all(
        files[name] - own[name] == files["batched"] - own["batched"] and own[name] <= files[name] for name in BACKENDS
    )


def test_cells_depend_on_what_the_code_says_and_on_their_settings_alone():
    """A dependency on a file's bytes would delete results of hours because of a comment."""
    for path, text in pipeline.pipelines().items():
        for name, stage in yaml.safe_load(text)["stages"].items():
            if name in {"identity", "theory", "coverage", "site"}:
                continue
            stage = stage.get("do", stage)
            assert "deps" not in stage, path
            identity, suite = stage["params"]
            keys, fields = identity["suites/identity.yaml"], next(iter(suite.values()))
            if path == Path("dvc.yaml"):
                pairs = ("a2c", "a3c", "ddpg", "dqn", "impala", "pgql", "ppo", "reinforce", "trpo")
                known = sorted([*(f"{pair}.batched" for pair in pairs), "sql.multigoal"])
                assert keys == known and {"tasks", "cells"} <= set(fields)
            else:
                assert keys == [f"{name}.${{item.code}}"]
                assert {"tasks.${item.task}", f"cells.{name}.${{item.task}}"} <= set(fields)
            assert {"seeds", "segments", "evaluation"} <= set(fields)
            outs = [out if isinstance(out, str) else next(iter(out)) for out in stage["outs"]]
            assert {Path(out).name for out in outs} == {"curves.parquet", "manifest.json", "learning.csv"}, path


def test_the_device_is_a_parameter():
    for text in pipeline.pipelines().values():
        commands = [stage.get("do", stage)["cmd"] for stage in yaml.safe_load(text)["stages"].values()]
        assert all(command.endswith("--device ${device}") for command in commands if "train" in command)
    assert yaml.safe_load(pipeline.PARAMETERS.read_text()) == {"device": "cpu"}


def test_one_process_trains_all_cells_of_the_root_pipeline():
    stages = yaml.safe_load(pipeline.pipelines()[Path("dvc.yaml")])["stages"]
    assert [name for name, stage in stages.items() if "softbench train" in stage["cmd"]] == ["smoke"]


def test_the_exact_statements_depend_on_the_code_that_they_check():
    stage = yaml.safe_load(pipeline.pipelines()[Path("dvc.yaml")])["stages"]["theory"]
    assert {f"algorithms/pairs/{pair}.py" for pair in ("ppo", "a2c", "ddpg", "dqn", "trpo")} <= set(stage["deps"])
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "suites/theory").glob("*.py")} <= set(stage["deps"])
    assert {
        "algorithms/maxent.py",
        "algorithms/returns.py",
        "algorithms/tabular.py",
        "harness/commands/theory.py",
    } <= set(stage["deps"])
    assert not any(file.startswith(("reports/", "tests/")) for file in stage["deps"])


def test_the_simulation_depends_on_the_statistics_that_it_checks():
    stage = yaml.safe_load(pipeline.pipelines()[Path("dvc.yaml")])["stages"]["coverage"]
    computing = ("bootstrap", "centres", "coverage", "forms/difference", "intervals", "sequential")
    assert {f"reports/statistics/{name}.py" for name in computing} <= set(stage["deps"])
    assert not any(file.startswith("reports/site/") for file in stage["deps"])


def test_dvc_reads_the_pipelines():
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "stage", "list", "--all"], cwd=ROOT, capture_output=True, text=True
    )
    assert listed.returncode == 0, listed.stderr
    assert "smoke" in listed.stdout and "suites/classic/dvc.yaml:dqn@LunarLander-v3" in listed.stdout


def test_a_cell_that_was_never_trained_is_not_stale(monkeypatch):
    monkeypatch.chdir(ROOT)
    untrained = runpy.run_path(str(ROOT / ".ci" / "stale.py"))["untrained"]
    committed = "results/coverage/coverage.json"
    gone, changed = {"results/none/curves.parquet": "deleted"}, {"results/none/curves.parquet": "modified"}
    assert untrained([{"changed deps": {"suites/none.yaml": "new"}}, {"changed outs": gone}])
    for why in (changed, gone | {"results/none/manifest.json": "modified"}, gone | {committed: "deleted"}):
        assert not untrained([{"changed outs": why}])
    assert not untrained(["always changed"]) and not untrained([{"changed deps": {"harness": "modified"}}])
