"""`softbench judge` and `softbench gate` as a stranger and as CI use them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import yaml
from invented_results import Workspace
from test_verdicts import CLAIM, TASKS, around, ledger, scored

from harness.commands import judging

Command = Callable[..., tuple[Any, str, str]]


@pytest.fixture
def judged(workspace: Workspace) -> Workspace:
    """A claim that is supported, its opposite, one that is open and one that is not measured."""
    workspace.suite("classic", {"a2c": TASKS})
    claims = [
        CLAIM,
        {**CLAIM, "id": "C5", "arm": "a2c-naive", "against": "a2c-proper"},
        {**CLAIM, "id": "C6", "margin": 0.15, "effect": 0.2},
        {**CLAIM, "id": "C7", "tasks": ["Acrobot-v1"]},
    ]
    ledger(workspace, *({**claim, "tasks": claim.get("tasks", ["CartPole-v1"])} for claim in claims))
    workspace.cell(
        "classic", "a2c", TASKS[0], edit=scored({"a2c-proper": around(0.7, 0.1), "a2c-naive": around(0.5, 0.1, seed=1)})
    )
    return workspace


def test_json_has_every_number(judged: Workspace, softbench: Command) -> None:
    code, out, _ = softbench("judge", "classic", "--json", "--fail-on", "none")
    found = {each["claim"]: each for each in json.loads(out)}
    assert code == 0 and {name: each["verdict"] for name, each in found.items()} == {
        "C4": "supported",
        "C5": "contradicted",
        "C6": "inconclusive",
        "C7": "not measured",
    }
    for each in found.values():
        assert {
            "claim",
            "verdict",
            "estimate",
            "low",
            "high",
            "margin",
            "p",
            "p_holm",
            "seeds",
            "seeds_needed",
        } <= each.keys()
    assert found["C4"]["estimate"] == pytest.approx(0.2) and found["C4"]["low"] < 0.2 < found["C4"]["high"]
    assert found["C7"]["p"] is None and found["C7"]["seeds"] == 0


@pytest.mark.parametrize(
    ("fail_on", "code"),
    [
        ("contradicted", 4),
        ("below-the-margin,no-relevant-difference", 0),
        ("refuted", 4),
        ("not-measured", 5),
        ("inconclusive", 7),
        ("invalid", 0),
        ("none", 0),
        ("contradicted,not-measured", 5),
        ("inconclusive, contradicted", 4),
    ],
)
def test_exit_codes_tell_verdicts_apart(judged: Workspace, softbench: Command, fail_on: str, code: int) -> None:
    assert softbench("judge", "--fail-on", fail_on)[0] == code


def test_the_old_word_still_fails_on_what_it_meant_and_says_what_to_write(
    judged: Workspace, softbench: Command
) -> None:
    code, _, err = softbench("judge", "--fail-on", "refuted")
    instead = "no-relevant-difference,contradicted,below-the-margin"
    assert code == 4 and err == f"softbench: --fail-on: 'refuted' is an old word; write {instead}\n"
    assert judging.parse_fail_on("refuted") == ["no relevant difference", "contradicted", "below the margin"]
    assert set(judging.EXITS) == set(judging.SIGNS) - {"supported"} == set(judging.VERDICTS) - {"supported"}


def test_words_for_people(judged: Workspace, softbench: Command) -> None:
    code, out, err = softbench("judge")
    assert code == 5 and not err
    assert "classic: 1 supported, 1 contradicted, 1 inconclusive, 1 not measured" in out
    assert "✓ C4  supported  a2c-proper − a2c-naive = +0.200" in out and "proper is better (difference above 0)." in out
    assert "There are no results yet for Acrobot-v1." in out
    assert re.search(r"= −0\.\d{3} \[−0\.\d{3}, ", out) and not re.search(r"-\d", out), "one minus sign"
    assert "The claim was not registered when the runs began." in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("judge", "clasic"), "unknown suite 'clasic'; did you mean 'classic'"),
        (("judge", "--fail-on", "contradictd"), "--fail-on: 'contradictd' is unknown; did you mean 'contradicted'"),
        (("judge", "bare"), "suite 'bare' has no ledger: write its claims to suites/bare/claims.yaml"),
        (("gate", "classic"), "suites/classic/baseline.json: there is no baseline"),
        (("gate", "classic", "--write", "--baseline", "suites"), "--baseline suites: cannot be written"),
        (("gate", "classic", "--write", "--baseline", "."), "--baseline .: cannot be written"),
        (("gate",), "issing"),
        (("decide", "C99"), "CLAIM: 'C99' is in no ledger. Known: C4, C5, C6, C7\n"),
        (
            ("decide", "classic"),
            "? Known: classic/C4, classic/C5, classic/C6, classic/C7\n",
        ),
        (("coverage", "--out", "/proc/coverage"), "--out /proc/coverage: cannot be written: No such file"),
        (("decide", "C4", "--max-seeds", "1"), "Invalid value for '--max-seeds'"),
        (("decide", "C4", "--max-seeds", "6", "--block", "7"), "--max-seeds: 6 is below --block, 7"),
    ],
)
def test_wrong_input_is_one_line(judged: Workspace, softbench: Command, words: tuple[str, ...], message: str) -> None:
    judged.suite("bare", {"a2c": TASKS[:1]})
    code, _, err = softbench(*words)
    assert code == 2 and message in err and err.startswith("softbench: ") and err.count("\n") == 1


def test_gate_compares_with_what_it_wrote(judged: Workspace, softbench: Command) -> None:
    assert softbench("gate", "classic", "--write")[:2] == (0, "suites/classic/baseline.json\n")
    code, out, _ = softbench("gate", "classic")
    assert code == 0 and "2 the same scores" in out
    judged.cell(
        "classic", "a2c", TASKS[0], edit=scored({"a2c-proper": around(0.3, 0.1), "a2c-naive": around(0.5, 0.1, seed=1)})
    )
    code, out, _ = softbench("gate", "classic")
    assert code == 4 and "loss: a2c-proper on CartPole-v1: 0.700 then, 0.300 now" in out


def test_a_broken_suite_or_ledger_is_a_line_and_stops_no_other(judged: Workspace, softbench: Command) -> None:
    judged.suite("broken", {"a2c": TASKS[:1]})
    (judged.root / "suites/broken/claims.yaml").write_text("claims: 3\n")
    judged.suite("odd", {"a2c": TASKS[:1]})
    (judged.root / "suites/odd/claims.yaml").write_text(yaml.safe_dump({"claims": [CLAIM]}))
    (judged.root / "suites/odd/suite.yaml").write_text("name: odd\n")
    code, out, err = softbench("judge", "--fail-on", "none")
    assert code == 6 and out.startswith("classic: 1 supported") and err.count("\n") == 2
    assert "softbench: suites/broken/claims.yaml: claims: " in err and "softbench: suites/odd/suite.yaml: " in err
    code, out, _ = softbench("judge", "classic", "broken", "--json")
    assert code == 6 and {each["suite"] for each in json.loads(out)} == {"classic"}
    assert softbench("judge", "broken")[0] == 2, "a suite alone is wrong input"


def test_damaged_results_are_told_and_change_the_code(judged: Workspace, softbench: Command) -> None:
    (judged.results / "classic" / "a2c" / TASKS[0] / "curves.parquet").write_bytes(b"nothing")
    code, out, _ = softbench("judge")
    assert code == 6 and "classic: 3 invalid, 1 not measured" in out and "cannot be read" in out
    code, _, err = softbench("gate", "classic", "--write")
    assert code == 2 and "a baseline needs sound results" in err


def test_altered_results_make_no_baseline_and_no_loss(judged: Workspace, softbench: Command) -> None:
    assert softbench("gate", "classic", "--write")[0] == 0
    path = judged.results / "classic" / "a2c" / TASKS[0] / "curves.parquet"
    curves = pd.read_parquet(path)
    curves.assign(return_sampled=curves["return_sampled"] - 400).to_parquet(path)
    code, out, err = softbench("gate", "classic")
    assert code == 5 and "loss" not in out and "2 not measured now" in out
    assert err.startswith(f"softbench: a2c on {TASKS[0]}: ") and "altered" in err and err.count("\n") == 1
    code, _, err = softbench("gate", "classic", "--write")
    assert code == 2 and "a baseline needs sound results" in err
