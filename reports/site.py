"""`softbench report`: results in, a folder of self-contained pages out. Equal results and code give equal bytes."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from harness.results import damages
from harness.suite import InputError, Suite, load_suite, suite_names
from reports import bootstrap, curves, plots, tables
from reports.figures import Picture
from reports.mathml import mathml
from reports.scores import Study, read_studies
from reports.statistics import Estimate
from reports.tables import Table
from reports.theory import read_theory

CODE = ["algorithms", "harness", "suites", "reports", "pyproject.toml"]


@dataclass(frozen=True)
class Section:
    """Everything that the page says about one pair."""

    study: Study
    main: list[Picture]
    curves: list[Picture]
    tables: list[Table]
    details: list[Table]
    sources: list[str]
    differences: list[dict[str, Any]]

    @property
    def pictures(self) -> list[Picture]:
        return self.main + self.curves


@dataclass(frozen=True)
class Page:
    """One suite's page before it is rendered."""

    suite: Suite
    studies: list[Study]
    evidence: Table
    forest: Picture | None
    references: Table
    sections: list[Section]
    holes: list[str]
    diverged: list[str]
    altered: list[str]
    command: str

    @property
    def pictures(self) -> list[Picture]:
        return [*([self.forest] if self.forest else []), *(picture for section in self.sections for picture in section.pictures)]

    @property
    def tables(self) -> list[Table]:
        return [self.evidence, self.references, *(table for section in self.sections for table in section.tables + section.details)]


def build(suites: list[str], out: Path, results: Path = Path("results")) -> list[Path]:
    """Write `out/index.html` and, per suite, `out/<suite>.html` and its CSV and SVG files; return the pages' paths.

    Where `results/theory/theory.json` is, also the page of the exact statements, `out/theory.html`.

    `suites`: names; [] stands for every suite that has results. The index lists the suites of this call.
    Raises InputError (one line) for an unknown suite, a suite without results, damaged results, or a folder that cannot be written.
    """
    wanted = suites or [name for name in suite_names() if any((results / name).glob("*/*/manifest.json"))]
    if not wanted:
        raise InputError(f"no results for any suite in {results}; train one first, for example: softbench train smoke")
    pages = [_page(load_suite(name), results) for name in dict.fromkeys(wanted)]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["file"] = _file
    environment.filters["inline"] = lambda picture: Markup(picture.inline())
    environment.filters |= {"mathml": mathml, "source": _source}
    theory = read_theory(results)
    shared = {"commit": _commit(), "pages": pages, "theory": theory}
    files = {"index.html": environment.get_template("index.html").render(shared)}
    for page in pages:
        files[f"{page.suite.name}.html"] = environment.get_template("suite.html").render(shared, page=page)
        files |= {f"{page.suite.name}/{_file(picture.name)}.svg": picture.standalone() for picture in page.pictures}
        files |= {f"{page.suite.name}/{_file(table.name)}.csv": table.csv() for table in page.tables}
    if theory:
        files["theory.html"] = environment.get_template("theory.html").render(shared)
        files |= {f"theory/{picture.name}.svg": picture.standalone() for picture in [theory.overview, *theory.pictures]}
        files["theory/misprints.csv"] = theory.misprints.csv()
    try:
        for name, text in files.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written: {error.strerror or error}") from error
    extra = [out / "theory.html"] if theory else []
    return [out / "index.html", *(out / f"{page.suite.name}.html" for page in pages), *extra]


def _page(suite: Suite, results: Path) -> Page:
    studies = read_studies(suite, results)
    if not studies:
        train = shlex.join(["softbench", "train", suite.name])
        raise InputError(f"no results for suite {suite.name!r} in {results / suite.name}; train it first: {train}")
    absent = [f"{pair}: no results yet" for pair in suite.cells if pair not in {study.pair for study in studies}]
    command = _command(suite.name)
    evidence = tables.evidence(studies)
    shown = [(str(pair), str(soft), str(hard), found) for soft, hard, _, found, *_, pair in evidence.rows if isinstance(found, Estimate)]
    return Page(
        suite=suite,
        studies=studies,
        evidence=evidence,
        forest=plots.forest(studies, shown, command) if shown else None,
        references=tables.references(suite),
        sections=[_section(study) for study in studies],
        holes=absent + [line for study in studies for line in study.holes],
        diverged=[line for study in studies for line in study.diverged],
        altered=[f"{cell.pair}/{cell.task}: {line}" for study in studies for cell in study.cells.values() for line in damages(cell)],
        command=command,
    )


def _section(study: Study) -> Section:
    suite, pair = study.suite.name, study.pair
    command = _command(suite, pair)
    main: list[Picture] = []
    shown: list[Table] = []
    if study.seeds:
        matrices = {arm: study.matrix(arm) for arm in study.arms}
        found = {arm: bootstrap.aggregates(scores) for arm, scores in matrices.items()}
        better = {soft: bootstrap.improvement(matrices[soft], matrices[hard]) for soft, hard in study.comparisons}
        main += [plots.intervals(study, found, command), plots.profiles(study, matrices, command)]
        main += [plots.improvements(study, better, command)] if better else []
        shown += [tables.aggregates(study, found), tables.improvements(study, better)]
    shown += [tables.differences(study), tables.returns(study), tables.published(study)]
    learning = [curves.learning(study, task, group, _command(suite, pair, task)) for task in study.cells for group in study.groups]
    manifests = [cell.manifest for cell in study.cells.values()]
    lines = [manifest.get("difference", {}) for manifest in manifests]
    return Section(
        study=study,
        main=main,
        curves=learning,
        tables=[table for table in shown if table.rows],
        details=[tables.arms(study), tables.settings(study), tables.provenance(study), tables.audits(study), tables.members(study)],
        sources=list(dict.fromkeys(manifest["source"] for manifest in manifests)),
        differences=[each for at, each in enumerate(lines) if each and each not in lines[:at]],
    )


def _command(suite: str, pair: str | None = None, task: str | None = None) -> str:
    """The shell line that makes a figure from nothing."""
    train = ["softbench", "train", suite, *(["--pair", pair] if pair else []), *(["--task", task] if task else [])]
    return f"{shlex.join(train)} && {shlex.join(['softbench', 'report', suite])}"


def _file(name: str) -> str:
    """A file stem from a name of the results, which may hold anything."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "unnamed"


def _source(place: str) -> str:
    """Link to `path:line` in the repository, at the commit of the code where there is one."""
    path, line = place.rsplit(":", 1)
    try:
        remote, commit = _git("remote", "get-url", "origin"), _git("log", "-1", "--format=%H", "--", *CODE)
    except (OSError, subprocess.CalledProcessError):
        remote = commit = ""
    found = re.fullmatch(r"(?:https://|git@)(github\.com|gitlab\.com)[:/](.+?)(?:\.git)?", remote)
    return f"https://{found[1]}/{found[2]}/blob/{commit}/{path}#L{line}" if found and commit else f"../{path}"


def _commit() -> str:
    """The last commit that changed the code, and whether the code differs from it. Commits of results alone do not count."""
    try:
        commit = _git("log", "-1", "--format=%H", "--", *CODE)
        changed = _git("status", "--porcelain", "--", *CODE)
    except (OSError, subprocess.CalledProcessError):
        return "unknown: not in a git checkout"
    return (commit or "no commit yet") + (", with uncommitted changes" if changed else "")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=30).stdout.strip()
