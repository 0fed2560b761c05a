"""The answer at first sight: what is pooled, how a difference is worded, the sentence, the forest, and the README."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import yaml
from invented_results import CLAIMS, Workspace
from scipy.optimize import brentq
from scipy.stats import t
from test_verdicts import around, scored

from harness.errors import InputError
from harness.schema.claims import Ledger
from harness.schema.suite import load_suite, suite_names
from reports.figures.forest import MARKS, Group, Mark, Row, forest, interval, reach, ticks
from reports.figures.picture import Words
from reports.site import coverage
from reports.site.readme import END, START, write
from reports.site.site import build
from reports.statistics.intervals import Estimate, difference
from reports.statistics.scores import read_studies
from reports.statistics.summary.pooled import Effect, effect, merged, pooled
from reports.statistics.summary.readings import margin
from reports.table import Table

ROOT = Path(__file__).parents[2]


def effects(values: list[float], variances: list[float]) -> list[Effect]:
    return [Effect("p", str(at), *each) for at, each in enumerate(zip(values, variances, strict=True))]


def test_pooled_is_paule_and_mandels_mean_with_hartung_and_knapps_interval() -> None:
    values, variances = [-0.02, 0.01, 0.04, 0.015, -0.005], [1e-4, 4e-4, 2e-4, 1e-6, 9e-4]
    y, v = np.array(values), np.array(variances)

    def mean(between: float) -> float:
        return float((y / (v + between)).sum() / (1 / (v + between)).sum())

    between = brentq(lambda at: ((y - mean(at)) ** 2 / (v + at)).sum() - (len(y) - 1), 0, 1, xtol=1e-14)
    weights = 1 / (v + between)
    scale = (weights * (y - mean(between)) ** 2).sum() / (len(y) - 1)
    half = t.ppf(0.975, len(y) - 1) * (scale / weights.sum()) ** 0.5
    found = pooled(effects(values, variances))
    assert found is not None and between > 0 and found.cells == len(y)
    expected = (mean(between), mean(between) - half, mean(between) + half)
    assert (found.mean.value, found.mean.low, found.mean.high) == pytest.approx(expected, rel=1e-4)
    reach = t.ppf(0.975, len(y) - 2) * (between + scale / weights.sum()) ** 0.5
    assert found.another == pytest.approx((mean(between) - reach, mean(between) + reach), rel=1e-4)


def test_pooled_is_never_narrower_than_the_noise_and_one_exact_cell_does_not_decide() -> None:
    same = pooled(effects([0.01, 0.01, 0.01], [1e-4, 1e-4, 1e-4]))
    assert same is not None and same.mean.low is not None and same.mean.high is not None
    assert same.mean.high - same.mean.low == pytest.approx(2 * t.ppf(0.975, 2) * (1e-4 / 3) ** 0.5)
    found = pooled(effects([0.0, 0.1, -0.1, 0.05], [1e-18, 1e-4, 1e-4, 1e-4]))
    assert found is not None and found.mean.low is not None and found.mean.low < -0.05 and abs(found.mean.value) < 0.05
    assert pooled(effects([0.1, 0.2], [1e-4, 1e-4])) is None and pooled([]) is None, (
        "two cells say nothing of their scatter"
    )


def test_a_pair_and_task_in_several_suites_is_one_cell() -> None:
    merge = merged([Effect("p", "A", 0.1, 0.01), Effect("p", "A", 0.3, 0.09)])
    assert (merge.pair, merge.task, merge.value) == ("p", "A", pytest.approx(0.2))
    assert merge.variance == pytest.approx(0.2**2), "the same runs twice are no more certain"
    assert merged([Effect("q", "A", 0.5, 0.04)]) == Effect("q", "A", 0.5, pytest.approx(0.04))


def test_a_cell_counts_once_and_one_that_says_nothing_not_at_all(workspace: Workspace) -> None:
    tasks = ["CartPole-v1", "MountainCar-v0"]
    workspace.suite("classic", {"a2c": tasks, "dqn": tasks})
    path = workspace.root / "suites" / "classic" / "suite.yaml"
    content = yaml.safe_load(path.read_text())
    content["references"]["MountainCar-v0"]["floor"] = -200
    path.write_text(yaml.safe_dump(content))
    for pair in ("a2c", "dqn"):
        workspace.cell("classic", pair, "CartPole-v1")
        workspace.cell("classic", pair, "MountainCar-v0", edit=lambda curves, _: curves.assign(return_sampled=-200.0))
    (a2c, dqn), _ = read_studies(load_suite("classic"), workspace.results)
    assert effect(a2c, "MountainCar-v0") is None and effect(dqn, "MountainCar-v0") is None
    scores = {
        arm: dqn.score("CartPole-v1", dqn.curves["CartPole-v1", arm].returns["sampled"][:, -1]) for arm in dqn.arms
    }
    each = [scores[soft].mean() - scores[hard].mean() for soft, hard in dqn.comparisons]
    found = effect(dqn, "CartPole-v1")
    assert found is not None and found.value == pytest.approx(np.mean(each))
    spread = {arm: values.var(ddof=1) / len(values) for arm, values in scores.items()}
    soft = sum(spread[arm] for arm, _ in dqn.comparisons) / 16
    assert found.variance == pytest.approx(soft + (spread["dqn"] + spread["dqn-5step"]) / 4)
    one = effect(a2c, "CartPole-v1")
    arms = [
        a2c.score("CartPole-v1", a2c.curves["CartPole-v1", arm].returns["sampled"][:, -1:])
        for arm in ("a2c-proper", "a2c-naive")
    ]
    welch = difference(*arms)
    assert one is not None and welch.low is not None and welch.df is not None
    assert one.value == pytest.approx(welch.value)
    assert t.ppf(0.975, welch.df) * one.variance**0.5 == pytest.approx(welch.value - welch.low)


def test_a_hard_arm_at_every_point_of_a_grid_counts_once(workspace: Workspace) -> None:
    arms = {
        f"{arm}@temperature={at}": None if arm == "ppo" else f"ppo@temperature={at}"
        for at in (0.1, 0.3)
        for arm in ("ppo", "sppo-38")
    }
    sides = (around(0.5, 0.1), around(0.6, 0.1, 10, 1), around(0.5, 0.1), around(0.7, 0.1, 10, 2))
    scores = dict(zip(arms, sides, strict=True))
    workspace.suite("classic", {"ppo": ["CartPole-v1"]})
    workspace.cell("classic", "ppo", "CartPole-v1", arms=arms, edit=scored(scores, {}))
    (study,), _ = read_studies(load_suite("classic"), workspace.results)
    found = effect(study, "CartPole-v1")
    assert found is not None and found.value == pytest.approx(0.15)
    assert found.variance == pytest.approx((1 + 1 / 4 + 1 / 4) * 0.1**2 / 10)


def test_a_cell_has_the_same_bits_in_every_process(workspace: Workspace) -> None:
    """Python orders a set of names anew in each process, and a sum depends on its order by a last digit."""
    names = ["CartPole-v1", "Acrobot-v1", "MountainCar-v0"]
    workspace.suite("classic", {"ppo": names})
    for task in names:
        workspace.cell("classic", "ppo", task)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from harness.schema.suite import load_suite\n"
        "from reports.statistics.scores import read_studies; from reports.statistics.summary.pooled import effect\n"
        "(study,), _ = read_studies(load_suite('classic'), Path('results')); print([effect(study, task) for task in study.cells])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code, str(ROOT)],
            cwd=workspace.root,
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            check=True,
            capture_output=True,
        ).stdout
        for seed in range(1, 5)
    }
    assert len(told) == 1 and b"value=" in told.pop()


def test_the_margin_is_that_of_the_claims_about_the_arms_or_the_ledgers_least() -> None:
    ledger = Ledger.model_validate(
        {
            "claims": [
                {**CLAIMS[0], "margin": 0.02},
                {**CLAIMS[2], "margin": 0.03},
                {**CLAIMS[1], "id": "e", "metric": "entropy", "margin": 0.001, "effect": 1},
            ]
        }
    )
    assert margin(ledger, "a2c", "a2c-proper", "a2c-naive", ["CartPole-v1"]) == 0.02
    assert margin(ledger, "ppo", "sppo-38", "sppo-40", ["CartPole-v1"]) == 0.03
    assert margin(ledger, "dqn", "soft-dqn-kl", "dqn", ["CartPole-v1"]) == 0.02
    assert margin(None, "ppo", "sppo-38", "ppo", ["CartPole-v1"]) is None


def test_the_margin_of_claims_about_other_tasks_is_not_that_of_a_comparison() -> None:
    claims = [
        {**CLAIMS[0], "id": "here", "margin": 0.01, "tasks": ["Acrobot-v1"]},
        {**CLAIMS[0], "id": "wide", "margin": 0.05, "tasks": ["CartPole-v1"]},
    ]
    ledger = Ledger.model_validate({"claims": claims})
    arms = "a2c", "a2c-proper", "a2c-naive"
    assert margin(ledger, *arms, ["CartPole-v1"]) == 0.05
    assert margin(ledger, *arms, ["CartPole-v1", "Acrobot-v1"]) == 0.01
    assert margin(ledger, *arms, ["Pendulum-v1"]) == 0.01, "the ledger's least: none is about it"


def test_one_wide_interval_does_not_press_the_others_together() -> None:
    narrow = [Estimate(0.0, -0.01, 0.01)] * 9
    assert reach(narrow, [0.02]) == pytest.approx(1.08 * 0.04)
    assert reach([*narrow, Estimate(0.0, -1.0, 1.0)], [0.01]) == pytest.approx(1.08 * 0.04)
    for limit in (0.0432, 0.1, 0.105, 0.17, 3.9, 0.0011):
        found = ticks(limit)
        assert 0.0 in found and 5 <= len(found) <= 9 and max(found) <= limit


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite with a ledger and looks, one without, and a smoke test."""
    made = Workspace(tmp_path_factory.mktemp("answer"))
    for name in ("classic", "bare", "trial"):
        tasks = ["CartPole-v1", "MountainCar-v0" if name == "bare" else "Acrobot-v1"]
        made.suite(name, {"a2c": tasks})
        if name != "bare":
            made.claims(name, [{**CLAIMS[0], "metric": "area"}])
        for task in tasks:
            made.cell(name, "a2c", task)
    path = made.root / "suites" / "trial" / "suite.yaml"
    path.write_text(path.read_text() + "evidence: false\n")
    decision = {
        "suite": "classic",
        "claim": {**CLAIMS[0], "metric": "area"},
        "level": 0.025,
        "plan": [{"seeds": 5, "nominal": 0.001}, {"seeds": 10, "nominal": 0.02}, {"seeds": 15, "nominal": 0.023}],
        "looks": [
            {"seeds": 5, "nominal": 0.001, "estimate": 0.03, "p": 0.04, "p_against": 0.96, "verdict": "inconclusive"},
            {"seeds": 10, "nominal": 0.02, "estimate": -0.04, "p": 0.012, "p_against": 0.98, "verdict": "supported"},
        ],
        "verdict": "supported",
    }
    folder = made.root / "results" / "sequential" / "classic"
    folder.mkdir(parents=True)
    (folder / "decision-better.json").write_text(json.dumps(decision))
    with contextlib.chdir(made.root):
        site = build([], made.root / "site")
        (made.root / "README.md").write_text(f"# Title\n{START}\nold\n{END}\nrest\n")
        write(made.root / "README.md", site.answer)
        with pytest.raises(InputError, match=r"--readme .*has no lines"):
            write(made.root / "suites/bare/suite.yaml", site.answer)
        with pytest.raises(InputError, match=r"--readme gone.md: cannot be read"):
            write(Path("gone.md"), site.answer)
    return made.root


def answers(page: str) -> str:
    (found,) = re.findall(r'<p class="answer">(.*?)</p>', page, re.DOTALL)
    return re.sub(r"<[^>]*>", "", unescape(found))


def test_the_sentence_says_what_the_data_say(pages: Path) -> None:
    index = (pages / "site/index.html").read_text()
    said = answers(index)
    forest = re.search(r'<svg class="forest".*?</svg>(?=\s*<figcaption)', index, re.DOTALL)[0]  # type: ignore[index]
    rows = re.findall(r'<a class="row ([a-z-]+)" href="([^"]*)"', forest)
    assert sorted(href for _, href in rows) == ["bare.html#a2c", "classic.html#a2c"], "smoke tests are in no sentence"
    words = r"\(a2c; 3 tasks\), (.*) better, (.*) no relevant difference, (.*) worse and (.*) undecided; pooled over 3 cells"
    assert said.split("Of ")[1].startswith("2 comparisons")
    counts = re.search(words, said)
    assert counts
    numbers = [0 if each.startswith("none") else int(each.split()[0]) for each in counts.groups()]
    kinds = [kind for kind, _ in rows]
    assert numbers == [kinds.count(kind) for kind in ("better", "no-relevant-difference", "worse", "undecided")]
    assert sum(numbers) == 2 and "Hartung–Knapp" in index
    apart = index.index('id="apart"')
    assert index.index("Apart: smoke tests, no evidence") > apart > index.index('id="how"')
    assert "trial.html#a2c" in index[apart:] and "trial.html" not in index[: apart - 20].split("</nav>")[1]


def test_points_of_a_grid_share_a_row_of_the_front_page_and_have_rows_of_their_own_on_the_suites(
    workspace: Workspace,
) -> None:
    points = [f"@temperature={value}" for value in ("0.1", "0.3")]
    arms = {
        f"{arm}{point}": its and f"{its}{point}" for point in points for arm, its in (("ppo", None), ("sppo-38", "ppo"))
    }

    def worse(curves: pd.DataFrame, manifest: dict[str, Any]) -> pd.DataFrame:
        """The soft arm is worse than the hard one at the second point alone."""
        for point, lost in zip(points, (0.0, 100.0), strict=True):
            soft, hard = (curves["arm"] == f"{arm}{point}" for arm in ("sppo-38", "ppo"))
            curves.loc[soft, "return_sampled"] = curves.loc[hard, "return_sampled"].to_numpy() - lost
        return curves

    workspace.suite("classic", {"ppo": ["CartPole-v1"]})
    workspace.cell("classic", "ppo", "CartPole-v1", arms, edit=worse)
    build([], workspace.root / "site")
    index, page = ((workspace.root / f"site/{name}.html").read_text() for name in ("index", "classic"))
    (row,) = re.findall(r'<a class="row [a-z-]*".*?</a>', index)
    marks = re.findall(r'<g class="([a-z-]+)" data-arm="([^"]*)" data-hard="([^"]*)"><title>', row.split("narrow")[0])
    assert marks == [
        (kind, f"sppo-38{point}", f"ppo{point}") for kind, point in zip(("undecided", "worse"), points, strict=True)
    ]
    assert "2 points: −0.2" in row and " to 0.000" in row and "differs by point" in row and ">sppo-38</text>" in row
    own = [re.search(r'data-arm="([^"]*)"', each)[1] for each in re.findall(r'<a class="row .*?</a>', page)]  # type: ignore[index]
    assert own == [f"sppo-38{point}" for point in points]


@pytest.mark.usefixtures("no_ink")
def test_where_there_are_too_many_rows_suites_share_them(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mark tells its suite; a pair that one suite alone has keeps its numbers."""
    for name in ("classic", "bare"):
        workspace.suite(name, {"a2c": ["CartPole-v1"]} | ({"dqn": ["CartPole-v1"]} if name == "bare" else {}))
        for pair in load_suite(name).cells:
            workspace.cell(name, pair, "CartPole-v1")
    titles = [load_suite(name).title for name in ("bare", "classic")]
    build([], workspace.root / "site")
    before = (workspace.root / "site/index.html").read_text()
    assert all(f">{title}</text>" in before for title in titles)
    assert "suites:" not in before
    monkeypatch.setattr("reports.figures.forest.ROWS", 60)
    build([], workspace.root / "site")
    index, page = ((workspace.root / f"site/{name}.html").read_text() for name in ("index", "bare"))
    assert not any(f">{title}</text>" in index for title in titles)
    (shared,) = re.findall(r'<a class="row [a-z-]*" href="[^"]*" data-pair="a2c".*?</a>', index)
    marks = re.findall(r"<title>(.*?), a2c-proper: ", shared.split("narrow")[0])
    assert sorted(marks) == titles and "2 suites: " in shared and ">a2c-proper</text>" in shared
    alone = re.findall(r'<a class="row [a-z-]*" href="bare.html#dqn" data-pair="dqn".*?</a>', index)
    assert len(alone) == index.count('data-pair="dqn"') > 1
    assert all("[" in each and "suites" not in each for each in alone)
    assert "suites:" not in page, "a suite's own page has one suite"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.038, -0.00041, "[−0.038, −0.0004]"),
        (0.00004, 0.02, "[0.00004, 0.020]"),
        (-0.038, 0.0004, "[−0.038, 0.000]"),
        (-0.0004, 0.02, "[0.000, 0.020]"),
        (-0.02, -0.0006, "[−0.020, −0.001]"),
    ],
)
def test_an_interval_that_leaves_0_out_shows_that(low: float, high: float, said: str) -> None:
    assert interval(Estimate(0.01, low, high)) == f"0.010 {said}"


def test_what_lies_beyond_the_axis_is_an_arrow_there_and_no_mark() -> None:
    def marks(found: Estimate) -> list[str]:
        rows = [
            Row("p", "#p", [Mark("s", "h", each, None, "worse")]) for each in (found, *[Estimate(0.0, -0.01, 0.01)] * 9)
        ]
        drawn = forest(
            Words("a", "t", "c", "a", "c"), [Group("", "p", "", rows)], None, Table("t", "t", "", [], [])
        ).page
        first = re.findall(r'<a class="row .*?</a>', drawn or "")[0]
        return re.findall(r'x="([\d.]+%)" y="[\d.]+" overflow="visible"><path class="mark" d="([^"]*)"', first)

    worse, left = MARKS["worse"], "M-6 0L2-5V5z"
    assert marks(Estimate(-0.25, -0.4, -0.1)) == [("0%", left)] * 2, "wide and narrow"
    assert marks(Estimate(-0.02, -0.4, 0.36)) == [("0%", left), ("100%", "M6 0L-2-5V5z"), ("26.85%", worse)] * 2
    assert marks(Estimate(-0.25)) == [("0%", left)] * 2, "also without an interval"


@pytest.mark.usefixtures("no_ink")
def test_where_all_comparisons_read_alike_the_answer_says_that(workspace: Workspace) -> None:
    """Tasks of unlike gain leave what is pooled over them undecided, though the one comparison is better."""
    gains = {"CartPole-v1": 200.0, "Acrobot-v1": 20.0, "MountainCar-v0": 1.0}
    workspace.suite("classic", {"a2c": list(gains)})
    for task, gain in gains.items():

        def better(curves: pd.DataFrame, manifest: dict[str, Any], gain: float = gain) -> pd.DataFrame:
            soft, hard = (curves["arm"] == arm for arm in ("a2c-proper", "a2c-naive"))
            curves.loc[soft, "return_sampled"] = curves.loc[hard, "return_sampled"].to_numpy() + gain
            return curves

        workspace.cell("classic", "a2c", task, edit=better)
    build([], workspace.root / "site")
    said = answers((workspace.root / "site/index.html").read_text())
    assert said.startswith("On the whole, yes.") and "1 is better" in said
    low, high = re.search(r"soft minus hard is \S+ \[(\S+), (\S+)\]", said).groups()  # type: ignore[union-attr]
    assert low.startswith("−") and not high.startswith("−")
    workspace.claims("classic", [{**CLAIMS[0], "metric": "entropy"}])
    build(["classic"], workspace.root / "site")
    page = answers((workspace.root / "site/classic.html").read_text())
    assert page.startswith("By return alone, which no claim here is about, yes.")
    workspace.claims("classic", [{**CLAIMS[0], "metric": "entropy"}, CLAIMS[1]])
    build(["classic"], workspace.root / "site")
    assert answers((workspace.root / "site/classic.html").read_text()).startswith("On the whole, yes.")


def test_margins_are_shaded_and_words_have_shapes(pages: Path) -> None:
    page = (pages / "site/classic.html").read_text()
    bare = (pages / "site/bare.html").read_text()
    assert CLAIMS[0]["margin"] == 0.0 and 'class="band"' not in page, "a margin of 0 makes no shade"
    shapes = {
        re.search(rf'<g class="{kind}"><svg[^>]*><path class="mark" d="([^"]*)"', bare)[1]
        for kind in ("better", "worse", "undecided", "no-relevant-difference")
    }  # type: ignore[index]
    assert len(shapes) == 4


def test_looks_and_their_outcome_appear(pages: Path) -> None:
    page, index = ((pages / f"site/{name}.html").read_text() for name in ("classic", "index"))
    said = "supported after 10 seeds an arm (look 2 of 3)"
    assert said in page and said in index
    rows = (pages / "site/classic/claim-better-looks.csv").read_text().splitlines()
    assert rows[1:] == [
        "5,0.001,0.03,0.04,0.96,inconclusive",
        "10,0.02,-0.04,0.012,0.98,supported",
        "15,0.023,—,—,—,not needed",
    ]
    assert "<td>−0.040</td>" in page


@pytest.mark.usefixtures("no_ink")
def test_what_to_do_next_is_said_of_claims_that_are_not_measured(workspace: Workspace) -> None:
    for name in ("atari", "classic"):
        workspace.suite(name, {"a2c": ["CartPole-v1"], "ppo": ["CartPole-v1"]})
        workspace.claims(name, [{**CLAIMS[2], "id": f"same-{at}"} for at in range(3)])
    workspace.cell("classic", "a2c", "CartPole-v1")
    build([], workspace.root / "site")
    index = (workspace.root / "site/index.html").read_text()
    todo = re.findall("<li>(.*?)</li>", index[index.index('id="next"') : index.index('id="table-claims"')])
    assert todo == [
        f"<b>same-0, same-1, same-2</b>: train the pair. <code>softbench train {name} --pair ppo</code>"
        for name in ("classic", "atari")
    ], "suites with results come first"


def test_two_numbers_for_the_same_arms_are_explained(pages: Path) -> None:
    page = (pages / "site/classic.html").read_text()
    assert re.search(
        r"Two numbers for these arms: .* in the first figure is a2c-proper − a2c-naive in the final score", page
    )
    assert "the claim is about the mean normalized score over all evaluations" in page


def test_bootstrap_intervals_say_their_measured_coverage() -> None:
    def simulated(interval: str, n: int, tasks: int, share: float) -> dict[str, object]:
        return {"interval": interval, "n": n, "tasks": tasks, "coverage": share}

    shares = [
        ("IQM", 5, 1, 0.7),
        ("IQM", 10, 1, 0.92),
        ("Mean", 10, 1, 0.854),
        ("IQM", 10, 3, 0.94),
        ("Mean", 20, 1, 0.99),
    ]
    record = {"coverage": [simulated(*each) for each in shares]}
    said = coverage.measured(record, ["IQM", "Mean"], 12, 2)
    assert "10 seeds on 1 task," in said and "85 to 92 % of studies" in said
    assert "5 seeds on 1 task," in coverage.measured(record, ["IQM"], 2, 1) and "70 %" in coverage.measured(
        record, ["IQM"], 2, 1
    )
    assert "`softbench coverage`" in coverage.measured(None, ["IQM"], 10, 1)


def test_the_readme_has_the_answer_and_the_picture(pages: Path) -> None:
    text = (pages / "README.md").read_text()
    said = answers((pages / "site/index.html").read_text())
    assert text.startswith("# Title\n") and text.endswith("\nrest\n") and "old" not in text
    assert text.replace("**", "").split(START)[1].strip().startswith(said.strip())
    assert "Each comparison is read by itself, uncorrected." in text
    assert (pages / "docs/answer.svg").read_text() == (pages / "site/index/answer.svg").read_text()


@pytest.mark.usefixtures("no_ink")
def test_our_readme_says_what_our_results_say(tmp_path: Path) -> None:
    """Of the results that are in git: the pipeline has been run since they, or the words, changed."""
    with contextlib.chdir(ROOT):
        there = [
            name for name in suite_names() if load_suite(name).evidence and any(Path("results", name).glob("*/*/*"))
        ]
        answer = build(there, tmp_path / "site").answer if there else None
    (tmp_path / "README.md").write_text((ROOT / "README.md").read_text())
    write(tmp_path / "README.md", answer)
    for name in ("README.md", "docs/answer.svg"):
        assert (ROOT / name).read_text() == (tmp_path / name).read_text()


@pytest.mark.usefixtures("no_ink")
def test_a_readme_without_evidence_says_that_nothing_is_measured(workspace: Workspace) -> None:
    """As it is once suites are registered anew; the pipeline goes on."""
    workspace.suite("trial", {"a2c": ["CartPole-v1"]})
    path = workspace.root / "suites/trial/suite.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "evidence": False}))
    workspace.cell("trial", "a2c", "CartPole-v1", seeds=3)
    readme = workspace.root / "README.md"
    readme.write_text(f"# Title\n{START}\nold\n{END}\nrest\n")
    write(readme, build([], workspace.root / "site").answer)
    text = readme.read_text()
    assert "**Not measured yet.**" in text and "old" not in text and "![" not in text and text.endswith("\nrest\n")
    assert ElementTree.parse(workspace.root / "docs/answer.svg").getroot().tag.endswith("svg")


@pytest.mark.usefixtures("no_ink")
def test_the_page_says_by_which_actions_its_pairs_are_judged(workspace: Workspace) -> None:
    workspace.suite("classic", {"ppo": ["CartPole-v1"], "a2c": ["CartPole-v1"]})
    path = workspace.root / "suites/classic/suite.yaml"
    content = yaml.safe_load(path.read_text())
    content["cells"]["a2c"]["CartPole-v1"] = {"evaluation": {"episodes": 20, "primary": "greedy"}}
    path.write_text(yaml.safe_dump(content))
    for pair in ("ppo", "a2c"):
        workspace.cell("classic", pair, "CartPole-v1", seeds=4)
    manifest = workspace.results / "classic/a2c/CartPole-v1/manifest.json"
    recorded = json.loads(manifest.read_text())
    recorded["evaluation"]["primary"] = "greedy"
    manifest.write_text(json.dumps(recorded))
    build(["classic"], workspace.root / "site")
    said = (workspace.root / "site/classic.html").read_text()
    assert "declared for each task</a>, sampled or greedy actions, as its pair is judged." in said


def test_the_answer_tells_where_seeds_diverged(workspace: Workspace) -> None:
    def lost(curves: pd.DataFrame, _: object) -> pd.DataFrame:
        last = (curves["arm"] == "a2c-naive") & (curves["segment"] == curves["segment"].max())
        return curves.assign(diverged=curves["diverged"] | last & (curves["seed"] == curves["seed"].min()))

    workspace.suite("classic", {"a2c": ["CartPole-v1"], "dqn": ["CartPole-v1"]})
    workspace.cell("classic", "dqn", "CartPole-v1")
    build(["classic"], Path("site"))
    assert "seeds diverged" not in Path("site/classic.html").read_text()
    workspace.cell("classic", "a2c", "CartPole-v1", edit=lost)
    build(["classic"], Path("site"))
    page = Path("site/classic.html").read_text()
    assert re.search(r"In 1 comparison \(1 (better|worse|undecided)\) seeds diverged; these count at the floor\.", page)
