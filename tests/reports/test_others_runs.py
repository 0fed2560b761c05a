"""Runs of others through verdicts and pages: their own seeds, no reward for a divergence, nothing filled in that was not recorded."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from imported_logs import imported, write_import
from scipy import stats

from harness.errors import ResultsError
from harness.schema.results import read_cell
from harness.schema.suite import load_suite
from reports.site.site import build
from reports.statistics import curves
from reports.statistics.intervals import difference, stack
from reports.statistics.scores import read_studies
from reports.statistics.summary.pooled import effect
from reports.statistics.verdicts import Verdict, judge

pytestmark = pytest.mark.usefixtures("no_ink")

TWO = {"h": {"soft": False}, "s": {"soft": True}}
CLAIM = {"id": "C", "statement": "s", "source": "s", "pair": "x", "arm": "s", "against": "h", "reason": "r"}
STEPS = (10, 20, 30)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def runs(returns: dict, arms: dict | None = None, tasks: tuple[str, ...] = ("T",), **changes) -> Path:
    """An import of (arm, task, seed) -> the return at all steps, or one a step."""
    lines = ["arm,task,seed,step,return"]
    for (arm, task, seed), values in returns.items():
        each = values if isinstance(values, (list, tuple)) else [values] * len(STEPS)
        lines += [f"{arm},{task},{seed},{step},{value}" for step, value in zip(STEPS, each, strict=False)]
    Path("t.csv").write_text("\n".join(lines) + "\n")
    grid, entry = {"first": 10, "last": 30, "points": 3}, {"format": "tidy", "files": "t.csv"}
    scales = {task: {"low": 0, "high": 100, "source": ""} for task in tasks}
    fields = {"name": "x", "tasks": scales, "arms": arms or TWO, "grid": grid, "smooth": None, "runs": [entry]}
    path = write_import(Path(), **{**fields, **changes})
    imported(path)
    return path


def judged(*claims: dict, level: float = 0.025) -> list[Verdict]:
    whole = [{**CLAIM, "test": "superiority", "margin": 0, "effect": 0.1, **claim} for claim in claims]
    if any(claim["test"] != "superiority" for claim in whole):
        whole = [{k: v for k, v in claim.items() if claim["test"] == "superiority" or k != "effect"} for claim in whole]
    Path("suites/x/claims.yaml").write_text(yaml.safe_dump({"level": level, "claims": whole}))
    return judge(load_suite("x"), Path("results"))


def flat(arm: str, values: list[float], seeds: list[int] | None = None, task: str = "T") -> dict:
    return {(arm, task, seed): value for seed, value in zip(seeds or range(len(values)), values, strict=True)}


# --- seeds of their own ------------------------------------------------------------------------------------------------------------

HARD, SOFT = [89, 88.5, 81.8, 47.3, 68.6, 79.2], [101.4, 97.2, 95.3]


def test_welch_takes_each_arms_own_seeds():
    runs(flat("h", HARD, [740, 1600, 11712, 17253, 21291, 27445]) | flat("s", SOFT, [3931, 15583, 18534]))
    welch, paired, flips = judged({}, {"id": "P", "method": "paired"}, {"id": "F", "method": "sign-flip"})
    expected = stats.ttest_ind(SOFT, HARD, equal_var=False, alternative="greater")
    assert welch.outcome.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert welch.data.counts == (3, 6) and welch.outcome.estimate == pytest.approx(0.222, abs=1e-3)
    assert welch.lost == () and welch.registered == welch.seeds == 3 and welch.to_json()["seeds_of_arms"] == [3, 6]
    (alone,) = judged({})
    assert alone.verdict == "supported" and alone.p_holm == pytest.approx(expected.pvalue, rel=1e-9)
    for each, method in ((paired, "paired"), (flips, "sign-flip")):
        assert (
            each.verdict == "not measured"
            and f"have no seeds in common on every task, and '{method}' compares" in each.why
        )
    build(["x"], Path("site"))
    page = Path("site/x.html").read_text()
    assert "3 and 6" in page and "nothing to compare yet" not in page and "No aggregates" not in page
    assert "s was trained with 3 seeds and h with 6" in page


def test_seeds_may_differ_from_task_to_task():
    draw = np.random.default_rng(0)
    samples = {
        (arm, task): draw.normal(50 + 20 * (arm == "s"), 5, 3 + (arm == "h") + 2 * (task == "B")).tolist()
        for arm in TWO
        for task in "AB"
    }
    found, number = {}, iter(range(1000))
    for (arm, task), values in samples.items():
        found |= {(arm, task, next(number)): value for value in values}
    runs(found, tasks=("A", "B"))
    (verdict,) = judged({})
    terms = [np.var(values, ddof=1) / len(values) / 4 for values in samples.values()]
    df = sum(terms) ** 2 / sum(t**2 / (len(v) - 1) for t, v in zip(terms, samples.values(), strict=True))
    means = {place: np.mean(values) for place, values in samples.items()}
    estimate = sum(means["s", task] - means["h", task] for task in "AB") / 2
    assert verdict.outcome.estimate == pytest.approx(estimate / 100) and verdict.outcome.df == pytest.approx(df)
    assert verdict.outcome.p == pytest.approx(stats.t.sf(estimate / sum(terms) ** 0.5, df), rel=1e-9)
    for task in "AB":
        one = stats.ttest_ind(samples["s", task], samples["h", task], equal_var=False, alternative="greater")
        assert verdict.by_task[task].p == pytest.approx(one.pvalue, rel=1e-9)
    build(["x"], Path("site"))


def test_a_masked_matrix_is_its_columns():
    columns = [{0: 1.0, 1: 2.0, 2: 4.0}, {5: 1.0, 6: 3.0}]
    _, ragged = stack(columns)
    whole = [np.array([[*column.values()]]).T for column in columns]
    terms = [each.var(ddof=1) / len(each) / 4 for each in whole]
    found = difference(ragged, np.zeros((3, 2)))
    assert found.value == pytest.approx(np.mean([each.mean() for each in whole]))
    assert found.df == pytest.approx(
        sum(terms) ** 2 / sum(t**2 / (len(e) - 1) for t, e in zip(terms, whole, strict=True))
    )


@pytest.mark.parametrize("spelt", ["x7", ""])
@pytest.mark.parametrize("method", ["welch", "paired"])
def test_a_run_whose_seed_cannot_be_read_was_begun_and_counts_as_missing(spelt: str, method: str) -> None:
    path = runs(flat("h", [20, 22, 19, 21]) | flat("s", [80, 84, 79, 81]))
    (before,) = judged({"method": method})
    with Path("t.csv").open("a") as file:
        file.writelines(f"s,T,{spelt},{step},0\n" for step in (10, 20, 30))
    imported(path)
    (after,) = judged({"method": method})
    assert before.verdict == "supported" and before.lost == ()
    assert after.verdict == "inconclusive" and after.lost == ("s on T, a seed that cannot be read: missing",)
    build(["x"], Path("site"))
    page = Path("site/x.html").read_text()
    assert (
        "arm s: missing with a seed that cannot be read: 1" in page and "seed -1" not in page and "seed −1" not in page
    )


def test_a_stray_run_of_a_third_arm_changes_no_verdict_on_others():
    three = {**TWO, "o": {"soft": True}}
    data = flat("h", [20, 22, 19]) | flat("s", [80, 82, 79]) | flat("o", [50, 51, 49]) | {("o", "T", 42): [50, 50]}
    runs(data, three)
    base, other = judged({}, {"id": "O", "arm": "o"})
    assert base.verdict == "supported" and base.counted == "3 of 3 seeds" and base.lost == ()
    assert other.lost == ("o on T, seed 42: missing",) and other.counted == "3 of 4 seeds"
    (study,), _ = read_studies(load_suite("x"), Path("results"))
    assert study.holes == ["x on T, arm o: seed 42 missing"]


def test_a_lost_run_of_the_claims_own_arm_withholds():
    runs(flat("h", [20, 22, 19]) | flat("s", [80, 82, 79]) | {("s", "T", 42): [80, 80]})
    (verdict,) = judged({})
    assert verdict.verdict == "inconclusive" and "1 seed is missing and could change it" in verdict.why


def test_declared_seeds_are_registered_for_every_arm():
    runs(flat("h", [20, 22, 19, 21]) | flat("s", [80, 82, 79]), seeds="0-3")
    (verdict,) = judged({})
    assert verdict.lost == ("s on T, seed 3: missing",) and verdict.verdict == "inconclusive"
    runs(flat("h", [20, 22, 19, 21]) | flat("s", [80, 82, 79]))
    assert judged({})[0].verdict == "supported", "nobody began seed 3 of s"


def test_two_arms_are_compared_where_both_have_results():
    three = {**TWO, "o": {"soft": True}, "none": {"soft": True}}
    data = {}
    for task in "AB":
        data |= flat("h", [50, 51, 52], task=task) | flat("s", [60, 61, 62], task=task)
    runs(data | flat("o", [40, 41], task="A"), three, ("A", "B"))
    whole, part, nowhere = judged({}, {"id": "O", "arm": "o", "tasks": ["A"]}, {"id": "N", "arm": "o"})
    assert whole.verdict == "supported" and part.data.counts == (2, 3) and nowhere.verdict == "not measured"
    build(["x"], Path("site"))
    lines = Path("site/x/evidence.csv").read_text().splitlines()
    assert any(line.startswith("s,h,better") for line in lines) and any(
        "o,h,worse" in line and "1 of 2" in line for line in lines
    )


# --- divergences -------------------------------------------------------------------------------------------------------------------


def test_the_answer_counts_each_comparison_by_its_own_runs():
    found = flat("h", [10, 20, 33, 41], task="A") | flat("h", [30, 42, 50], task="B")
    found |= flat("s", [50, 63, 71], [7, 8, 9], task="A") | flat("s", [61, 72], [7, 8], task="B")
    found |= flat("z", [20, 35], [4, 5], task="A")
    runs(found, arms={**TWO, "z": {"soft": True}}, tasks=("A", "B"))
    build(["x"], Path("site"))
    page, index = Path("site/x.html").read_text(), Path("site/index.html").read_text()
    assert "Of 2 comparisons of a soft arm with its hard arm (x; 2 tasks)" in page and "pooled over" not in page
    assert ">1 to 2 tasks × 2 to 4 seeds<" in page and ">2 to 4 seeds<" in index
    assert "no arm leaves the floor" not in page + index
    (study,), _ = read_studies(load_suite("x"), Path("results"))
    on_b = np.array([61, 72.0]), np.array([30, 42, 50.0])
    cell = effect(study, "B")
    assert cell.value == pytest.approx((on_b[0].mean() - on_b[1].mean()) / 100)
    assert cell.variance == pytest.approx(sum(each.var(ddof=1) / len(each) for each in on_b) / 100**2)
    rows = {row["soft arm"]: row for row in pd.read_csv("site/index/answer.csv").to_dict("records")}
    assert (rows["s"]["seeds"], rows["s"]["tasks"], rows["z"]["seeds"], rows["z"]["tasks"]) == (
        "2 and 3",
        2,
        "2 and 4",
        1,
    )


def test_a_divergence_is_never_rewarded():
    hard = [-49.6, -50.7, -50.1, -49.2, -48.5, -51.3, -48.5, -48.7]
    lost = {("s", "T", seed): [-60, "nan", "nan"] for seed in range(8)}
    runs(flat("h", hard) | lost)
    better, paired, not_worse, same = judged(
        {"id": "C0"},
        {"id": "C1", "method": "paired"},
        {"id": "C2", "test": "non-inferiority", "margin": 0.05},
        {"id": "C3", "test": "equivalence", "margin": 0.05},
    )
    assert better.outcome.estimate == pytest.approx(-0.6 + np.mean(np.abs(hard)) / 100)
    for verdict in (better, paired, not_worse, same):
        assert verdict.verdict == "contradicted" and verdict.sensitivity["worst"] != "supported"
    build(["x"], Path("site"))
    assert "or at the lowest return seen on the task" in Path("site/x.html").read_text()


def test_the_floor_is_below_what_was_seen_between_the_steps_of_the_grid():
    text = "arm,task,seed,step,return\n" + "".join(f"h,T,{s},{t},-50\n" for s in range(3) for t in STEPS)
    text += "".join(
        f"s,T,{s},10,-20\ns,T,{s},15,-500\ns,T,{s},17,-20\ns,T,{s},20,nan\ns,T,{s},30,nan\n" for s in range(3)
    )
    runs(flat("h", [1.0]))
    Path("t.csv").write_text(text)
    imported(Path("import.yaml"))
    (study,), _ = read_studies(load_suite("x"), Path("results"))
    assert study.final("T", "s", "sampled") == dict.fromkeys(range(3), -5.0)


def test_no_metric_makes_a_divergence_a_virtue():
    """All seeds at the same floor are very stable, and that says nothing."""
    draw = np.random.default_rng(0)
    runs(flat("h", draw.normal(50, 20, 12).tolist()) | {("s", "T", seed): [60, "nan", "nan"] for seed in range(12)})
    (spread,) = judged({"metric": "spread"})
    assert spread.verdict == "inconclusive" and "12 seeds diverged and could change it" in spread.why


def test_a_low_that_returns_lie_below_is_no_bound():
    from reports.statistics.measuring import leaves

    assert leaves(np.array([[0.0, 1.0]]), 0.0, 0.0), "a bound: one seed above is enough"
    assert not leaves(np.array([[-5.0, 1.0], [-4.0, -6.0]]), 0.0, 0.0)


QUICK = [
    ("one", 3, "sampled", ("T",)),
    ("soft", 3, "greedy", ("T",)),
    ("hard", 1, "sampled", ("T",)),
    ("all", 3, "sampled", ("A", "B")),
]
CASES = [
    pytest.param(*case, marks=[] if case in QUICK else pytest.mark.slow)
    for case in product(("none", "one", "soft", "hard", "all"), (1, 3), ("sampled", "greedy"), (("T",), ("A", "B")))
]


@pytest.mark.parametrize(("lost", "seeds", "actions", "tasks"), CASES)
def test_the_page_of_an_import_with_divergences(lost, seeds, actions, tasks):
    """Whatever diverged, no number is filled in for what a log never held."""
    data = {}
    for task, arm, seed in product(tasks, TWO, range(seeds)):
        gone = (
            lost == "all"
            or (lost, arm) in (("soft", "s"), ("hard", "h"))
            or (lost == "one" and (arm, seed) == ("s", 0))
        )
        data[arm, task, seed] = [50 + seed, "nan", "nan"] if gone else 50 + seed + 10 * (arm == "s")
    runs(data, tasks=tasks, actions=actions)
    entropy, final = judged({"metric": "entropy"}, {"id": "D"})
    assert entropy.verdict == ("not measured" if seeds > 1 else "invalid") and entropy.outcome is None
    assert (final.outcome is not None) == (seeds > 1)
    for (task, arm), its in read_studies(load_suite("x"), Path("results"))[0][0].curves.items():
        assert np.isnan(its.entropy).all() and np.isnan(its.training).all(), (task, arm)
    build(["x"], Path("site"))
    page = Path("site/x.html").read_text()
    assert "entropy in nats" not in page and not re.search(r">\s*-?nan\b", page, re.I)
    tables = "".join(path.read_text() for path in Path("site/x").glob("*.csv"))
    assert ", entropy" not in tables and not re.search(r"(^|,)-?nan(,|$)", tables, re.M | re.I)
    assert ("diverged at step" in page) == (lost != "none")


def test_a_result_too_large_for_statistics_is_damage(monkeypatch):
    runs(flat("h", [1, 2]) | flat("s", [3, 4]))
    monkeypatch.setattr(curves, "MOST_NUMBER", 3.5)
    studies, (damaged,) = read_studies(load_suite("x"), Path("results"))
    assert not studies and "holds a return beyond" in str(damaged) and "\n" not in str(damaged)
    with pytest.raises(ResultsError, match="too large for any statistics"):
        curves.read_curves(load_suite("x"), read_cell(Path("results/x/x/T")), "h")


# --- what is known, and what is not --------------------------------------------------------------------------------------------------


def test_more_seeds_than_anyone_has_are_not_enough_seeds():
    hard, soft = [20, 80, 35, 65, 50, 28, 72, 44], [72, 31, 66, 45, 79, 21, 37, 52]
    runs(flat("h", hard) | flat("s", soft))
    for claim in (
        {"margin": 0.01, "effect": 0.015},
        {"test": "non-inferiority", "margin": 0.001},
        {"test": "equivalence", "margin": 0.001},
    ):
        (verdict,) = judged(claim)
        assert verdict.verdict == "inconclusive" and verdict.why.startswith("Not enough seeds: 8 do not show")
        assert "you need more than 10,000 for 80 % power" in verdict.why and verdict.detectable > 0.1
        told = json.loads(json.dumps(verdict.to_json()))
        assert told["seeds_needed"] is None and told["needed"].startswith("more than 10,000")
    build(["x"], Path("site"))
    assert "you need more than 10,000" in Path("site/x.html").read_text()


def test_no_spread_is_not_enough_seeds_either():
    runs(flat("h", [50] * 8) | flat("s", [50] * 8))
    (verdict,) = judged({"method": "sign-flip"})
    assert verdict.seeds_needed is None and verdict.needed == "" and "usually find" not in verdict.why


def test_a_level_is_reachable_after_correction_with_the_seeds_that_there_are():
    """Six differences of one sign have p = 1/64; of two such claims the first is tested at 0.0125."""
    runs(flat("h", [50, 51, 52, 53, 54, 55]) | flat("s", [60, 62, 61, 64, 63, 66]))
    one = judged({"method": "sign-flip"})[0]
    assert one.verdict == "supported" and one.notes == ()
    for each in judged({"method": "sign-flip"}, {"id": "D", "method": "sign-flip", "metric": "area"}):
        assert each.verdict == "inconclusive"
        assert "cannot reach level 0.025 after Holm's correction: at best its p value is 0.0312" in each.notes[0]
    runs(flat("h", [50, 51, 52]) | flat("s", [60, 62, 61, 64, 63, 66]))
    (few,) = judged({"method": "sign-flip"})
    assert "sign-flip with 3 seeds on 1 task cannot reach level 0.025" in few.notes[0]
