"""What only statistics know of a ledger: which claims are one entry of Holm's correction, and designs that cannot say anything."""

from __future__ import annotations

from collections.abc import Sequence

from harness.schema.claims import Claim, Ledger, tasks_of
from harness.schema.suite import CLAIMS, SUITES, Suite
from reports.statistics.centres import smallest_p
from reports.statistics.metrics import METRICS
from reports.statistics.numerals import numeral

SEQUENCE = ("non-inferiority", "superiority")
"""Tests of one comparison that are one entry of Holm's correction, in this order."""


def entries(claims: Sequence[tuple[Claim, Sequence[str]]]) -> list[list[int]]:
    """The entries of Holm's correction, as places of `claims` (each with its tasks), in the order of testing.

    `Not worse` and then `better` of one comparison are one; every other claim is one by itself.
    """
    groups: dict[object, list[int]] = {}
    for place, (claim, tasks) in enumerate(claims):
        comparison = (claim.pair, claim.arm, claim.against, claim.metric, tuple(sorted(tasks)))
        groups.setdefault(comparison, []).append(place)
    found = []
    for group in groups.values():
        by_test = [[place for place in group if claims[place][0].test == test] for test in SEQUENCE]
        sequence = [place for places in by_test for place in places] if [*map(len, by_test)] == [1, 1] else []
        found += [*([sequence] if sequence else []), *([place] for place in group if place not in sequence)]
    return sorted(found)


def problems(ledger: Ledger, suite: Suite) -> list[str]:
    """Designs that no run should be started for, one line each that names file and field; [] for a sound ledger.

    A level that cannot be reached whatever the data; an effect or margin that is larger than the room above the hard arm.
    """
    path = SUITES / suite.folder / CLAIMS
    return [
        f"{path}: claims.{number} ({claim.id}): {line}"
        for number, claim in enumerate(ledger.claims)
        for line in (*_unreachable(claim, suite, ledger.level, ""), *_beyond(claim, ledger, suite))
    ]


def notes(ledger: Ledger, suite: Suite) -> list[tuple[str, ...]]:
    """What is to be known of each claim's design, in the ledger's order: `problems`, and a level that others' claims can take away."""
    family = len(entries([(claim, tasks_of(claim, suite)) for claim in ledger.claims]))
    found = []
    for claim in ledger.claims:
        never = _unreachable(claim, suite, ledger.level, "")
        seldom = _unreachable(
            claim, suite, ledger.level / family, f", left by Holm's correction for {family} entries at worst"
        )
        found.append((*(never or seldom), *_beyond(claim, ledger, suite)))
    return found


def headroom(claim: Claim, ledger: Ledger, suite: Suite) -> float | None:
    """Mean over the claim's tasks of the room between the hard arm's tuning runs and the best that there is, in score.

    The best is the reference's `optimum`, or its `high`. None where a tuning run is not recorded, or the metric is no place on the scale.
    """
    tuned, tasks = ledger.tuning.get(claim.pair, {}), tasks_of(claim, suite)
    if not METRICS[claim.metric].on_scale or any(task not in tuned for task in tasks):
        return None
    room = []
    for task in tasks:
        reference = suite.references[task]
        best = reference.high if reference.optimum is None else reference.optimum
        room.append((best - tuned[task]) / (reference.high - reference.low))
    return sum(room) / len(room)


def _unreachable(claim: Claim, suite: Suite, level: float, why: str) -> list[str]:
    tasks = tasks_of(claim, suite)
    seeds = min(len(suite.registered(claim.pair, task).seeds) for task in tasks)
    least = smallest_p(claim.method, seeds, len(tasks))
    if least <= level:
        return []
    design = f"{claim.method} with {seeds} seeds on {len(tasks)} task{'s' * (len(tasks) > 1)}"
    return [
        f"method: {design} cannot reach level {level:.3g}{why}: its smallest p value is {numeral(least, '.3g')}; "
        "take more seeds or another method"
    ]


def _beyond(claim: Claim, ledger: Ledger, suite: Suite) -> list[str]:
    room = headroom(claim, ledger, suite)
    sizes = {"effect": claim.assumed, "margin": claim.margin}
    return [
        f"{name}: {size:g} exceeds the room above the hard arm, {numeral(room, '.3g')} "
        "(tuning runs against the best there is, mean over tasks)"
        for name, size in sizes.items()
        if room is not None and size > room
    ]
