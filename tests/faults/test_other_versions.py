"""Checkpoints of other settings, code or versions are never used: refused where they are in the way, left alone where they are not."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from disk import softbench, write_small
from small_suite import make_plans, messages, train_here, write_suite

from harness.audit import certificate as audit
from harness.errors import InputError
from harness.plan import code as code_module
from harness.plan import identity
from harness.plan.code import code
from harness.plan.work import jobs_of
from harness.pool.local import Pool
from harness.pool.messages import Failed, Segment
from harness.run.spec import pair_names
from harness.schema.results import read_cell


def test_a_folder_of_other_settings_or_code_is_refused(tmp_path, monkeypatch, capsys, fault):
    """A folder that was renamed or copied by hand to where this version looks."""
    monkeypatch.chdir(tmp_path)
    write_small(tmp_path)
    assert softbench(Path("out")) == 0
    shutil.rmtree("out/small")
    (identity,) = Path("out").rglob("identity.json")
    content = json.loads(identity.read_text())
    files = content["code.files"]
    changes = {
        r"code\.files\.algorithms/pairs/dqn\.py: was '0+": {
            "code.files": files | {"algorithms/pairs/dqn.py": "0" * 64}
        },
        r"spec\.settings\.batch: was 16, is now 8": {
            "spec": content["spec"] | {"settings": content["spec"]["settings"] | {"batch": 16}}
        },
        r"versions\.torch: was '0\.1'": {"versions": content["versions"] | {"torch": "0.1"}},
        r"cpu\.capability: was 'AVX9'": {"cpu": content["cpu"] | {"capability": "AVX9"}},
        r"checkpoints: was 1, is now 2": {"checkpoints": 1},
    }
    for message, change in changes.items():
        identity.write_text(json.dumps(content | change))
        assert softbench(Path("out")) == 2
        assert re.search(f"checkpoints of another version: {message}.*move the folder away", capsys.readouterr().err)
    for text in ("", "[]", "[" * 100_000, '"../.."'):
        identity.write_text(text)
        assert softbench(Path("out")) == 2
        assert str(identity.parent) in capsys.readouterr().err
    identity.unlink()
    assert softbench(Path("out")) == 2 and "no identity.json" in capsys.readouterr().err
    identity.write_text(json.dumps(content))
    assert softbench(Path("out")) == 0
    fault(
        "other version",
        "a cohort's folder of other code, settings, versions, or none, under our name",
        "refused, exit code 2, the field is said",
        10,
    )


def test_checkpoints_of_another_version_are_left_alone_and_said(tmp_path, monkeypatch, capsys, fault):
    monkeypatch.chdir(tmp_path)
    write_small(tmp_path)
    assert softbench(Path("out")) == 0
    shutil.rmtree("out/small")
    changed = yaml.safe_load(Path("suites/small/suite.yaml").read_text())
    changed["cells"]["dqn"]["CartPole-v1"]["batch"] = 16
    Path("suites/small/suite.yaml").write_text(yaml.safe_dump(changed))
    capsys.readouterr()
    assert softbench(Path("out")) == 0
    assert (
        "checkpoints of another version are left alone: spec.settings.batch: was 8, is now 16"
        in capsys.readouterr().out
    )
    assert len(list(Path("out").rglob("identity.json"))) == 2
    fault("other version", "checkpoints of other settings in a folder of their own", "left alone, the field is said")


@pytest.mark.parametrize(
    ("field", "change", "message"),
    [
        ("code.files", {"algorithms/pairs/a2c.py": "0" * 64}, "code.files.algorithms/pairs/a2c.py: was '0000"),
        ("versions", {"torch": "0.1"}, "versions.torch: was '0.1', is now"),
        ("cpu", {"capability": "AVX9"}, "cpu.capability: was 'AVX9', is now"),
    ],
)
def test_a_worker_of_another_version_refuses_its_job(tmp_path, monkeypatch, fault, field, change, message):
    """As on a node of a cluster with another installation: the job says what the run was planned with."""
    monkeypatch.chdir(tmp_path)
    write_suite(tmp_path)
    (plan,) = make_plans(arms=["a2c-naive"])
    ((job,), _) = jobs_of(plan)
    changed = replace(job, identity=job.identity | {field: job.identity[field] | change})
    with Pool(1, Path("log")) as pool:
        (event,) = pool.run([changed])
    assert isinstance(event.message, Failed) and event.attempts == 1
    assert "is not as the run began: " + message in event.message.reason
    assert not list(Path("out").rglob("segment-*"))
    fault(
        "other version",
        f"a worker of another version: {field}",
        "trains nothing, fails at once in one line that names the field",
    )


@pytest.mark.parametrize(
    ("backend", "package"),
    [("batched", None), ("minatar", None), ("gymnasium", None), ("atari", "ale-py"), ("envpool", "envpool")],
)
def test_the_package_of_a_backend_belongs_to_the_versions_of_its_cells_alone(monkeypatch, backend, package):
    monkeypatch.setattr(identity, "_version", lambda name: f"version of {name}")
    found = identity.versions(backend)
    assert set(found) - {"python", "torch", "numpy", "gymnasium", "mujoco"} == ({package} if package else set())


KERNEL = "from harness.plan.identity import capability; print(capability()['blas'], '|', capability()['simd'])"


def test_the_kernels_of_numpy_belong_to_the_identity_whatever_else_is_loaded(fault):
    def told(first="", **variables):
        words = [sys.executable, "-c", first + KERNEL]
        ran = subprocess.run(words, env=os.environ | variables, capture_output=True, text=True, check=True)
        return ran.stdout.strip().split(" | ")

    blas, simd = told("import scipy.linalg;")  # which has an OpenBLAS of its own
    if "openblas" not in blas or platform.machine() != "x86_64":
        pytest.skip("numpy has another BLAS here")
    here = identity.capability()
    assert [blas, simd] == [here["blas"], here["simd"]]
    baseline, *above = simd.split()
    other, least = told(OPENBLAS_CORETYPE="Prescott", NPY_DISABLE_CPU_FEATURES=" ".join(above))
    assert other.startswith("openblas ") and other != blas  # which library's name for it is a matter of its version
    assert least == baseline != simd
    fault("other version", "another kernel of OpenBLAS, or other instructions of numpy", "another identity", 2)


def test_a_change_in_a_network_is_one_of_every_pair_that_has_one(monkeypatch):
    before = {pair: code(pair, "batched") for pair in pair_names()}
    for path in ("population/torso", "population/perceptron", "population/optimizers", "replay"):
        assert all(f"algorithms/{path}.py" in made["files"] for made in before.values()), path
    assert not any("algorithms/tabular.py" in made["files"] for made in before.values())
    assert not any(
        f"algorithms/pairs/{other}.py" in before[pair]["files"]
        for pair in before
        for other in before
        if other != pair and (pair, other) != ("sql", "ddpg")
    )
    changed = code_module.file_digest
    monkeypatch.setattr(
        code_module, "file_digest", lambda path, by: "0" if path.name == "torso.py" else changed(path, by)
    )
    assert all(code(pair, "batched")["hash"] != made["hash"] for pair, made in before.items())


MODULE = """
import gymnasium
from numpy import float32
from . import walls

class Corridor(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-10, 10, (1,), float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-1, 1, 1).astype(float32)
        return self.place.copy(), {}

    def step(self, action):
        self.place += walls.STEP if action else -walls.STEP
        return self.place.copy(), float(self.place[0]), False, False, {}

gymnasium.register("Corridor-v0", Corridor, max_episode_steps=20, disable_env_checker=True)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's package on PYTHONPATH, with a task of its own in the suite."""
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "mine" / "corridors"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "simple.py").write_text(MODULE)
    (package / "walls.py").write_text("STEP = 0.125\n")
    (package / "other.py").write_text("UNUSED = 1\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "mine"), os.environ["PYTHONPATH"]]))
    monkeypatch.syspath_prepend(tmp_path / "mine")
    task = "corridors.simple:Corridor-v0"
    write_suite(
        tmp_path,
        tasks={task: {"steps": 320}},
        references={task: {"low": 0, "high": 1, "source": "none"}},
        cells={"a2c": {task: {"environments": 4, "hidden": [32, 32]}}},
    )
    return package


def test_the_files_of_a_users_own_task_belong_to_the_code(own, fault):
    plan = make_plans()[0]
    assert sorted(plan.code["module"]) == ["corridors/__init__.py", "corridors/simple.py", "corridors/walls.py"]
    assert plan.code["hash"] != code("a2c", "gymnasium")["hash"]
    assert train_here(Path("out"), arms=["a2c-naive"])[0]
    cell = read_cell(Path("out/small/a2c/corridors.simple_Corridor-v0"))
    assert audit.differences_here(cell) == []
    (own / "other.py").write_text("UNUSED = 2\n")
    assert train_here(Path("out"), arms=["a2c-naive"])[1][-1].how == "kept"
    (own / "walls.py").write_text("STEP = 0.25\n")
    with pytest.raises(InputError, match=r"holds results of another version: code\.module\.corridors/walls\.py: was"):
        train_here(Path("out"), arms=["a2c-naive"])
    assert [line.split(": was")[0] for line in audit.differences_here(cell)] == ["code: corridors/walls.py"]
    shutil.rmtree("out/small")
    _, events = train_here(Path("out"), arms=["a2c-naive"])
    assert any("left alone: code.files.corridors/walls.py: was" in str(event) for event in events)
    assert len(messages(events, Segment)) == 4
    fault(
        "other version",
        "a module of the user's own task is edited",
        "results refused, checkpoints left alone, the file is said",
    )
