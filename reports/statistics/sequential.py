"""Adding seeds until a claim is decided, without more false verdicts: group-sequential looks fixed beforehand.

At each look the p value of the claim, and that of its refutation, is compared with a nominal level that spends a part of the whole
level. The spending function is that of Lan and DeMets (1983) which is like O'Brien and Fleming's: nearly nothing early, nearly
everything at the last look, so that waiting costs little.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from numpy.polynomial.legendre import leggauss
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from harness.errors import InputError
from reports.statistics.centres import Centre
from reports.statistics.forms.form import INCONCLUSIVE, SUPPORTED, Form, first_word
from reports.statistics.intervals import Array

FIRST = 5
"""Seeds an arm at the first of several looks, at least. With 3 or 4, scores that fall into two narrow groups (a run fails or does not)
can part by chance so cleanly that the t test passes any level. Simulated, false verdicts as multiples of the level: looks at 3 and 6,
1.2 at a level of 0.025 and 7 at 0.002; looks from 5 on, at most 1.1 and 2 (one t test at the end: 1.1 and 1.6). That is for arms whose
scores scatter alike; of a skewed arm against a steady one `reports.statistics.coverage` finds several times the level."""
NODES = 400  # of the numerical integration: z values to five digits for up to 100 looks
FAR = 9.0  # standard deviations from the mean, where nothing is left to integrate


def blocks(start: int, block: int, most: int) -> list[int]:
    """Seeds an arm at each look: `start`, then `block` more each time, up to `most`."""
    if start < 2:
        raise InputError(f"start: {start} seeds have no spread; at least 2 are needed")
    if block < 1:
        raise InputError(f"block: {block} is not allowed; at least 1 seed must be added at a look")
    if most < start:
        raise InputError(f"most: {most} seeds are fewer than the first look's {start}")
    return [*range(start, most, block), most]


def plan(looks: Sequence[int], level: float) -> list[float]:
    """The nominal one-sided level of each look, for p values of `looks` seeds an arm: all looks together spend `level`.

    A verdict at a look needs p <= its level. Each of the two decisions (claim, refutation) spends `level` of its own, as if the
    other could not end the study first: this is on the safe side. Levels are exact for normal scores of known variance, and used for
    the p values of t tests (the significance-level approach of Jennison and Turnbull 2000).
    """
    if not looks or looks[0] < 1 or any(after <= before for before, after in pairwise(looks)):
        raise InputError(f"looks: {list(looks)} is not allowed; seeds must be positive and grow from look to look")
    if len(looks) > 1 and looks[0] < FIRST:
        raise InputError(
            f"looks: the first one of several has {looks[0]} seeds; at least {FIRST} are needed for a t test at its level"
        )
    if not 0 < level < 0.5:
        raise InputError(f"level: {level} is not allowed; it is one-sided, between 0 and 0.5")
    fractions = np.array(looks) / looks[-1]
    spent = 2 * ndtr(ndtri(level / 2) / np.sqrt(fractions))
    levels = [float(spent[0])]
    nodes, weights = leggauss(NODES)
    # The sum of the scores is a Brownian motion, seen at the times `fractions`. `at` are the places that it can have at the last look
    # without a verdict so far, `density` its probabilities there.
    at, density, before = np.zeros(1), np.ones(1), 0.0
    for k, (now, after) in enumerate(pairwise(fractions)):
        low, high = -FAR * now**0.5, min(-ndtri(levels[-1]), FAR * FAR) * now**0.5
        points, step = low + (high - low) * (nodes + 1) / 2, (now - before) ** 0.5
        kernel = np.exp(-0.5 * ((points[:, None] - at) / step) ** 2) / (step * (2 * np.pi) ** 0.5)
        at, density, before = points, (kernel @ density) * weights * (high - low) / 2, now
        levels.append(_level(at, density, now, after, spent[k + 1] - spent[k]))
    return levels


def _level(at: Array, density: Array, now: float, after: float, increment: float) -> float:
    """The nominal level with which a path of `density [N]` at the places `at [N]` crosses at time `after` with probability `increment`."""

    def excess(z: float) -> float:
        return float(ndtr((at - z * after**0.5) / (after - now) ** 0.5) @ density) - increment

    return float(ndtr(-brentq(excess, 0.0, FAR * FAR, xtol=1e-10)))


def settles(p: Array | float, p_against: Array | float, nominal: float) -> npt.NDArray[np.bool_]:
    """Whether a look ends a study: its claim, or the contrary of its claim, is shown at the look's nominal level."""
    return np.asarray(np.minimum(p, p_against) <= nominal)


def decisions(
    centres: Sequence[Centre], test: Form, looks: Sequence[int], levels: Sequence[float]
) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.int64]]:
    """What the plan makes of R studies with all seeds known: `centres` holds what is known of them at each look, `[R]` each.

    The verdicts `[R]` with the nominal `levels` of `plan`, `inconclusive` after all looks where nothing is shown, and the seeds an arm
    at which they fell `[R]`.
    """
    first = test.p_values(centres[0])[SUPPORTED]
    verdict, seeds = np.full(first.shape, INCONCLUSIVE, dtype="<U24"), np.full(first.shape, looks[-1])
    undecided = np.ones(first.shape, bool)
    for centre, look, nominal in zip(centres, looks, levels, strict=True):
        p = test.p_values(centre)
        falls = undecided & (settles(p[SUPPORTED], test.refuted.p(centre), nominal) | (look == looks[-1]))
        verdict[falls], seeds[falls] = first_word(p, nominal)[falls], look
        undecided &= ~falls
    return verdict, seeds
