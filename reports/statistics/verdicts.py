"""From a ledger and finished cells to verdicts: every claim tested once, by the test that it names, Holm-corrected over the ledger.

`supported`: the claim's p value, after Holm's correction over all claims of the suite, is at most the ledger's level.
`refuted`: the p value against it is. `inconclusive`: neither; `seeds_needed` says what would decide. `invalid`: these results cannot
answer (altered, too few seeds). `not measured`: results are missing for a task of the claim. A claim that is not measured keeps its
place in Holm's correction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import InputError, suggestion
from harness.schema.claims import Claim, Ledger, changes, load_ledger, tasks_of
from harness.schema.suite import Suite
from reports.statistics.inference import Outcome, detectable, holm, seeds_needed, test
from reports.statistics.intervals import Array
from reports.statistics.scores import Curves, Study, read_studies

SUPPORTED, REFUTED, INCONCLUSIVE, INVALID, NOT_MEASURED = (
    "supported",
    "refuted",
    "inconclusive",
    "invalid",
    "not measured",
)
VERDICTS = (SUPPORTED, REFUTED, INCONCLUSIVE, INVALID, NOT_MEASURED)


@dataclass(frozen=True)
class Data:
    """What a claim is judged on: `arm [n, T]` and `against [n, T]` in the claim's metric; rows are `seeds`, columns `tasks`."""

    tasks: list[str]
    seeds: list[int]
    arm: Array
    against: Array


@dataclass(frozen=True)
class Verdict:
    """One claim, judged. `outcome` and all numbers are those of the suite's primary evaluation mode; None where there are none."""

    claim: Claim
    level: float
    verdict: str
    why: str
    """One sentence: what decided."""
    seeds: int
    """Seeds of each arm in the complete block."""
    registered: int
    """Seeds of each arm that the suite registers."""
    data: Data | None = None
    outcome: Outcome | None = None
    by_task: dict[str, Outcome] | None = None
    """task -> the same test on this task alone: descriptive, not corrected."""
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
    lost: tuple[str, ...] = ()
    """Missing and diverged seeds, one line each."""
    changed: tuple[str, ...] = ()
    """In what the claim differs from the one registered when the runs began."""

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


def verdicts(ledger: Ledger, suite: Suite, studies: list[Study]) -> list[Verdict]:
    """The verdicts of a ledger on what was read."""
    by_pair = {study.pair: study for study in studies}
    found = {
        mode: [measure(claim, ledger.level, suite, by_pair.get(claim.pair), mode) for claim in ledger.claims]
        for mode in suite.modes
    }
    judged = {mode: _correct(ledger, measured) for mode, measured in found.items()}
    final = []
    for number, verdict in enumerate(judged[suite.evaluation.primary]):
        if verdict.outcome is None:
            final.append(verdict)
            continue
        modes = {mode: each[number].verdict for mode, each in judged.items()}
        verdict = replace(
            verdict,
            modes=modes,
            sensitivity=_sensitivity(ledger, found[suite.evaluation.primary], number, suite, by_pair),
        )
        final.append(_withheld(verdict))
    return final


def metric(claim: Claim, study: Study, task: str, arm: str, mode: str) -> dict[int, float]:
    """seed -> value of the claim's metric, for the seeds found; NaN where it was not recorded. See `harness.schema.claims.METRICS`."""
    curves = study.curves[task, arm]
    if claim.metric == "entropy":
        values = curves.entropy.mean(axis=1)
    else:
        values = _scores(claim.metric, curves, study.score(task, curves.returns[mode]))
    return dict(zip(curves.seeds, values.tolist(), strict=True))


def _scores(metric: str, curves: Curves, scores: Array) -> Array:
    """`scores [n, S]` at `curves.steps [S]` -> one value a seed, `[n]`."""
    if metric == "area" and scores.shape[1] > 1:
        steps = curves.steps.astype(np.float64)
        return np.asarray(np.trapezoid(scores, steps, axis=1) / (steps[-1] - steps[0]))
    if metric == "last-tenth" and len(scores):
        return np.asarray(scores[:, curves.steps > 0.9 * curves.steps[-1]].mean(axis=1))
    final = scores[:, -1]
    return -np.abs(final - np.median(final)) if metric == "spread" and len(final) else final


def measure(claim: Claim, level: float, suite: Suite, study: Study | None, mode: str) -> Verdict:
    """The claim with its outcome, before any correction."""
    tasks, registered = tasks_of(claim, suite), len(suite.seeds)
    absent = [task for task in tasks if study is None or task not in study.cells]
    if study is None or absent:
        return Verdict(claim, level, NOT_MEASURED, f"There are no results yet for {', '.join(absent)}.", 0, registered)
    changed = tuple(
        dict.fromkeys(line for task in tasks for line in changes(claim, level, study.cells[task].manifest.claims))
    )
    altered = [line for task in tasks for line in study.altered[task]]
    if altered:
        return Verdict(
            claim,
            level,
            INVALID,
            f"The results were altered after they were written: {altered[0]}.",
            0,
            registered,
            changed=changed,
        )
    unknown = [arm for arm in (claim.arm, claim.against) if arm not in study.arms]
    if unknown:
        where = f"suites/{suite.name}/claims.yaml: {claim.id}"
        raise InputError(f"{where}: {unknown[0]!r} is no arm of these results{suggestion(unknown[0], study.arms)}")
    columns = [[metric(claim, study, task, arm, mode) for task in tasks] for arm in (claim.arm, claim.against)]
    seeds = [seed for seed in suite.seeds if all(seed in column for side in columns for column in side)]
    lost = tuple(_lost(claim, suite, study, tasks))
    if len(seeds) < 2:
        why = f"{len(seeds)} complete seed{'s' * (len(seeds) != 1)} of {registered}: at least 2 are needed."
        return Verdict(
            claim, level, INVALID if seeds else NOT_MEASURED, why, len(seeds), registered, lost=lost, changed=changed
        )
    arm, against = (np.array([[column[seed] for column in side] for seed in seeds]) for side in columns)
    if not (np.isfinite(arm).all() and np.isfinite(against).all()):
        why = f"The results do not record what the metric {claim.metric!r} needs."
        return Verdict(claim, level, NOT_MEASURED, why, 0, registered, lost=lost, changed=changed)
    return Verdict(
        claim,
        level,
        INCONCLUSIVE,
        "",
        len(seeds),
        registered,
        data=Data(tasks, seeds, arm, against),
        outcome=_outcome(claim, level, arm, against),
        by_task={
            task: _outcome(claim, level, arm[:, [column]], against[:, [column]]) for column, task in enumerate(tasks)
        },
        lost=lost,
        changed=changed,
    )


def _outcome(claim: Claim, level: float, arm: Array, against: Array) -> Outcome:
    return test(arm, against, claim.test, claim.method, claim.margin, level)


def _lost(claim: Claim, suite: Suite, study: Study, tasks: list[str]) -> list[str]:
    """Missing and diverged members of the claim's two arms, one line each."""
    lines = []
    for task in tasks:
        for arm in (claim.arm, claim.against):
            curves = study.curves[task, arm]
            lines += [f"{arm} on {task}, seed {seed}: missing" for seed in suite.seeds if seed not in curves.seeds]
            lines += [
                f"{arm} on {task}, seed {seed}: diverged"
                for seed, flags in zip(curves.seeds, curves.diverged, strict=True)
                if flags[-1]
            ]
    return lines


def _correct(ledger: Ledger, measured: list[Verdict]) -> list[Verdict]:
    """Holm over the ledger, once for the claims and once for their refutations, and what follows."""

    def p_values(field: str) -> list[float]:
        found = [None if verdict.outcome is None else getattr(verdict.outcome, field) for verdict in measured]
        return [1.0 if p is None else float(p) for p in found]

    p, p_against = p_values("p"), p_values("p_against")
    judged = []
    for number, (verdict, p_holm, p_against_holm) in enumerate(zip(measured, holm(p), holm(p_against), strict=True)):
        if verdict.outcome is None or verdict.data is None:
            judged.append(verdict)
            continue
        if verdict.outcome.p is None:
            why = f"No test: {verdict.outcome.why.removeprefix('undefined: ')} among {verdict.seeds} seeds of each arm."
            judged.append(replace(verdict, why=why))
            continue
        ahead = sum(other < p[number] for other in p)
        level = ledger.level / (len(p) - ahead)  # what Holm's correction leaves this claim at its present place
        claim, (arm, against) = verdict.claim, (verdict.data.arm, verdict.data.against)
        needed = seeds_needed(arm, against, claim.test, claim.method, claim.margin, claim.assumed, level)
        decided = SUPPORTED if p_holm <= ledger.level else REFUTED if p_against_holm <= ledger.level else INCONCLUSIVE
        judged.append(
            replace(
                verdict,
                verdict=decided,
                why=_why(decided, verdict, p_holm, p_against_holm, needed),
                p_holm=p_holm,
                p_against_holm=p_against_holm,
                seeds_needed=needed,
                detectable=detectable(arm, against, claim.test, claim.method, claim.margin, level),
            )
        )
    return judged


def bar(claim: Claim) -> str:
    """What the interval is compared with, in words."""
    return {
        "superiority": f"above {claim.margin:g}" if claim.margin else "above 0",
        "non-inferiority": f"above −{claim.margin:g}",
        "equivalence": f"between −{claim.margin:g} and {claim.margin:g}",
    }[claim.test]


def _why(decided: str, verdict: Verdict, p_holm: float, p_against_holm: float, needed: int | None) -> str:
    claim, estimate = verdict.claim, verdict.outcome.estimate if verdict.outcome else 0.0
    if decided == SUPPORTED:
        return f"The difference is {estimate:+.3f} and shown to be {bar(claim)} (Holm p {p_holm:.2g}, {verdict.seeds} seeds)."
    if decided == REFUTED:
        return f"The difference is {estimate:+.3f} and shown not to be {bar(claim)} (Holm p {p_against_holm:.2g}, {verdict.seeds} seeds)."
    if needed is not None and needed > verdict.seeds:
        return (
            f"Not enough seeds: {verdict.seeds} do not show whether the difference is {bar(claim)}; you need {needed}."
        )
    return f"{verdict.seeds} seeds do not show whether the difference is {bar(claim)}, though they would usually find {claim.assumed:g}."


def _sensitivity(
    ledger: Ledger, measured: list[Verdict], number: int, suite: Suite, by_pair: dict[str, Study]
) -> dict[str, str] | None:
    """The verdict if every lost seed had ended best, or worst, for the claim; None where none was lost or no bound is known."""
    verdict = measured[number]
    claim, data = verdict.claim, verdict.data
    if not verdict.lost or data is None or claim.metric == "entropy":
        return None
    study, mode = by_pair[claim.pair], suite.evaluation.primary
    low, high = (-1.0, 0.0) if claim.metric == "spread" else (0.0, 1.0)
    low, high = min(low, data.arm.min(), data.against.min()), max(high, data.arm.max(), data.against.max())
    found = {}
    for case, ends in (("best", (high, low)), ("worst", (low, high))):
        sides = []
        for arm, end in zip((claim.arm, claim.against), ends, strict=True):
            columns = []
            for task in data.tasks:
                values, curves = metric(claim, study, task, arm, mode), study.curves[task, arm]
                gone = {seed for seed, flags in zip(curves.seeds, curves.diverged, strict=True) if flags[-1]}
                columns.append([end if seed in gone else values.get(seed, end) for seed in suite.seeds])
            sides.append(np.array(columns).T)
        other = replace(
            verdict, data=Data(data.tasks, suite.seeds, *sides), outcome=_outcome(claim, ledger.level, *sides)
        )
        found[case] = _correct(ledger, [*measured[:number], other, *measured[number + 1 :]])[number].verdict
    return found


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
