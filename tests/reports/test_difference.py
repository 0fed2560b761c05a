"""The tests of the verdicts against scipy, hand-computed numbers and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.errors import InputError
from reports.statistics import power as planning
from reports.statistics.centres import METHODS, PATTERNS, UNREACHABLE, Region, SignFlips, smallest_p
from reports.statistics.forms import FORMS, form
from reports.statistics.forms.difference import TESTS, Difference
from reports.statistics.forms.form import Outcome, first_word
from reports.statistics.forms.spread import METHOD, Spread
from reports.statistics.forms.spread import TEST as SPREAD
from reports.statistics.intervals import NO_VARIANCE, TOO_FEW, Array

LEVEL = 0.025


def scores(seed: int, n: int = 8, tasks: int = 1, mean: float = 0.7) -> Array:
    return np.random.default_rng(seed).normal(mean, 0.2, (n, tasks))


def outcome(claimed: Array, against: Array, test: str, method: str, margin: float, level: float) -> Outcome:
    return form(test, method, margin).outcome(claimed, against, level)


def power(claimed: Array, against: Array, test: str, method: str, margin: float, *rest: float) -> float | None:
    return form(test, method, margin).power(claimed, against, *rest)  # type: ignore[arg-type]


def detectable(claimed: Array, against: Array, test: str, method: str, margin: float, level: float) -> float | None:
    return form(test, method, margin).detectable(claimed, against, level)


def seeds_needed(
    claimed: Array, against: Array, test: str, method: str, margin: float, effect: float, level: float
) -> int | None:
    return form(test, method, margin).seeds_needed(claimed, against, effect, level)


def test_welch_superiority_is_scipys() -> None:
    claimed, against = scores(1, 9), 2 * scores(2, 6)
    theirs = stats.ttest_ind(claimed[:, 0] - 0.1, against[:, 0], equal_var=False, alternative="greater")
    interval = stats.ttest_ind(claimed[:, 0], against[:, 0], equal_var=False).confidence_interval(0.95)
    found = outcome(claimed, against, "superiority", "welch", 0.1, LEVEL)
    assert (found.p, found.df) == pytest.approx((theirs.pvalue, theirs.df), rel=1e-10)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-10)
    assert found.p_against == pytest.approx(1 - theirs.pvalue)


def test_paired_non_inferiority_is_scipys() -> None:
    claimed, against = scores(1, 9), scores(2, 9)
    theirs = stats.ttest_rel(claimed[:, 0] + 0.1, against[:, 0], alternative="greater")
    interval = stats.ttest_rel(claimed[:, 0], against[:, 0]).confidence_interval(0.9)
    found = outcome(claimed, against, "non-inferiority", "paired", 0.1, 0.05)
    assert (found.p, found.df) == pytest.approx((theirs.pvalue, 8), rel=1e-10)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-10)


def test_equivalence_is_two_one_sided_tests() -> None:
    claimed, against = scores(1, 9), scores(2, 9)
    above = stats.ttest_rel(claimed[:, 0] + 0.3, against[:, 0], alternative="greater").pvalue
    below = stats.ttest_rel(claimed[:, 0] - 0.3, against[:, 0], alternative="less").pvalue
    outside = stats.ttest_rel(claimed[:, 0] - 0.01, against[:, 0], alternative="greater").pvalue
    beneath = stats.ttest_rel(claimed[:, 0] + 0.01, against[:, 0], alternative="less").pvalue
    assert outcome(claimed, against, "equivalence", "paired", 0.3, LEVEL).p == pytest.approx(
        max(above, below), rel=1e-10
    )
    narrow = outcome(claimed, against, "equivalence", "paired", 0.01, LEVEL)
    assert narrow.p_against == pytest.approx(min(1, 2 * min(outside, beneath)), rel=1e-10)
    equal = outcome(claimed, claimed[::-1], "equivalence", "welch", 0.1, LEVEL)
    assert equal.p_against == 1  # twice a p value of more than a half


def test_words_are_one_and_two_sided_tests_of_scipy() -> None:
    claimed, against = scores(1, 9), scores(2, 9)

    def p(shift: float, alternative: str) -> float:
        return float(stats.ttest_rel(claimed[:, 0] - shift, against[:, 0], alternative=alternative).pvalue)

    found = outcome(claimed, against, "superiority", "paired", 0.1, LEVEL)
    expected = {
        "supported": p(0.1, "greater"),
        "no relevant difference": max(p(-0.1, "greater"), p(0.1, "less")),
        "contradicted": p(0.0, "less"),
        "below the margin": p(0.1, "less"),
    }
    assert list(found.words) == list(expected) and found.words == pytest.approx(expected, rel=1e-10)
    assert found.p == found.words["supported"] and found.p_against == found.words["below the margin"]
    bare = outcome(claimed, against, "superiority", "paired", 0.0, LEVEL).words
    assert bare == pytest.approx({"supported": p(0.0, "greater"), "contradicted": p(0.0, "less")}, rel=1e-10)
    inferior = outcome(claimed, against, "non-inferiority", "paired", 0.1, LEVEL)
    assert inferior.words == pytest.approx({"supported": p(-0.1, "greater"), "contradicted": p(0.0, "less")}, rel=1e-10)
    assert inferior.p_against == pytest.approx(p(-0.1, "less"), rel=1e-10)
    equal = outcome(claimed, against, "equivalence", "paired", 0.1, LEVEL)
    assert list(equal.words) == ["supported", "contradicted"] and equal.words["contradicted"] == equal.p_against


def test_the_first_word_that_is_shown_is_the_verdict() -> None:
    p = {
        "supported": np.array([0.5, 0.01, 0.01]),
        "contradicted": np.array([0.5, 0.5, 0.01]),
        "x": np.array([0.5, 0.02, 0.5]),
    }
    assert first_word(p, 0.025).tolist() == ["inconclusive", "supported", "supported"]
    assert first_word(p, 0.01)[1] == "supported" and first_word({**p, "supported": np.ones(3)}, 0.025)[1] == "x"


@pytest.mark.parametrize(
    ("test", "margin"), [("superiority", 0.0), ("superiority", 0.2), *((t, 0.2) for t in TESTS[1:])]
)
def test_truths_lie_on_the_end_of_every_word_and_make_each_false_and_right(test: str, margin: float) -> None:
    its = form(test, "welch", margin)
    truths = its.truths(0.1)
    for region in its.words.values():
        assert {end for end in (region.low, region.high) if np.isfinite(end)} <= set(truths)
        assert any(not region.holds(truth) for truth in truths)
    assert any(its.words["supported"].holds(truth) for truth in truths)


def test_paired_over_tasks_by_hand() -> None:
    # Differences 1, 2, 3 (variance 1) and 0, 0, 3 (variance 3): squared error (1/3 + 3/3) / 4 = 1/3; df = (4/3)^2 / ((1/9 + 1)/2) = 3.2.
    against = np.array([[5.0, 1.0], [5.0, 2.0], [5.0, 3.0]])
    found = outcome(
        against + np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 3.0]]), against, "superiority", "paired", 0.0, LEVEL
    )
    assert (found.estimate, found.df) == pytest.approx((1.5, 3.2), rel=1e-12)
    assert found.p == pytest.approx(stats.t.sf(1.5 * 3**0.5, 3.2), rel=1e-10)


@pytest.mark.parametrize(("n", "tasks"), [(8, 1), (4, 3)])
def test_sign_flips_are_scipys(n: int, tasks: int) -> None:
    claimed, against = scores(1, n, tasks), scores(2, n, tasks, 0.55)
    differences = (claimed - against - 0.05).ravel()
    # scipy's "samples" permutation of pairs flips the signs of their differences.
    for alternative, found in [("greater", "p"), ("less", "p_against")]:
        theirs = stats.permutation_test(
            (differences, np.zeros_like(differences)),
            lambda x, y: np.mean(x - y),
            permutation_type="samples",
            alternative=alternative,
        )
        ours = outcome(claimed, against, "superiority", "sign-flip", 0.05, LEVEL)
        assert getattr(ours, found) == pytest.approx(theirs.pvalue, rel=1e-12)


def test_sign_flips_by_hand() -> None:
    # Differences 1, 2, 3, -1: of the 16 patterns, those whose changed differences sum to at most 0 are {}, {-1} and {1, -1}.
    claimed = np.array([[1.0], [2.0], [3.0], [-1.0]])
    found = outcome(claimed, np.zeros((4, 1)), "superiority", "sign-flip", 0.0, 2 / 16)
    # {1, -1} ties with the observed one and counts on both sides.
    assert (found.p, found.p_against) == (3 / 16, 15 / 16)
    # Subset means from below: -1, 0, 1/2 ({2, -1}), ...; from above: 3, 5/2, ...; two may be rejected at each end.
    assert (found.low, found.high) == (0.0, 2.5)


@pytest.mark.parametrize("seeds", [8, 20])
def test_the_sign_flip_interval_inverts_the_test(seeds: int) -> None:
    claimed, against = scores(1, seeds), scores(2, seeds, mean=0.5)
    found = outcome(claimed, against, "superiority", "sign-flip", 0.0, LEVEL)
    assert found.low is not None and found.high is not None

    flips = SignFlips.of(claimed, against)
    assert flips.above(found.low - 1e-6) <= LEVEL < flips.above(found.low + 1e-6)
    assert flips.below(found.high + 1e-6) <= LEVEL < flips.below(found.high - 1e-6)


def test_random_sign_flips_come_near_the_t_test_and_repeat() -> None:
    claimed, against = scores(1, 30, 2), scores(2, 30, 2, 0.63)
    first, again = (outcome(claimed, against, "superiority", "sign-flip", 0.0, LEVEL) for _ in range(2))
    assert first == again
    assert first.p == pytest.approx(outcome(claimed, against, "superiority", "paired", 0.0, LEVEL).p, abs=0.01)
    assert outcome(claimed + 9, against, "superiority", "sign-flip", 0.0, LEVEL).p == 1 / (PATTERNS + 1)


def test_no_variance_and_too_few_are_told() -> None:
    same, one = np.full((6, 2), 0.1 + 0.2), scores(1, 1, 2)
    for method in METHODS:
        found = outcome(one, one, "superiority", method, 0.0, LEVEL)
        assert (found.why, found.low, found.p, found.p_against) == (TOO_FEW, None, None, None)
        found = outcome(same, same - 0.1, "superiority", method, 0.0, LEVEL)
        assert (found.why, found.low, found.high) == (NO_VARIANCE, None, None)
        assert found.p == (2.0**-12 if method == "sign-flip" else None)  # the flips need no variance
        for what in (detectable, lambda *x: seeds_needed(*x[:5], 0.1, x[5])):
            assert what(same, same, "superiority", method, 0.0, LEVEL) is None
    wobble = scores(1, 6, 1)
    assert outcome(wobble + 0.3, wobble, "superiority", "paired", 0.0, LEVEL).why == NO_VARIANCE  # but for rounding
    assert outcome(same, same, "superiority", "sign-flip", 0.0, LEVEL).p == 1  # all zero: no evidence
    few = outcome(scores(1, 5), scores(2, 5), "superiority", "sign-flip", 0.0, LEVEL)
    assert few.why == UNREACHABLE and few.low is None and few.p is not None and few.p >= 1 / 32
    assert outcome(scores(1, 6), scores(2, 6), "superiority", "sign-flip", 0.0, LEVEL).why == ""


def test_smallest_p() -> None:
    assert smallest_p("sign-flip", 5, 1) == 1 / 32
    assert smallest_p("sign-flip", 4, 3) == 2.0**-12
    assert smallest_p("sign-flip", 400, 26) == 1 / (PATTERNS + 1)
    assert [smallest_p(method, 1, 3) for method in METHODS] == [1.0] * 3
    assert smallest_p("welch", 2, 1) == 0


def with_spread(spread: float, n: int) -> Array:
    """One task, mean 0, sample standard deviation exactly `spread`."""
    values = scores(3, n)
    return np.asarray((values - values.mean()) / values.std(ddof=1) * spread)


def test_power_is_the_noncentral_ts() -> None:
    # Cohen 1988: two arms, d = 0.5, 64 an arm, 5 % two-sided: power 0.80; and the textbook's answer to the question back.
    arm = with_spread(1.0, 10)
    assert power(arm, arm[::-1], "superiority", "welch", 0.0, 0.5, LEVEL, 64) == pytest.approx(0.8015, abs=2e-4)
    assert seeds_needed(arm, arm[::-1], "superiority", "welch", 0.0, 0.5, LEVEL) == 64
    paired = power(arm, np.zeros((10, 1)), "superiority", "paired", 0.1, 1.1, LEVEL)
    assert paired == pytest.approx(stats.nct.sf(stats.t.ppf(0.975, 9), 9, 10**0.5), abs=1e-4)
    # Non-inferiority by a margin is superiority by 0 of the shifted arm.
    assert power(arm, arm, "non-inferiority", "welch", 0.3, 0.2, LEVEL) == pytest.approx(
        power(arm, arm, "superiority", "welch", 0.0, 0.5, LEVEL)
    )


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("method", METHODS)
def test_power_holds_in_simulation(test: str, method: str) -> None:
    generator, n, effect, margin = (
        np.random.default_rng(5),
        12,
        0.9 if test == "superiority" else 0.1,
        0.0 if test == "superiority" else 1.2,
    )
    arm = with_spread(1.0, n)
    assumed = np.zeros((n, 1)) if method != "welch" else arm
    expected = power(arm, assumed, test, method, margin, effect, LEVEL)
    hits = []
    for _ in range(600):
        claimed = generator.normal(effect, 1, (n, 1))
        against = np.zeros((n, 1)) if method != "welch" else generator.normal(0, 1, (n, 1))
        p = outcome(claimed, against, test, method, margin, LEVEL).p
        hits.append(p is not None and p <= LEVEL)
    assert np.mean(hits) == pytest.approx(expected, abs=0.06)


def test_detectable_and_seeds_needed_invert_power() -> None:
    claimed, against = scores(1, 12, 2), scores(2, 12, 2)
    for method in METHODS:
        found = detectable(claimed, against, "superiority", method, 0.1, LEVEL)
        assert found is not None and found > 0.1
        assert power(claimed, against, "superiority", method, 0.1, found, LEVEL) == pytest.approx(0.8, abs=1e-6)
        for test in TESTS[1:]:
            margin = detectable(claimed, against, test, method, 0.1, LEVEL)
            assert margin is not None
            assert power(claimed, against, test, method, margin, 0.0, LEVEL) == pytest.approx(0.8, abs=1e-6)
            needed = seeds_needed(claimed, against, test, method, 0.1, 0.0, LEVEL)
            assert needed is not None
            enough, fewer = (power(claimed, against, test, method, 0.1, 0.0, LEVEL, n) for n in (needed, needed - 1))
            assert fewer is not None and enough is not None and fewer < 0.8 <= enough


def test_no_number_of_seeds_shows_what_is_not_there() -> None:
    claimed, against = scores(1), scores(2)
    assert seeds_needed(claimed, against, "superiority", "welch", 0.1, 0.1, LEVEL) == np.inf
    region = Region(low=0.0)
    assert planning.seeds_needed(claimed, against, "welch", region, 1e-4, LEVEL, most=1000) == np.inf
    same = np.full((5, 1), 0.5)
    assert planning.seeds_needed(same, same, "welch", region, 0.1, LEVEL) is None, "without spread nothing is known"


def test_sign_flips_need_the_seeds_that_reach_the_level() -> None:
    claimed, against = scores(1) + 100, scores(2)
    assert seeds_needed(claimed, against, "superiority", "paired", 0.0, 100.0, LEVEL) == 2
    assert seeds_needed(claimed, against, "superiority", "sign-flip", 0.0, 100.0, LEVEL) == 6
    assert detectable(claimed[:5], against[:5], "superiority", "sign-flip", 0.0, LEVEL) is None
    assert power(claimed, against, "superiority", "sign-flip", 0.0, 100.0, LEVEL, 5) == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"test": "better"}, "test: 'better'"),
        ({"method": "student"}, "method: 'student'"),
        ({"margin": -0.1}, "margin: -0.1"),
        ({"margin": 0.0, "test": "equivalence"}, "margin: 0.0"),
        ({"margin": float("nan")}, "margin: nan"),
        ({"level": 0.5}, "level: 0.5"),
        ({"claimed": scores(1, 7)}, "cannot be paired"),
        ({"claimed": scores(1, 8, 2)}, "cannot be compared"),
        ({"claimed": scores(1)[:0]}, "cannot be compared"),
        ({"claimed": np.full((8, 1), np.nan)}, "scores: NaN"),
    ],
)
def test_wrong_input_is_named(change: dict, says: str) -> None:
    right = {
        "claimed": scores(1),
        "against": scores(2),
        "test": "superiority",
        "method": "paired",
        "margin": 0.1,
        "level": LEVEL,
    }
    with pytest.raises(InputError, match=says) as told:
        outcome(**{**right, **change})
    assert "\n" not in str(told.value)


def test_every_form_is_found_by_its_tests() -> None:
    methods = {**dict.fromkeys(TESTS, "welch"), SPREAD: METHOD}
    assert {name: type(form(name, methods[name], 0.1)) for name in FORMS} == {
        **dict.fromkeys(TESTS, Difference),
        SPREAD: Spread,
    }


def test_regions_hold_between_their_ends_and_say_so() -> None:
    truths = (-0.3, -0.2, 0.0, 0.2, 0.3)
    inside, outside, above = Region(-0.2, 0.2), Region(-0.2, 0.2, outside=True), Region(low=-0.2)
    assert [inside.holds(truth) for truth in truths] == [False, False, True, False, False]
    assert [outside.holds(truth) for truth in truths] == [True, False, False, False, True]
    assert [above.holds(truth) for truth in truths] == [False, False, True, True, True]
    words = [str(region) for region in (inside, outside, above, Region(high=0.0))]
    assert words == ["between −0.2 and 0.2", "outside −0.2 and 0.2", "above −0.2", "below 0"]
