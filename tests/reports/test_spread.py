"""The test of paired deviations: against the correlation that it is, its own intervals inverted, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.errors import InputError
from reports.statistics.forms import form
from reports.statistics.forms.form import CONTRADICTED, SUPPORTED
from reports.statistics.forms.spread import LogRatio, Spread

N = 20


def paired(ratio: float, correlation: float, n: int = N, seed: int = 0, many: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Normal samples [many, n, 1] of the same seeds, where the second one's deviation is `ratio` times the first one's."""
    draw = np.random.default_rng(seed)
    common, ours, theirs = draw.normal(size=(3, many, n, 1))
    weight = correlation**0.5
    rest = (1 - correlation) ** 0.5
    return 0.5 + weight * common + rest * ours, ratio * (weight * common + rest * theirs)


def spread() -> Spread:
    made = form("smaller-spread", "pitman-morgan", 0.0)
    assert isinstance(made, Spread)
    return made


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.7])
def test_it_is_the_correlation_of_differences_and_sums(ratio: float) -> None:
    arm, against = (each[0] for each in paired(ratio, 0.4))
    found = spread().outcome(arm, against, 0.025)
    ours, theirs = arm[:, 0], against[:, 0]
    known = stats.pearsonr(theirs - ours, theirs + ours, alternative="greater")
    assert found.p == pytest.approx(known.pvalue, rel=1e-9) and found.df == N - 2
    assert found.p_against == pytest.approx(1 - known.pvalue, rel=1e-9)
    assert found.estimate == pytest.approx(np.log(theirs.std() / ours.std()))


def test_the_interval_holds_what_is_not_rejected() -> None:
    arm, against = (each[0] for each in paired(1.5, 0.6))
    found = spread().outcome(arm, against, 0.025)
    assert found.low is not None and found.high is not None
    for end, greater in ((found.low, "greater"), (found.high, "less")):
        ours, theirs = np.exp(end) * arm[:, 0], against[:, 0]
        rejected = stats.pearsonr(theirs - ours, theirs + ours, alternative=greater).pvalue
        assert rejected == pytest.approx(0.025, rel=1e-6)


def test_a_margin_is_a_ratio_of_deviations() -> None:
    arm, against = (each[0] for each in paired(1.5, 0.6))
    scaled = form("smaller-spread", "pitman-morgan", np.log(2)).outcome(arm, against, 0.025)
    plain = spread().outcome(2 * arm, against, 0.025)
    assert scaled.p == pytest.approx(plain.p) and scaled.words[CONTRADICTED] != plain.words[CONTRADICTED]


def test_false_verdicts_are_as_rare_as_the_level_says_and_power_is_what_is_found() -> None:
    null = LogRatio.of(*paired(1.0, 0.5, many=20_000))
    assert float((null.above(0.0) <= 0.025).mean()) == pytest.approx(0.025, abs=0.004)
    assert float((null.below(0.0) <= 0.025).mean()) == pytest.approx(0.025, abs=0.004)
    arm, against = paired(1.6, 0.5, many=20_000, seed=1)
    power = float((LogRatio.of(arm, against).above(0.0) <= 0.025).mean())
    # Fisher's transformation errs by some hundredths; here the correlation is exactly one half
    ours, theirs = exact(1.6, 0.5)
    assert spread().power(ours, theirs, np.log(1.6), 0.025) == pytest.approx(power, abs=0.03)
    assert 0.5 < power < 0.8


def exact(ratio: float, correlation: float) -> tuple[np.ndarray, np.ndarray]:
    """Samples of which the deviations' ratio and the correlation are exactly these."""
    first, second = np.linalg.qr(np.random.default_rng(2).normal(size=(N, 3)) - 0.0)[0].T[:2]
    first, second = first - first.mean(), second - second.mean()
    second = second - first * (second @ first) / (first @ first)
    first, second = first / first.std(), second / second.std()
    return first[:, None], (ratio * (correlation * first + (1 - correlation**2) ** 0.5 * second))[:, None]


def test_seeds_and_differences_that_are_asked_for_have_the_power() -> None:
    ours, theirs = exact(1.6, 0.5)
    found = spread()
    needed = found.seeds_needed(ours, theirs, np.log(1.6), 0.025)
    assert needed is not None
    powers = [found.power(ours, theirs, np.log(1.6), 0.025, int(needed) - less) or 0.0 for less in (0, 1)]
    assert powers[0] >= 0.8 > powers[1]
    least = found.detectable(ours, theirs, 0.025)
    assert least is not None and found.power(ours, theirs, least, 0.025) == pytest.approx(0.8)
    assert found.seeds_needed(ours, theirs, 1e-6, 0.025) == np.inf


def test_what_says_nothing_has_no_p_value() -> None:
    arm, against = (each[0] for each in paired(1.5, 0.6))
    for ours, theirs in ((arm[:3], against[:3]), (np.zeros((N, 1)), against), (arm, 2 * arm)):
        found = spread().outcome(ours, theirs, 0.025)
        assert found.p is None and found.words == {} and found.why.startswith("undefined")
        assert spread().power(ours, theirs, 0.5, 0.025) is spread().detectable(ours, theirs, 0.025) is None
    assert SUPPORTED in spread().words


def test_too_few_seeds_have_no_power_whatever_is_known_of_the_correlation() -> None:
    ours, theirs = exact(1.6, 0.5)
    assert [spread().power(ours, theirs, 5.0, 0.025, seeds) for seeds in (2, 3)] == [None, None]
    assert spread().power(ours, theirs, 5.0, 0.025, 4) is not None


@pytest.mark.parametrize(
    ("arm", "against", "says"),
    [
        (np.zeros((5, 2)), np.zeros((5, 2)), "the same seeds on one task"),
        (np.zeros((5, 1)), np.zeros((4, 1)), "the same seeds on one task"),
        (np.full((5, 1), np.nan), np.zeros((5, 1)), "NaN or infinite"),
    ],
)
def test_what_cannot_be_compared_is_refused(arm: np.ndarray, against: np.ndarray, says: str) -> None:
    with pytest.raises(InputError, match=says):
        spread().outcome(arm, against, 0.025)
    for wrong in (("smaller-spread", "welch", 0.0), ("smaller-spread", "pitman-morgan", -1.0)):
        with pytest.raises(InputError, match=r"method|margin"):
            form(*wrong)
