"""The rendered site: what it says, that its numbers are the downloads' numbers, and that it is inert and reproducible."""

from __future__ import annotations

import base64
import contextlib
import csv
import glob
import hashlib
import json
import os
import re
import time
import tomllib
from decimal import Decimal
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from invented_results import ARMS, CLAIMS, TASKS, Workspace

from harness.errors import InputError
from harness.schema.suite import load_suite
from reports.site.site import build
from reports.site.tables import said
from reports.statistics.intervals import Estimate
from reports.statistics.numerals import MINUS, numeral, typeset
from reports.table import NONE, Table, number

HOSTILE = '<script>alert(1)</script>"&<img src=x onerror=a>$x$'


class Parts(HTMLParser):
    """All tags with attributes, all table rows by the table's heading link, and all text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.text: list[str] = []
        self.rows: list[list[str]] = []
        self.stack: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        if tag == "a" and found.get("href", "").endswith(".csv"):
            self.rows = self.tables.setdefault(found["href"], [])
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.stack and self.stack.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if {"td", "th"} & set(self.stack[-2:]):
            self.rows[-1][-1] += data


def test_files_and_links(site: Path) -> None:
    there = {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()}
    first, *named = (site / "contents.txt").read_text().splitlines()
    assert first.startswith("made from ") and {"contents.txt", *named} == there
    links = [attrs["href"] for tag, attrs in Parts((site / "classic.html").read_text()).tags if tag == "a"]
    local = [link for link in links if not link.startswith("#")]
    assert len(local) > 20
    assert [link for link in local if not (site / link).is_file()] == []
    written = {str(path.relative_to(site)) for path in (site / "classic").iterdir()}
    assert written == {link for link in local if not link.endswith(".html")}
    assert {Path(name).suffix for name in written} == {".csv", ".tex", ".svg", ".pdf"}
    for svg in site.rglob("*.svg"):
        ElementTree.parse(svg)


NUMBER = re.compile(r"[+−-]?\d[\d,]*(?:\.\d+)?(?:e[+−-]?\d+)?%?")


def rounds(shown: str, exact: str) -> bool:
    """Whether a number of the page is one of the CSV, rounded to the digits shown."""
    text = shown.replace(",", "").replace(MINUS, "-")
    number = Decimal(text.rstrip("%"))
    unit = Decimal(1).scaleb(int(number.as_tuple().exponent))
    return abs(Decimal(exact) * (100 if text.endswith("%") else 1) - number) <= unit * Decimal("0.5000001")


def test_numbers_in_the_page_are_those_of_the_csv_rounded(judged: Path, site: Path) -> None:
    shorter = 0
    for root in (judged, site):
        found = Parts((root / "classic.html").read_text()).tables
        found.pop("classic/claims.csv", None)  # rows that open, not a table: test_cards
        assert len(found) > 10
        for link, (header, *rows) in found.items():
            with (root / link).open(newline="") as file:
                names, *lines = csv.reader(file)
            assert len(rows) == len(lines) > 0
            for row, line in zip(rows, lines, strict=True):
                values = dict(zip(names, line, strict=True))
                for name, cell in zip(header, row, strict=True):
                    whole = " ".join(
                        filter(None, (values[name], values.get(f"{name} low"), values.get(f"{name} high")))
                    )
                    text = cell.replace(MINUS, "-")
                    if text in (whole, values[name]) or text.startswith(f"{values[name]} for "):
                        continue
                    shown, exact = NUMBER.findall(cell), NUMBER.findall(whole)
                    assert len(shown) == len(exact) > 0 or "undefined" in cell, (link, name, cell, whole)
                    assert all(map(rounds, shown, exact)), (link, name, cell, whole)
                    shorter += sum(len(each) > len(it) + 5 for it, each in zip(shown, exact, strict=False))
    assert shorter > 500, "the CSV has digits that the page leaves out"


def test_numbers_of_the_csv_are_exact(site: Path, demo: Workspace) -> None:
    curves = pd.read_parquet(demo.results / "classic" / "ppo" / "CartPole-v1" / "curves.parquet")
    last = curves[curves["segment"] == curves["segment"].max()].set_index(["arm", "seed"])["return_sampled"]
    with (site / "classic/ppo-returns.csv").open(newline="") as file:
        found = {(row["task"], row["arm"]): row["sampled actions"] for row in csv.DictReader(file)}
    for arm in ARMS["ppo"]:
        assert found["CartPole-v1", arm] == repr(float(last[arm].to_numpy().mean()))
    with (site / "classic/ppo-members.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["task"] == "CartPole-v1":
                assert row["sampled return"] == repr(float(last[row["arm"], int(row["seed"])]))


def test_a_figure_draws_the_numbers_of_its_table(site: Path) -> None:
    def column(name: str, *columns: str) -> list[tuple[str, ...]]:
        with (site / "classic" / name).open(newline="") as file:
            return [tuple(row[each] for each in columns) for row in csv.DictReader(file)]

    ends = ("soft arm", "hard arm", "difference", "difference low", "difference high", "the soft arm is")
    svg = (site / "classic/evidence.svg").read_text()
    rows_of = re.findall(r'<a class="row .*?</a>', svg)
    named = [re.findall(r'data-arm="(\S+)" data-hard="(\S+)"', row)[0] for row in rows_of]
    words = [re.findall(r'<text class="wide[^>]*>([^<]*)<', row) for row in rows_of]
    drawn = {f"{soft} minus {hard}": ", ".join(its) for (soft, hard), its in zip(named, words, strict=True)}
    rows = column("evidence.csv", *ends)
    assert len(rows) == len(drawn) == 3
    for soft, hard, *numbers, word in rows:
        value, low, high = (numeral(float(each), ".3f") for each in numbers)
        assert drawn[f"{soft} minus {hard}"] == f"{value} [{low}, {high}], {'' if word == 'undecided' else word}"
    aggregates = ("arm", "IQM", "IQM low", "Mean high")
    assert column("ppo-aggregates.csv", *aggregates) == column("ppo-aggregates-drawn.csv", *aggregates)


def test_an_interval_is_printed_in_digits_of_its_own() -> None:
    """Rows of one table may be scores, nats or returns: none may round another's interval to a point."""
    cells = [
        Estimate(-0.0309, -0.0358, -0.026),
        Estimate(32.193, 31.308, 33.077),
        Estimate(12.01, 11.99, 12.03),
        Estimate(0.5, 0.49994, 0.50006),
        0.0309,
        450.25,
    ]
    table = Table("t", "T", "", ["a"], [[cell] for cell in cells])
    assert [table.text(cell).replace(MINUS, "-") for cell in cells] == [
        "-0.031 [-0.036, -0.026]",
        "32.2 [31.3, 33.1]",
        "12.010 [11.990, 12.030]",
        "0.5000 [0.4999, 0.5001]",
        "0.031",
        "450.2",
    ]


def test_latex_has_the_digits_of_the_page(site: Path) -> None:
    rows = Parts((site / "classic.html").read_text()).tables["classic/ppo-aggregates.csv"]
    latex = (site / "classic/ppo-aggregates.tex").read_text()
    assert all(cell.replace(MINUS, "$-$") in latex for row in rows for cell in row)


def test_first_screen_says_what_the_evidence_is(site: Path) -> None:
    rows = Parts((site / "classic.html").read_text()).tables["classic/evidence.csv"]
    by_arm = {row[0]: row for row in rows[1:]}
    assert list(by_arm) == ["a2c-proper", "sppo-38", "sppo-40"]
    for row in by_arm.values():
        value, low, high = map(float, re.findall(r"-?\d\.\d{3}", row[3].replace(MINUS, "-")))
        assert low <= value <= high
        assert row[2] == ("better" if low > 0 else "worse" if high < 0 else "undecided")
    assert by_arm["a2c-proper"][4:] == ["—", "9 of 10", "1 of 2", "0", "a2c"]
    assert by_arm["sppo-40"][4:] == ["—", "10", "2", "1", "ppo"]


def test_missing_and_diverged_are_shown(site: Path) -> None:
    page = (site / "classic.html").read_text()
    assert "a2c on CartPole-v1, arm a2c-naive: seed 7 missing" in page
    assert "a2c on Acrobot-v1: no results yet" in page
    assert "ppo on Acrobot-v1, arm sppo-40, seed 3" in page
    rows = Parts(page).tables
    assert ["CartPole-v1", "a2c-naive", "7", "missing", "—", "—", "—", "—"] in rows["classic/a2c-members.csv"]
    lost = [row for row in rows["classic/ppo-members.csv"] if row[3] == "diverged at step 200000"]
    assert [row[:3] + row[4:7] for row in lost] == [["Acrobot-v1", "sppo-40", "3", "−500.00", "−500.00", "0.0000"]]


def test_published_figures_stand_beside_ours(site: Path) -> None:
    rows = Parts((site / "classic.html").read_text()).tables["classic/ppo-published.csv"]
    (row,) = rows[1:]
    ours = float(row[2].split()[0])
    assert row[4:6] == ["490 ± 6.1", "3"]
    assert float(row[6].rstrip("%").replace(MINUS, "-")) == pytest.approx((ours - 490) / 4.9, abs=0.06)
    assert row[7] == ("yes" if abs(ours - 490) <= 24.5 else "no")
    svg = (site / "classic/ppo-CartPole-v1.svg").read_text()
    assert "ppo, published: CleanRL, ppo.py" in svg
    assert "stroke-dasharray" in svg


def test_pages_are_self_contained(site: Path) -> None:
    for path in site.glob("*.html"):
        page = path.read_text()
        parts = Parts(page)
        policy = [
            attrs for tag, attrs in parts.tags if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
        ]
        hashes = {
            tag: "sha256-"
            + base64.b64encode(
                hashlib.sha256(re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)[0].encode()).digest()
            ).decode()
            for tag in ("style", "script")
        }
        assert policy[0]["content"] == (
            f"default-src 'none'; style-src '{hashes['style']}'; script-src '{hashes['script']}'; img-src data:"
        )
        assert [tag for tag, _ in parts.tags].count("script") == 1
        for tag, attrs in parts.tags:
            assert tag not in ("iframe", "object", "embed", "img", "base", "form")
            for name, value in attrs.items():
                assert not name.startswith("on") and name != "style"
                if name in ("src", "href", "xlink:href", "action", "data"):
                    assert not re.match(r"(?i)\s*(https?:|//|javascript:|file:)", value), value
                assert not re.search(r"url\((?!#)", value)
        assert "@import" not in path.read_text()
        assert path.stat().st_size < 3_000_000


def test_figures_say_what_they_show(site: Path) -> None:
    page = (site / "classic.html").read_text()
    figures = re.findall(r"<figure.*?</figure>", page, re.DOTALL)
    assert len(figures) == 1 + 2 * 5 + 3
    for figure in figures:
        assert re.search(r'role="(img|group)" aria-label="[^"]{20,}"', figure)
        assert re.search(r"<figcaption>\w.{40,}", figure)
        assert "softbench train classic" in figure
        assert re.search(r"<summary>Data</summary>.*?<td>[^<]*\d", figure, re.DOTALL)


def test_the_page_names_what_it_rests_on(site: Path) -> None:
    page = (site / "classic.html").read_text()
    for fact in (
        "algorithms/pairs/ppo.py",
        "self.entropy_in_return * self.temperature",
        "2.13.0",
        "AVX512",
        "A processor",
        "range of the return",
    ):
        assert fact in page
    assert "softbench train classic --pair ppo --task CartPole-v1 &amp;&amp; softbench report classic" in page
    assert "nan" not in re.findall(r"(?i)\bnan\b", page)


def test_rendering_twice_gives_equal_bytes(site: Path, demo: Workspace, tmp_path: Path) -> None:
    with contextlib.chdir(demo.root):
        build([], tmp_path)
    first, second = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*.*")} for root in (site, tmp_path)
    )
    assert first == second


def test_a_cell_in_part_counts_and_compares_the_arms_that_are_there(workspace: Workspace) -> None:
    def untrained(curves: pd.DataFrame, manifest: dict[str, object]) -> pd.DataFrame:
        del manifest["members"]["sppo-40"]  # type: ignore[attr-defined]
        return curves[curves["arm"] != "sppo-40"]

    workspace.suite("classic", {"ppo": ["CartPole-v1"]})
    workspace.cell("classic", "ppo", "CartPole-v1", edit=untrained)
    build([], Path("site"))
    page = Path("site", "classic.html").read_text()
    assert f"{10 * (len(ARMS['ppo']) - 1)} training runs" in page and f": {len(ARMS['ppo']) - 1} arms of 1 pair" in page
    assert "CartPole-v1, arm sppo-40: all seeds missing" in page
    rows = {row[0]: row for row in Parts(page).tables["classic/evidence.csv"][1:]}
    assert rows["sppo-40"][2] == "nothing to compare yet" and rows["sppo-40"][5:7] == ["0 of 10", "0 of 1"]
    assert rows["sppo-38"][2] != "nothing to compare yet" and rows["sppo-38"][5:7] == ["10", "1"]
    said = Path("site", "index.html").read_text()
    assert "Of 1 comparison of a soft arm" in said, "what is not trained keeps nothing else out"


def test_a_cell_of_two_processors_names_both(workspace: Workspace) -> None:
    def elsewhere(curves: pd.DataFrame, manifest: dict[str, object]) -> pd.DataFrame:
        manifest["members"]["ppo"]["3"]["cpu"] = {"architecture": "riscv64", "capability": "RVV"}  # type: ignore[index]
        return curves

    workspace.suite("classic", {"ppo": ["CartPole-v1"]})
    workspace.cell("classic", "ppo", "CartPole-v1", edit=elsewhere)
    build([], Path("site"))
    assert "cpu, x86_64 AVX512 and riscv64 RVV" in Path("site", "classic.html").read_text()


def test_a_cell_of_two_runs_has_the_times_of_both(workspace: Workspace) -> None:
    workspace.suite("classic", {"ppo": ["CartPole-v1"]})
    workspace.cell("classic", "ppo", "CartPole-v1")
    path = workspace.results / "classic" / "ppo" / "CartPole-v1" / "timing.json"
    timing = json.loads(path.read_text())
    before = {
        "cpu": "Another",
        "cores": 8,
        "wall_seconds": 7.7,
        "steps_per_second": 1000,
        "arms": {"ppo": {"seconds": 9}},
    }
    path.write_text(json.dumps({**timing, "earlier": [before]}))
    build([], Path("site"))
    page = Path("site", "classic.html").read_text()
    assert "Another, 8 cores, GPU none; A processor, 2 cores, GPU none" in page
    assert f"ppo {timing['arms']['ppo']['seconds'] + 9:.0f}, " in page
    assert ">20<" in page and f">{(12.3 * 71000 + 7.7 * 1000) / 20:,.0f}<" in page


def test_other_words_alone_are_another_list_of_files(workspace: Workspace) -> None:
    """The list is what DVC knows of a site: one that stayed as it was would keep pages with the words of before."""
    workspace.suite("classic", {"ppo": ["CartPole-v1"]})
    workspace.cell("classic", "ppo", "CartPole-v1")

    def listed() -> list[str]:
        build([], Path("site"))
        return Path("site", "contents.txt").read_text().splitlines()

    before = listed()
    path = Path("suites", "classic", "suite.yaml")
    path.write_text(path.read_text().replace("title: Classic", "title: Classical"))
    after = listed()
    assert "Classical" in Path("site", "classic.html").read_text()
    assert after[0] != before[0] and after[1:] == before[1:] and listed() == after


def test_strings_of_the_results_are_inert(workspace: Workspace) -> None:
    arms: dict[str, str | None] = {f"hard {HOSTILE}": None, f"soft {HOSTILE}": f"hard {HOSTILE}"}
    workspace.suite(
        "classic",
        {"a2c": ["CartPole-v1"]},
        published=[{"task": "CartPole-v1", "arm": f"hard {HOSTILE}", "mean": 1.0, "source": HOSTILE}],
    )

    def edit(curves, manifest):  # type: ignore[no-untyped-def]
        manifest["source"] = manifest["difference"]["file"] = manifest["difference"]["lines"][0]["text"] = HOSTILE
        manifest["versions"]["torch"] = manifest["device"] = HOSTILE
        for arm in arms:
            manifest["arms"][arm]["title"] = HOSTILE
            manifest["arms"][arm]["settings"][HOSTILE] = HOSTILE
            manifest["members"][arm]["0"]["chain"] = [HOSTILE]
        return curves

    workspace.cell("classic", "a2c", "CartPole-v1", arms=arms, seeds=3, edit=edit)
    pages = build(["classic"], workspace.root / "site").pages
    for page in pages:
        parts = Parts(page.read_text())
        assert not [tag for tag, attrs in parts.tags if tag == "img" or any(name.startswith("on") for name in attrs)]
        assert [attrs for tag, attrs in parts.tags if tag == "script"] == [{}]
    assert HOSTILE in "".join(parts.text)
    for svg in (workspace.root / "site").rglob("*.svg"):
        assert {each.tag.split("}")[1] for each in ElementTree.parse(svg).iter()} <= {
            "svg",
            "g",
            "title",
            "defs",
            "style",
            "path",
            "use",
            "text",
            "clipPath",
            "rect",
            "a",
            "line",
            "tspan",
        }


def test_no_variance_and_a_single_seed_are_said_and_never_nan(workspace: Workspace) -> None:
    figure = {"task": "CartPole-v1", "arm": "a2c-naive", "mean": 490.0, "source": "elsewhere"}
    workspace.suite("classic", {"a2c": ["CartPole-v1"]}, seeds="0-2", published=[figure])
    workspace.suite("single", {"a2c": ["CartPole-v1"]}, seeds="0")
    workspace.cell(
        "classic",
        "a2c",
        "CartPole-v1",
        seeds=3,
        edit=lambda curves, _: curves.assign(return_sampled=500.0, train_return=float("nan")),
    )
    workspace.cell("single", "a2c", "CartPole-v1", seeds=1)
    build([], workspace.root / "site")
    flat, single = ((workspace.root / "site" / f"{name}.html").read_text() for name in ("classic", "single"))
    assert "no interval (no variance)" in flat
    assert "0.000 (undefined: no variance)" in flat
    assert "no interval (n &lt; 2)" in single
    for page in (flat, single, (workspace.root / "site/index.html").read_text()):
        assert not re.search(r"(?i)\bnan\b", page)


@pytest.mark.parametrize("untrained", [True, False])
def test_nothing_in_common_is_said(workspace: Workspace, untrained: bool) -> None:
    """An arm without results, or arms without a seed in common."""
    workspace.suite("classic", {"a2c": ["CartPole-v1"]})

    def edit(curves, manifest):  # type: ignore[no-untyped-def]
        low, naive = curves["seed"] < 5, curves["arm"] == "a2c-naive"
        ours, theirs = (manifest["members"][arm] for arm in ("a2c-proper", "a2c-naive"))
        manifest["members"]["a2c-proper"] = {} if untrained else {seed: ours[seed] for seed in ours if int(seed) < 5}
        if not untrained:
            manifest["members"]["a2c-naive"] = {seed: theirs[seed] for seed in theirs if int(seed) >= 5}
        return curves[naive] if untrained else curves[(naive & ~low) | (~naive & low)]

    workspace.cell("classic", "a2c", "CartPole-v1", edit=edit)
    page = build(["classic"], workspace.root / "site").pages[1].read_text()
    (row,) = Parts(page).tables["classic/evidence.csv"][1:]
    assert row[2] == "nothing to compare yet" and row[5:7] == ["0 of 10", "0 of 1"]
    assert ("No aggregates" in page) != untrained


def test_bad_input_is_one_line(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": ["CartPole-v1"]})
    with pytest.raises(InputError, match="no results for any suite in results"):
        build([], workspace.root / "site")
    with pytest.raises(InputError, match="no results for suite 'classic'"):
        build(["classic"], workspace.root / "site")
    with pytest.raises(InputError, match="unknown suite 'clasic'; did you mean 'classic'"):
        build(["clasic"], workspace.root / "site")
    workspace.cell("classic", "a2c", "CartPole-v1", seeds=2)
    (workspace.root / "file").write_text("")
    with pytest.raises(InputError, match="--out file: cannot be written"):
        build(["classic"], Path("file"))


def test_what_cannot_be_read_is_shown_as_damaged_and_stops_nothing_else(workspace: Workspace) -> None:
    for name in ("classic", "torn", "broken"):
        workspace.suite(name, {"a2c": ["CartPole-v1"]})
        workspace.cell(name, "a2c", "CartPole-v1", seeds=3)
    (workspace.root / "suites" / "broken" / "suite.yaml").write_text("name: [")
    (workspace.results / "torn" / "a2c" / "CartPole-v1" / "manifest.json").write_text("{")
    for folder, file in (("theory", "theory.json"), ("coverage", "coverage.json")):
        (workspace.results / folder).mkdir()
        (workspace.results / folder / file).write_text("[" * 200_000)
    made = build([], workspace.root / "site")
    assert [page.name for page in made.pages] == ["index.html", "classic.html"]
    assert {each.what for each in made.damaged} == {"broken", "torn", "exact statements", "simulation"}
    index = unescape((workspace.root / "site" / "index.html").read_text())
    for each in made.damaged:
        assert "\n" not in each.why and f"<b>{each.what}</b>: {each.why}" in index
    assert 'href="classic.html"' in index and "torn.html" not in index and "theory.html" not in index
    named = build(["torn", "classic"], workspace.root / "other")
    assert [page.name for page in named.pages] == ["index.html", "classic.html"]
    assert "torn" in [each.what for each in named.damaged]
    alone = build(["torn"], workspace.root / "alone")
    assert [page.name for page in alone.pages] == ["index.html"]


def test_a_damaged_cell_is_shown_and_the_others_are_used(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": ["CartPole-v1", "Acrobot-v1"]}, seeds="0-2")
    for task in ("CartPole-v1", "Acrobot-v1"):
        workspace.cell("classic", "a2c", task, seeds=3)
    (workspace.results / "classic" / "a2c" / "Acrobot-v1" / "curves.parquet").write_text("torn")
    made = build([], workspace.root / "site")
    assert [path.name for path in made.pages] == ["index.html", "classic.html"]
    (damaged,) = made.damaged
    assert damaged.what == "classic" and damaged.why.startswith("a2c on Acrobot-v1: ") and "\n" not in damaged.why
    index, page = (unescape(path.read_text()) for path in made.pages)
    assert "1 cell cannot be used" in index
    assert "Cells that cannot be used: 1" in page and f"<li>{damaged.why}</li>" in page
    assert "Holes in the registered grid: 0" in page and "The grid is complete" not in page
    assert {row[0] for row in Parts(page).tables["classic/a2c-returns.csv"][1:]} == {"CartPole-v1"}


def test_every_template_is_package_data() -> None:
    root = Path(__file__).parents[2]
    patterns = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "reports.site"
    ]
    package = root / "reports" / "site"
    matched = {path for pattern in patterns for path in glob.glob(pattern, root_dir=package, recursive=True)}
    there = [path.relative_to(package) for path in (package / "templates").rglob("*") if path.is_file()]
    assert len(there) > 10 and {str(path) for path in there} <= matched


def test_reading_goes_by_the_interval() -> None:
    assert said(Estimate(0.1, 0.01, 0.2), None) == said(Estimate(0.1, 0.01, 0.2), 0.05) == "better"
    assert said(Estimate(-0.1, -0.2, -0.01), None) == "worse"
    assert said(Estimate(0.1, -0.01, 0.2), 0.05) == said(Estimate(-0.1, -0.2, 0.01), None) == "undecided"
    assert (
        said(Estimate(0.003, 0.001, 0.005), 0.01)
        == said(Estimate(0.0, -0.009, 0.009), 0.01)
        == "no relevant difference"
    )
    assert said(Estimate(0.0, -0.009, 0.011), 0.01) == said(Estimate(0.0, -0.009, 0.009), None) == "undecided"
    assert said(Estimate(0.1, why="undefined: n < 2"), 0.05) == "no interval (n < 2)"


def test_estimates_in_tables() -> None:
    table = Table("t", "t", "t", ["a", "b"], [["x", Estimate(-0.0001, -0.2, 0.3)], ["y", "none"]])
    assert table.text(Estimate(-0.0001, -0.2, 0.3)) == "0.000 [−0.200, 0.300]"
    assert table.csv() == "a,b,b low,b high\nx,-0.0001,-0.2,0.3\ny,none,,\n"
    value = 0.1 + 0.2
    exact = Table("t", "t", "t", ["a", "b", "c"], [[value, number(value, ".1g"), np.float64(value)], [1, NONE, "x"]])
    assert exact.csv() == f"a,b,c\n{value!r},{value!r},{value!r}\n1,{NONE},x\n"
    assert [exact.text(cell) for cell in exact.rows[0]] == ["0.300", "0.3", "0.300"]


def test_pages_have_one_minus_sign_and_csv_files_the_one_of_programs(judged: Path, site: Path) -> None:
    ascii_minus = re.compile(r"(?<![\w.)\]-])-\.?\d|\de-\d")
    signs = 0
    for path in [*judged.glob("*.html"), *site.glob("*.html")]:
        page = re.sub(r"<(code|pre|style|script)\b.*?</\1>", "", path.read_text(), flags=re.DOTALL)
        texts = re.findall(r">([^<]+)<|aria-label=\"([^\"]*)\"", page)
        assert [text for pair in texts for text in pair if ascii_minus.search(text)] == [], path.name
        signs += page.count(MINUS)
    assert signs > 100
    for path in [*judged.rglob("*.csv"), *site.rglob("*.csv")]:
        assert not re.search(rf"(?:^|,){MINUS}[\d.]", path.read_text(), re.M), path.name
    assert (
        numeral(-0.0004, ".3f") == "0.000" and numeral(0.0004, "+.3f") == "0.000" and numeral(-1e-5, ".0e") == "−1e−05"
    )
    assert typeset("-1 a step, 0-9, Eq. 79-83, 2e-5, v-1") == "−1 a step, 0-9, Eq. 79-83, 2e−5, v-1"


def test_another_budget_is_no_evidence(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": ["CartPole-v1"]})
    suite = load_suite("classic")
    assert suite.evidence and not suite.at_budget(1000).evidence


@pytest.mark.slow
def test_a_large_suite_renders_within_half_a_minute(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """12 arms, 20 tasks, 20 seeds, 20 evaluations: 4,800 runs. Processor time, so that a busy machine does not matter."""
    tasks = [f"Task-{number:02d}" for number in range(20)]
    for task in tasks:
        monkeypatch.setitem(TASKS, task, (0.0, 500.0))
    workspace.suite("classic", dict.fromkeys(ARMS, tasks), seeds="0-19")
    workspace.claims("classic", CLAIMS)
    for pair in ARMS:
        for task in tasks:
            workspace.cell("classic", pair, task, seeds=20)
    start = sum(os.times()[:4])
    wall = time.perf_counter()
    page = build([], workspace.root / "site").pages[1]
    spent, wall, size = sum(os.times()[:4]) - start, time.perf_counter() - wall, page.stat().st_size
    print(f"{spent:.1f} s of processor time, {wall:.1f} s of wall time, {size:,} bytes")
    assert spent < 60
    assert size < 3_000_000
