"""How often the intervals of the reports cover the truth, and how often the verdicts are false: by simulation.

Scores are drawn from three distributions, all of mean 0.8 and standard deviation 0.25 or nearly so: normal; skewed (a tail of weak
seeds); bimodal (half of the seeds fail). Tasks are alike and independent, arms independent. Every number comes from the functions
that make the reports.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from scipy.special import stdtrit

from reports.figures.picture import Picture, Words, picture
from reports.figures.style import HARD, MARKERS, PLAIN, SOFT, canvas
from reports.statistics import bootstrap, sequential
from reports.statistics.inference import TESTS, SignFlips, StudentT, p_values
from reports.statistics.intervals import LEVEL, Array, squared_error
from reports.table import NONE, Table, Value

SEEDS = (3, 5, 10, 20)
TASKS = (1, 3)
ONE_SIDED = round((1 - LEVEL) / 2, 6)
MARGINS = {"superiority": 0.0, "non-inferiority": 0.25, "equivalence": 0.25}
TRUTHS = {"superiority": (0.0, 0.25), "non-inferiority": (-0.25, 0.0), "equivalence": (0.25, 0.0, 0.5)}
"""True differences; the first of each test lies on its margin, where neither verdict is true."""
LOOKS = tuple(sequential.blocks(5, 5, 40))
RESAMPLES = 1000
COMMAND = "softbench coverage"

DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "normal": lambda generator, shape: generator.normal(0.8, 0.25, shape),
    "skewed": lambda generator, shape: 1.05 - 0.25 * generator.exponential(size=shape),
    "bimodal": lambda generator, shape: (
        0.55 + 0.5 * generator.integers(2, size=shape) + generator.normal(0, 0.05, shape)
    ),
}


def run(replications: int = 10_000, seed: int = 0) -> dict[str, Any]:
    """All simulations: a JSON-able record of flat lists `coverage`, `rates` and `sequential`.

    `replications` for what has a formula (t, sequential), a tenth of it (at least 2) for the sign flips and for the bootstrap, which
    has `RESAMPLES` resamples. `error` is the Monte-Carlo standard error of a share at its nominal value. Widths are in units of the score.
    """
    slow = max(replications // 10, 2)
    coverage, rates, looks = [], [], []
    for at, (name, draw) in enumerate(DISTRIBUTIONS.items()):
        generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, at])))
        truths = _truths(draw(generator, (1_000_000, 1)))
        for tasks in TASKS:
            for n in SEEDS:
                claimed, against = draw(generator, (replications, n, tasks)), draw(generator, (replications, n, tasks))
                found = [
                    *_t_intervals(claimed, against),
                    *_bootstraps(claimed[:slow], against[:slow], truths, generator),
                ]
                if tasks == 1:
                    flipped, of_flips = _sign_flips(claimed[:slow], against[:slow])
                    found.append(flipped)
                    rates += [{"distribution": name, "n": n, **each} for each in [*_rates(claimed, against), *of_flips]]
                coverage += [{"distribution": name, "tasks": tasks, "n": n, **each} for each in found]
        claimed, against = draw(generator, (replications, LOOKS[-1], 1)), draw(generator, (replications, LOOKS[-1], 1))
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
        "IQM": float(bootstrap.iqm(many)),
        "Median": 0.8,
        "Mean": 0.8,
        "Optimality gap": float(bootstrap.optimality_gap(many)),
        "Probability of improvement": 0.5,
    }


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
    cases = [(test, truth) for test in TESTS for truth in TRUTHS[test]]
    ends, p = [], np.empty((len(cases), 2, len(claimed)))
    for at, pair in enumerate(zip(claimed, against, strict=True)):
        flips = SignFlips.of(*pair)
        ends.append(flips.interval(ONE_SIDED)[:2])
        for case, (test, truth) in enumerate(cases):
            p[case, :, at] = p_values(replace(flips, sums=flips.sums + flips.counts * truth), test, MARGINS[test])
    low, high = np.array(ends, dtype=np.float64).T
    rates = [_rate(test, "sign-flip", truth, *both <= ONE_SIDED) for (test, truth), both in zip(cases, p, strict=True)]
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


def _rates(claimed: Array, against: Array) -> Iterator[dict[str, Any]]:
    """How often each t test supports or refutes, for arms of equal mean `[R, n, T]` that are moved to the true difference."""
    for method in ("welch", "paired"):
        student = StudentT.of(claimed, against, method)
        for test in TESTS:
            for truth in TRUTHS[test]:
                p, p_against = p_values(replace(student, estimate=student.estimate + truth), test, MARGINS[test])
                yield _rate(test, method, truth, p <= ONE_SIDED, p_against <= ONE_SIDED)


def _rate(
    test: str, method: str, truth: float, supported: npt.NDArray[np.bool_], refuted: npt.NDArray[np.bool_]
) -> dict[str, Any]:
    return {
        "test": test,
        "method": method,
        "margin": MARGINS[test],
        "truth": truth,
        "supported": float(supported.mean()),
        "refuted": float(refuted.mean()),
        "error": round((ONE_SIDED * (1 - ONE_SIDED) / len(supported)) ** 0.5, 4),
    }


def _sequential(claimed: Array, against: Array) -> Iterator[dict[str, Any]]:
    """The group-sequential plan with `LOOKS` (`at_end`: against one test after the last of them)."""
    levels = sequential.plan(LOOKS, ONE_SIDED)
    for test in TESTS:
        for method in ("welch", "paired"):
            for truth in TRUTHS[test]:
                verdicts, seeds = sequential.decisions(
                    claimed + truth, against, test, method, MARGINS[test], LOOKS, levels
                )
                at_end, _ = sequential.decisions(
                    claimed + truth, against, test, method, MARGINS[test], LOOKS[-1:], [ONE_SIDED]
                )
                rate = _rate(test, method, truth, verdicts == 1, verdicts == -1)
                end = {"supported_at_end": float((at_end == 1).mean()), "refuted_at_end": float((at_end == -1).mean())}
                yield {**rate, **end, "looks": list(LOOKS), "seeds": round(float(seeds.mean()), 2)}


def findings(record: dict[str, Any]) -> list[str]:
    """In plain words: which intervals are too narrow and which verdicts are false too often, by more than chance explains.

    An interval is called too narrow where it covers less than its nominal level by more than 0.01 and 3 Monte-Carlo errors.
    """
    lines = []
    for (kind, interval), records in _by(record["coverage"], "kind", "interval").items():
        subject = f"{interval} (bootstrap)" if kind == "bootstrap" else f"{interval[0].upper()}{interval[1:]}"
        narrow = [
            each
            for each in records
            if each["coverage"] is not None and LEVEL - each["coverage"] > max(0.01, 3 * each["error"])
        ]
        parts = []
        for tasks, of_tasks in _by(narrow, "tasks").items():
            worst = [(n, min(each["coverage"] for each in of_n)) for n, of_n in _by(of_tasks, "n").items()]
            parts.append(
                f"on {tasks} task{'s' * (tasks > 1)} as little as "
                + ", ".join(f"{share:.2f} with {n} seeds" for n, share in worst)
            )
        if parts:
            where = " or ".join(_by(narrow, "distribution"))
            lines.append(
                f"{subject}: too narrow for {where} scores. Instead of {LEVEL:.2f} it covers, {'; '.join(parts)}."
            )
        else:
            lowest = min(each["coverage"] for each in records if each["coverage"] is not None)
            lines.append(
                f"{subject}: covers {lowest:.3f} or more for all scores tried, no less than the {LEVEL:.2f} that it says but for chance."
            )
        absent = [each["n"] for each in records if each["defined"] == 0]
        if absent:
            lines.append(
                f"{subject}: with {' or '.join(map(str, dict.fromkeys(absent)))} seeds there is no interval at this level."
            )

    def false(rate: dict[str, Any]) -> float:
        return float(max(rate["supported"], rate["refuted"]))

    for method, records in _by([each for each in record["rates"] if _on_margin(each)], "method").items():
        worst_rate = max(records, key=false)
        lines.append(
            f"False verdicts of {method} tests at a level of {ONE_SIDED}: at most {false(worst_rate):.3f} (± {worst_rate['error']:.3f}; "
            f"the largest of {2 * len(records)} simulated), found for {worst_rate['test']} with {worst_rate['n']} seeds and "
            f"{worst_rate['distribution']} scores."
        )
    looks = [each for each in record["sequential"] if _on_margin(each)]
    at_end = max(max(each["supported_at_end"], each["refuted_at_end"]) for each in looks)
    lines.append(
        f"Looks after {', '.join(map(str, LOOKS))} seeds: false verdicts at most {max(map(false, looks)):.3f} (± {looks[0]['error']:.3f}; "
        f"the largest of {2 * len(looks)} simulated), with one test at the end {at_end:.3f}."
    )
    return lines


def tables(record: dict[str, Any]) -> list[Table]:
    """Coverage of every interval, false verdicts and power of every test, and the group-sequential plan."""
    kinds = list(DISTRIBUTIONS)

    def cells(records: list[dict[str, Any]], say: Callable[[dict[str, Any]], Value]) -> list[Value]:
        return [say(_by(records, "distribution")[kind][0]) for kind in kinds]

    def coverage(each: dict[str, Any]) -> Value:
        return NONE if each["coverage"] is None else float(each["coverage"])

    def width(each: dict[str, Any]) -> Value:
        return NONE if each["width"] is None else float(each["width"])

    covered: list[list[Value]] = []
    for (interval, tasks, n), records in _by(record["coverage"], "interval", "tasks", "n").items():
        covered.append(
            [interval, tasks, n, *cells(records, coverage), width(_by(records, "distribution")["normal"][0])]
        )
    false: list[list[Value]] = []
    power: list[list[Value]] = []
    for (test, method, n, truth), records in _by(record["rates"], "test", "method", "n", "truth").items():
        if _on_margin(records[0]):
            false.append(
                [test, method, n, *cells(records, lambda each: f"{each['supported']:.3f}, {each['refuted']:.3f}")]
            )
        else:
            right = "supported" if abs(truth) <= MARGINS[test] or test == "superiority" else "refuted"
            found = [float(_by(records, "distribution")[kind][0][right]) for kind in kinds]
            power.append([test, method, float(truth), right, n, *found])
    looks: list[list[Value]] = [
        [
            test,
            method,
            float(truth),
            *cells(records, lambda each: f"{each['supported']:.3f}, {each['refuted']:.3f}, {each['seeds']:.0f}"),
        ]
        for (test, method, truth), records in _by(record["sequential"], "test", "method", "truth").items()
    ]
    return [
        Table(
            "coverage",
            "Coverage of the intervals",
            f"Share of simulated studies whose interval holds the true value ({LEVEL} is what it says), by distribution of the scores, and "
            f"the mean width for normal scores of standard deviation 0.25. A share is known to ± {record['coverage'][0]['error']} for t "
            f"intervals and ± {max(each['error'] for each in record['coverage'])} for sign flips and the bootstrap ({NONE}: no interval).",
            ["interval", "tasks", "seeds", *kinds, "width"],
            covered,
        ),
        Table(
            "false-verdicts",
            "False verdicts",
            f"True difference on the margin of the test: share of studies called supported, refuted. Each should be at most {ONE_SIDED}.",
            ["test", "method", "seeds", *kinds],
            false,
        ),
        Table(
            "power",
            "Power",
            "Share of studies with the right verdict, for true differences beyond the margin; the scores' standard deviation is 0.25.",
            ["test", "method", "difference", "right verdict", "seeds", *kinds],
            power,
        ),
        Table(
            "looks",
            "Adding seeds until it is decided",
            f"Looks after {', '.join(map(str, LOOKS))} seeds an arm: share of studies supported, refuted, and the mean number of seeds at "
            f"the verdict. The first true difference of each test is on its margin, where both shares should be at most {ONE_SIDED}.",
            ["test", "method", "difference", *kinds],
            looks,
        ),
    ]


def pictures(record: dict[str, Any]) -> list[Picture]:
    """Coverage against the number of seeds, a panel a distribution: the tests' intervals and the bootstrap's."""
    titles = {"test": "Coverage of the tests' intervals", "bootstrap": "Coverage of the bootstrap's intervals"}
    return [_dots(_by(record["coverage"], "kind")[kind], f"coverage-{kind}", title) for kind, title in titles.items()]


def _dots(records: list[dict[str, Any]], name: str, title: str) -> Picture:
    intervals = list(_by(records, "interval"))
    colors = [*HARD[:1], *SOFT]
    floor = min([0.7, *(each["coverage"] - 0.02 for each in records if each["coverage"] is not None)])

    def draw() -> Figure:
        figure = canvas(5.6 + 0.17 * ((len(intervals) + 1) // 2))
        panels = figure.subplots(len(DISTRIBUTIONS), 1, sharex=True)
        for axes, (kind, of_kind) in zip(panels, _by(records, "distribution").items(), strict=True):
            axes.axhline(LEVEL, color=PLAIN["ink"], linewidth=1)
            for each in of_kind:
                at = intervals.index(each["interval"])
                if each["coverage"] is not None:
                    place = SEEDS.index(each["n"]) + 0.13 * (at - (len(intervals) - 1) / 2) + 0.05 * (each["tasks"] > 1)
                    fill = "full" if each["tasks"] == 1 else "none"
                    label = (
                        each["interval"]
                        if axes is panels[0] and each["tasks"] == 1 and each["n"] == SEEDS[-1]
                        else None
                    )
                    axes.plot(
                        place,
                        each["coverage"],
                        MARKERS[at],
                        color=colors[at],
                        markersize=5,
                        fillstyle=fill,
                        label=label,
                    )
            axes.set_title(f"{kind} scores", fontsize=9)
            axes.set(ylim=(floor, 1.01), ylabel="coverage")
        axes.xaxis.set_major_locator(FixedLocator(range(len(SEEDS))))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([str(n) for n in SEEDS])
        axes.set_xlabel("seeds")
        figure.legend(loc="outside lower center", ncols=2)
        return figure

    said = [
        f"{each['interval']}, {each['distribution']}, {each['n']} seeds: {each['coverage']:.2f}"
        for each in records
        if each["coverage"] is not None and each["tasks"] == 1
    ]
    words = Words(
        name,
        title,
        f"Share of simulated studies whose interval holds the true value; the line is what it says, {LEVEL}. Filled: one task; hollow: "
        f"{TASKS[-1]} tasks. A mark below the line is an interval that is too narrow.",
        "; ".join(said),
        COMMAND,
    )
    return picture(words, draw)


def _by(records: list[dict[str, Any]], *keys: str) -> dict[Any, list[dict[str, Any]]]:
    """Records grouped by the value of a key, or by the values of several."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for each in records:
        groups.setdefault(each[keys[0]] if len(keys) == 1 else tuple(each[key] for key in keys), []).append(each)
    return groups


def _on_margin(rate: dict[str, Any]) -> bool:
    return bool(rate["truth"] == TRUTHS[rate["test"]][0])
