"""What changed since the last release, whose scores are kept in git (`harness.schema.baseline`), and whether anything got worse.

A loss counts only where it is supported statistically: Welch's one-sided test of every arm on every task, Holm-corrected over all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import comb
from typing import Any

import numpy as np

from harness.errors import InputError
from harness.schema.baseline import Baseline
from harness.schema.suite import Suite
from reports.statistics.forms import form
from reports.statistics.forms.form import BELOW_MARGIN, CONTRADICTED, NO_DIFFERENCE
from reports.statistics.intervals import Array, Estimate, difference
from reports.statistics.multiplicity import holm
from reports.statistics.scores import Study
from reports.statistics.verdicts import Verdict

LEVEL = 0.025
OLD_WORDS = {"refuted": (NO_DIFFERENCE, CONTRADICTED, BELOW_MARGIN)}
"""Words of earlier releases -> what they are called now."""
SAME, LOSS, GAIN, UNCLEAR, MISSING, NEW = (
    "the same scores",
    "loss",
    "gain",
    "no supported change",
    "not measured now",
    "new",
)


@dataclass(frozen=True)
class Change:
    """One arm on one task, then and now. `difference`: now minus then, in score; None where one of them is missing."""

    pair: str
    task: str
    arm: str
    then: float | None
    now: float | None
    seeds: tuple[int, int]
    difference: Estimate | None
    p_loss: float | None
    p_gain: float | None
    status: str


def make(suite: Suite, studies: Sequence[Study], verdicts: Sequence[Verdict]) -> str:
    """The content of a baseline file for these results. Raises InputError where there are none."""
    scores: dict[str, Any] = {}
    for pair, task, arm, found in _scores(suite, studies):
        scores.setdefault(pair, {}).setdefault(task, {})[arm] = {
            str(seed): round(score, 9) for seed, score in found.items()
        }
    if not scores:
        raise InputError(f"no results for suite {suite.name!r}; train it first: softbench train {suite.name}")
    judged = {verdict.claim.id: verdict.verdict for verdict in verdicts}
    content = {"suite": suite.name, "mode": suite.evaluation.primary, "scores": scores, "verdicts": judged}
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def compare(baseline: Baseline, suite: Suite, studies: Sequence[Study]) -> list[Change]:
    """Every arm on every task that is in either, in the suite's order, then what only the baseline has."""
    then = {
        (pair, task, arm): own
        for pair, tasks in baseline.scores.items()
        for task, arms in tasks.items()
        for arm, own in arms.items()
        if own
    }
    changes = []
    for pair, task, arm, now in _scores(suite, studies):
        changes.append(_change(pair, task, arm, then.pop((pair, task, arm), {}), now))
    changes += [_change(*place, own, {}) for place, own in then.items()]
    tested = [at for at, change in enumerate(changes) if change.p_loss is not None]
    losses = holm([changes[at].p_loss or 0.0 for at in tested])
    gains = holm([changes[at].p_gain or 0.0 for at in tested])
    for at, loss, gain in zip(tested, losses, gains, strict=True):
        status = LOSS if loss <= LEVEL else GAIN if gain <= LEVEL else UNCLEAR
        changes[at] = replace(changes[at], p_loss=loss, p_gain=gain, status=status)
    return changes


def same_verdict(then: str | None, now: str | None) -> bool:
    """Whether a verdict is the one of the release, which may have said it in an old word."""
    return then == now or now in OLD_WORDS.get(then or "", ())


def _scores(suite: Suite, studies: Sequence[Study]) -> Iterator[tuple[str, str, str, dict[int, float]]]:
    """Pair, task, arm, and the final scores by seed."""
    for study in studies:
        for (task, arm), curves in study.curves.items():
            if curves.seeds:  # a cell may have fewer arms than another of its pair
                final = study.score(task, curves.returns[study.primary][:, -1])
                yield study.pair, task, arm, dict(zip(curves.seeds, final.tolist(), strict=True))


def _change(pair: str, task: str, arm: str, then: dict[int, float], now: dict[int, float]) -> Change:
    # A file sorts 10 before 2.
    old, new = (np.array([scores[seed] for seed in sorted(scores)])[:, None] for scores in (then, now))
    means = float(old.mean()) if len(old) else None, float(new.mean()) if len(new) else None
    sizes = len(old), len(new)
    if not len(old) or not len(new):
        return Change(pair, task, arm, *means, sizes, None, None, None, MISSING if len(old) else NEW)
    change = difference(new, old)
    if then.keys() == now.keys() and np.allclose(old, new, rtol=0, atol=1e-8):  # the file holds nine decimals
        return Change(pair, task, arm, *means, sizes, change, None, None, SAME)
    loss, gain = _p(old, new), _p(new, old)
    return Change(pair, task, arm, *means, sizes, change, loss, gain, UNCLEAR)


def _p(above: Array, below: Array) -> float:
    """One-sided p value for `above [n, 1]` having the larger mean. Two constants differ by chance in one of all orders."""
    found = form("superiority", "welch", 0.0).outcome(above, below, LEVEL)
    if found.p is not None:
        return found.p
    constant = min(len(above), len(below)) >= 2 and np.ptp(above) == 0 and np.ptp(below) == 0
    return 1 / comb(len(above) + len(below), len(above)) if constant and above.mean() > below.mean() else 1.0
