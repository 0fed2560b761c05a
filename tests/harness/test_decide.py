"""`softbench decide`: looks as planned, the seeds of an ordinary run, and nothing trained twice."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from small_suite import CELL, Here, train_here, write_suite

from harness import training
from harness.commands import deciding
from harness.errors import InputError
from harness.pool.messages import Failed, Told
from harness.schema.decision import read_decision
from reports.statistics import sequential

RESULTS = Path("results")
CLAIM = {
    "id": "C4",
    "statement": "proper is not worse",
    "source": "a paper",
    "pair": "a2c",
    "arm": "a2c-proper",
    "against": "a2c-naive",
    "test": "non-inferiority",
    "margin": 0.9,
    "reason": "for a test",
}


@pytest.fixture
def decide(tmp_path, monkeypatch):
    """Decide a claim in a small suite, in this process: (verdict, file's content, looks, members trained at each look)."""
    monkeypatch.chdir(tmp_path)
    write_suite(tmp_path)
    torch.set_num_threads(1)

    def run(most=10, **changes):
        (tmp_path / "suites" / "small" / "claims.yaml").write_text(yaml.safe_dump({"claims": [{**CLAIM, **changes}]}))
        looks, trained = [], []

        def train(plans):
            events = []
            complete = training.run(plans, 1, events.append, Here)
            trained.append(events[0].members)
            return complete

        verdict, path = deciding.decide("C4", sequential.blocks(5, 5, most), RESULTS, train, looks.append)
        return verdict, path, looks, trained

    return run


def test_a_clear_claim_is_decided_at_the_first_look(decide):
    verdict, path, looks, trained = decide()
    assert verdict == "supported" and [look.seeds for look in looks] == [5] and trained == [10]
    content = json.loads(path.read_text())
    levels = sequential.plan([5, 10], 0.025)
    assert content["plan"] == [{"seeds": 5, "nominal": levels[0]}, {"seeds": 10, "nominal": levels[1]}]
    assert looks[0].p is not None and looks[0].p <= levels[0] and content["looks"][0]["p"] == looks[0].p


def test_an_open_claim_goes_to_the_most_seeds_and_adds_only_blocks(decide):
    verdict, path, looks, trained = decide(test="equivalence", margin=1e-6)
    assert (
        verdict in ("inconclusive", "contradicted")
        and [look.seeds for look in looks] == [5, 10]
        and trained == [10, 10]
    )
    assert len(json.loads(path.read_text())["looks"]) == 2


def test_a_claim_against_all_evidence_is_shown_to_be_wrong(decide):
    assert decide(test="superiority", margin=0.9, effect=0.95)[0] == "no relevant difference"


def test_seeds_are_those_of_an_ordinary_run_and_shared_with_it(decide):
    train_here(RESULTS, seeds=list(range(5)))
    _, _, _, trained = decide()
    assert trained == [0], "their checkpoints are there"
    ours, theirs = (pd.read_parquet(folder / CELL / "curves.parquet") for folder in (RESULTS / "sequential", RESULTS))
    pd.testing.assert_frame_equal(ours, theirs)


def test_seeds_start_at_the_first_that_the_suite_registers(decide, tmp_path):
    path = tmp_path / "suites/small/suite.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "seeds": "20-21"}))
    verdict, _, looks, trained = decide()
    assert verdict == "supported" and [look.seeds for look in looks] == [5] and trained == [10]
    curves = pd.read_parquet(RESULTS / "sequential" / CELL / "curves.parquet")
    assert sorted(curves["seed"].unique()) == [20, 21, 22, 23, 24]


def test_the_plan_is_written_before_the_first_look_and_no_other_is_taken(decide, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            Here,
            "run",
            lambda self, jobs: iter([Told(job, 3, Failed("x")) for job in jobs]),
        )
        _, path, _, _ = decide()
    assert [each["seeds"] for each in json.loads(path.read_text())["plan"]] == [5, 10]
    with pytest.raises(InputError, match=r"looks of this decision were fixed when it began, after 5, 10 seeds") as told:
        decide(most=15)
    assert "softbench decide small/C4 --max-seeds 10 --block 5 " in str(told.value) and "\n" not in str(told.value)
    with pytest.raises(InputError, match=r"begun otherwise.*claim.margin: was 0.9, is now 0.5"):
        decide(margin=0.5)
    assert decide()[0] == "supported"
    assert decide()[2] == decide()[2], "the same decision again is the same"
    path.write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        decide()


def test_what_is_refused_fixes_no_plan(decide, monkeypatch):
    def refuse(*_):
        raise InputError("nothing can be trained")

    with monkeypatch.context() as patch:
        patch.setattr(deciding, "plans", refuse)
        with pytest.raises(InputError, match="nothing can be trained"):
            decide()
    assert not Path("results/sequential").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plan": []}, "plan: must not be empty"),
        ({"plan": [{"seeds": -5, "nominal": 0.01}]}, r"plan\.0\.seeds: must be at least 2"),
        ({"plan": [{"seeds": 5, "nominal": 2}]}, r"plan\.0\.nominal: must be below 1"),
        ({"level": -5}, "level: must be above 0"),
        ({"verdict": "zzz"}, "verdict: is not the last look's"),
        ({"verdict": None}, "verdict: is not the last look's"),
        (
            {"looks": [], "verdict": "supported", "plan": [{"seeds": 5, "nominal": 0.01}]},
            "verdict: is not the last look's",
        ),
    ],
)
def test_a_decision_of_another_form_is_said(decide, changes, message):
    path = decide()[1]
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(InputError, match=f"{message}.*; move it away to begin anew"):
        read_decision(path)


def test_a_claim_of_several_suites_must_be_named_in_full(decide, tmp_path):
    decide()
    other = yaml.safe_load((tmp_path / "suites/small/suite.yaml").read_text())
    (tmp_path / "suites" / "other").mkdir()
    (tmp_path / "suites/other/suite.yaml").write_text(yaml.safe_dump({**other, "name": "other"}))
    (tmp_path / "suites/other/claims.yaml").write_text(yaml.safe_dump({"claims": [CLAIM]}))
    with pytest.raises(InputError, match="in several ledgers; say which: other/C4, small/C4"):
        deciding.find_claim("C4")
    assert deciding.find_claim("small/C4")[0].name == "small"
    (tmp_path / "suites/other/claims.yaml").write_text("claims: 3")
    assert deciding.find_claim("C4")[0].name == "small", "a broken ledger stops no other"
    with pytest.raises(InputError, match=r"'C5' is in no ledger.* \(not read: suites/other/claims.yaml: claims: "):
        deciding.find_claim("C5")


def test_a_failed_cohort_decides_nothing(decide, monkeypatch):
    monkeypatch.setattr(
        Here,
        "run",
        lambda self, jobs: iter([Told(job, 3, Failed("x")) for job in jobs]),
    )
    verdict, path, looks, _ = decide()
    assert verdict is None and looks == [] and "verdict" not in json.loads(path.read_text())
