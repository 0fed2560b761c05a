"""Episodes on a suite's page: of the members that the results hold, drawn from what was recorded, folded, small and always the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from invented_results import SEEN, Workspace

from harness.schema.episodes import Episodes, read_episodes
from harness.schema.suite import load_suite
from reports.figures import strips
from reports.site.site import build
from reports.site.strips import strips as drawn
from reports.statistics.scores import Study, read_studies

CART, LINKS = "classic/a2c/CartPole-v1", "classic/a2c/Acrobot-v1"


@pytest.fixture
def cells(workspace: Workspace) -> Workspace:
    workspace.suite("classic", {"a2c": ["CartPole-v1", "Acrobot-v1"]})
    for task in ("CartPole-v1", "Acrobot-v1"):
        workspace.cell("classic", "a2c", task)
    return workspace


def study() -> Study:
    ((found,), damaged) = read_studies(load_suite("classic"), Path("results"))
    assert not damaged
    return found


def mean(place: str, arm: str, seed: int) -> str:
    curves = pd.read_parquet(Path("results") / place / "curves.parquet")
    final = curves[(curves["arm"] == arm) & (curves["seed"] == seed)]["return_sampled"].iloc[-1]
    return f"{final:.4g}".replace("-", "−")


def page(out: str = "site") -> str:
    build(["classic"], Path(out))
    return (Path(out) / "classic.html").read_text()


def test_episodes_of_the_results_members_are_drawn_and_folded(cells: Workspace) -> None:
    cells.record(CART, cells.episode(CART, "a2c-naive"), cells.episode(CART, "a2c-proper", 2, rank="worst"))
    cells.record(LINKS, cells.episode(LINKS, "a2c-naive", 0))
    text = page()
    (folded,) = re.findall(r'<details class="more episodes">.*?</details>', text, re.S)
    assert re.findall(r"<h3>(.*?)</h3>", folded) == ["Acrobot-v1", "CartPole-v1"], "in the suite's order"
    words = re.findall(r'<figcaption><b class="(\w+)">(.*?)</b>, (.*?)</figcaption>', folded)
    rest = "−87.5 in 88 steps"
    assert words == [
        ("hard", "a2c-naive", f"median seed 0 (mean return {mean(LINKS, 'a2c-naive', 0)}): {rest}"),
        ("hard", "a2c-naive", f"median seed 1 (mean return {mean(CART, 'a2c-naive', 1)}): {rest}"),
        ("soft", "a2c-proper", f"worst seed 2 (mean return {mean(CART, 'a2c-proper', 2)}): {rest}"),
    ]
    assert folded.count("<svg ") == 9 and re.findall(r">([\d,]+)</text>", folded)[:3] == ["1", "51", "88"]
    _, hard, soft = re.findall(r'<div class="strip".*?</div>', folded, re.S)
    assert "var(--soft)" in soft and "var(--soft)" not in hard
    assert len(folded) < 3000 * 3


def test_episodes_of_other_results_are_not_shown_and_told(cells: Workspace) -> None:
    cells.record(CART, cells.episode(CART, "a2c-naive", link="0" * 64))
    assert drawn(study()) == ({}, ["CartPole-v1: some recorded episodes are of other results and are not shown"])
    text = page()
    assert "Episodes of" not in text
    assert "CartPole-v1: some recorded episodes are of other results and are not shown" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "episodes.json: cannot be read"),
        ('{"format": 2}', "episodes.json: format: must be 1"),
        ({"seen": [[1.0]] * 3}, "recorded episodes cannot be shown"),
        ({"seen": [[1.0]]}, "must have one observation a step"),
        ({"arm": "<b>"}, "some recorded episodes are of other results"),
        ({"seen": ["ff"] * 3}, "recorded episodes cannot be shown"),
        ({"seen": [[1e400, 0.0, 0.0, 0.0]] * 3}, "must be a finite number"),
        ({"steps": [0] * 11}, "must be no longer than 10"),
    ],
)
def test_a_record_that_cannot_be_drawn_stops_nothing(cells: Workspace, content: Any, message: str) -> None:
    changes = {} if isinstance(content, str) else content
    path = cells.record(CART, cells.episode(CART, "a2c-naive") | changes)
    if isinstance(content, str):
        path.write_text(content)
    cells.record(LINKS, cells.episode(LINKS, "a2c-naive"))
    found, problems = drawn(study())
    assert message in problems[0] and len(problems) == 1 and [*found] == ["Acrobot-v1"]
    assert drawn(study()) == (found, problems), "and it is the same each time"


def test_without_a_record_nothing_is_shown(cells: Workspace) -> None:
    assert drawn(study()) == ({}, [])


@pytest.mark.parametrize("task", SEEN)
def test_every_drawing_follows_the_observation_and_stays_inside(task: str) -> None:
    draw, size = np.random.default_rng(0), len(SEEN[task])
    different = set()
    for _ in range(30):
        angles = draw.uniform(-np.pi, np.pi, 2)
        seen = {
            "CartPole-v1": [draw.uniform(-2.4, 2.4), 0, draw.uniform(-0.2, 0.2), 0],
            "Acrobot-v1": [*np.ravel([(np.cos(each), np.sin(each)) for each in angles]), 0, 0],
            "MountainCar-v0": [draw.uniform(-1.2, 0.6), 0],
            "Pendulum-v1": [np.cos(angles[0]), np.sin(angles[0]), 0],
            "LunarLander-v3": [draw.uniform(-1.5, 1.5), draw.uniform(-0.2, 1.7), 0, 0, angles[0], 0, 0, 0],
        }[task]
        assert len(seen) == size
        text = strips.DRAWINGS[task]([float(each) for each in seen], "var(--soft)")
        points = [
            tuple(map(float, each.split(","))) for part in re.findall(r'points="(.*?)"', text) for each in part.split()
        ]
        points += [(float(x), float(y)) for x, y in re.findall(r'c?x="([\d.-]+)" c?y="([\d.-]+)"', text)]
        assert points and all(-1 <= x <= strips.WIDTH + 1 and -1 <= y <= strips.HEIGHT + 1 for x, y in points)
        different.add(text)
    assert len(different) > 25


def test_a_pole_that_leans_right_and_a_pendulum_that_hangs() -> None:
    right = strips.cart_pole([0.0, 0.0, 0.2, 0.0], "c")
    (start, end) = re.findall(r'points="30,31 ([\d.]+),([\d.]+)"', right)[0]
    assert float(start) > 33 and float(end) < 11
    assert 'points="30,23 30,42"' in strips.pendulum([-1.0, 0.0, 0.0], "c")
    tilted = strips.lunar_lander([0.0, 0.5, 0.0, 0.0, 0.3, 0.0, 0.0, 0.0], "c")
    assert re.search(r'points="26\.2,29\.2 .* 33\.8,26\.8"', tilted), "a positive angle turns it to the left"
    assert 'points="30,23 30,33 30,43"' in strips.acrobot([1.0, 0.0, 1.0, 0.0, 0.0, 0.0], "c")


def test_an_image_is_drawn_cell_by_cell() -> None:
    image = np.zeros((10, 10, 4), np.uint8)
    image[2, 3, 1], image[9, 9, 3] = 1, 1
    text = strips.cells(np.packbits(image).tobytes().hex(), [10, 10, 4])
    assert text.count("<rect") == 3
    assert '<rect x="20.8" y="9.2" width="4.6" height="4.6" fill="var(--series2)"/>' in text
    assert '<rect x="48.4" y="41.4" width="4.6" height="4.6" fill="var(--series4)"/>' in text
    with pytest.raises(ValueError, match="are no image"):
        strips.cells("ff", [10, 10, 4])


def test_the_record_is_read_as_it_was_written(cells: Workspace) -> None:
    path = cells.record(CART, cells.episode(CART, "a2c-naive"))
    found = read_episodes(path.parent)
    assert isinstance(found, Episodes) and found.episodes[0].seen == [SEEN["CartPole-v1"]] * 3
    assert read_episodes(path.parent.parent) is None
