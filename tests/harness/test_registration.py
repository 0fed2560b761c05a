"""Claims are frozen when a cell's first member starts, and stay so."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from small_suite import CELL, train_here, write_suite

from harness.errors import InputError
from harness.pool import worker

OUT = Path("results")
CLAIM = {
    "id": "C4",
    "statement": "better",
    "source": "a paper",
    "pair": "a2c",
    "arm": "a2c-proper",
    "against": "a2c-naive",
    "test": "non-inferiority",
    "method": "paired",
    "margin": 0.05,
    "reason": "small",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_suite(tmp_path)
    return tmp_path


def write_claims(folder: Path, content: object) -> None:
    (folder / "suites" / "small" / "claims.yaml").write_text(
        content if isinstance(content, str) else yaml.safe_dump(content)
    )


def registered(folder: Path) -> dict:
    return json.loads((folder / "results" / CELL / "manifest.json").read_text())["claims"]


def test_a_later_change_does_not_reach_the_manifest(folder: Path) -> None:
    write_claims(folder, {"level": 0.01, "claims": [CLAIM]})
    train_here(OUT, seeds=[0])
    assert registered(folder) == {"level": 0.01, "claims": {"C4": CLAIM}}
    write_claims(folder, {"claims": [{**CLAIM, "margin": 0.5}]})
    shutil.rmtree(OUT / ".runs")
    train_here(OUT, seeds=[0, 1, 2])
    assert registered(folder) == {"level": 0.01, "claims": {"C4": CLAIM}}


def test_a_change_between_start_and_end_does_not_reach_the_manifest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_claims(folder, {"claims": [CLAIM]})
    with monkeypatch.context() as patch:
        patch.setattr(worker, "train", lambda *_: 1 / 0)
        assert not train_here(OUT)[0]
    write_claims(folder, {"claims": [{**CLAIM, "margin": 0.5}]})
    train_here(OUT)
    assert registered(folder)["claims"]["C4"] == CLAIM


def test_no_file_registers_nothing(folder: Path) -> None:
    train_here(OUT, seeds=[0])
    write_claims(folder, {"claims": [CLAIM]})
    train_here(OUT, seeds=[0, 1])
    assert registered(folder) == {}


NO_LEDGERS = [
    "claims: {",
    "claims: 3",
    "claims: [3]",
    "- a",
    "claims: [{id: 3}]",
    "claims: [{id: C4, pair: a2c, arm: a2c-prooper}]",
]


@pytest.mark.parametrize("content", NO_LEDGERS)
def test_a_file_that_is_no_ledger_is_refused_before_training(folder: Path, content: str) -> None:
    write_claims(folder, content)
    with pytest.raises(InputError, match=r"small/claims\.yaml"):
        train_here(OUT)
    assert not (folder / "results" / CELL).exists() or not any((folder / "results" / CELL).iterdir())


@pytest.mark.parametrize(
    ("change", "tuning", "message"),
    [
        ({"method": "sign-flip"}, {}, r"\(C4\): method: sign-flip with 2 seeds on 1 task cannot reach level 0\.025"),
        (
            {"margin": 0.3},
            {"a2c": {"CartPole-v1": 400}},
            r"\(C4\): margin: 0\.3 exceeds the room above the hard arm, 0\.2",
        ),
    ],
)
def test_a_design_that_cannot_say_anything_is_refused_before_training(
    folder, softbench, change, tuning, message
) -> None:
    write_claims(folder, {"tuning": tuning, "claims": [{**CLAIM, **change}]})
    code, _, errors = softbench("train", "small")
    assert code == 2 and re.search(rf"suites/small/claims\.yaml: claims\.0 {message}", errors), errors
    assert not OUT.exists()
