"""The test of paired deviations: against the correlation that it is, its own intervals inverted, simulation, and on a page."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from invented_results import Workspace, diverging
from scipy import stats
from test_site import Parts
from test_verdicts import CLAIM, Edit, around, chain, scored

from harness.commands import judging
from harness.errors import InputError
from harness.schema.suite import load_suite
from reports.site.site import build
from reports.statistics.centres import smallest_p
from reports.statistics.forms import form
from reports.statistics.forms.form import BELOW_MARGIN, CONTRADICTED, NO_DIFFERENCE, SUPPORTED, first_word
from reports.statistics.forms.spread import FEWEST, METHOD, LogRatio, Spread
from reports.statistics.numerals import numeral
from reports.statistics.verdicts import Verdict, judge

pytestmark = pytest.mark.usefixtures("no_ink")

N = 20


def paired(ratio: float, correlation: float, n: int = N, seed: int = 0, many: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Normal samples [many, n, 1] of the same seeds, where the second one's deviation is `ratio` times the first one's."""
    draw = np.random.default_rng(seed)
    common, ours, theirs = draw.normal(size=(3, many, n, 1))
    weight = correlation**0.5
    rest = (1 - correlation) ** 0.5
    return 0.5 + weight * common + rest * ours, ratio * (weight * common + rest * theirs)


def spread(margin: float = 0.0) -> Spread:
    made = form("smaller-spread", "pitman-morgan", margin)
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


def test_scores_that_are_not_normal_break_it_as_the_documents_say() -> None:
    draw = np.random.default_rng(8)
    arms = [draw.exponential(size=(20_000, 20, 1)) for _ in range(2)]
    share = float((spread().p_values(LogRatio.of(*arms))[SUPPORTED] <= 0.025).mean())
    said = " ".join((Path(__file__).parents[2] / "docs/verdicts.md").read_text().split())
    assert 4.5 < share / 0.025 < 5.5 and "with 20 seeds, it says a word falsely about five times as often" in said


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


def test_what_is_asked_for_beyond_a_margin_has_the_power() -> None:
    margin, true = float(np.log(1.3)), float(np.log(2.1))
    ours, theirs = exact(2.1, 0.5)
    found = spread(margin)
    drawn = LogRatio.of(*paired(2.1, 0.5, many=20_000, seed=3))
    shown = float((found.p_values(drawn)[SUPPORTED] <= 0.025).mean())
    assert found.power(ours, theirs, true, 0.025) == pytest.approx(shown, abs=0.03) and 0.5 < shown < 0.8
    least = found.detectable(ours, theirs, 0.025)
    assert least is not None and least > margin
    assert found.power(ours, theirs, least, 0.025) == pytest.approx(0.8)
    needed = found.seeds_needed(ours, theirs, true, 0.025)
    assert needed is not None
    powers = [found.power(ours, theirs, true, 0.025, int(needed) - less) or 0.0 for less in (0, 1)]
    assert powers[0] >= 0.8 > powers[1]
    assert found.seeds_needed(ours, theirs, margin, 0.025) == np.inf


@pytest.mark.parametrize(
    ("ratio", "n", "word"),
    [(3.0, 80, SUPPORTED), (1.0, 80, NO_DIFFERENCE), (0.6, 80, CONTRADICTED), (0.8, 12, BELOW_MARGIN)],
)
def test_a_margin_has_all_words_and_false_ones_are_rare(ratio: float, n: int, word: str) -> None:
    found = spread(float(np.log(1.5)))
    words = first_word(found.p_values(LogRatio.of(*paired(ratio, 0.6, n=n, many=2000, seed=4))), 0.025)
    false = [each for each, region in found.words.items() if not region.holds(float(np.log(ratio)))]
    assert (words == word).mean() > 0.2 and np.isin(words, false).mean() <= 0.025 + 3 * (0.025 / 2000) ** 0.5
    edge = first_word(found.p_values(LogRatio.of(*paired(1.5, 0.6, n=80, many=20_000, seed=5))), 0.025)
    for wrong in (SUPPORTED, NO_DIFFERENCE, BELOW_MARGIN):
        assert (edge == wrong).mean() <= 0.025 + 3 * (0.025 / 20_000) ** 0.5


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


@pytest.mark.parametrize("few", [1, 2, 3])
def test_what_is_undefined_is_no_estimate_of_zero(few: int) -> None:
    arm, against = (each[0] for each in paired(1.5, 0.6))
    found = spread().outcome(arm[:few], against[:few], 0.025)
    assert found.p is None and found.why == "undefined: n < 4"
    ratio = None if few == 1 else pytest.approx(float(np.log(against[:few].std() / arm[:few].std())))
    assert found.estimate == ratio
    assert spread().outcome(np.ones((N, 1)), against, 0.025).estimate is None


def test_no_p_value_is_reached_by_a_design_without_a_test() -> None:
    assert [smallest_p(METHOD, seeds, 1) for seeds in (2, FEWEST - 1, FEWEST)] == [1.0, 1.0, 0.0]
    assert smallest_p("paired", 2, 1) == 0.0


TASK = "CartPole-v1"
CLOSER = {
    **CLAIM,
    "pair": "ppo",
    "arm": "sppo-38",
    "against": "ppo",
    "test": "smaller-spread",
    "method": "pitman-morgan",
    "effect": 0.69,
}


def judged(workspace: Workspace, arm: list[float], against: list[float], edit: Edit | None = None) -> Verdict:
    """`CLOSER` on these scores."""
    workspace.suite("classic", {"ppo": [TASK]}, seeds=f"0-{len(arm) - 1}")
    workspace.claims("classic", [CLOSER])
    give = scored({"sppo-38": arm, "ppo": against}, {"claims": {"C4": CLOSER}})
    arms = {"ppo": None, "sppo-38": "ppo"}
    workspace.cell("classic", "ppo", TASK, arms=arms, seeds=len(arm), edit=chain(give, edit))
    return judge(load_suite("classic"), workspace.results)[0]


def card(workspace: Workspace) -> tuple[str, dict[str, str]]:
    """The claim's card, and the table of its numbers."""
    page = build(["classic"], workspace.root / "site").pages[1].read_text()
    (found,) = re.findall(r'<article class="[^"]*" id="claim-C4".*?</article>', page, re.DOTALL)
    return unescape(found), dict(Parts(page).tables["classic/claim-C4.csv"][1:])


def test_a_page_says_a_spread_in_its_own_words(workspace: Workspace) -> None:
    arm, against = around(0.5, 0.02, N), around(0.5, 0.1, N, seed=1)
    verdict = judged(workspace, arm, against)
    found = verdict.outcome
    assert verdict.verdict == "supported" and found is not None and found.low is not None and found.high is not None
    estimate = float(np.log(np.std(against) / np.std(arm)))
    assert found.estimate == pytest.approx(estimate) == pytest.approx(np.log(5))
    text, facts = card(workspace)
    assert "proper is better (log ratio of deviations above 0)." in text
    assert "that is, the log ratio of deviations log(sd ppo / sd sppo-38) is above 0 " in text
    assert f"the log ratio of deviations observed is {numeral(estimate, '+.3f')}." in text
    assert 'aria-label="Log ratio of deviations' in text and "Below: the log ratio of deviations with its 95%" in text
    assert facts["log ratio of deviations"] == numeral(estimate, ".3f") and "difference" not in facts
    assert facts["detectable log ratio of deviations"] != "—"
    said = "\n".join(judging.lines("classic", [verdict]))
    assert f"log(sd ppo / sd sppo-38) = {estimate:+.3f} [{found.low:+.3f}, {found.high:+.3f}]" in said
    assert f"The log ratio of deviations is {numeral(estimate, '+.3f')} and shown to be above 0 (" in said


def test_a_spread_that_is_not_there_is_no_zero(workspace: Workspace) -> None:
    verdict = judged(workspace, [0.5] * 6, around(0.5, 0.1, 6))
    assert verdict.verdict == "inconclusive" and "no variance" in verdict.why
    assert verdict.to_json()["estimate"] is None
    assert "log(sd ppo / sd sppo-38) = undefined  6 of 6" in "\n".join(judging.lines("classic", [verdict]))
    text, facts = card(workspace)
    assert facts["log ratio of deviations"] == "—" and "deviations observed is" not in text
    assert "there is no spread between seeds" in text


def test_too_few_seeds_for_a_spread_are_told(workspace: Workspace) -> None:
    verdict = judged(workspace, around(0.5, 0.02, 3), around(0.5, 0.1, 3, seed=1))
    assert verdict.verdict == "inconclusive" and "its smallest p value is 1;" in verdict.notes[0]
    assert "there are too few seeds for a test, so how many would decide is not known" in card(workspace)[0]


def test_a_card_prints_a_command_that_runs(workspace: Workspace) -> None:
    verdict = judged(workspace, around(0.5, 0.08, 8), around(0.5, 0.1, 8, seed=1))
    assert verdict.verdict == "inconclusive" and verdict.seeds_needed is not None and verdict.seeds_needed > 8
    assert f"softbench decide classic/C4 --max-seeds {int(verdict.seeds_needed)}<" in card(workspace)[0]


def test_a_diverged_seed_at_the_floor_makes_no_spread_larger(workspace: Workspace) -> None:
    sides = around(0.6, 0.03, N), around(0.6, 0.03, N, seed=1)
    assert judged(workspace, *sides).verdict == "inconclusive"
    verdict = judged(workspace, *sides, edit=diverging("ppo", 3, 2))
    assert verdict.outcome is not None and verdict.outcome.p is not None and verdict.outcome.p < 0.001
    assert verdict.verdict == "inconclusive" and verdict.sensitivity is None
    assert "1 seed diverged and could change it: a diverged seed counts at the floor, which is no penalty here" in (
        verdict.why
    )
    text = card(workspace)[0]
    assert "more seeds do not decide it" in text and "add seeds" not in text
