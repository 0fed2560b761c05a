"""The figures: made through rliable and seaborn, of the very numbers that the tables print, leaving nothing behind."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
import yaml
from invented_results import Workspace, theory_record
from matplotlib import pyplot
from matplotlib.figure import Figure
from rliable import plot_utils

from harness.schema.suite import load_suite
from reports.figures import claims, forest, intervals, learning, scores, theory, ticks
from reports.figures.pens import drawn
from reports.figures.picture import Picture, Words, picture
from reports.figures.style import COLORS, PLAIN, Look, looks, theme
from reports.site.evidence import Evidence, gather
from reports.statistics.intervals import Estimate
from reports.statistics.scores import read_studies
from reports.statistics.verdicts import Verdict, judge
from reports.table import Table

ROWS = [
    intervals.Row("a", Look(PLAIN["ink"], "o"), [Estimate(0.5, 0.4, 0.7), Estimate(1.0, 0.9, 1.2)]),
    intervals.Row("b", Look(PLAIN["soft"], "s"), [Estimate(0.2, 0.1, 0.3), Estimate(0.0, why="undefined: n < 2")]),
]


@pytest.fixture(scope="module")
def found(demo: Workspace) -> Evidence:
    with contextlib.chdir(demo.root):
        (_, ppo), _ = read_studies(load_suite("classic"), demo.results)
    return gather(ppo)


@pytest.fixture(scope="module")
def verdict(judged: Path) -> Verdict:
    with contextlib.chdir(judged.parent):
        return judge(load_suite("classic"), judged.parent / "results")[0]


@pytest.fixture
def figures(found: Evidence, verdict: Verdict) -> dict[str, Callable[[], Picture]]:
    plot = theory.Plot.model_validate(theory_record()["figure"])
    errors = [theory.Errors(1, "a", 1e-14, 1e-11, [0.1, 1e9])]
    words = Words("forest", "t", "c", "a", "c")
    marks = [forest.Mark(it.soft, it.hard, it.found, 0.01, "better") for it in found.primary.values()]
    rows = [forest.Row("ppo", "#ppo", [mark]) for mark in marks]
    arms = {verdict.claim.arm: Look(PLAIN["soft"], "s"), verdict.claim.against: Look(PLAIN["ink"], "o")}
    group = forest.Group("Classic control", "ppo", "2 tasks", rows)
    return {
        "forest": lambda: forest.forest(words, [group], Estimate(0.0, -0.1, 0.1), Table("t", "t", "", [], [])),
        "modes": lambda: scores.modes("ppo", "sampled", found.differences, "c"),
        "aggregates": lambda: scores.aggregates("ppo", found.looks, found.aggregates, "90 %.", "c"),
        "improvements": lambda: scores.improvements("ppo", found.looks, found.improvements, "90 %.", "c"),
        "profiles": lambda: scores.profiles("ppo", found.looks, found.profiles, "c") if found.profiles else None,
        "by_task": lambda: scores.by_task("ppo", found.on_tasks, "c"),
        "learning": lambda: learning.learning(found.learning[1], "c"),
        "claim": lambda: claims.claim(verdict, arms, "score", "c"),
        "statement": lambda: theory.statement("s", plot, "c"),
        "overview": lambda: theory.overview(errors, "c"),
    }  # type: ignore[dict-item]


class Gone(Exception):
    pass


def gone(*_: Any, **__: Any) -> None:
    raise Gone


@pytest.mark.parametrize(
    ("library", "function", "names"),
    [
        (plot_utils, "plot_interval_estimates", ["forest", "modes", "aggregates", "improvements"]),
        (plot_utils, "plot_performance_profiles", ["profiles"]),
        (sns, "lineplot", ["learning", "statement"]),
        (sns, "scatterplot", ["overview", "statement"]),
        (sns, "stripplot", ["by_task"]),
        (sns, "pointplot", ["by_task", "claim"]),
        (sns, "swarmplot", ["claim"]),
    ],
)
def test_without_its_library_there_is_no_figure(
    figures: dict[str, Callable[[], Picture]],
    monkeypatch: pytest.MonkeyPatch,
    library: object,
    function: str,
    names: list[str],
) -> None:
    for name in names:
        assert figures[name]().svg.startswith("<svg")
    monkeypatch.setattr(library, function, gone)
    for name in names:
        with pytest.raises(Gone):
            figures[name]()


def test_the_theme_is_seaborns(figures: dict[str, Callable[[], Picture]], monkeypatch: pytest.MonkeyPatch) -> None:
    usual, white = figures["learning"]().svg, sns.axes_style
    monkeypatch.setattr(sns, "axes_style", lambda style, rc: white("ticks", rc))
    assert figures["learning"]().svg != usual


def test_nothing_is_left_behind_and_equal_numbers_give_equal_bytes(figures: dict[str, Callable[[], Picture]]) -> None:
    chosen = mpl.get_backend()
    pyplot.switch_backend("svg")
    try:
        settings = dict(mpl.rcParams)
        first = {name: make() for name, make in figures.items()}
        again = {name: figures[name]() for name in reversed(figures)}
        assert dict(mpl.rcParams) == settings and mpl.get_backend() == "svg" and pyplot.get_fignums() == []
    finally:
        pyplot.switch_backend(chosen)
    assert len({each.svg for each in first.values()}) == len(figures)
    for name, each in first.items():
        assert (each.svg, each.pdf) == (again[name].svg, again[name].pdf)


def test_both_files_are_those_that_matplotlib_writes_alone() -> None:
    def draw() -> Figure:
        figure = Figure(figsize=(2, 2))
        axes = figure.add_axes((0.2, 0.2, 0.7, 0.7), xticks=[], yticks=[])
        axes.plot([0, 1, 2], [0, 2, 1], "o-", label="a")
        axes.scatter([0.5, 1.5], [1, 1], s=[9, 25])
        axes.fill_between([0, 1, 2], [0, 1, 0], [1, 2, 2], alpha=0.3)
        figure.text(0.1, 0.9, "above", va="baseline")
        return figure

    svg, pdf = io.StringIO(), io.BytesIO()
    with mpl.rc_context({**theme(), "svg.hashsalt": "s"}):
        draw().savefig(svg, format="svg", metadata={"Date": None})
        draw().savefig(pdf, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
        assert drawn(draw()) == (svg.getvalue(), pdf.getvalue())


def test_a_figure_that_fails_is_closed() -> None:
    def draw() -> Figure:
        figure, _ = intervals.intervals(ROWS, ["x", "y"])
        figure.draw = gone  # type: ignore[method-assign]
        return figure

    with pytest.raises(Gone):
        picture(Words("n", "t", "c", "a", "c"), draw)
    assert pyplot.get_fignums() == []


def test_intervals_are_drawn_as_they_were_computed() -> None:
    figure, panels = intervals.intervals(ROWS, ["x", "y"])
    for panel, axes in enumerate(panels):
        assert axes.get_title() == "xy"[panel]
        bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches]
        for number, row in enumerate(ROWS):
            estimate, point = row.estimates[panel], axes.lines[number]
            ends = (estimate.value, estimate.value) if estimate.low is None else (estimate.low, estimate.high)
            assert bars[number] == pytest.approx(ends)
            assert (point.get_xdata(), point.get_ydata()) == ([estimate.value], [number])
            assert point.get_fillstyle() == ("none" if estimate.low is None else "full")
            assert (point.get_marker(), point.get_color()) == (row.look.marker, row.look.color)
        assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first row is on top"
    pyplot.close(figure)


def test_points_are_drawn_as_they_were_computed() -> None:
    axes = Figure().add_subplot()
    intervals.points(axes, [row.estimates[1] for row in ROWS], ROWS[0].look)
    drawn = [line.get_xydata() for line in axes.lines]
    assert any(np.allclose(each, [[0.9, 0], [1.2, 0]]) for each in drawn), "the interval"
    marks = {
        float(x): line.get_fillstyle() for line in axes.lines for x, y in line.get_xydata() if line.get_marker() == "o"
    }
    assert marks[1.0] == "full" and marks[0.0] == "none"


def test_curves_are_drawn_as_they_were_computed(found: Evidence) -> None:
    axes = Figure().add_subplot()
    curves = found.learning[0].curves
    learning._means(axes, curves, [curve.means for curve in curves])
    assert len(axes.lines) == len(axes.collections) == len(curves) == 4
    for curve, line, band in zip(curves, axes.lines, axes.collections, strict=True):
        assert line.get_ydata().tolist() == [each.value for each in curve.means]
        assert (line.get_color(), line.get_marker()) == (curve.look.color, curve.look.marker)
        corners = band.get_paths()[0].vertices
        for step, each in zip(curve.steps, curve.means, strict=True):
            at = corners[corners[:, 0] == step, 1]
            assert each.low is not None and {each.low, each.high} <= set(at.tolist())


def test_soft_is_one_colour_hard_another_and_arms_of_one_colour_differ_otherwise(found: Evidence) -> None:
    seen = looks(found.study)
    assert found.study.roles == {"ppo": "hard", "sppo-38": "soft", "sppo-40": "soft", "ppo-bonus": "control"}
    for arm, role in found.study.roles.items():
        assert seen[arm].color == COLORS[role]
    assert len({look.marker for look in seen.values()}) == 4
    assert seen["sppo-38"].dash != seen["sppo-40"].dash


def test_a_claims_card_has_the_colours_of_its_arms(verdict: Verdict) -> None:
    arm, against = verdict.claim.arm, verdict.claim.against
    for soft, hard in ((arm, against), (against, arm)):
        drawn = claims.claim(
            verdict, {soft: Look(COLORS["soft"], "s"), hard: Look(COLORS["hard"], "o")}, "score", "c"
        ).svg
        for name, color in ((soft, COLORS["soft"]), (hard, COLORS["hard"])):
            group = re.search(rf'<g[^>]*data-arm="{name}"[^>]*data-seeds="[^>]*>.*?</g>', drawn, re.S)
            assert group and color in group[0]


def test_an_arms_name_in_a_claims_figure_is_hidden_with_its_marks(
    figures: dict[str, Callable[[], Picture]], verdict: Verdict
) -> None:
    """The page hides what carries an arm's name as `data-arm`; the name beside the axis is one of these."""
    root = ElementTree.fromstring(figures["claim"]().svg)
    for arm in verdict.claim.sides:
        marked = [each for each in root.iter() if each.get("data-arm") == arm]
        assert [text.text for each in marked for text in each.iter() if text.tag.endswith("text")] == [arm]


def test_every_arm_and_seed_is_named_in_the_learning_curves(figures: dict[str, Callable[[], Picture]]) -> None:
    its = figures["learning"]()
    assert its.svg.count('class="seed-lines"') == its.svg.count('data-seeds="0 1 2 3 4 5 6 7 8 9"') == 2 * 4
    assert its.svg.count('data-arm="sppo-40"') >= 7, "lines and bands twice, seeds twice, legend, and a cross"
    assert 'data-arm="a2c' not in its.svg


def test_the_page_leaves_the_legend_out_and_the_file_keeps_it(figures: dict[str, Callable[[], Picture]]) -> None:
    for name in ("learning", "profiles"):
        its = figures[name]()
        assert 'class="legend"' in its.svg and 'class="legend"' not in its.inline()
        whole, shown = (
            [float(each) for each in re.search(r'viewBox="([^"]*)"', svg)[1].split()]  # type: ignore[index]
            for svg in (its.svg, its.inline())
        )
        assert shown[1] == pytest.approx(its.legend, abs=0.1) and shown[3] == pytest.approx(
            whole[3] - its.legend, abs=0.1
        )


def test_an_entropy_that_is_a_schedule_has_no_panel_and_arms_that_coincide_are_said(
    demo: Workspace, tmp_path: Path
) -> None:
    made = Workspace(tmp_path)

    def edit(curves: pd.DataFrame, _: dict[str, Any]) -> pd.DataFrame:
        hard = curves[curves["arm"] == "a2c-naive"]["return_sampled"].to_numpy()
        curves.loc[curves["arm"] == "a2c-proper", "return_sampled"] = hard
        return curves.assign(entropy=1.0 / curves["segment"])

    made.suite("classic", {"a2c": ["CartPole-v1", "MountainCar-v0"]})
    made.cell("classic", "a2c", "CartPole-v1", edit=edit)
    made.cell("classic", "a2c", "MountainCar-v0", edit=lambda curves, _: curves.assign(return_sampled=-200.0))
    with contextlib.chdir(tmp_path):
        (study,), _ = read_studies(load_suite("classic"), made.results)
    its = gather(study)
    assert its.silent == ["MountainCar-v0: every seed of every arm stays at −200 throughout, so there is no figure."]
    (drawn,) = its.learning
    assert not drawn.entropy and "entropy in nats" not in learning.learning(drawn, "c").svg
    caption = learning.learning(drawn, "c").words.caption
    assert "Entropy: the same in all arms and seeds" in caption and "a2c-proper coincides with a2c-naive." in caption


def test_a_remark_stands_below_the_curves_of_its_own_task_and_pair(tmp_path: Path) -> None:
    made = Workspace(tmp_path)
    made.suite("classic", {"a2c": ["CartPole-v1", "Acrobot-v1"], "dqn": ["CartPole-v1"]})
    made.cell("classic", "a2c", "CartPole-v1")
    made.cell("classic", "a2c", "Acrobot-v1")
    made.cell("classic", "dqn", "CartPole-v1")
    path = tmp_path / "suites" / "classic" / "suite.yaml"
    remark = {"pair": "a2c", "task": "CartPole-v1", "text": "Look twice, at -500."}
    path.write_text(path.read_text() + yaml.safe_dump({"remarks": [remark]}))
    with contextlib.chdir(tmp_path):
        studies, _ = read_studies(load_suite("classic"), made.results)
    captions = {
        drawn.name: learning.learning(drawn, "c").words.caption for each in studies for drawn in gather(each).learning
    }
    assert len(captions) == 3
    assert [name for name, caption in captions.items() if "Look twice, at −500." in caption] == ["a2c-CartPole-v1"]


def test_schedules_are_left_out_of_a_panel_that_others_fill(tmp_path: Path) -> None:
    made = Workspace(tmp_path)

    def edit(curves: pd.DataFrame, _: dict[str, Any]) -> pd.DataFrame:
        planned = curves["arm"] != "soft-dqn-kl"
        return curves.assign(entropy=1.0 / curves["segment"] + np.where(planned, 0.0, 0.1 * curves["seed"]))

    made.suite("classic", {"dqn": ["CartPole-v1"]})
    made.cell("classic", "dqn", "CartPole-v1", edit=edit)
    with contextlib.chdir(tmp_path):
        (study,), _ = read_studies(load_suite("classic"), made.results)
    (drawn,) = gather(study).learning
    assert drawn.entropy and [curve.arm for curve in drawn.curves if curve.entropies] == ["soft-dqn-kl"]
    assert "a schedule, the same in all seeds, so it is not drawn" in learning.learning(drawn, "c").words.caption


@pytest.mark.parametrize(
    ("low", "high", "least", "most", "expected"),
    [
        (20.0, 499.7, 0.0, 500.0, [0, 200, 400, 500]),
        (-497.0, -76.0, -500.0, 0.0, [-500, -400, -200, 0]),
        (-0.03, 0.07, -np.inf, np.inf, [-0.05, 0, 0.05, 0.1]),
        (-520.0, -480.0, -500.0, 0.0, [-520, -500, -480]),
        (5.0, 5.0, -np.inf, np.inf, [4.8, 5, 5.2]),
    ],
)
def test_axes_end_with_a_tick(low: float, high: float, least: float, most: float, expected: list[float]) -> None:
    found = ticks.ends(low, high, least, most)
    assert found == pytest.approx(expected, abs=1e-12)
    axes = Figure().add_subplot()
    for axis in (axes.xaxis, axes.yaxis):
        ticks.label_ends(axis, found)
        ends = axis.get_view_interval()
        assert ends[0] <= found[0] and found[-1] <= ends[1] and (ends[1] - ends[0]) < 1.1 * (found[-1] - found[0])


def test_profiles_zoom_where_the_arms_differ(found: Evidence) -> None:
    assert found.profiles is not None
    shares = np.stack([share for share, _, _ in found.profiles.curves.values()])
    differs = np.flatnonzero(np.ptp(shares, axis=0) > 0)
    assert differs[0] <= 4 and differs[-1] >= shares.shape[1] - 5


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (9_999, "9999"),
        (12_345, "12.3k"),
        (999_499, "999k"),
        (999_936, "1M"),
        (1e6, "1M"),
        (-999_936, "−1M"),
        (0.25, "0.25"),
    ],
)
def test_ends_of_axes_are_short(value: float, said: str) -> None:
    assert ticks.plain(value) == said
