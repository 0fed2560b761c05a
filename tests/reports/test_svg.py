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

from reports.figures.picture import STYLE
from reports.figures.svg import SPACE, compact, mark, relative

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


def drawn(arm: str) -> tuple[ElementTree.Element, np.ndarray]:
    """Lines of two seeds on one scale and by reference on another, and where matplotlib itself draws the latter, `[2, 5, 2]`."""
    steps, values = np.arange(5.0), np.array([[1.0, 4, 2, 3, 5], [2.0, 1, 5, 4, 3]])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4, 4))
        for place, (scale, copy) in enumerate([(1.0, False), (7.0, True)]):
            axes = figure.add_axes((0.1, 0.55 - 0.5 * place, 0.8, 0.4))
            lines = LineCollection([np.column_stack([scale * steps, each]) for each in values])
            mark(lines, arm, [3, 8], copy)
            axes.add_collection(lines)
            axes.set(xlim=(-1, 30), ylim=(0, 6))
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
        corners = axes.transData.transform(
            np.stack([np.column_stack([7 * steps, each]) for each in values]).reshape(-1, 2)
        )
    corners = corners * 72 / figure.dpi
    corners[:, 1] = 4 * 72 - corners[:, 1]
    return ElementTree.fromstring(compact(file.getvalue(), "two lines")), corners.reshape(2, 5, 2)


def test_a_copy_is_drawn_by_reference_at_its_own_place() -> None:
    root, expected = drawn("some arm")
    source, copy = (group for group in root.iter(f"{SPACE}g") if "data-seeds" in group.attrib)
    assert source.attrib["data-seeds"] == copy.attrib["data-seeds"] == "3 8" and copy.attrib["data-arm"] == "some arm"
    (use,) = copy
    assert use.attrib["href"] == f"#{source.attrib['id']}"
    a, _, _, d, e, f = map(float, re.findall(r"-?[\d.]+", use.attrib["transform"]))
    for path, corners in zip(source, expected, strict=True):
        found = points(path.attrib["d"]) * [a, d] + [e, f]
        assert np.abs(found - corners).max() < 0.5 * a + 0.1  # lines of seeds have whole x in the first panel


def test_names_are_inert_and_no_style_attribute_is_left() -> None:
    root, _ = drawn(HOSTILE)
    assert [group.attrib["data-arm"] for group in root.iter(f"{SPACE}g") if "data-arm" in group.attrib] == [HOSTILE] * 2
    assert not [
        element
        for element in root.iter()
        if "style" in element.attrib or element.tag in (f"{SPACE}script", f"{SPACE}style")
    ]
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    referred = set(re.findall(r"(?:href=\"|url\()#([\w-]+)", ElementTree.tostring(root, encoding="unicode")))
    assert set(ids) == referred and len(ids) == len(set(ids))
