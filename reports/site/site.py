"""`softbench report`: results in, a folder of self-contained pages out. Equal results and code give equal bytes."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import jinja2
from markupsafe import Markup, escape

from harness.errors import InputError
from harness.schema.claims import load_ledger, untestable
from harness.schema.suite import SUITES, Suite, load_suite, suite_names
from reports.figures.picture import Picture, Studio
from reports.figures.style import GLYPHS
from reports.site import cards, coverage
from reports.site.answer import Answer, answer, apart
from reports.site.answer import table as differences
from reports.site.names import stem
from reports.site.suite import Page, Record, count, gather, remake
from reports.site.theory import FILE as THEORY
from reports.site.theory import mathml, read_theory
from reports.statistics.metrics import METRICS
from reports.statistics.numerals import numeral, typeset
from reports.statistics.summary.readings import READINGS
from reports.statistics.verdicts import VERDICTS, verdicts
from reports.table import Link, Table

ROOT = Path(__file__).parents[2]
"""Where the code is: a checkout, or where it was installed."""
CODE = ["algorithms", "harness", "suites", "reports", "pyproject.toml"]
COVERAGE = Path("coverage/coverage.json")
CONTENTS = "contents.txt"
"""What the pages are made from, and their names: they have the commit and the times of a run, so no lock file can hold them."""
TEMPLATES = Path(__file__).parent / "templates"
WORDS, LOST = {*VERDICTS, *READINGS}, ("missing", "diverged")
"""Texts of cells that have a look of their own: these, and what begins so."""
Read = TypeVar("Read")
MOST_ROWS = 200
"""Rows of a table that a page shows; longer ones are in their CSV file alone."""


@dataclass(frozen=True)
class Unreadable:
    """A suite, a cell or a file that could not be used, and why, in one line."""

    what: str
    why: str


@dataclass(frozen=True)
class Site:
    """What was written, what is shown as damaged because it could not be read, and the answer of the front page."""

    pages: list[Path]
    damaged: list[Unreadable]
    answer: Answer | None


def build(suites: list[str], out: Path, results: Path = Path("results")) -> Site:
    """Write `out/index.html` and, per suite, `out/<suite>.html` and its downloads.

    Where `results/theory/theory.json` is, also the page of the exact statements, `out/theory.html`; where
    `results/coverage/coverage.json` is, the page of the simulation that the intervals were tested by, `out/coverage.html`.
    `out/contents.txt` names all files, below a hash of what they are made from.

    `suites`: names; [] stands for every suite that has results. The index lists the suites of this call, and with [] also the claims
    of suites that wait for results. What cannot be read stops nothing else: the index shows it as damaged, with the reason.
    Raises InputError (one line) for an unknown suite, a suite without results, or a folder that cannot be written.
    """
    budgets = sorted(path.name for path in results.glob("*@*"))  # suites at other numbers of steps
    there = [name for name in (*suite_names(), *budgets) if _has_results(results / name)]
    for name in suites:
        if not _has_results(results / name):
            _page(name, results, None, Studio())  # says what is missing
    if not suites and not there:
        raise InputError(f"no results for any suite in {results}; train one first, for example: softbench train smoke")
    damaged: list[Unreadable] = []

    def reading(what: str, read: Callable[..., Read], *arguments: object) -> Read | None:
        try:
            return read(*arguments)
        except InputError as error:
            damaged.append(Unreadable(what, str(error)))
            return None

    studio, waiting = Studio(), [] if suites else [name for name in suite_names() if name not in there]
    simulated = reading("simulation", _simulated, results / COVERAGE)
    found = [reading(name, _page, name, results, simulated, studio) for name in dict.fromkeys(suites or there)]
    pages = [page for page in found if page]
    judged = [(page.suite, card) for page in pages if page.ledger for card in page.ledger.cards]
    for name in waiting:
        judged += reading(name, _waiting, name, studio) or []
    theory = reading("exact statements", read_theory, results)
    missing = reading("claims not yet testable", untestable) or []
    damaged += [Unreadable(page.suite.name, line) for page in pages for line in page.damaged]
    command = " && ".join(page.command for page in pages if page.suite.evidence) or "softbench report"
    whole, trial = _answer(pages, command, studio), _apart(pages, studio)
    studio.draw()
    environment = _environment()
    named = [page.suite.name for page in pages]
    serious, apart = ([(suite, card) for suite, card in judged if suite.evidence == kind] for kind in (True, False))
    claims = cards.overview(serious, "claims", named) if serious else None
    trials = cards.overview(apart, "claims-apart", named) if apart else None
    shared = {
        "commit": _commit(),
        "pages": pages,
        "theory": theory,
        "answer": whole,
        "trial": trial.result() if trial else None,
        "claims": claims,
        "trials": trials,
        "groups": cards.groups([(card.verdict, _link(suite, card, pages)) for suite, card in serious]),
        "steps": cards.steps(serious),
        "untestable": missing,
        "damaged": [each for each in damaged if each.what not in {page.suite.name for page in pages}],
        "findings": coverage.findings(simulated) if simulated else [],
    }
    files: dict[str, str | bytes] = {"index.html": environment.get_template("index.html").render(shared)}
    drawn = [each.result() for each in (whole and whole.forest, trial) if each]
    files |= _downloads("index", [table for table in (claims, trials, *(each.data for each in drawn)) if table], drawn)
    for page in pages:
        name = page.suite.name
        files[f"{name}.html"] = environment.get_template("suite.html").render(shared, page=page)
        files |= _downloads(name, page.tables, page.pictures)
        if page.verdicts:
            files[f"{name}/verdicts.json"] = (
                json.dumps([each.to_json() for each in page.verdicts], indent=1, ensure_ascii=False) + "\n"
            )
    if theory:
        files["theory.html"] = environment.get_template("theory.html").render(shared)
        drawn = [theory.overview, *theory.pictures]
        files |= _downloads("theory", [theory.misprints, *(each.data for each in drawn if each.data)], drawn)
    if simulated:
        tables, pictures = coverage.tables(simulated), coverage.pictures(simulated)
        files["coverage.html"] = environment.get_template("coverage.html").render(
            shared, tables=tables, pictures=pictures, command=coverage.COMMAND
        )
        files |= _downloads("coverage", tables, pictures)
    files[CONTENTS] = "\n".join([f"made from {_made_from(results)}", *sorted(files)]) + "\n"
    _write(out, files)
    extra = [out / f"{name}.html" for name, there in (("coverage", simulated), ("theory", theory)) if there]
    return Site([out / "index.html", *(out / f"{page.suite.name}.html" for page in pages), *extra], damaged, whole)


def _made_from(results: Path) -> str:
    """Of code, words and results together, so that DVC makes a site anew whose words alone have changed."""
    code = [path for place in ("reports", "harness/schema") for path in sorted((ROOT / place).rglob("*"))]
    words = [*sorted(SUITES.glob("*/*.yaml")), *sorted(SUITES.glob("*/baseline.json"))]
    made = [*sorted(results.glob("*/*/*/manifest.json")), *(results / name for name in (THEORY, COVERAGE))]
    whole = hashlib.sha256()
    for path in [*code, *words, *made]:
        if path.is_file() and path.suffix != ".pyc":
            whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def _answer(pages: Sequence[Page], command: str, studio: Studio) -> Answer | None:
    """The answer of all suites that are evidence together."""
    found = [each for page in pages if page.suite.evidence for each in page.comparisons]

    return answer("answer", found, _html, differences("answer", found, _html), command, studio) if found else None


def _apart(pages: Sequence[Page], studio: Studio) -> Future[Picture] | None:
    """The differences of the suites that are no evidence."""
    found = [each for page in pages if not page.suite.evidence for each in page.comparisons]
    commands = " && ".join(page.command for page in pages if not page.suite.evidence)
    return apart("answer-apart", found, _html, commands, studio) if found else None


def _html(suite: Suite) -> str:
    return f"{suite.name}.html"


def _link(suite: Suite, card: cards.Card, pages: Sequence[Page]) -> Link:
    """To a claim's card; of a suite without a page the same one, to nowhere, for all its claims."""
    if suite.name not in {page.suite.name for page in pages}:
        return Link(f"all of {suite.name}", "")
    name = card.verdict.claim.id
    return Link(name, f"{suite.name}.html#claim-{name}")


def _simulated(path: Path) -> Record | None:
    """The record of `softbench coverage`; None where there is none. Raises InputError where it cannot be read."""
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        coverage.findings(record), coverage.tables(record), coverage.measured(record, ["IQM"], 10, 1)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}); write it anew: {coverage.COMMAND}") from error
    return dict(record)


def _has_results(folder: Path) -> bool:
    return any(folder.glob("*/*/manifest.json"))


def _page(name: str, results: Path, simulated: Record | None, studio: Studio) -> Page:
    return gather(load_suite(name), results, simulated, studio)


def _waiting(name: str, studio: Studio) -> list[tuple[Suite, cards.Card]]:
    """The claims of a suite that has no results yet."""
    suite = load_suite(name)
    registered = load_ledger(suite)
    found = (
        cards.ledger(suite, verdicts(registered, suite, []), [], partial(remake, suite), studio) if registered else None
    )
    return [(suite, card) for card in found.cards] if found else []


def _environment() -> jinja2.Environment:
    """The templates, with the style and the script that every page holds, and their hashes for its policy."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "cells": _cells,
        "file": stem,
        "inline": lambda picture: Markup(picture.inline()),
        "mathml": mathml,
        "source": partial(_source, root=_tree()),
        "numeral": numeral,
        "typeset": typeset,
        "count": count,
    }
    for name in ("style.css", "script.js"):
        text = (TEMPLATES / name).read_text(encoding="utf-8")
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        kind = name.split(".")[0]
        environment.globals |= {kind: Markup(text), f"{kind}_hash": f"sha256-{digest}"}
    environment.globals |= {
        "glyphs": GLYPHS,
        "most_rows": MOST_ROWS,
        "metrics": {name: metric.meaning for name, metric in METRICS.items()},
    }
    return environment


def _cells(table: Table, labelled: bool) -> Markup:
    """The rows of a table, by Python since they are most of a page; `labelled`: each cell names its column, for narrow windows."""
    labels = [f' data-label="{escape(name)}"' if labelled else "" for name in table.columns]
    lines = []
    for row in table.rows:
        cells = []
        for label, cell in zip(labels, row, strict=True):
            text = table.text(cell)
            kind = text.replace(" ", "-") if text in WORDS else "lost" if text.startswith(LOST) else ""
            named = f' class="{kind or "hash"}"' if kind or len(text) == 64 else ""
            shown = f'<a href="{escape(cell.href)}">{escape(text)}</a>' if isinstance(cell, Link) else escape(text)
            cells.append(f"<td{label}{named}>{shown}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>\n")
    return Markup("".join(lines))


def _downloads(folder: str, tables: Sequence[Table], pictures: Sequence[Picture]) -> dict[str, str | bytes]:
    """path -> content: every table as CSV, and as LaTeX where it is short; every figure as SVG and PDF."""
    files: dict[str, str | bytes] = {}
    for table in tables:
        files[f"{folder}/{stem(table.name)}.csv"] = table.csv()
        if len(table.rows) <= MOST_ROWS:
            files[f"{folder}/{stem(table.name)}.tex"] = table.latex()
    for picture in pictures:
        files |= {
            f"{folder}/{stem(picture.name)}.svg": picture.standalone(),
            f"{folder}/{stem(picture.name)}.pdf": picture.pdf,
        }
    return files


def _write(out: Path, files: dict[str, str | bytes]) -> None:
    try:
        for name, content in files.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written: {error.strerror or error}") from error


def _source(place: str, root: str) -> str:
    """Link to `path:line` below `root`."""
    path, line = place.rsplit(":", 1)
    return f"{root}/{path}" + f"#L{line}" * (root != "..")


def _tree() -> str:
    """Where the repository shows the code at its commit; where it is on no such host, the folder above the site."""
    commit, remote = _git("log", "-1", "--format=%H", "--", *CODE), _git("remote", "get-url", "origin")
    found = re.fullmatch(r"(?:https://|git@)(github\.com|gitlab\.com)[:/](.+?)(?:\.git)?", remote)
    return f"https://{found[1]}/{found[2]}/blob/{commit}" if found and commit else ".."


def _commit() -> str:
    """The last commit that changed the code, and whether the code differs from it. Commits of results alone do not count."""
    if not _git("ls-files", "--", *CODE):
        return f"softbench {version('softbench')}, not from a git checkout"
    commit = _git("log", "-1", "--format=%H", "--", *CODE) or "no commit yet"
    return commit + (", with uncommitted changes" if _git("status", "--porcelain", "--", *CODE) else "")


def _git(*arguments: str) -> str:
    """What git says about the folder of the code; "" where it is no checkout."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
