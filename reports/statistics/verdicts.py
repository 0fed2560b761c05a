"""From a ledger and finished cells to verdicts: every claim tested once, by the test that it names, Holm-corrected over the ledger.

`measure` (`reports.statistics.measuring`) -> `decide` -> `explain`. A verdict is the first word that is shown at the ledger's level,
after Holm's correction of that word's p values over all claims: `supported`, `no relevant difference` (inside of ± the margin),
`contradicted` (on the other side of 0), `below the margin` (shown to be less than the claim says); else `inconclusive`, and
`seeds_needed` says what would decide. `invalid`: these results cannot answer (altered, too few seeds). `not measured`: results are
missing for a task of the claim. docs/verdicts.md has which word can be said of which test, and what it means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.schema.claims import Claim, Ledger, load_ledger
from harness.schema.decision import Decision, decision_path, read_decision
from harness.schema.suite import Suite
from reports.statistics.design.ledger import entries, notes
from reports.statistics.forms import form
from reports.statistics.forms.form import (
    BELOW_MARGIN,
    CONTRADICTED,
    INCONCLUSIVE,
    INVALID,
    NO_DIFFERENCE,
    NOT_MEASURED,
    SUPPORTED,
    WORDS,
    Outcome,
)
from reports.statistics.forms.spread import TEST as SPREAD
from reports.statistics.measuring import Data, Measured, as_if_lost_had_ended, measure, suspicions
from reports.statistics.metrics import METRICS
from reports.statistics.multiplicity import holm, sharing
from reports.statistics.numerals import numeral
from reports.statistics.power import MOST_SEEDS
from reports.statistics.scores import Damaged, Study, read_studies
from reports.statistics.summary.band import Band, band

VERDICTS = (*WORDS, INCONCLUSIVE, INVALID, NOT_MEASURED)
SHOWN = ("statement", "source", "pair", "arm", "against", "of", "metric", "test", "method")
FEW = 4
"""Seeds an arm below which the formula for their number fails (power 0.59 instead of 0.8 at 2): said as at least 4."""

__all__ = [
    "BELOW_MARGIN",
    "CONTRADICTED",
    "INCONCLUSIVE",
    "INVALID",
    "NOT_MEASURED",
    "NO_DIFFERENCE",
    "SUPPORTED",
    "VERDICTS",
    "WORDS",
    "Data",
    "Measured",
    "Ruling",
    "Verdict",
    "bar",
    "decide",
    "judge",
    "measure",
    "verdicts",
]


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """What follows from the p values of a whole ledger for one claim; the numbers are None where its test gave none."""

    verdict: str
    after: str | None = None
    """The claim that must be supported before this one is tested, the first of a fixed sequence."""
    p_holm: float | None = None
    p_against_holm: float | None = None
    words: dict[str, float] | None = None
    """word -> its p value after correction, for those that can be said of this claim."""
    left: float | None = None
    """The level that Holm's correction leaves the claim at its present place."""


@dataclass(frozen=True, kw_only=True)
class Verdict(Measured, Ruling):
    """One claim, judged. All numbers are those of the suite's primary evaluation mode; None where there are none."""

    why: str
    """One sentence: what decided."""
    seeds_needed: float | None = None
    """An arm, for 80 % power at `effect` and the level that Holm's correction leaves; at least 4; inf: over `MOST_SEEDS`; None: unknown."""
    detectable: float | None = None
    """The smallest difference that this many seeds of this spread find with 80 % power, at the same level."""
    modes: dict[str, str] | None = None
    """evaluation mode -> verdict."""
    sensitivity: dict[str, str] | None = None
    """`best`, `worst` -> verdict if lost (missing or diverged) seeds had ended so for the claim; None: none lost, or no bounds known."""
    whole: Band | None = None
    """Of a claim that areas are equivalent: whether whole curves are. It decides nothing."""
    notes: tuple[str, ...] = ()
    """What is to be known of the claim's design, or of its looks, one line each."""
    decision: Decision | None = None
    """What `softbench decide` fixed and found, by looks of its own."""

    @property
    def flips(self) -> bool:
        """Whether the choice of the evaluation mode changes the verdict."""
        return self.modes is not None and len(set(self.modes.values())) > 1

    @property
    def statement(self) -> str:
        """The claim's statement with its margin."""
        unit = " nats" if METRICS[self.claim.metric].unit == "nats" else ""
        return f"{self.claim.statement.removesuffix('.')} ({self.claim.estimand} {bar(self.claim)}{unit})."

    @property
    def needed(self) -> str:
        """`22 for 80 % power if the effect is 0.03`, `at least 4 ...`, `more than 10,000 ...`; "" where it is not known."""
        if self.seeds_needed is None:
            return ""
        number = f"at least {FEW}" if self.seeds_needed == FEW else f"{self.seeds_needed:g}"
        if self.seeds_needed == math.inf:
            number = f"more than {MOST_SEEDS:,}"
        return f"{number} for 80 % power if the effect is {self.claim.assumed:g}"

    def to_json(self) -> dict[str, Any]:
        """The verdict as `softbench judge --json` prints it."""
        found = self.outcome
        return {
            "claim": self.claim.id,
            "verdict": self.verdict,
            "why": self.why,
            "estimate": found and found.estimate,
            "low": found and found.low,
            "high": found and found.high,
            "margin": self.claim.margin,
            "level": self.level,
            "p": found and found.p,
            "p_holm": self.p_holm,
            "p_against": found and found.p_against,
            "p_against_holm": self.p_against_holm,
            "p_words": self.words,
            "bar": bar(self.claim),
            "after": self.after,
            "seeds": self.seeds,
            "seeds_of_arms": list(self.data.counts) if self.data is not None else None,
            "seeds_needed": None if self.seeds_needed == math.inf else self.seeds_needed,
            "needed": self.needed,
            "detectable": self.detectable,
            "modes": self.modes,
            "sensitivity": self.sensitivity,
            "whole_curves": self.whole and self.whole.said,
            "lost": list(self.lost),
            "changed": list(self.changed),
            "uninformative": list(self.uninformative),
            "notes": list(self.notes),
            "decision": self.decision
            and {
                "verdict": self.decision.verdict,
                "looks": len(self.decision.looks),
                "seeds": self.decision.looks[-1].seeds if self.decision.looks else 0,
            },
            **self.claim.model_dump(include={*SHOWN}),
        }


def judge(suite: Suite, results: Path) -> list[Verdict]:
    """The verdicts on all claims of a suite, in the ledger's order; [] where it has no ledger.

    Raises InputError where the ledger cannot be read, or names an arm that the results do not have.
    """
    ledger = load_ledger(suite)
    if ledger is None:
        return []
    studies, damaged = read_studies(suite, results)
    return verdicts(ledger, suite, studies, damaged, read_looks(ledger, suite, results))


def read_looks(ledger: Ledger, suite: Suite, results: Path) -> dict[str, Decision | str]:
    """claim -> what `softbench decide` found, or in one line why that cannot be used."""
    found: dict[str, Decision | str] = {}
    for claim in ledger.claims:
        path = decision_path(results, suite.name, claim.id)
        try:
            decision = read_decision(path)
        except InputError as error:
            found[claim.id] = str(error)
            continue
        if decision is not None:
            rules = (suite.name, claim, ledger.level, ledger.uninformative)
            same = (decision.suite, decision.claim, decision.level, decision.uninformative) == rules
            found[claim.id] = decision if same else f"{path}: is about an earlier form of this claim, or of its ledger"
    return found


def verdicts(
    ledger: Ledger,
    suite: Suite,
    studies: Sequence[Study],
    damaged: Sequence[Damaged] = (),
    looks: Mapping[str, Decision | str] | None = None,
) -> list[Verdict]:
    """The verdicts of a ledger on what was read: cells, those that are damaged, and the outcomes of `softbench decide`."""
    by_pair = {study.pair: study for study in studies}
    # Each claim in the mode that its pair is judged by, and all of them in the other mode.
    ranked = [suite.modes(claim.pair) for claim in ledger.claims]
    most = max((len(modes) for modes in ranked), default=0)
    padded = [[*modes, *[modes[0]] * (most - len(modes))] for modes in ranked]
    found = [
        [
            measure(claim, ledger, suite, by_pair.get(claim.pair), mode, damaged)
            for claim, mode in zip(ledger.claims, modes, strict=True)
        ]
        for modes in zip(*padded, strict=True)
    ]
    decided = [decide(measured, ledger.level) for measured in found]
    judged = []
    there = [each.seeds if suite.imported is not None and each.data is not None else None for each in found[0]]
    designs = notes(ledger, suite, there)
    for number, (measured, known) in enumerate(zip(found[0], designs, strict=True)):
        known = (*known, *suspicions(measured, by_pair.get(measured.claim.pair)))
        verdict = explain(measured, decided[0][number])
        if measured.outcome is not None:
            its_modes = ranked[number]
            modes = dict(zip(its_modes, (each[number].verdict for each in decided[: len(its_modes)]), strict=True))
            cases = as_if_lost_had_ended(measured, by_pair[measured.claim.pair], its_modes[0])
            sensitivity = {
                case: decide([*found[0][:number], other, *found[0][number + 1 :]], ledger.level)[number]
                for case, other in cases.items()
            }
            ends = {case: ruling.verdict for case, ruling in sensitivity.items()}
            whole = band(measured, by_pair[measured.claim.pair], its_modes[0])
            verdict = _withheld(replace(verdict, modes=modes, sensitivity=ends or None, whole=whole))
        its = (looks or {}).get(measured.claim.id)
        told = (*known, its) if isinstance(its, str) else known
        judged.append(replace(verdict, notes=told, decision=its if isinstance(its, Decision) else None))
    return judged


def decide(measured: Sequence[Measured], level: float) -> list[Ruling]:
    """Words for all claims of a ledger together: Holm's correction over its entries, for each word by itself.

    A claim that is not measured, or of which a word cannot be said, keeps its place in the correction.
    """
    outcomes = [each.outcome for each in measured]
    family = entries([(each.claim, each.tasks) for each in measured])
    p, p_against = (
        [getattr(each, name) if each is not None and getattr(each, name) is not None else 1.0 for each in outcomes]
        for name in ("p", "p_against")
    )
    # What is not better is shown more easily than what is worse.
    against = holm(p_against, [entry[::-1] for entry in family])
    words = {word: _corrected(word, outcomes, family) for word in WORDS}
    shared, before = sharing(p, family, level), {second: first for entry in family for first, second in pairwise(entry)}
    rulings = []
    for number, each in enumerate(measured):
        after = measured[before[number]].claim.id if number in before else None
        if each.outcome is None or each.outcome.p is None:
            rulings.append(Ruling(verdict=each.absent or INCONCLUSIVE, after=after))
            continue
        corrected = {word: words[word][number] for word in each.outcome.words}
        shown = next((word for word, its in corrected.items() if its <= level), INCONCLUSIVE)
        rulings.append(
            Ruling(
                verdict=shown,
                after=after,
                p_holm=corrected[SUPPORTED],
                p_against_holm=against[number],
                words=corrected,
                left=level / shared[number],
            )
        )
    return rulings


def _corrected(word: str, outcomes: Sequence[Outcome | None], family: Sequence[Sequence[int]]) -> list[float]:
    """The corrected p values of one word; a claim of which it cannot be said stands in no other's way within its entry."""
    p = [1.0 if each is None else each.words.get(word, 1.0) for each in outcomes]
    said = [[at for at in entry if word in getattr(outcomes[at], "words", {})] for entry in family]
    chosen = [its or entry for its, entry in zip(said, family, strict=True)]
    places = [at for entry in chosen for at in entry]
    numbered = {place: number for number, place in enumerate(places)}
    found = holm([p[place] for place in places], [[numbered[place] for place in entry] for entry in chosen])
    corrected = [1.0] * len(p)
    for place, its in zip(places, found, strict=True):
        corrected[place] = its
    return corrected


def explain(measured: Measured, ruling: Ruling) -> Verdict:
    """The verdict in words and numbers."""
    verdict = Verdict(**vars(measured), **vars(ruling), why=measured.because)
    outcome, data, claim = measured.outcome, measured.data, measured.claim
    if outcome is None or data is None:
        return verdict
    if ruling.left is None:
        what = outcome.why.removeprefix("undefined: ")
        return replace(verdict, why=f"No test: {what} among {measured.seeds} seeds of each arm.")
    test = form(claim.test, claim.method, claim.margin)
    needed = test.seeds_needed(data.arm, data.against, claim.assumed, ruling.left)
    verdict = replace(
        verdict,
        seeds_needed=None if needed is None else max(needed, FEW),
        detectable=test.detectable(data.arm, data.against, ruling.left),
    )
    return replace(verdict, why=_why(verdict))


def bar(claim: Claim) -> str:
    """What the interval is compared with, in words."""
    return str(form(claim.test, claim.method, claim.margin).words[SUPPORTED])


def _why(verdict: Verdict) -> str:
    claim, found, needed = verdict.claim, verdict.outcome, verdict.seeds_needed
    seeds = " and ".join(map(str, dict.fromkeys(verdict.data.counts))) if verdict.data else ""
    if found and found.estimate is not None and verdict.words and verdict.verdict in verdict.words:
        region = form(claim.test, claim.method, claim.margin).words[verdict.verdict]
        p = f"Holm p {numeral(verdict.words[verdict.verdict], '.2g')}, {seeds} seeds"
        return f"The {claim.estimand} is {numeral(found.estimate, '+.3f')} and shown to be {region} ({p})."
    question = f"whether the {claim.estimand} is {bar(claim)}"
    if needed is None:
        return f"{seeds} seeds do not show {question}; how many would is not known, since they have no spread."
    if needed > verdict.seeds:
        return f"Not enough seeds: {seeds} do not show {question}; you need {verdict.needed}."
    return f"{seeds} seeds do not show {question}, though they would usually find {claim.assumed:g}."


def _withheld(verdict: Verdict) -> Verdict:
    """A verdict on incomplete seeds stands only where the missing ones, best or worst, could not change it; a diverged seed counts as
    missing where its floor is no penalty: the metric is no place on the scale of scores, or a range or a spread is compared."""
    claim, metric, missing = verdict.claim, METRICS[verdict.claim.metric], verdict.registered - verdict.seeds
    penal = metric.on_scale and claim.of != "grid" and claim.test != SPREAD
    diverged = 0 if penal else sum(line.endswith(": diverged") for line in verdict.lost)
    stands = verdict.sensitivity is not None and set(verdict.sensitivity.values()) == {verdict.verdict}
    if stands or not (missing or diverged) or verdict.verdict not in WORDS:
        return verdict
    lost = f"{missing} seed{'s are' if missing > 1 else ' is'} missing and could change it"
    if not missing:
        gone = f"{diverged} seed{'s' * (diverged > 1)} diverged"
        its = "counts at the floor, which is no penalty here" if metric.on_scale else f"has no {metric.name}"
        lost = f"{gone} and could change it: a diverged seed {its}"
    why = f"{verdict.seeds} seeds say {verdict.verdict}, but {lost}."
    return replace(verdict, verdict=INCONCLUSIVE, why=why)
