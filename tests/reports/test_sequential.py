"""The group-sequential plan against published boundaries and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.errors import InputError
from reports.statistics import sequential
from reports.statistics.centres import StudentT
from reports.statistics.forms import form
from reports.statistics.forms.difference import TESTS
from reports.statistics.intervals import Array

LEVEL = 0.025


@pytest.mark.parametrize(
    ("looks", "published"),
    [
        (
            [10, 20, 30, 40, 50],
            [4.877, 3.357, 2.680, 2.290, 2.031],
        ),  # Lan-DeMets, O'Brien-Fleming-like, one-sided 0.025
        ([10, 20, 30], [3.710, 2.511, 1.993]),
        ([10, 20], [2.963, 1.969]),
        ([7], [1.960]),
    ],
)
def test_boundaries_are_the_published_ones(looks: list[int], published: list[float]) -> None:
    assert stats.norm.isf(sequential.plan(looks, LEVEL)) == pytest.approx(published, abs=6e-4)


def test_the_looks_together_spend_the_level() -> None:
    looks = [5, 8, 15, 16, 40]  # unequal blocks, on a random walk
    walks = np.random.default_rng(1).normal(0, 1, (200_000, 40)).cumsum(axis=1)[:, np.array(looks) - 1]
    crossed = walks / np.sqrt(looks) > stats.norm.isf(sequential.plan(looks, 0.05))
    spent = 2 * stats.norm.sf(stats.norm.isf(0.025) / np.sqrt(np.array(looks) / 40))
    for look in range(5):
        assert crossed[:, : look + 1].any(axis=1).mean() == pytest.approx(spent[look], abs=0.0015)


def test_many_and_extreme_looks_have_levels() -> None:
    many = sequential.plan(range(5, 105), LEVEL)
    assert len(many) == 100 and all(np.diff(many) > 0) and many[-1] < LEVEL
    assert sequential.plan([5, 50_000], LEVEL) == pytest.approx([0, LEVEL])


def test_blocks() -> None:
    assert sequential.blocks(5, 5, 40) == [5, 10, 15, 20, 25, 30, 35, 40]
    assert sequential.blocks(5, 10, 18) == [5, 15, 18]
    assert sequential.blocks(5, 1, 5) == [5]


def decided(
    claimed: Array, against: Array, test: str, method: str, margin: float, looks: list[int], levels: list[float]
) -> tuple[list[str], list[int]]:
    centres = [StudentT.of(claimed[:, :look], against[:, :look], method) for look in looks]
    words, seeds = sequential.decisions(centres, form(test, method, margin), looks, levels)
    return words.tolist(), seeds.tolist()


def test_decisions_are_those_of_the_tests_at_the_looks() -> None:
    generator, looks = np.random.default_rng(2), [5, 9, 12]
    claimed, against = generator.normal(0.5, 1, (60, 12, 2)), generator.normal(0, 1, (60, 12, 2))
    levels = sequential.plan(looks, LEVEL)
    for method in ("welch", "paired"):
        for test in TESTS:
            words, seeds = decided(claimed, against, test, method, 0.6, looks, levels)
            assert len(set(words)) > 1
            for study in range(60):
                for look, level in zip(looks, levels, strict=True):
                    found = form(test, method, 0.6).outcome(claimed[study, :look], against[study, :look], LEVEL)
                    assert found.p is not None and found.p_against is not None
                    if min(found.p, found.p_against) <= level or look == 12:
                        shown = [word for word, p in found.words.items() if p <= level]
                        expected = ([*shown, "inconclusive"][0], look)
                        break
                assert (words[study], seeds[study]) == expected


def test_a_non_inferior_arm_that_is_a_bit_worse_is_not_given_up_early() -> None:
    """Shown to be below 0 at a look, which does not settle whether it is within the margin: the study goes on."""
    looks = [5, 40]
    claimed = -0.5 + 0.01 * np.arange(40.0)[None, :, None] / 40
    claimed[:, 5:] += 0.01 * (-1.0) ** np.arange(35)[:, None]
    claimed[:, :5, 0] = [-0.9, -0.4, -0.5, -0.6, -0.7]
    against = 0.001 * np.random.default_rng(1).normal(0, 1, (1, 40, 1))
    levels = [0.02, 0.02]
    early = form("non-inferiority", "paired", 0.8).outcome(claimed[0, :5], against[0, :5], 0.02)
    assert early.words["contradicted"] <= 0.02 < early.words["supported"]
    assert decided(claimed, against, "non-inferiority", "paired", 0.8, looks, levels) == (["supported"], [40])


@pytest.mark.parametrize("kind", ["normal", "bimodal"])
@pytest.mark.parametrize("method", ["welch", "paired"])
def test_false_verdicts_stay_at_the_level_and_seeds_are_saved(kind: str, method: str) -> None:
    generator, looks = np.random.default_rng(3), sequential.blocks(5, 5, 40)
    shape = (8000, 40, 1)
    draw = {
        "normal": lambda: generator.normal(0, 0.25, shape),
        "bimodal": lambda: 0.5 * generator.integers(2, size=shape) + generator.normal(0, 0.05, shape),
    }[kind]
    claimed, against = draw(), draw()
    words, _ = decided(claimed, against, "superiority", method, 0.0, looks, sequential.plan(looks, LEVEL))
    assert max(words.count("supported"), words.count("contradicted")) / 8000 < LEVEL * 1.1 + 3 * (LEVEL / 8000) ** 0.5
    words, seeds = decided(claimed + 0.25, against, "superiority", method, 0.0, looks, sequential.plan(looks, LEVEL))
    assert words.count("supported") / 8000 > 0.95 and np.mean(seeds) < 30


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: sequential.plan([], LEVEL), "looks: "),
        (lambda: sequential.plan([10, 10], LEVEL), "looks: "),
        (lambda: sequential.plan([3, 6], LEVEL), "at least 5"),
        (lambda: sequential.plan([5, 10], 0.5), "level: 0.5"),
        (lambda: sequential.blocks(1, 5, 10), "start: 1"),
        (lambda: sequential.blocks(5, 0, 10), "block: 0"),
        (lambda: sequential.blocks(5, 5, 4), "most: 4"),
    ],
)
def test_wrong_plans_are_named(call, says: str) -> None:
    with pytest.raises(InputError, match=says):
        call()
