"""The verdicts on the page: what the first screen says, and that every number is the one in verdicts.json."""

from __future__ import annotations

import csv
import json
import re
from html import unescape
from pathlib import Path

import pytest
from invented_results import Workspace
from test_site import Parts
from test_verdicts import CLAIM, DECISION, around, scored

from reports.site.site import build
from reports.statistics.numerals import numeral

pytestmark = pytest.mark.usefixtures("no_ink")


def article(site: Path, claim: str) -> str:
    (found,) = re.findall(
        rf'<article class="[^"]*" id="claim-{claim}"[^>]*>.*?</article>', (site / "classic.html").read_text(), re.DOTALL
    )
    return str(found)


def test_banner_counts_and_names_every_verdict(judged: Path) -> None:
    page, index = ((judged / name).read_text() for name in ("classic.html", "index.html"))
    found = re.findall(r'class="number">(\d+)</span> <span class="word">([a-z ]+)<', page)
    assert found == [("1", "supported"), ("1", "contradicted"), ("1", "inconclusive"), ("1", "not measured")]
    assert ("3", "not measured") in re.findall(r'class="number">(\d+)</span> <span class="word">([a-z ]+)<', index)
    tiles = [re.search(r'<li class="tile not-measured">.*?</li>', text)[0] for text in (page, index)]  # type: ignore[index]
    assert ['claim-waits">waits</a>' in tile for tile in tiles] == [True, False], (
        "the front page names what was measured"
    )
    assert '<a href="classic.html#claim-waits">waits</a>' in index, "its ledger has all"


def test_claims_table_says_the_evidence_and_what_to_do(judged: Path) -> None:
    header, *rows = csv.reader((judged / "classic/claims.csv").read_text().splitlines())
    assert (judged / "classic/claims.tex").exists()
    by_id = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert by_id["better"]["verdict"] == "supported" and by_id["better"]["what to do"] == "decided"
    assert by_id["better"]["evidence"] == "10 seeds × 2 tasks"
    assert by_id["same"]["verdict"] == "inconclusive" and by_id["same"]["evidence"] == "9 of 10 seeds × 1 task"
    assert re.search(r"^add seeds, up to \d+ an arm", by_id["same"]["what to do"])
    assert by_id["worse"]["evidence"].endswith("; claim fixed after the runs began")
    assert by_id["waits"]["verdict"] == "not measured" and "train" in by_id["waits"]["what to do"]
    page = (judged / "classic.html").read_text()
    summaries = re.findall(
        r"<summary><h3>([^<]*)</h3> <span[^>]*>([^<]*)</span> <strong[^>]*>([^<]*)</strong> <span[^>]*>([^<]*)<", page
    )
    assert [[unescape(text) for text in each[:3]] for each in summaries] == [
        [name, by_id[name]["statement"], by_id[name]["verdict"]] for name in by_id
    ]
    for name, row in by_id.items():
        assert f"Evidence: {row['evidence']}." in article(judged, name)
    every = Parts((judged / "index.html").read_text()).tables["index/claims.csv"][1:]
    links = [
        attrs["href"].split("#")[0] for tag, attrs in Parts((judged / "index.html").read_text()).tags if tag == "a"
    ]
    assert [link for link in links if not (judged / link).exists()] == []
    assert [row[:2] for row in every] == [
        ["Classic", "better"],
        ["Classic", "worse"],
        ["Classic", "same"],
        ["Classic", "waits"],
        ["Later", "better"],
        ["Later", "too"],
    ]


def test_every_number_on_a_card_is_that_of_the_json(judged: Path) -> None:
    tables = Parts((judged / "classic.html").read_text()).tables
    verdicts = json.loads((judged / "classic/verdicts.json").read_text())
    assert [each["claim"] for each in verdicts] == ["better", "worse", "same", "waits"]

    def shown(value: float | None, form: str) -> str:
        return "—" if value is None else numeral(value, form)

    for each in verdicts:
        facts = dict(tables[f"classic/claim-{each['claim']}.csv"][1:])
        assert facts["difference"] == shown(each["estimate"], ".3f")
        assert facts["95% interval"] == (
            "—" if each["low"] is None else f"{shown(each['low'], '.3f')} to {shown(each['high'], '.3f')}"
        )
        names = {"p, raw": "p", "p, Holm": "p_holm", "p against, raw": "p_against", "p against, Holm": "p_against_holm"}
        assert {name: facts[name] for name in names} == {name: shown(each[key], ".2g") for name, key in names.items()}
        words = each["p_words"] or {}
        assert {word: facts[f"p, {word}, Holm"] for word in words} == {
            word: shown(p, ".2g") for word, p in words.items()
        }
        needed = each["seeds_needed"]
        assert (
            facts["seeds needed"] == "—"
            if needed is None
            else re.match(rf"(at least )?{needed} for 80 %", facts["seeds needed"])
        )
        assert facts["detectable difference"] == shown(each["detectable"], ".3f")
        assert {mode: facts[f"{mode} actions"] for mode in each["modes"] or {}} == (each["modes"] or {})
        card = unescape(article(judged, each["claim"]))
        assert each["why"] in card and each["source"] in card
        assert f"{each['statement'].removesuffix('.')} (difference {each['bar']})." in card
        assert f">{each['verdict']}</strong>" in card


def test_a_card_says_how_to_read_it_and_what_is_missing(judged: Path) -> None:
    better, worse, same, waits = (article(judged, name) for name in ("better", "worse", "same", "waits"))
    assert "a2c-proper is better than a2c-naive" in better and "Changed after" not in better
    assert "Changed after the runs began" in worse and "margin: was 0.0, is now 0.01" in unescape(worse)
    assert re.search(r"softbench decide classic/same --max-seeds \d+", same)
    assert "sppo-40 on CartPole-v1, seed 3: missing" in same
    assert "was not registered when the runs began" not in waits and "So nothing is said about it" in waits
    for card in (better, worse, same):
        assert re.search(r'role="img" aria-label="Difference [^"]{40,}"', card)
        assert "<summary>Data</summary>" in card


def test_the_command_takes_the_seeds_of_a_first_look_and_no_other_looks_than_begun(workspace: Workspace) -> None:
    claim = {**CLAIM, "effect": 5.0}
    workspace.suite("classic", {"a2c": ["CartPole-v1"]}, seeds="0-2")
    workspace.claims("classic", [claim])
    give = scored({"a2c-proper": around(0.54, 0.1, 3), "a2c-naive": around(0.5, 0.1, 3, 1)}, {"claims": {"C4": claim}})
    workspace.cell("classic", "a2c", "CartPole-v1", seeds=3, edit=give)
    build(["classic"], workspace.root / "site")
    card = article(workspace.root / "site", "C4")
    assert "you need at least 4" in card and "<code>softbench decide classic/C4 --max-seeds 5</code>" in card
    path = workspace.results / "sequential" / "classic" / "decision-C4.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**DECISION, "claim": claim, "looks": [], "verdict": None}))
    build(["classic"], workspace.root / "site")
    card = article(workspace.root / "site", "C4")
    assert "begun, 2 looks to come" in card and "<code>softbench decide classic/C4" not in card


def test_untestable_claims_are_named_with_their_needs(judged: Path) -> None:
    index = (judged / "index.html").read_text()
    assert "Not yet testable: 1 claim" in index
    assert "It flies." in index and "wings" in index


def test_a_suite_without_a_ledger_says_so(site: Path) -> None:
    page = (site / "classic.html").read_text()
    assert "This suite has no ledger" in page and 'class="banner"' not in page
    assert page.index("classic/evidence.csv") < page.index('id="ppo"')
    assert not (site / "classic/verdicts.json").exists()
