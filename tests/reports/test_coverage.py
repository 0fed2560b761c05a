"""The simulation of coverage and of false verdicts: what it finds, and how it is told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_ind

from harness.errors import InputError
from reports.figures.coverage import pictures
from reports.site.coverage import findings, tables
from reports.site.site import _simulated
from reports.statistics import coverage
from reports.statistics.coverage import DISTRIBUTIONS, LOOKS, SEEDS, TASKS, TESTS, false_share
from reports.statistics.forms.form import WORDS


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return coverage.run(400, seed=1)


def only(record: dict[str, Any], *kinds: str) -> dict[str, Any]:
    return {
        key: [each for each in value if each["distribution"] in kinds] if isinstance(value, list) else value
        for key, value in record.items()
    }


def share(record: dict[str, Any], interval: str, n: int, distribution: str, tasks: int = 1) -> float:
    [found] = [
        each["coverage"]
        for each in record["coverage"]
        if (each["interval"], each["n"], each["distribution"], each["tasks"]) == (interval, n, distribution, tasks)
    ]
    return float(found)


def test_the_record_is_complete_and_json(record: dict[str, Any]) -> None:
    assert json.loads(json.dumps(record)) == record
    # Three t intervals and five of the bootstrap for each number of tasks, sign flips on one task.
    assert len(record["coverage"]) == len(SEEDS) * len(DISTRIBUTIONS) * (8 * len(TASKS) + 1)
    cases = 2 + 4 + 3 + 4
    assert cases == len(coverage._cases("welch")) and len(TESTS) == 4
    assert len(record["rates"]) == 3 * len(SEEDS) * len(DISTRIBUTIONS) * cases
    assert len(record["sequential"]) == 2 * len(DISTRIBUTIONS) * cases
    for each in record["rates"] + record["sequential"]:
        assert 0 <= sum(each["words"].values()) <= 1 and set(each["right"]) <= set(each["words"])
    wrong = {word for each in record["rates"] for word in each["words"] if word not in each["right"]}
    right = {word for each in record["rates"] for word in each["right"]}
    assert wrong == right == set(WORDS), "every word is tried where it is false and where it is right"


def test_the_same_seed_gives_the_same_record_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "SEEDS", (5,))
    monkeypatch.setattr(coverage, "DISTRIBUTIONS", {"normal": DISTRIBUTIONS["normal"]})
    assert coverage.run(50, seed=1) == coverage.run(50, seed=1) != coverage.run(50, seed=2)
    monkeypatch.setattr(coverage, "run", lambda: coverage_of_a_moment)
    coverage_of_a_moment = {"coverage": []}
    assert json.loads(coverage.write(tmp_path / "new").read_text()) == coverage_of_a_moment


@pytest.mark.parametrize(("distribution", "spread"), [("normal", 0.25), ("skewed", 0.25), ("bimodal", 0.255)])
def test_distributions_have_the_mean_that_intervals_are_held_to(distribution: str, spread: float) -> None:
    many = DISTRIBUTIONS[distribution](np.random.default_rng(1), (400_000, 1))
    assert (many.mean(), many.std()) == pytest.approx((0.8, spread), abs=0.002)
    truths = coverage._truths(many)
    inner = np.sort(many[:, 0])[100_000:300_000]
    assert (truths["IQM"], truths["Mean"]) == pytest.approx((inner.mean(), many.mean()), abs=0.002)
    assert truths["Optimality gap"] == pytest.approx((1 - np.minimum(many, 1)).mean())


def test_t_intervals_cover_and_the_bootstrap_is_too_narrow() -> None:
    """The figures that docs and captions give: 95 % from the Welch interval, 85 % and 90 % from the bootstrap with 5 and 10 seeds."""
    generator, normal = np.random.default_rng(3), DISTRIBUTIONS["normal"]
    for n, expected in [(5, 0.85), (10, 0.90)]:
        claimed, against = normal(generator, (2000, n, 1)), normal(generator, (2000, n, 1))
        for each in coverage._t_intervals(claimed, against):
            assert each["coverage"] == pytest.approx(0.95, abs=0.016)
        found = {
            each["interval"]: each
            for each in coverage._bootstraps(claimed, against, coverage._truths(claimed[:, 0]), generator)
        }
        assert found["Mean"]["coverage"] == pytest.approx(expected, abs=0.025)
        assert found["Mean"]["width"] == pytest.approx(2 * 1.96 * 0.25 / n**0.5 * (1 - 1 / n) ** 0.5, rel=0.08)


def test_the_verdicts_of_normal_scores_keep_the_level_and_find_what_is_there(record: dict[str, Any]) -> None:
    for each in record["rates"] + record["sequential"]:
        if each["distribution"] == "normal":
            for word, share in each["words"].items():
                assert word in each["right"] or share < 0.025 + 4 * each["error"], (word, each)
    at_20 = {
        (each["test"], each["margin"], each["truth"]): each["words"]
        for each in record["rates"]
        if each["n"] == 20 and each["method"] == "welch" and each["distribution"] == "normal"
    }
    assert at_20["superiority", 0.0, 0.25]["supported"] == pytest.approx(0.86, abs=0.06)
    assert at_20["equivalence", 0.25, 0.5]["contradicted"] == pytest.approx(0.79, abs=0.08)
    assert at_20["superiority", 0.25, 0.0]["no relevant difference"] == pytest.approx(0.72, abs=0.1)
    assert at_20["superiority", 0.25, -0.25]["contradicted"] == pytest.approx(0.86, abs=0.06)
    assert at_20["superiority", 0.25, 0.0]["below the margin"] > 0.05
    looked = [
        each
        for each in record["sequential"]
        if (each["test"], each["margin"], each["truth"]) == ("superiority", 0, 0.25)
    ]
    assert looked and all(each["words"]["supported"] > 0.95 and each["seeds"] < 0.75 * LOOKS[-1] for each in looked)


def test_false_shares_count_what_is_not_right() -> None:
    assert false_share({"words": {"a": 0.2, "b": 0.3, "c": 0.1}, "right": ["b"]}) == pytest.approx(0.3)


def test_sign_flips_of_few_seeds_have_no_interval_and_no_verdict(record: dict[str, Any]) -> None:
    [flips] = [
        each
        for each in record["coverage"]
        if (each["interval"], each["n"], each["distribution"]) == ("sign flips of a difference", 5, "normal")
    ]
    assert (flips["defined"], flips["coverage"], flips["width"]) == (0.0, None, None)
    few = [each for each in record["rates"] if each["method"] == "sign-flip" and each["n"] <= 5]
    assert few and all(sum(each["words"].values()) == 0 for each in few)


def test_findings_say_what_is_too_narrow_from_the_numbers(record: dict[str, Any]) -> None:
    lines = findings(record)
    [line] = [each for each in lines if each.startswith("Mean (bootstrap)")]
    worst = min(share(record, "Mean", 3, distribution) for distribution in DISTRIBUTIONS)
    assert "too narrow" in line and f"{worst:.2f} with 3 seeds" in line
    [line] = [each for each in lines if each.startswith("Welch t of a difference")]
    assert "too narrow for skewed against steady scores" in line, "alike, arms of any shape are covered"
    [line] = [
        each for each in findings(only(record, "normal", "skewed", "bimodal")) if each.startswith("False verdicts of p")
    ]
    assert all(re.search(rf"{word} 0\.0\d\d \(", line) for word in WORDS)
    broken = {
        **record,
        "coverage": [{**e, "coverage": 0.5} if e["interval"].startswith("Welch") else e for e in record["coverage"]],
    }
    [line] = [each for each in findings(broken) if each.startswith("Welch t of a difference")]
    assert (
        "too narrow for normal or skewed or bimodal or skewed against steady scores" in line
        and "0.50 with 20 seeds" in line
    )


def test_tables_and_pictures_show_the_numbers(record: dict[str, Any]) -> None:
    shown = {table.name: table for table in tables(record)}
    assert list(shown) == ["coverage", "false-verdicts", "power", "looks"]
    row = next(row for row in shown["coverage"].rows if row[:3] == ["Mean", 1, 5])
    assert row[3:7] == [share(record, "Mean", 5, distribution) for distribution in DISTRIBUTIONS]
    assert all(len(row) == len(table.columns) for table in shown.values() for row in table.rows)
    rights = {tuple(row[:4]): row[4] for row in shown["power"].rows}
    assert rights["superiority", "0", "welch", 0.25] == "supported"
    assert (
        rights["equivalence", "0.25", "paired", 0.5]
        == rights["non-inferiority", "0.25", "paired", -0.25]
        == "contradicted"
    )
    assert rights["superiority", "0.25", "welch", 0.0] == "no relevant difference"
    false = {tuple(row[:5]): row[5:] for row in shown["false-verdicts"].rows}
    of_supported = [
        each
        for each in record["rates"]
        if (each["test"], each["margin"], each["method"], each["n"]) == ("superiority", 0.25, "welch", 10)
        and each["distribution"] == "normal"
        and each["truth"] <= 0.25
    ]
    assert false["superiority", "0.25", "welch", "supported", 10][0] == max(
        each["words"]["supported"] for each in of_supported
    )
    first, second = pictures(record)
    assert first == pictures(record)[0]
    assert first.name == "coverage-test" and second.name == "coverage-bootstrap"
    # In the groups of an SVG, every marker drawn is one `use`: a panel a distribution of IQM, ... on 1 and 3 tasks and 4 numbers of seeds.
    assert len(re.findall("<use", second.svg)) >= len(DISTRIBUTIONS) * 5 * 2 * 4
    assert f"Mean, normal, 5 seeds: {share(record, 'Mean', 5, 'normal'):.2f}" in second.words.alt


def test_unlike_arms_make_false_verdicts_and_it_is_said(record: dict[str, Any]) -> None:
    """One-sided errors of a skewed arm against a steady one, by plain Welch tests of scipy."""
    draw = np.random.default_rng(7)
    arm, other = 1.05 - 0.25 * draw.exponential(size=(10, 4000)), draw.normal(0.8, 0.025, (10, 4000))
    expected = float((ttest_ind(arm, other, equal_var=False, alternative="greater").pvalue <= 0.025).mean())
    (rate,) = (
        each
        for each in record["rates"]
        if (each["test"], each["margin"], each["method"], each["n"], each["truth"])
        == ("superiority", 0, "welch", 10, 0)
        and each["distribution"] == "skewed against steady"
    )
    assert expected > 0.05 and rate["words"]["supported"] == pytest.approx(expected, abs=0.05)
    (line,) = (each for each in findings(record) if each.startswith("False verdicts of welch"))
    assert "skewed against steady scores" in line
    said = " ".join((Path(__file__).parents[2] / "docs/verdicts.md").read_text().split())
    assert (
        3.4 < expected / 0.025 < 4.6
        and "with 10 seeds a word is then said falsely up to about four times as often" in said
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["coverage"].clear(),
        lambda record: record["coverage"][0].update(coverage="x"),
        lambda record: [each.pop("width") for each in record["coverage"]],
        lambda record: record["coverage"][0].update(n=None),
        lambda record: [each.pop("truth") for each in record["rates"]],
        lambda record: [each.update(right="x") for each in record["rates"]],
        lambda record: [each.pop("seeds") for each in record["sequential"]],
    ],
)
def test_a_damaged_record_is_one_line(record: dict[str, Any], tmp_path: Path, change: Any) -> None:
    path = tmp_path / "coverage.json"
    path.write_text(json.dumps(record))
    assert _simulated(path) == record
    damaged = json.loads(path.read_text())
    change(damaged)
    path.write_text(json.dumps(damaged))
    with pytest.raises(InputError, match=r"coverage\.json: cannot be read .*; write it anew: softbench coverage"):
        _simulated(path)


def test_a_record_of_fewer_distributions_is_shown(record: dict[str, Any]) -> None:
    """As an earlier version wrote it."""
    fewer = {
        key: [each for each in value if each["distribution"] in ("normal", "skewed")]
        if isinstance(value, list)
        else value
        for key, value in record.items()
    }
    assert [table.columns[-3:-1] for table in tables(fewer)][:1] == [["normal", "skewed"]] and findings(fewer)
    pictures(fewer)
