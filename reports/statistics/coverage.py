"""How often the intervals of the reports cover the truth, and how often the verdicts are false: by simulation.

Scores are drawn from three distributions, all of mean 0.8 and standard deviation 0.25 or nearly so: normal; skewed (a tail of weak
seeds); bimodal (half of the seeds fail); and arms that are unlike: a skewed one against a steady one of a tenth of its deviation. Tasks
are alike and independent, arms independent. Every number comes from the functions that make the reports.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from reports.statistics import bootstrap, sequential
from reports.statistics.centres import SignFlips, StudentT
from reports.statistics.forms import form
from reports.statistics.forms.form import Form, first_word
from reports.statistics.intervals import LEVEL, Array, squared_error

SEEDS = (3, 5, 10, 20)
TASKS = (1, 3)
ONE_SIDED = round((1 - LEVEL) / 2, 6)
TESTS = [("superiority", 0.0), ("superiority", 0.25), ("non-inferiority", 0.25), ("equivalence", 0.25)]
"""Tests and their margins. True differences that are tried: the ends of what their words say, where these are false, and one beyond."""
STEP = 0.25
LOOKS = tuple(sequential.blocks(5, 5, 40))
RESAMPLES = 1000

Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]


def _skewed(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return 1.05 - 0.25 * generator.exponential(size=shape)


DISTRIBUTIONS: dict[str, Draw] = {
    "normal": lambda generator, shape: generator.normal(0.8, 0.25, shape),
    "skewed": _skewed,
    "bimodal": lambda generator, shape: (
        0.55 + 0.5 * generator.integers(2, size=shape) + generator.normal(0, 0.05, shape)
    ),
    "skewed against steady": _skewed,
}
AGAINST: dict[str, Draw] = {"skewed against steady": lambda generator, shape: generator.normal(0.8, 0.025, shape)}
"""The other arm's, where it is not the same."""


def run(replications: int = 7_500, seed: int = 0) -> dict[str, Any]:
    """All simulations: a JSON-able record of flat lists `coverage`, `rates` and `sequential`.

    `replications` for what has a formula (t, sequential), a tenth of it (at least 2) for the sign flips and for the bootstrap, which
    has `RESAMPLES` resamples. `error` is the Monte-Carlo standard error of a share at its nominal value. Widths are in units of the score.
    """
    slow = max(replications // 10, 2)
    coverage, rates, looks = [], [], []
    for at, (name, draw) in enumerate(DISTRIBUTIONS.items()):
        generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, at])))
        other = AGAINST.get(name, draw)
        truths = _truths(draw(generator, (1_000_000, 1)))
        if other is not draw:
            truths["Probability of improvement"] = _above(
                draw(generator, (1_000_000, 1)), other(generator, (1_000_000, 1))
            )
        for tasks in TASKS:
            for n in SEEDS:
                claimed, against = (each(generator, (replications, n, tasks)) for each in (draw, other))
                found = [
                    *_t_intervals(claimed, against),
                    *_bootstraps(claimed[:slow], against[:slow], truths, generator),
                ]
                if tasks == 1:
                    flipped, of_flips = _sign_flips(claimed[:slow], against[:slow])
                    found.append(flipped)
                    rates += [{"distribution": name, "n": n, **each} for each in [*_rates(claimed, against), *of_flips]]
                coverage += [{"distribution": name, "tasks": tasks, "n": n, **each} for each in found]
        claimed, against = (each(generator, (replications, LOOKS[-1], 1)) for each in (draw, other))
        looks += [{"distribution": name, **each} for each in _sequential(claimed, against)]
    return {
        "seed": seed,
        "replications": replications,
        "level": ONE_SIDED,
        "coverage": coverage,
        "rates": rates,
        "sequential": looks,
    }


def write(folder: Path) -> Path:
    """Run it all and write `coverage.json` into `folder`; equal on every run of the same versions."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "coverage.json"
    path.write_text(json.dumps(run(), indent=1) + "\n")
    return path


def _truths(many: Array) -> dict[str, float]:
    """What the bootstrap's intervals should cover, from a huge sample `[N, 1]`; the means are known."""
    return {
        "IQM": float(bootstrap.AGGREGATES["IQM"](many)),
        "Median": 0.8,
        "Mean": 0.8,
        "Optimality gap": float(bootstrap.AGGREGATES["Optimality gap"](many)),
        "Probability of improvement": 0.5,
    }


def _above(claimed: Array, against: Array) -> float:
    """P(a score of `claimed` is above one of `against`), of huge samples."""
    return float(np.searchsorted(np.sort(against.ravel()), claimed.ravel()).mean() / against.size)


def _covered(kind: str, interval: str, low: Array, high: Array, truth: float) -> dict[str, Any]:
    """A record of intervals `[R]`, NaN where undefined: coverage and mean width of those that are defined."""
    defined = np.isfinite(low) & np.isfinite(high)
    inside, width = ((low <= truth) & (truth <= high))[defined], (high - low)[defined]
    return {
        "kind": kind,
        "interval": interval,
        "nominal": LEVEL,
        "defined": float(defined.mean()),
        "coverage": float(inside.mean()) if defined.any() else None,
        "width": round(float(width.mean()), 4) if defined.any() else None,
        "error": round((LEVEL * (1 - LEVEL) / len(low)) ** 0.5, 4),
    }


def _t_intervals(claimed: Array, against: Array) -> Iterator[dict[str, Any]]:
    """The t intervals of replications `[R, n, T]`: of one arm's mean, and of the difference of two."""
    variance, df = squared_error([claimed])
    estimate, half = claimed.mean(axis=(1, 2)), stdtrit(df, 1 - ONE_SIDED) * np.sqrt(variance)
    yield _covered("test", "Student t of a mean", estimate - half, estimate + half, 0.8)
    for method, name in (("welch", "Welch t of a difference"), ("paired", "paired t of a difference")):
        student = StudentT.of(claimed, against, method)
        half = student.half(ONE_SIDED)
        yield _covered("test", name, student.estimate - half, student.estimate + half, 0.0)


def _sign_flips(claimed: Array, against: Array) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Coverage of the interval, and rates of the verdicts: patterns are drawn once a replication and moved to each true difference."""
    cases, ends = _cases("sign-flip"), []
    said = np.empty((len(cases), len(claimed)), dtype="<U24")
    for at, pair in enumerate(zip(claimed, against, strict=True)):
        flips = SignFlips.of(*pair)
        ends.append(flips.interval(ONE_SIDED)[:2])
        for case, (_, test, truth) in enumerate(cases):
            moved = replace(flips, sums=flips.sums + flips.counts * truth)
            said[case, at] = first_word(test.p_values(moved), ONE_SIDED)[()]
    low, high = np.array(ends, dtype=np.float64).T
    rates = [_rate(name, test, truth, words) for (name, test, truth), words in zip(cases, said, strict=True)]
    return _covered("test", "sign flips of a difference", low, high, 0.0), rates


def _bootstraps(
    claimed: Array, against: Array, truths: dict[str, float], generator: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """The percentile bootstrap of `claimed [R, n, T]` (and `against`); 20 replications at a time share their resamples."""
    low_and_high: dict[str, list[Array]] = {name: [] for name in truths}
    for at in range(0, len(claimed), 20):
        ours, theirs = claimed[at : at + 20], against[at : at + 20]
        of_ours, of_theirs = (next(bootstrap.draw(claimed.shape[1:], RESAMPLES, generator)) for _ in range(2))
        many = bootstrap.resampled_aggregates(ours, of_ours)
        many["Probability of improvement"] = bootstrap.resampled_improvement(ours, theirs, of_ours, of_theirs)
        for name, values in many.items():
            low_and_high[name].append(np.quantile(values, [ONE_SIDED, 1 - ONE_SIDED], axis=1))
    for name, truth in truths.items():
        # The IQM comes from float32 sums; rounding makes an end that equals the truth equal again.
        low, high = np.round(np.concatenate(low_and_high[name], axis=1), 6)
        yield _covered("bootstrap", name, low, high, round(truth, 6))


def _cases(method: str) -> list[tuple[str, Form, float]]:
    """Every test of `TESTS` by its name with every true difference that is tried."""
    tests = [(name, form(name, method, margin)) for name, margin in TESTS]
    return [(name, test, truth) for name, test in tests for truth in test.truths(STEP)]


def _rates(claimed: Array, against: Array) -> Iterator[dict[str, Any]]:
    """How often each t test gives each verdict, for arms of equal mean `[R, n, T]` that are moved to the true difference."""
    for method in ("welch", "paired"):
        student = StudentT.of(claimed, against, method)
        for name, test, truth in _cases(method):
            moved = replace(student, estimate=student.estimate + truth)
            yield _rate(name, test, truth, first_word(test.p_values(moved), ONE_SIDED))


def _rate(name: str, test: Form, truth: float, said: npt.NDArray[np.str_]) -> dict[str, Any]:
    """A record of the verdicts `said [R]`: the share of each word that the test can say, and which of them are `right`."""
    return {
        "test": name,
        "method": test.method,
        "margin": test.margin,
        "truth": truth,
        "words": {word: float((said == word).mean()) for word in test.words},
        "right": [word for word, region in test.words.items() if region.holds(truth)],
        "error": round((ONE_SIDED * (1 - ONE_SIDED) / len(said)) ** 0.5, 4),
    }


def _sequential(claimed: Array, against: Array) -> Iterator[dict[str, Any]]:
    """The group-sequential plan with `LOOKS` (`at_end`: against one test after the last of them)."""
    levels = sequential.plan(LOOKS, ONE_SIDED)
    for method in ("welch", "paired"):
        students = [StudentT.of(claimed[:, :look], against[:, :look], method) for look in LOOKS]
        for name, test, truth in _cases(method):
            moved = [replace(student, estimate=student.estimate + truth) for student in students]
            said, seeds = sequential.decisions(moved, test, LOOKS, levels)
            at_end, _ = sequential.decisions(moved[-1:], test, LOOKS[-1:], [ONE_SIDED])
            end = _rate(name, test, truth, at_end)["words"]
            record = _rate(name, test, truth, said)
            yield {**record, "at_end": end, "looks": list(LOOKS), "seeds": round(float(seeds.mean()), 2)}


def false_share(rate: dict[str, Any]) -> float:
    """The share of studies with a verdict that is false for their true difference."""
    return float(sum(share for word, share in rate["words"].items() if word not in rate["right"]))


def grouped(records: list[dict[str, Any]], *keys: str) -> dict[Any, list[dict[str, Any]]]:
    """Records grouped by the value of a key, or by the values of several."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for each in records:
        groups.setdefault(each[keys[0]] if len(keys) == 1 else tuple(each[key] for key in keys), []).append(each)
    return groups
