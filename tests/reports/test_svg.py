"""Making matplotlib's SVG small changes no picture: paths keep their points, references their place, texts their words."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from reports.figures.style import theme
from reports.figures.svg import DENSE, SPACE, compact, mark, relative

HOSTILE = '<script>alert(1)</script>"&'


def points(path: str) -> np.ndarray:
    """The corners of a path that `relative` made."""
    numbers = np.array([float(each) for each in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", path)])
    return np.cumsum(numbers.reshape(-1, 2), axis=0)


def test_errors_of_rounding_do_not_add_up() -> None:
    corners = np.random.default_rng(0).uniform(0, 300, (500, 2))
    written = "M " + " L ".join(f"{x:.6f} {y:.6f}" for x, y in corners)
    short = relative(written, 1, 1)
    assert len(short) < 0.6 * len(written)
    assert np.abs(points(short) - corners).max() < 0.0501
    assert np.abs(points(relative(written, 0, 1)) - corners).max(axis=0) == pytest.approx([0.5, 0.05], abs=0.01)


def test_curves_and_closed_paths_stay_what_they_are() -> None:
    assert relative("M 1 2 C 1.5 2.5 0.5 3 3 2 z M 10 10 L 9.9 10", 1, 1) == "M1 2c.5 .5-.5 1 2 0zM10 10l-.1 0"


def drawn(arm: str, lines: int = 2) -> tuple[ElementTree.Element, np.ndarray]:
    """Lines of some seeds, and where matplotlib itself draws them, `[lines, 5, 2]`."""
    steps, values = np.arange(5.0), np.random.default_rng(0).uniform(0, 6, (lines, 5))
    with mpl.rc_context(theme()):
        figure = Figure(figsize=(4, 4))
        axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
        seeds = LineCollection([np.column_stack([steps, each]) for each in values])
        mark(seeds, arm, list(range(3, 3 + lines)))
        axes.add_collection(seeds)
        axes.set(xlim=(-1, 5), ylim=(0, 6))
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
        corners = axes.transData.transform(np.stack([np.column_stack([steps, each]) for each in values]).reshape(-1, 2))
    corners = corners * 72 / figure.dpi
    corners[:, 1] = 4 * 72 - corners[:, 1]
    return ElementTree.fromstring(compact(file.getvalue(), "lines")), corners.reshape(lines, 5, 2)


@pytest.mark.parametrize(("lines", "error"), [(2, 0.051), (DENSE, 0.51)])
def test_lines_of_seeds_are_named_and_at_their_place(lines: int, error: float) -> None:
    root, expected = drawn("some arm", lines)
    (group,) = (group for group in root.iter(f"{SPACE}g") if "data-seeds" in group.attrib)
    assert group.attrib["data-seeds"].split() == [str(seed) for seed in range(3, 3 + lines)]
    assert group.attrib["data-arm"] == "some arm" and len(group) == lines
    for path, corners in zip(group, expected, strict=True):
        off = np.abs(points(path.attrib["d"]) - corners).max(axis=0)
        assert off[0] < 0.51 and off[1] < error


def test_names_are_inert_and_no_style_attribute_is_left() -> None:
    root, _ = drawn(HOSTILE)
    assert [group.attrib["data-arm"] for group in root.iter(f"{SPACE}g") if "data-arm" in group.attrib] == [HOSTILE]
    assert not [
        element
        for element in root.iter()
        if "style" in element.attrib or element.tag in (f"{SPACE}script", f"{SPACE}style")
    ]
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    referred = set(re.findall(r"(?:href=\"|url\()#([\w-]+)", ElementTree.tostring(root, encoding="unicode")))
    assert set(ids) == referred and len(ids) == len(set(ids))
