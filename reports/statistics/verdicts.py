"""From a ledger and finished cells to verdicts: every claim tested once, by the test that it names, Holm-corrected over the ledger.

`measure` (`reports.statistics.measuring`) -> `decide` -> `explain`. The words:

`supported`: the claim's p value, after Holm's correction over all claims of the suite, is at most the ledger's level.
`refuted`: the p value against it is. `inconclusive`: neither; `seeds_needed` says what would decide. `invalid`: these results cannot
answer (altered, too few seeds). `not measured`: results are missing for a task of the claim. A claim that is not measured keeps its
place in Holm's correction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.schema.claims import Claim, Ledger, load_ledger
from harness.schema.suite import Suite
from reports.statistics.forms import form
from reports.statistics.forms.form import INCONCLUSIVE, INVALID, NOT_MEASURED, REFUTED, SUPPORTED
from reports.statistics.measuring import Data, Measured, as_if_lost_had_ended, measure
from reports.statistics.multiplicity import holm
from reports.statistics.scores import Study, read_studies

VERDICTS = (SUPPORTED, REFUTED, INCONCLUSIVE, INVALID, NOT_MEASURED)

__all__ = [
    "INCONCLUSIVE",
    "INVALID",
    "NOT_MEASURED",
    "REFUTED",
    "SUPPORTED",
    "VERDICTS",
    "Data",
    "Decision",
    "Measured",
    "Verdict",
    "bar",
    "decide",
    "judge",
    "measure",
    "verdicts",
]


@dataclass(frozen=True)
class Decision:
    """What follows from the p values of a whole ledger for one claim; the numbers are None where its test gave none."""

    verdict: str
    p_holm: float | None = None
    p_against_holm: float | None = None
    left: float | None = None
    """The level that Holm's correction leaves the claim at its present place."""


@dataclass(frozen=True, kw_only=True)
class Verdict(Measured):
    """One claim, judged. All numbers are those of the suite's primary evaluation mode; None where there are none."""

    verdict: str
    why: str
    """One sentence: what decided."""
    p_holm: float | None = None
    p_against_holm: float | None = None
    seeds_needed: int | None = None
    """Seeds an arm for 80 % power at the claim's `effect`, at the level that Holm's correction now leaves it."""
    detectable: float | None = None
    """The smallest difference that this many seeds of this spread find with 80 % power, at the same level."""
    modes: dict[str, str] | None = None
    """evaluation mode -> verdict."""
    sensitivity: dict[str, str] | None = None
    """`best`, `worst` -> verdict if lost (missing or diverged) seeds had ended best or worst for the claim; None: none lost."""

    @property
    def flips(self) -> bool:
        """Whether the choice of the evaluation mode changes the verdict."""
        return self.modes is not None and len(set(self.modes.values())) > 1

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
            "seeds": self.seeds,
            "seeds_needed": self.seeds_needed,
            "detectable": self.detectable,
            "modes": self.modes,
            "sensitivity": self.sensitivity,
            "lost": list(self.lost),
            "changed": list(self.changed),
            **self.claim.model_dump(
                include={"statement", "source", "pair", "arm", "against", "metric", "test", "method"}
            ),
        }


def judge(suite: Suite, results: Path) -> list[Verdict]:
    """The verdicts on all claims of a suite, in the ledger's order; [] where it has no ledger.

    Raises InputError where the ledger or a result cannot be read.
    """
    ledger = load_ledger(suite)
    return verdicts(ledger, suite, read_studies(suite, results)) if ledger else []


def verdicts(ledger: Ledger, suite: Suite, studies: Sequence[Study]) -> list[Verdict]:
    """The verdicts of a ledger on what was read."""
    by_pair = {study.pair: study for study in studies}
    primary = suite.evaluation.primary
    found = {
        mode: [measure(claim, ledger.level, suite, by_pair.get(claim.pair), mode) for claim in ledger.claims]
        for mode in suite.modes
    }
    decided = {mode: decide(measured, ledger.level) for mode, measured in found.items()}
    judged = []
    for number, measured in enumerate(found[primary]):
        verdict = explain(measured, decided[primary][number])
        if measured.outcome is not None:
            modes = {mode: each[number].verdict for mode, each in decided.items()}
            cases = as_if_lost_had_ended(measured, suite, by_pair[measured.claim.pair], primary)
            sensitivity = {
                case: decide([*found[primary][:number], other, *found[primary][number + 1 :]], ledger.level)[number]
                for case, other in cases.items()
            }
            ends = {case: decision.verdict for case, decision in sensitivity.items()}
            verdict = _withheld(replace(verdict, modes=modes, sensitivity=ends or None))
        judged.append(verdict)
    return judged


def decide(measured: Sequence[Measured], level: float) -> list[Decision]:
    """Words for all claims of a ledger together: Holm's correction over them, once for the claims and once for their refutations."""
    p, p_against = (
        [
            1.0 if each.outcome is None or getattr(each.outcome, name) is None else getattr(each.outcome, name)
            for each in measured
        ]
        for name in ("p", "p_against")
    )
    decisions = []
    for number, (each, p_holm, p_against_holm) in enumerate(zip(measured, holm(p), holm(p_against), strict=True)):
        if each.outcome is None or each.outcome.p is None:
            decisions.append(Decision(each.absent or INCONCLUSIVE))
            continue
        ahead = sum(other < p[number] for other in p)
        word = SUPPORTED if p_holm <= level else REFUTED if p_against_holm <= level else INCONCLUSIVE
        decisions.append(Decision(word, p_holm, p_against_holm, level / (len(p) - ahead)))
    return decisions


def explain(measured: Measured, decision: Decision) -> Verdict:
    """The verdict in words and numbers."""
    verdict = Verdict(
        **vars(measured),
        verdict=decision.verdict,
        why=measured.because,
        p_holm=decision.p_holm,
        p_against_holm=decision.p_against_holm,
    )
    outcome, data, claim = measured.outcome, measured.data, measured.claim
    if outcome is None or data is None:
        return verdict
    if decision.left is None:
        what = outcome.why.removeprefix("undefined: ")
        return replace(verdict, why=f"No test: {what} among {measured.seeds} seeds of each arm.")
    test = form(claim.test, claim.method, claim.margin)
    verdict = replace(
        verdict,
        seeds_needed=test.seeds_needed(data.arm, data.against, claim.assumed, decision.left),
        detectable=test.detectable(data.arm, data.against, decision.left),
    )
    return replace(verdict, why=_why(verdict))


def bar(claim: Claim) -> str:
    """What the interval is compared with, in words."""
    return str(form(claim.test, claim.method, claim.margin).claimed)


def _why(verdict: Verdict) -> str:
    claim, estimate, needed = verdict.claim, verdict.outcome.estimate if verdict.outcome else 0.0, verdict.seeds_needed
    if verdict.verdict in (SUPPORTED, REFUTED):
        shown = "shown to be" if verdict.verdict == SUPPORTED else "shown not to be"
        p = verdict.p_holm if verdict.verdict == SUPPORTED else verdict.p_against_holm
        return f"The difference is {estimate:+.3f} and {shown} {bar(claim)} (Holm p {p:.2g}, {verdict.seeds} seeds)."
    if needed is not None and needed > verdict.seeds:
        return (
            f"Not enough seeds: {verdict.seeds} do not show whether the difference is {bar(claim)}; you need {needed}."
        )
    return f"{verdict.seeds} seeds do not show whether the difference is {bar(claim)}, though they would usually find {claim.assumed:g}."


def _withheld(verdict: Verdict) -> Verdict:
    """A verdict on incomplete seeds stands only where the missing ones, best or worst, could not change it."""
    if verdict.seeds == verdict.registered or verdict.verdict not in (SUPPORTED, REFUTED):
        return verdict
    if verdict.sensitivity is not None and set(verdict.sensitivity.values()) == {verdict.verdict}:
        return verdict
    missing = verdict.registered - verdict.seeds
    lost = f"{missing} registered seed{'s are' if missing > 1 else ' is'} missing and could change it"
    why = f"{verdict.seeds} seeds say {verdict.verdict}, but {lost}."
    return replace(verdict, verdict=INCONCLUSIVE, why=why)
