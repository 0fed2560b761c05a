"""A difference soft - hard in one word, by where its interval lies. Descriptive: verdicts are those of a ledger's claims."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from harness.schema.claims import Ledger
from reports.statistics.forms.form import NO_DIFFERENCE
from reports.statistics.intervals import Estimate
from reports.statistics.metrics import METRICS

BETTER, WORSE, UNDECIDED = "better", "worse", "undecided"
READINGS = (BETTER, NO_DIFFERENCE, WORSE, UNDECIDED)


def reading(estimate: Estimate, margin: float | None) -> str:
    """One of `READINGS` of a difference; without a margin no difference can be called irrelevant.

    An interval inside of ± the margin is `no relevant difference`, also where it leaves 0 out.
    """
    low, high = estimate.low, estimate.high
    if low is None or high is None:
        return UNDECIDED
    if margin is not None and -margin < low and high < margin:
        return NO_DIFFERENCE
    return BETTER if low > 0 else WORSE if high < 0 else UNDECIDED


def margin(ledger: Ledger | None, pair: str, soft: str, hard: str, tasks: Collection[str]) -> float | None:
    """The smallest difference of scores that a ledger calls relevant between two arms on some tasks: the least margin of the claims about
    them that are about one of these tasks.

    Where no claim is, that of all its claims; None where no claim is about a score, or there is no ledger.
    """
    claims = [
        each
        for each in (ledger.claims if ledger else [])
        if METRICS[each.metric].on_scale and each.margin > 0 and each.of_means
    ]
    own = [
        each.margin
        for each in claims
        if each.pair == pair
        and {each.arm, each.against} == {soft, hard}
        and not {*tasks}.isdisjoint(each.tasks or tasks)
    ]
    return min(own or [each.margin for each in claims], default=None)


def counted(words: Iterable[str]) -> dict[str, int]:
    """reading -> how often it is among `words`, for all of `READINGS`."""
    found = list(words)
    return {word: found.count(word) for word in READINGS}
