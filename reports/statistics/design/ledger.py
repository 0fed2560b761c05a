"""What only statistics know of a ledger: which claims are one entry of Holm's correction, and designs that cannot say anything."""

from __future__ import annotations

from collections.abc import Sequence

from harness.schema.claims import Claim, Ledger, tasks_of
from harness.schema.suite import CLAIMS, SUITES, Suite
from reports.statistics.centres import smallest_p
from reports.statistics.metrics import METRICS
from reports.statistics.multiplicity import holm
from reports.statistics.numerals import numeral

SEQUENCE = ("non-inferiority", "superiority")
"""Tests of one comparison that are one entry of Holm's correction, in this order."""


def entries(claims: Sequence[tuple[Claim, Sequence[str]]]) -> list[list[int]]:
    """The entries of Holm's correction, as places of `claims` (each with its tasks), in the order of testing.

    `Not worse` and then `better` of one comparison are one; every other claim is one by itself.
    """
    groups: dict[object, list[int]] = {}
    for place, (claim, tasks) in enumerate(claims):
        comparison = (claim.pair, claim.arm, claim.against, claim.of, claim.metric, tuple(sorted(tasks)))
        groups.setdefault(comparison, []).append(place)
    found = []
    for group in groups.values():
        by_test = [[place for place in group if claims[place][0].test == test] for test in SEQUENCE]
        sequence = [place for places in by_test for place in places] if [*map(len, by_test)] == [1, 1] else []
        found += [*([sequence] if sequence else []), *([place] for place in group if place not in sequence)]
    return sorted(found)


def level(ledger: Ledger, suite: Suite) -> float:
    """One-sided; what Holm's correction leaves a claim at worst: the first of the ledger's entries."""
    return ledger.level / len(_entries(ledger, suite))


def _entries(ledger: Ledger, suite: Suite) -> list[list[int]]:
    return entries([(claim, tasks_of(claim, suite)) for claim in ledger.claims])


def problems(ledger: Ledger, suite: Suite) -> list[str]:
    """Designs that no run should be started for, one line each that names file and field; [] for a sound ledger.

    A level that cannot be reached whatever the data, after Holm's correction; an effect or margin that is larger than the room above
    the hard arm.
    """
    path = SUITES / suite.folder / CLAIMS
    never = _never(ledger, suite, [None] * len(ledger.claims))
    return [
        f"{path}: claims.{number} ({claim.id}): {line}"
        for number, claim in enumerate(ledger.claims)
        for line in (*never[number], *_beyond(claim, ledger, suite))
    ]


def notes(ledger: Ledger, suite: Suite, seeds: Sequence[int | None] | None = None) -> list[tuple[str, ...]]:
    """What is to be known of each claim's design, in the ledger's order: `problems`, and a level that others' claims can take away.

    `seeds`: how many each claim has; None: those that the suite registers.
    """
    given = seeds or [None] * len(ledger.claims)
    family, at = len(_entries(ledger, suite)), level(ledger, suite)
    found, never = [], _never(ledger, suite, given)
    for number, claim in enumerate(ledger.claims):
        why = f", left by Holm's correction for {family} entries at worst"
        seldom = _unreachable(claim, suite, given[number], at, why)
        found.append((*(never[number] or seldom), *_beyond(claim, ledger, suite)))
    return found


def _never(ledger: Ledger, suite: Suite, seeds: Sequence[int | None]) -> list[list[str]]:
    """For each claim, why its level can never be reached, or []: not even if every claim had the smallest p value of its design."""
    least = [
        smallest_p(claim.method, seeds_of(claim, suite, its), len(tasks_of(claim, suite)))
        for claim, its in zip(ledger.claims, seeds, strict=True)
    ]
    at_best = holm(least, _entries(ledger, suite))
    found = []
    for claim, its, corrected in zip(ledger.claims, seeds, at_best, strict=True):
        never = _unreachable(claim, suite, its, ledger.level, "")
        if not never and corrected > ledger.level:
            why = f" after Holm's correction: at best its p value is {numeral(corrected, '.3g')}"
            never = [_told(claim, suite, its, ledger.level, why)]
        found.append(never)
    return found


def headroom(claim: Claim, ledger: Ledger, suite: Suite) -> float | None:
    """Mean over the claim's tasks of the room between the hard arm's tuning runs and the best that there is, in score.

    The best is the reference's `optimum`, or its `high`. None where a tuning run is not recorded, or the metric is no place on the scale.
    """
    tuned, tasks = ledger.tuning.get(claim.pair, {}), tasks_of(claim, suite)
    on_scale = METRICS[claim.metric].on_scale and claim.of_means
    if not on_scale or any(task not in tuned for task in tasks):
        return None
    room = []
    for task in tasks:
        reference = suite.references[task]
        best = reference.high if reference.optimum is None else reference.optimum
        room.append((best - tuned[task]) / (reference.high - reference.low))
    return sum(room) / len(room)


def seeds_of(claim: Claim, suite: Suite, given: int | None = None) -> int:
    """Seeds an arm of a claim: those given, or as many as the suite registers on the task where they are fewest."""
    registered = (len(suite.registered(claim.pair, task).seeds) for task in tasks_of(claim, suite))
    return min(registered) if given is None else given


def _unreachable(claim: Claim, suite: Suite, given: int | None, level: float, why: str) -> list[str]:
    reached = smallest_p(claim.method, seeds_of(claim, suite, given), len(tasks_of(claim, suite))) <= level
    return [] if reached else [_told(claim, suite, given, level, why)]


def _told(claim: Claim, suite: Suite, given: int | None, level: float, why: str) -> str:
    tasks, seeds = tasks_of(claim, suite), seeds_of(claim, suite, given)
    design = f"{claim.method} with {seeds} seeds on {len(tasks)} task{'s' * (len(tasks) > 1)}"
    least = numeral(smallest_p(claim.method, seeds, len(tasks)), ".3g")
    return (
        f"method: {design} cannot reach level {level:.3g}{why}: its smallest p value is {least}; "
        "take more seeds or another method"
    )


def _beyond(claim: Claim, ledger: Ledger, suite: Suite) -> list[str]:
    room = headroom(claim, ledger, suite)
    sizes = {"effect": claim.assumed, "margin": claim.margin}
    return [
        f"{name}: {size:g} exceeds the room above the hard arm, {numeral(room, '.3g')} "
        "(tuning runs against the best there is, mean over tasks)"
        for name, size in sizes.items()
        if room is not None and size > room
    ]
