"""The Theory page: what `theory.json` says, drawn without network, and told in one line where it is damaged."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from invented_results import Workspace, theory_record

from harness.errors import InputError
from reports.site.site import build
from reports.site.theory import mathml, read_theory


def write(workspace: Workspace, records: object) -> Path:
    path = workspace.root / "results" / "theory" / "theory.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(records if isinstance(records, str) else json.dumps(records))
    return path


def pages(workspace: Workspace, records: object) -> tuple[str, str]:
    """The Theory page and the index."""
    workspace.suite("classic", {"a2c": ["CartPole-v1"]})
    workspace.cell("classic", "a2c", "CartPole-v1", seeds=3)
    write(workspace, records)
    written = build(["classic"], workspace.root / "site").pages
    assert written[-1] == workspace.root / "site" / "theory.html"
    return written[-1].read_text(), written[0].read_text()


def test_the_page_shows_error_tolerance_formula_and_planted_errors(workspace: Workspace) -> None:
    page, index = pages(workspace, [theory_record(), theory_record(9, holds=False, figure=None, worst_error=0.5)])
    assert "1 of 2 statements hold; 2 of 4 planted errors are caught." in page
    assert "1 of 2 theorems" in index and 'href="theory.html"' in index
    assert "worst error 3.0e−14, tolerance 1.0e−11; 1 of 2 planted errors caught" in page
    assert "<math" in page and "<mfrac>" in page
    assert "soft Q &lt;b&gt;" in page and "soft Q <b>" not in page
    assert re.search(r'href="[^"]*suites/theory/s08_soft_q_gradient.py[^"]*"', page)
    assert page.count("missed") >= 2 and "fails" in page
    assert "Some print, Eq. 1: a" in page and "no result, or above 1e9" in page
    assert page.count("<script") == 1 and not re.search(r"(?:src|href)=\"(?:https?:)?//(?!github|gitlab)", page)
    assert (workspace.root / "site/theory/statement-8.svg").exists() and (
        workspace.root / "site/theory/theory-errors.svg"
    ).exists()
    assert (workspace.root / "site/theory/misprints.csv").read_text().count("Some print") == 2


def test_equal_results_give_equal_pages(workspace: Workspace) -> None:
    assert pages(workspace, [theory_record()]) == pages(workspace, [theory_record()])


def test_without_results_there_is_no_page(workspace: Workspace) -> None:
    assert read_theory(workspace.root / "results") is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "[{}]",
        '[{"statement": 1}]',
        json.dumps([theory_record(tolerance="x")]),
        json.dumps([theory_record(planted=[{}])]),
        json.dumps([theory_record(formula="\\frac{a}{")]),
        json.dumps([theory_record(formula="\\unknown x")]),
        json.dumps([theory_record(figure={"title": "no series"})]),
    ],
)
def test_damaged_results_are_one_line(workspace: Workspace, content: str) -> None:
    write(workspace, content)
    with (
        contextlib.chdir(workspace.root),
        pytest.raises(InputError, match=r"theory\.json: .*write it anew: softbench theory --out") as raised,
    ):
        read_theory(Path("results"))
    assert "\n" not in str(raised.value) and "validation error" not in str(raised.value)


def test_formulas_by_hand() -> None:
    def body(formula: str) -> str:
        return str(mathml(formula)).removeprefix('<math display="block"><mrow>').removesuffix("</mrow></math>")

    assert body("a + 2") == "<mi>a</mi><mo>+</mo><mn>2</mn>"
    assert body(r"V_\lambda^*") == "<msubsup><mi>V</mi><mi>λ</mi><mo>*</mo></msubsup>"
    assert body(r"\frac{1}{n}") == "<mfrac><mrow><mn>1</mn></mrow><mrow><mi>n</mi></mrow></mfrac>"
    assert body(r"\log a").startswith("<mo ") and ">log</mo><mi>a</mi>" in body(r"\log a")


@pytest.mark.parametrize(
    "formula",
    [
        r"\text{<script>alert(1)</script>}",
        r"\href{javascript:alert(1)}{x}",
        r"\style{color:red}{x}",
        r"\class{warn}{x}",
        r"\color{red}{x}",
        "a < b & c > d",
    ],
)
def test_a_formula_is_inert_and_has_no_style(formula: str) -> None:
    root = ElementTree.fromstring(str(mathml(formula)))
    assert {each.tag for each in root.iter()} <= {"math", "mrow", "mi", "mo", "mn", "mtext", "mstyle"}
    assert not {name for each in root.iter() for name in each.attrib} & {"style", "href", "class", "id", "mathcolor"}


@pytest.mark.parametrize("wrong", ["{a", r"\frac{a}", r"a_", r"\nothing"])
def test_a_wrong_formula_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="formula: no LaTeX"):
        mathml(wrong)


def test_every_formula_of_the_statements_is_well_formed() -> None:
    from suites.theory import STATEMENTS

    for statement in STATEMENTS.values():
        root = ElementTree.fromstring(str(mathml(statement.formula)))
        assert len(list(root.iter())) > 8 and "\\" not in "".join(root.itertext())
