"""`softbench selfcheck`: it holds here, within its time; a wrong device is told; each bound catches what breaks it."""

from __future__ import annotations

import json
import resource

import pytest
import torch

from algorithms.learner import Draw
from algorithms.pairs import a2c
from algorithms.population import curvature, inputs, networks, optimizers
from harness.commands import selfcheck as command
from harness.run.cohort import fix_arithmetic
from harness.selfcheck import check, operations
from harness.selfcheck.check import CPU, SIZES, Found, check_arm, check_operation
from harness.selfcheck.experience import Task, learner_of, record, small_specs

CHOICES = {"choices": [Task("CartPole-v1", "batched")]}
VECTORS = {**CHOICES, "numbers": [Task("Pendulum-v1", "batched")]}
IMAGES = {"choices": [Task("images", "tiny")]}


@pytest.fixture
def spec():
    fix_arithmetic()
    return small_specs("a2c", CHOICES, 1, 6)[1]


def test_all_holds_on_the_cpu(softbench, monkeypatch):
    """In this process, and of images, which are slow, those of a pair with a replay and of one without: the whole is below."""
    monkeypatch.setattr(check, "TASKS", VECTORS)
    monkeypatch.setattr(command, "ask", lambda module, device, limit: check.check(device))
    code, out, errors = softbench("selfcheck", "--device", "cpu", "--json")
    assert (code, errors) == (0, "")
    held(json.loads(out))
    for pair in ("a2c", "dqn"):
        (spec,) = small_specs(pair, {"choices": [Task("MinAtar/Breakout-v1", "minatar")]}, 1, 6)
        found = check_arm(spec, CPU)
        assert found.broken("cpu") == [] and found.errors


def held(rows):
    assert {"perceptrons, gradient", "ppo ppo-s4 Pendulum-v1", "dqn dqn CartPole-v1"} <= {row["what"] for row in rows}
    assert all(row["company"] == list(SIZES) and row["resume"] in (None, list(SIZES)) for row in rows)
    exact = [row["errors"] for row in rows if row["errors"]]
    assert len(exact) > 20 and all(0 < errors["float32"] < 1e-3 and errors["float64"] <= 1e-9 for errors in exact)


@pytest.mark.slow
def test_all_holds_on_the_cpu_within_two_minutes(softbench):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code, out, errors = softbench("selfcheck", "--device", "cpu", "--json")
    assert (code, errors) == (0, "")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 120
    rows = json.loads(out)
    held(rows)
    assert "trpo strpo MinAtar/Breakout-v1" in {row["what"] for row in rows}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one here")
def test_cuda_where_there_is_none_is_told(softbench):
    code, out, errors = softbench("selfcheck", "--device", "cuda")
    assert (code, out) == (2, "")
    assert errors == "softbench: --device: cuda is not available here; use cpu or auto\n"


def test_what_other_devices_compute_is_as_exact(pair, place):
    """Networks and optimizers of torch alone: within the same bounds, but not with the same bits."""
    fix_arithmetic()
    for spec in small_specs(pair, check.TASKS, 1, 6)[-2:] + small_specs(pair, IMAGES, 1, 6):
        made = []

        def elsewhere(spec, made=made):
            """The first learner, of the CPU in float64, is as ever."""
            made.append(spec)
            if len(made) == 2:
                for module in (curvature, inputs, networks, optimizers):
                    patch.setattr(module, "by_hand", lambda flat: False)
            return learner_of(spec)

        before, steps = record(spec, list(range(4)), 3)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(check, "learner_of", elsewhere)
            found = check.errors(spec, before, steps, CPU)
        assert found["float32"] < 1e-3 and 0 < found["float64"] < 1e-9, (spec.arm, spec.task, found)


def test_a_table_shows_what_holds_and_what_is_broken():
    good = Found("a", {"float32": 1e-5, "float64": 0.0}, [1, 2, 10, 40], [1, 2])
    shown = command.table([vars(good) | {"broken": good.broken("cpu")}], "cpu")
    assert [list(column.cells) for column in shown.columns] == [["a"], ["1.0e-05"], ["0.0e+00"], ["all"], ["1, 2"]]
    assert good.broken("cpu") == ["a: resume: other bits with 10, 40 members"]


BREAKS = {
    "errors": ({"float32": 2e-3, "float64": 0.0}, "a: float32: differs by 2.0e-03 of the change, more than 0.001"),
    "company": ([1, 2], "a: company: other bits with 10, 40 members"),
    "resume": ([40], "a: resume: other bits with 1, 2, 10 members"),
    "failure": ("no such kernel", "a: no such kernel"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_bound_that_is_broken_is_told(name, softbench, monkeypatch):
    value, line = BREAKS[name]
    whole = {"errors": {"float32": 0.0, "float64": 0.0}, "company": list(SIZES), "resume": list(SIZES), "failure": None}
    found = Found("a", **{**whole, name: value})
    assert found.broken("cpu") == [line]
    assert found.broken("cuda") == ([] if name == "company" else [line])
    monkeypatch.setattr(command, "ask", lambda *_: [vars(found) | {"broken": found.broken("cpu")}])
    code, out, errors = softbench("selfcheck", "--device", "cpu")
    assert (code, errors) == (1, f"softbench: {line}\n") and " a " in out


def test_a_rounding_is_seen_in_float64(spec, monkeypatch):
    made = []

    def rounding(spec):
        """The first learner, of the CPU in float64, is exact."""
        learner = learner_of(spec)
        made.append(learner)
        if len(made) > 1:
            exact = learner.update
            learner.update = lambda state, *given: (exact(state, *given), state["nets"].mul_(1 + 1e-8))[0]
        return learner

    monkeypatch.setattr(check, "learner_of", rounding)
    (line,) = check_arm(spec, CPU).broken("cpu")
    assert line.startswith("a2c a2c-proper CartPole-v1: float64: differs by ")


def test_what_depends_on_company_is_seen(spec, monkeypatch):
    exact = a2c.n_step
    monkeypatch.setattr(a2c, "n_step", lambda reward, *rest: exact(reward, *rest) + 1e-6 * (len(reward) == 2))
    found = check_arm(spec, CPU)
    assert (found.company, found.resume) == ([1, 10, 40], list(SIZES))
    monkeypatch.setitem(
        operations.OPERATIONS, "mixed", lambda draws: {"x": draws.take("x", Draw("normal", (4,))).cumsum(0)}
    )
    assert check_operation("mixed", CPU).company == [1]


def test_what_the_bytes_of_a_state_do_not_hold_is_seen(spec, monkeypatch):
    exact = a2c.A2C.returns

    def counted(self, *given):
        self.count = getattr(self, "count", 0) + 1
        return exact(self, *given) * self.count

    monkeypatch.setattr(a2c.A2C, "returns", counted)
    found = check_arm(spec, CPU)
    assert (found.company, found.resume) == (list(SIZES), [])


def test_a_failure_is_a_row(monkeypatch):
    monkeypatch.setitem(operations.OPERATIONS, "none", lambda draws: 1 / 0)
    monkeypatch.setattr(check, "OPERATIONS", {"none": operations.OPERATIONS["none"]})
    (row,) = check.check("cpu", [])
    assert row["broken"][0].startswith("none: ZeroDivisionError: division by zero (test_selfcheck.py, line ")
