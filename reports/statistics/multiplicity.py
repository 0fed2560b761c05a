"""Several claims at once: Holm's correction over entries, so that one false verdict in a whole ledger is as rare as in one test.

An entry is one claim, or a fixed sequence: claims of one comparison, each tested only when the one before was shown, all at the entry's
local level. An entry passes its level on to the others when its last claim is shown, not before: passing it on with the first, while
the second is still tested at it, would spend it twice (Bretz et al. 2009: a graphical procedure; Holm 1979 where every entry is one
claim).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Entries = Sequence[Sequence[int]]
"""The places of an entry's claims, in the order of testing; every place is in one entry."""


def holm(p: Sequence[float], entries: Entries | None = None) -> list[float]:
    """Adjusted p values, in the order given: those at most `level` are shown together at `level`. None: every claim its own entry."""
    entries = [[place] for place in range(len(p))] if entries is None else entries
    reached = [np.maximum.accumulate([p[place] for place in entry]) for entry in entries]
    order = np.argsort([each[-1] for each in reached], kind="stable")
    adjusted, spent = [0.0] * len(p), [0.0]
    for rank, at in enumerate(order):
        # Entries that share the level, before each that is complete so far, and after.
        left = len(entries) - np.arange(rank + 1)
        for place, its in zip(entries[at], reached[at], strict=True):
            adjusted[place] = float(min(1.0, np.maximum(spent, its * left).min()))
        spent.append(max(spent[-1], float(reached[at][-1] * left[-1])))
    return adjusted


def sharing(p: Sequence[float], entries: Entries, level: float) -> list[int]:
    """Among how many entries `level` is shared where each claim is tested: all but those that are shown, which passed theirs on."""
    reached = [np.maximum.accumulate([p[place] for place in entry]) for entry in entries]
    adjusted = holm(p, entries)
    shown = [all(adjusted[place] <= level for place in entry) for entry in entries]
    found = [0] * len(p)
    for at, entry in enumerate(entries):
        for place, its in zip(entry, reached[at], strict=True):
            passed = sum(
                shown[other] and bool(reached[other][-1] < its) for other in range(len(entries)) if other != at
            )
            found[place] = len(entries) - passed
    return found
