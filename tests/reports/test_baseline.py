"""The gate fails on a supported loss, and not on noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from invented_results import Workspace, without
from scipy import stats
from test_verdicts import around, chain, ledger, scored

from harness.commands import gate
from harness.errors import InputError
from reports.statistics.summary.baseline import GAIN, LOSS, MISSING, NEW, SAME, UNCLEAR, same_verdict

TASK = "CartPole-v1"


@pytest.fixture
def measured(workspace: Workspace) -> Any:
    """Write the suite's only cell with these scores."""
    workspace.suite("classic", {"a2c": [TASK]})

    def write(proper: list[float], naive: list[float], edit: Any = None) -> None:
        give = scored({"a2c-proper": proper, "a2c-naive": naive})
        workspace.cell("classic", "a2c", TASK, seeds=len(proper), edit=chain(give, edit))

    return write


def statuses(workspace: Workspace) -> dict[str, str]:
    return {change.arm: change.status for change in gate.compare_baseline("classic", workspace.results, None)}


def test_equal_results_pass_and_a_supported_loss_fails(workspace: Workspace, measured: Any) -> None:
    good, level = around(0.8, 0.05), around(0.5, 0.05, seed=1)
    measured(good, level)
    assert gate.write_baseline("classic", workspace.results, None) == Path("suites/classic/baseline.json")
    assert statuses(workspace) == {"a2c-proper": SAME, "a2c-naive": SAME}
    measured(around(0.5, 0.05, seed=3), around(0.52, 0.05, seed=4))
    changes = gate.compare_baseline("classic", workspace.results, None)
    assert {change.arm: change.status for change in changes} == {"a2c-proper": LOSS, "a2c-naive": UNCLEAR}
    assert gate.gate_code(changes) == 4
    proper = next(change for change in changes if change.arm == "a2c-proper")
    raw = stats.ttest_ind(good, around(0.5, 0.05, seed=3), equal_var=False, alternative="greater").pvalue
    assert proper.p_loss == pytest.approx(2 * raw), "Holm over both arms"
    (line,) = [line for line in gate.lines("classic", changes) if line.startswith("loss")]
    assert "a2c-proper on CartPole-v1: 0.800 then, 0.500 now (seeds 10 and 10" in line
    measured(around(0.99, 0.01), level)
    assert statuses(workspace) == {"a2c-proper": GAIN, "a2c-naive": SAME} and gate.gate_code([]) == 0


def test_equal_results_are_the_same_beyond_ten_seeds(workspace: Workspace, measured: Any) -> None:
    workspace.suite("classic", {"a2c": [TASK]}, seeds="0-11")
    measured(around(0.8, 0.05, 12), around(0.5, 0.05, 12, seed=1))
    gate.write_baseline("classic", workspace.results, None)
    assert statuses(workspace) == {"a2c-proper": SAME, "a2c-naive": SAME}


def test_noise_seldom_fails_a_gate(workspace: Workspace, measured: Any) -> None:
    draw = np.random.default_rng(0)
    measured(*draw.normal(0.5, 0.1, (2, 5)).tolist())
    gate.write_baseline("classic", workspace.results, None)
    failed = 0
    for _ in range(60):
        measured(*draw.normal(0.5, 0.1, (2, 5)).tolist())
        failed += gate.gate_code(gate.compare_baseline("classic", workspace.results, None)) != 0
    assert failed <= 6, "at most 2.5 % of 60, and a margin for chance and the one shared baseline"


def test_arms_without_spread_are_told_apart_exactly(workspace: Workspace, measured: Any) -> None:
    measured([1.0] * 10, [1.0] * 10)
    gate.write_baseline("classic", workspace.results, None)
    measured([0.5] * 10, [1.0] * 10)
    changes = {change.arm: change for change in gate.compare_baseline("classic", workspace.results, None)}
    assert changes["a2c-proper"].status == LOSS and changes["a2c-proper"].p_loss == pytest.approx(1 / 184756)
    assert changes["a2c-naive"].status == SAME
    gate.write_baseline("classic", workspace.results, None)
    measured([1.0] * 10, [1.0] * 10)
    assert statuses(workspace) == {"a2c-proper": GAIN, "a2c-naive": SAME}


def test_what_is_missing_or_new_is_said(workspace: Workspace, measured: Any) -> None:
    measured(around(0.8, 0.05), around(0.5, 0.05))
    gate.write_baseline("classic", workspace.results, None)
    path = Path("suites/classic/baseline.json")
    content = json.loads(path.read_text())
    arms = content["scores"]["a2c"][TASK]
    arms["gone"] = arms.pop("a2c-naive")
    path.write_text(json.dumps(content))
    changes = gate.compare_baseline("classic", workspace.results, None)
    assert {change.arm: change.status for change in changes} == {"a2c-proper": SAME, "a2c-naive": NEW, "gone": MISSING}
    assert gate.gate_code(changes) == 5


def lacking(arm: str) -> Any:
    """An edit that takes one arm away."""

    def edit(curves: Any, manifest: dict[str, Any]) -> Any:
        del manifest["members"][arm], manifest["arms"][arm]
        return curves[curves["arm"] != arm]

    return edit


def test_an_arm_that_a_task_does_not_have_is_neither_new_nor_missing(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": [TASK, "Acrobot-v1"]})
    workspace.cell("classic", "a2c", TASK, seeds=10)
    workspace.cell("classic", "a2c", "Acrobot-v1", seeds=10, edit=lacking("a2c-proper"))
    gate.write_baseline("classic", workspace.results, None)
    found = {
        (change.arm, change.task): change.status for change in gate.compare_baseline("classic", workspace.results, None)
    }
    assert found == dict.fromkeys([("a2c-naive", TASK), ("a2c-proper", TASK), ("a2c-naive", "Acrobot-v1")], SAME)


def test_a_missing_seed_is_no_loss_by_itself(workspace: Workspace, measured: Any) -> None:
    measured(around(0.8, 0.05), around(0.5, 0.05))
    gate.write_baseline("classic", workspace.results, None)
    measured(around(0.8, 0.05), around(0.5, 0.05), edit=without("a2c-proper", 3))
    (change,) = [each for each in gate.compare_baseline("classic", workspace.results, None) if each.arm == "a2c-proper"]
    assert change.status == UNCLEAR and change.seeds == (10, 9)


def test_verdicts_are_kept_with_the_scores(workspace: Workspace, measured: Any) -> None:
    ledger(workspace)
    measured(around(0.8, 0.05), around(0.5, 0.05, seed=1))
    assert json.loads(gate.write_baseline("classic", workspace.results, None).read_text())["verdicts"] == {
        "C4": "supported"
    }


def test_verdicts_of_a_release_may_be_said_in_its_old_words() -> None:
    assert same_verdict("refuted", "below the margin") and same_verdict("refuted", "contradicted")
    assert same_verdict("supported", "supported") and same_verdict("refuted", "no relevant difference")
    assert not same_verdict("refuted", "supported") and not same_verdict("supported", "contradicted")
    assert not same_verdict(None, "contradicted") and not same_verdict("inconclusive", "below the margin")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no baseline; write one with: softbench gate classic --write"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("[]", r"the file: must be a table \(name: value\)"),
        ('{"suite": "smoke", "mode": "sampled", "scores": {}}', "suite: is 'smoke', must be 'classic'"),
        ('{"suite": "classic", "mode": "greedy", "scores": {}}', "mode: is 'greedy', must be 'sampled'"),
        (
            '{"suite": "classic", "mode": "sampled", "scores": {"a2c": {"T": {"x": {"0": "NaN"}}}}}',
            r"scores\.a2c\.T\.x\.0: must be a finite",
        ),
        (
            '{"suite": "classic", "mode": "sampled", "scores": {"a2c": {"T": {"x": {"0": 1e308}}}}}',
            r"\.x\.0: must be at most",
        ),
        (
            '{"suite": "classic", "mode": "sampled", "scores": {"a2c": {"T": {"x": {"-1": 1}}}}}',
            r"\.x: the name '-1' must be at least 0",
        ),
        ('{"suite": "classic", "mode": "sampled", "scores": {"a2c": {"T": {"x": {}}}}}', r"\.x: must not be empty"),
    ],
)
def test_a_bad_baseline_is_one_line(workspace: Workspace, measured: Any, content: str | None, message: str) -> None:
    measured(around(0.8, 0.05), around(0.5, 0.05))
    if content is not None:
        Path("suites/classic/baseline.json").write_text(content)
    with pytest.raises(InputError, match=message) as raised:
        gate.compare_baseline("classic", workspace.results, None)
    assert "suites/classic/baseline.json" in str(raised.value) and "\n" not in str(raised.value)


def test_no_results_make_no_baseline(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": [TASK]})
    with pytest.raises(InputError, match="no results for suite 'classic'"):
        gate.write_baseline("classic", workspace.results, None)
