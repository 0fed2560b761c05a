"""Every exact statement holds, catches every error planted in the code, and can fail."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from algorithms import maxent
from suites.theory import STATEMENTS
from suites.theory.problems import DISCOUNTS, SMALL, TEMPERATURES, draw, enumerate_paths
from suites.theory.statement import LARGEST, Mutant, Statement, run, worst

FEW = 20  # problems: every temperature and discount in turn


@pytest.mark.parametrize("number", STATEMENTS)
def test_a_statement_holds_and_catches_its_planted_errors(number):
    record, _ = run(dataclasses.replace(STATEMENTS[number], figure=None), FEW, seed=1)
    assert record["holds"], record["parts"]
    assert not [planted for planted in record["planted"] if not planted["caught"]]
    assert record["mutants"] >= 1 and record["cases"] == FEW
    assert record["worst_error"] <= record["tolerance"] / (1.5 if number == 17 else 20), (
        "a tolerance needs room for other seeds"
    )


def test_there_are_seventeen():
    assert list(STATEMENTS) == list(range(1, 19))
    assert [statement.number for statement in STATEMENTS.values()] == list(STATEMENTS)


def test_a_planted_error_is_gone_afterwards():
    right = maxent.kl
    mutant = Mutant("sign", maxent, "kl", lambda kl: lambda log_policy, reference: -kl(log_policy, reference))
    with mutant.planted():
        assert maxent.kl is not right
    assert maxent.kl is right
    with pytest.raises(ZeroDivisionError), mutant.planted():
        1 / 0  # noqa: B018
    assert maxent.kl is right
    assert mutant.where == "maxent.kl"


def invented(check, mutants=()):
    return Statement(1, "n", "t", "a", "s", "c", 0.5, "r", check, mutants)


def test_an_error_above_the_tolerance_fails_and_one_below_is_no_catch():
    harmless = Mutant("harmless", maxent, "kl", lambda kl: kl)
    record, _ = run(
        invented(lambda cases, seed: {"good": torch.zeros(cases), "bad": torch.full((cases,), 0.6)}, (harmless,)), 3, 0
    )
    assert not record["holds"] and record["worst_error"] == 0.6
    record, _ = run(invented(lambda cases, seed: {"good": torch.full((cases,), 0.4)}, (harmless,)), 3, 0)
    assert record["holds"] and (record["mutants"], record["mutants_caught"]) == (1, 0)


def test_what_is_not_a_number_or_does_not_converge_fails():
    assert worst({"part": torch.tensor([0.0, float("nan")])}) == {"part": LARGEST}
    assert worst({"part": torch.tensor([0.0, float("inf")])}) == {"part": LARGEST}

    def stuck(cases, seed):
        raise RuntimeError("policy iteration: more than 200 evaluations needed")

    record, _ = run(invented(stuck), 3, 0)
    assert not record["holds"] and list(record["parts"]) == [
        "stopped: policy iteration: more than 200 evaluations needed"
    ]


def test_a_check_must_judge_every_case():
    with pytest.raises(ValueError, match=r"'part' has \(2,\) errors for 3 cases"):
        run(invented(lambda cases, seed: {"part": torch.zeros(2)}), 3, 0)


def test_equal_seeds_give_equal_records_and_others_do_not():
    quick = dataclasses.replace(STATEMENTS[1], mutants=(), figure=None)
    assert run(quick, 25, 4)[0] == run(quick, 25, 4)[0]
    assert run(quick, 25, 4)[0]["parts"] != run(quick, 25, 5)[0]["parts"]


@pytest.mark.parametrize("cases", [1, 7, 20, 101])
def test_problems_are_as_many_as_asked_for(cases):
    problems = draw(cases, 0, 1)
    assert sum(problem.count for problem in problems) == cases


def test_problems_vary():
    problems = draw(120, 3, 1)
    assert {problem.temperature for problem in problems} == set(TEMPERATURES)
    assert {problem.discount for problem in problems} == set(DISCOUNTS)
    assert {bool(problem.mdp.terminating.amax() > 0) for problem in problems} == {True, False}
    assert {problem.uniform for problem in problems} == {True, False}
    assert len({(problem.states, problem.actions) for problem in problems}) >= 4
    for problem in problems:
        spread = (problem.log_reference.amax(-1) - problem.log_reference.amin(-1)).amax()
        assert (spread < 1e-12) == problem.uniform


def test_paths_have_all_the_probability_and_go_on_after_an_end():
    for problem in draw(20, 0, 8, SMALL, layouts=False):
        paths = enumerate_paths(problem.mdp, problem.log_policy, 2, problem.mdp.start)
        torch.testing.assert_close(paths.weight.sum(1), torch.ones(problem.count, dtype=torch.float64))
        first = torch.zeros(problem.count, problem.states, dtype=torch.float64).index_add(
            1, paths.state[:, 0], paths.weight
        )
        torch.testing.assert_close(first, problem.mdp.start)
        assert bool((paths.next_state[paths.terminated] == 0).all())
        assert torch.equal(paths.next_state[:, 0], paths.state[:, 1])
