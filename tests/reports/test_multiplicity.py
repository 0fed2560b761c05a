"""Corrections over a ledger: by hand, and the rate of false claims in simulated ledgers."""

from __future__ import annotations

import numpy as np
import pytest

from reports.statistics.centres import StudentT
from reports.statistics.forms import form
from reports.statistics.intervals import Array
from reports.statistics.multiplicity import holm, sharing

LEVEL = 0.025


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_sequence_is_one_entry_and_its_second_waits_for_its_first() -> None:
    assert holm([0.01, 0.012, 0.5], [[0, 1], [2]]) == pytest.approx([0.02, 0.024, 0.5])
    assert holm([0.03, 0.001, 0.5], [[0, 1], [2]]) == pytest.approx([0.06, 0.06, 0.5]), "max(adjusted first, 2 x p)"
    # By hand: the single one, 0.004 x 2, is complete at 0.008; from there on the sequence has the whole level to itself.
    assert holm([0.01, 0.02, 0.004], [[0, 1], [2]]) == pytest.approx([0.01, 0.02, 0.008])
    # The sequence is not complete at 0.02, so the first claim, though shown, passes nothing on: 0.02 x 2.
    assert holm([0.0001, 0.9, 0.02], [[0, 1], [2]]) == pytest.approx([0.0002, 0.9, 0.04])


def test_the_level_is_shared_among_the_entries_that_are_not_shown() -> None:
    single = [[0], [1], [2], [3]]
    assert sharing([0.01, 0.04, 0.03, 0.005], single, 0.05) == [3, 2, 2, 4], (
        "0.04 and 0.03 are not shown: 2 entries are left"
    )
    assert sharing([0.01, 0.04, 0.03, 0.005], single, 0.01) == [4, 4, 4, 4], (
        "nothing is shown, so nobody passes anything on"
    )
    assert sharing([0.01, 0.04, 0.03, 0.005], single, 0.06) == [3, 1, 2, 4], "all are"
    assert sharing([0.01, 0.9, 0.02], [[0, 1], [2]], 0.05) == [2, 1, 2]
    assert sharing([0.01, 0.9, 0.02], [[0, 1], [2]], 0.03) == [2, 2, 2]


def adjusted_rate(p: Array, entries: list[list[int]], true: list[int]) -> float:
    """The share of ledgers `p [R, claims]` in which one of the claims that are not `true` is shown at `LEVEL`."""
    wrong = [place for place in range(p.shape[1]) if place not in true]
    return float(np.mean([min(holm(row, entries)[place] for place in wrong) <= LEVEL for row in p.tolist()]))


def p_of_sequence(truth: float, margins: tuple[float, float], ledgers: int, draw: np.random.Generator) -> Array:
    """p values `[ledgers, 2]` of `not worse` and `better` of one comparison, by the tests themselves, with 6 seeds."""
    arm, against = draw.normal(truth, 0.1, (ledgers, 6, 1)), draw.normal(0, 0.1, (ledgers, 6, 1))
    student = StudentT.of(arm, against, "paired")
    tests = (form("non-inferiority", "paired", margins[0]), form("superiority", "paired", margins[1]))
    return np.stack([test.p_values(student)["supported"] for test in tests], axis=1)


@pytest.mark.parametrize(
    ("truth", "margins", "true"),
    [
        (-0.05, (0.05, 0.0), []),  # both false: on the end of `not worse`
        (
            0.0,
            (9.0, 0.0),
            [0],
        ),  # `not worse` always shown; `better` on its end: what passing the level on too early would spend twice
        (0.0, (0.1, 0.0), [0]),
    ],
)
def test_false_claims_of_a_ledger_with_a_sequence_keep_the_level(
    truth: float, margins: tuple[float, float], true: list[int]
) -> None:
    draw, ledgers = np.random.default_rng(4), 20_000
    p = np.concatenate([p_of_sequence(truth, margins, ledgers, draw), draw.uniform(size=(ledgers, 1))], axis=1)
    error = (LEVEL * (1 - LEVEL) / ledgers) ** 0.5
    assert adjusted_rate(p, [[0, 1], [2]], true) <= LEVEL + 3 * error
    if true == [0] and margins[0] > 1:
        assert adjusted_rate(p, [[0, 1], [2]], true) > 0.9 * LEVEL - 3 * error, "and spend it"


def test_a_sequence_costs_the_others_less_than_two_entries() -> None:
    p = [0.001, 0.5, 0.01]
    assert holm(p, [[0, 1], [2]])[2] == pytest.approx(0.02) and holm([0.4, 0.5, 0.01])[2] == pytest.approx(0.03)
    assert holm([0.4, 0.5, 0.01], [[0, 1], [2]])[2] == pytest.approx(0.02)
