"""matplotlib's SVG made small and fit for a page whose policy allows no style attributes.

Styles become presentation attributes, what all children share moves to their group, and paths are relative with one decimal.
Of the ids only those stay that something refers to; they are salted by the figure's name, so that figures can share a page.
"""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

from matplotlib.artist import Artist

SPACE = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"
INHERITED = re.compile(r"(stroke|fill|font|text)(-\w+)*")
DENSE = 100
"""Thin lines in one figure from which on nobody sees a tenth of a unit: then they are drawn to whole ones."""
LEGEND = "legend"
"""The class of a figure's legend, which the page leaves out: it has one for all figures."""
TEXT = {"font-family": "'DejaVu Sans', sans-serif", "font-size": "9px"}
ElementTree.register_namespace("", SPACE[1:-1])


def mark(artist: Artist, arm: str, seeds: list[int] | None = None, kind: str = "") -> None:
    """Name what an artist shows: `data-arm`, of a collection the seed of each child, in order, as `data-seeds`, and a class."""
    names = {"data-arm": arm, **({} if seeds is None else {"data-seeds": " ".join(map(str, seeds))})}
    artist.set_gid(json.dumps(names | ({"class": kind} if kind else {})))


def cropped(svg: str, top: float) -> str:
    """A compact `svg` without its legend, and without the `top` units of height that hold it."""
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in [child for child in parent if child.get("class") == LEGEND]:
            parent.remove(child)
    left, above, width, height = map(float, root.attrib["viewBox"].split())
    root.attrib["viewBox"] = " ".join(_number(each, 1) for each in (left, above + top, width, height - top))
    return _text(root)


def compact(text: str, alt: str) -> str:
    """One `<svg>` element, with `alt` as its text alternative, from a file that matplotlib wrote."""
    root = ElementTree.fromstring(text)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith("metadata") or child.tag == f"{SPACE}style" or _invisible(child):
                parent.remove(child)
    used = set(re.findall(r"#(\w+)", text))
    _coarsen(root)
    for element in root.iter():
        _attributes(element, used)
        if element.tag == f"{SPACE}text":
            for name, usual in TEXT.items():
                if element.get(name) == usual:
                    del element.attrib[name]
    _shrink(root)
    size = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update({"viewBox": size, "role": "img", "aria-label": alt, **TEXT, "stroke-linejoin": "round"})
    return _text(root)


def _text(root: ElementTree.Element) -> str:
    return ElementTree.tostring(root, encoding="unicode").replace(" />", "/>")


def _invisible(element: ElementTree.Element) -> bool:
    """The transparent background of figure and axes."""
    return element.tag == f"{SPACE}g" and len(element) == 1 and element[0].get("style") == "fill: none"


def _attributes(element: ElementTree.Element, used: set[str]) -> None:
    attributes = element.attrib
    own = attributes.get("id", "")
    if own not in used:
        attributes.pop("id", None)
    if own.startswith("{"):
        attributes.update(json.loads(own))
    for each in filter(None, attributes.pop("style", "").split(";")):
        name, value = each.split(":")
        attributes[name.strip()] = value.strip()
    if LINK in attributes:
        attributes["href"] = attributes.pop(LINK)
    if attributes.get("transform", "").startswith("rotate(-0 "):
        del attributes["transform"]
    if "d" in attributes:
        # A marker is drawn at its own small scale, a band or a line at the page's.
        marker = "id" in attributes and len(attributes["d"]) <= 400
        digits_x, digits_y = (2, 2) if marker else map(int, attributes.pop("digits", "11"))
        attributes["d"] = relative(attributes["d"], digits_x, digits_y)
    for name in ("x", "y"):
        if name in attributes and element.tag != f"{SPACE}rect":
            attributes[name] = _number(float(attributes[name]), 1)
    element.tail = None
    if element.text and not element.text.strip():
        element.text = None


def _shrink(element: ElementTree.Element) -> None:
    """From the leaves up: a bare group around one element gives way to it, and what all children share moves to their group."""
    for place, child in enumerate(list(element)):
        _shrink(child)
        if child.tag == f"{SPACE}g" and not child.attrib and len(child) == 1:
            element[place] = child[0]
    for child in [child for child in element if child.tag in (f"{SPACE}g", f"{SPACE}defs") and not len(child)]:
        element.remove(child)
    ticks = [
        child
        for child in element
        if not child.attrib and [each.tag for each in child] == [f"{SPACE}path", f"{SPACE}text"]
    ]
    if len(ticks) > 1:
        # The ticks of an axis: all grid lines, then all labels, so that each kind shares its attributes.
        pairs = [list(tick) for tick in ticks]
        for tick in ticks:
            element.remove(tick)
        for kind in zip(*pairs, strict=True):
            group = ElementTree.SubElement(element, f"{SPACE}g")
            group.extend(kind)
            _shrink(group)
    drawn = [child for child in element if child.tag != f"{SPACE}defs"]
    if element.tag != f"{SPACE}g" or len(drawn) < 2:
        return
    for name, value in list(drawn[0].attrib.items()):
        # Twice clipped by the same path is clipped once; but a transform moves the group's clip path, so those stay.
        movable = INHERITED.fullmatch(name) or (
            name == "clip-path" and not any("transform" in child.attrib for child in drawn)
        )
        if movable and name not in element.attrib and all(child.get(name) == value for child in drawn):
            element.attrib[name] = value
            for child in drawn:
                del child.attrib[name]


def _coarsen(root: ElementTree.Element) -> None:
    """Thin lines of seeds share whole x, and where they are many, y is whole as well."""
    groups = [group for group in root.iter(f"{SPACE}g") if "data-seeds" in group.get("id", "")]
    lines = [path for group in groups for path in group.iter(f"{SPACE}path") if path.get("d", "").count("L") > 2]
    for line in lines:
        line.set("digits", "01" if len(lines) < DENSE else "00")


def relative(path: str, digits_x: int, digits_y: int) -> str:
    """A path of matplotlib's (absolute M, L, Q, C, z) in relative commands; errors of rounding do not add up."""
    digits = (digits_x, digits_y)
    parts: list[str] = []
    x = y = start_x = start_y = 0.0
    last = ""
    for command, body in re.findall(r"([MLQCz])([^MLQCz]*)", path):
        if command == "z":
            parts.append("z")
            x, y, last = start_x, start_y, "z"
            continue
        numbers = [round(float(each), digits[at % 2]) for at, each in enumerate(body.split())]
        letter = "M" if command == "M" else command.lower()
        moved = numbers if command == "M" else [each - (x, y)[at % 2] for at, each in enumerate(numbers)]
        shown = [_number(each, digits[at % 2]) for at, each in enumerate(moved)]
        text = shown[0] + "".join(each if each.startswith("-") else f" {each}" for each in shown[1:])
        if letter != last:
            parts.append(letter + text)
        else:
            parts.append(text if text.startswith("-") else f" {text}")
        last = letter
        x, y = numbers[-2:]
        if command == "M":
            start_x, start_y = x, y
    return "".join(parts)


def _number(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    if text.startswith(("0.", "-0.")):
        text = text.replace("0", "", 1)
    return "0" if text == "-0" else text
