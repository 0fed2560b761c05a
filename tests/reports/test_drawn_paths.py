"""Paths on a plane on a suite's page: soft beside hard, from what was recorded, the same bytes each time, and damage told in a line."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from invented_results import Workspace

from harness.schema.paths import read_paths
from harness.schema.suite import load_suite
from reports.figures.paths import paths
from reports.figures.style import looks
from reports.site import tables
from reports.site.site import build
from reports.site.strips import planes
from reports.statistics.scores import Study, read_studies

CART = "classic/a2c/CartPole-v1"
GOALS = [[5, 0], [-5, 0], [0, 5], [0, -5]]


@pytest.fixture
def cell(workspace: Workspace) -> Workspace:
    workspace.suite("classic", {"a2c": ["CartPole-v1"]})
    workspace.cell("classic", "a2c", "CartPole-v1")
    return workspace


def moved(arm: str, headings: list[list[float]], seed: int = 1, **changes: Any) -> dict[str, Any]:
    """20 paths of 4 steps of 1.1 along the headings in turn, and as many different actions at each place."""
    manifest = json.loads((Path("results") / CART / "manifest.json").read_text())
    turns = [headings[number % len(headings)] for number in range(20)]
    route = [[[round(1.1 * step * x, 3), round(1.1 * step * y, 3)] for step in range(5)] for x, y in turns]
    link = manifest["members"][arm][str(seed)]["chain"][-1]
    return {"arm": arm, "seed": seed, "link": link, "paths": route, "actions": [turns] * 3, **changes}


def record(*members: dict[str, Any], **changes: Any) -> None:
    plane = {"format": 1, "task": "Fixed-v0", "edge": 7.0, "goals": GOALS, "radius": 1.0}
    content = {**plane, "at": [[-2.5, 0], [0, 0], [2.5, 2.5]], "members": [*members], **changes}
    (Path("results") / CART / "paths.json").write_text(json.dumps(content))


def both() -> None:
    record(moved("a2c-naive", [[1, 0]]), moved("a2c-proper", [[1, 0], [-1, 0], [0, 1], [0.1, 0.1]], 2))


def study() -> Study:
    ((found,), damaged) = read_studies(load_suite("classic"), Path("results"))
    assert not damaged
    return found


def page(out: str = "site") -> str:
    build(["classic"], Path(out))
    return (Path(out) / "classic.html").read_text()


def test_each_arm_has_its_panel_with_all_its_paths_the_hard_one_first(cell: Workspace) -> None:
    both()
    text = page()
    (figure,) = re.findall(r'<figure id="figure-a2c-CartPole-v1-paths">.*?</figure>', text, re.S)
    panels = re.findall(r'<g data-arm="([\w-]+)">', figure)
    assert panels == ["a2c-naive"] * 4 + ["a2c-proper"] * 4
    hard, soft = re.split(r'(?=<g data-arm="a2c-proper">)', figure, maxsplit=1)
    for half, color in ((hard, "var(--ink)"), (soft, "var(--soft)")):
        (drawn,) = re.findall(rf'<g [^>]*fill="none" stroke="{re.escape(color)}"[^>]*>((?:<path [^>]*>)+)</g>', half)
        assert drawn.count("<path") == 20
    assert "var(--soft)" not in hard and "var(--grid)" in hard and "var(--holds)" in hard
    assert re.findall(r"<text[^>]*>(.*?)</text>", hard.partition("<figcaption>")[0]) == [*"ABC", "a2c-naive", *"ABC"]
    assert "a2c-naive, seed 1: 20 of 20 paths end at a goal, 1 of 4 goals reached" in figure
    assert "a2c-proper, seed 2: 15 of 20 paths end at a goal, 3 of 4 goals reached" in figure
    assert "at A (−2.5, 0), B (0, 0), C (2.5, 2.5)" in figure


def test_all_that_is_drawn_can_be_downloaded_and_is_equal_each_time(cell: Workspace) -> None:
    both()
    page()
    names = [f"a2c-CartPole-v1-paths{end}" for end in (".svg", ".pdf", "-drawn.csv", "-drawn.tex")]
    before = {name: (Path("site/classic") / name).read_bytes() for name in names}
    found = study()
    (drawn,) = planes(found)[0].values()
    again = paths("a2c", "CartPole-v1", looks(found), drawn, "")
    assert again.standalone().encode() == before[names[0]] and again.pdf == before[names[1]]
    rows = list(csv.DictReader(io.StringIO(before[names[2]].decode())))
    assert len(rows) == 2 * (20 + 3)
    assert rows[23]["points"] == "0 0; 1.1 0; 2.2 0; 3.3 0; 4.4 0" and rows[-1]["drawn"] == "actions at (2.5, 2.5)"
    assert rows[22]["points"].count(";") == 19


@pytest.mark.usefixtures("no_ink")
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("{", "paths.json: cannot be read"),
        ('{"format": 2}', "paths.json: format: must be 1"),
        ({"goals": [[5, 1e9]]}, "goals"),
        ({"edge": 1e300}, "edge: must be at most 1,000"),
        ({"at": [[0, 0]]}, "must have one list of actions a place"),
        ({"members": [{}]}, "arm: "),
        ("x" * (2**20 + 1), "it has more than 1,048,576 bytes"),
    ],
)
def test_a_damaged_record_is_told_in_a_line_and_stops_no_page(cell: Workspace, damage: Any, message: str) -> None:
    if isinstance(damage, str):
        (Path("results") / CART / "paths.json").write_text(damage)
    else:
        record(**{"members": [moved("a2c-naive", [[1, 0]])], **damage})
    text = page()
    (line,) = re.findall(r'<p class="caption">(CartPole-v1: recorded paths cannot be shown: .*?)</p>', text)
    assert message in line and "CartPole-v1-paths" not in text


@pytest.mark.usefixtures("no_ink")
def test_paths_of_other_results_or_unknown_arms_are_not_shown_and_told(cell: Workspace) -> None:
    path = Path("results") / CART / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"members": manifest["members"] | {"x": manifest["members"]["a2c-proper"]}}))
    unknown, other = moved("x", [[0, 1]]), moved("a2c-naive", [[1, 0]], link="0" * 64)
    record(other, moved("a2c-proper", [[0, 1]]), unknown)
    found, problems = planes(study())
    assert problems == ["CartPole-v1: some recorded paths are of other results and are not shown"]
    assert [each.arm for each in found["CartPole-v1"].members] == ["a2c-proper"]
    assert problems[0] in page()


@pytest.mark.usefixtures("no_ink")
def test_without_a_record_nothing_is_shown(cell: Workspace) -> None:
    assert planes(study()) == ({}, []) and read_paths(Path("results") / CART) is None
    text = page()
    assert "CartPole-v1-paths" not in text and "What episodes came to" not in text


def test_outcomes_are_means_over_sound_seeds_by_arm_and_start(cell: Workspace) -> None:
    found = study()
    curves = found.cells["CartPole-v1"].curves
    last = curves["segment"] == curves["segment"].max()
    for start, more in (("fixed", 0.0), ("normal", 0.5)):
        curves[f"goals_{start}"] = np.where(last, curves["seed"] % 2 + more, 9.0)
        curves[f"share_east_{start}"] = 0.25
    curves.loc[last & (curves["arm"] == "a2c-proper") & (curves["seed"] % 2 == 0), "diverged"] = True
    curves["loose_fixed"] = 1.0
    table = tables.outcomes(found)
    assert table.columns == ["task", "arm", "start", "seeds", "goals", "share east"]
    assert table.rows == [
        ["CartPole-v1", "a2c-naive", "fixed", 10, 0.5, 0.25],
        ["CartPole-v1", "a2c-naive", "normal", 10, 1.0, 0.25],
        ["CartPole-v1", "a2c-proper", "fixed", 5, 1.0, 0.25],
        ["CartPole-v1", "a2c-proper", "normal", 5, 1.5, 0.25],
    ]
