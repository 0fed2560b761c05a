"""The page of the simulation: in words what is too narrow and what is false too often, and the tables behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reports.figures.coverage import COMMAND, pictures
from reports.site.tables import NONE, Table, Value
from reports.statistics.coverage import DISTRIBUTIONS, LOOKS, MARGINS, ONE_SIDED, grouped, on_margin
from reports.statistics.intervals import LEVEL

__all__ = ["COMMAND", "findings", "pictures", "tables"]


def findings(record: dict[str, Any]) -> list[str]:
    """In plain words: which intervals are too narrow and which verdicts are false too often, by more than chance explains.

    An interval is called too narrow where it covers less than its nominal level by more than 0.01 and 3 Monte-Carlo errors.
    """
    lines = []
    for (kind, interval), records in grouped(record["coverage"], "kind", "interval").items():
        subject = f"{interval} (bootstrap)" if kind == "bootstrap" else f"{interval[0].upper()}{interval[1:]}"
        narrow = [
            each
            for each in records
            if each["coverage"] is not None and LEVEL - each["coverage"] > max(0.01, 3 * each["error"])
        ]
        parts = []
        for tasks, of_tasks in grouped(narrow, "tasks").items():
            worst = [(n, min(each["coverage"] for each in of_n)) for n, of_n in grouped(of_tasks, "n").items()]
            parts.append(
                f"on {tasks} task{'s' * (tasks > 1)} as little as "
                + ", ".join(f"{share:.2f} with {n} seeds" for n, share in worst)
            )
        if parts:
            where = " or ".join(grouped(narrow, "distribution"))
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

    for method, records in grouped([each for each in record["rates"] if on_margin(each)], "method").items():
        worst_rate = max(records, key=false)
        lines.append(
            f"False verdicts of {method} tests at a level of {ONE_SIDED}: at most {false(worst_rate):.3f} (± {worst_rate['error']:.3f}; "
            f"the largest of {2 * len(records)} simulated), found for {worst_rate['test']} with {worst_rate['n']} seeds and "
            f"{worst_rate['distribution']} scores."
        )
    looks = [each for each in record["sequential"] if on_margin(each)]
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
        return [say(grouped(records, "distribution")[kind][0]) for kind in kinds]

    def coverage(each: dict[str, Any]) -> Value:
        return NONE if each["coverage"] is None else float(each["coverage"])

    def width(each: dict[str, Any]) -> Value:
        return NONE if each["width"] is None else float(each["width"])

    covered: list[list[Value]] = []
    for (interval, tasks, n), records in grouped(record["coverage"], "interval", "tasks", "n").items():
        covered.append(
            [interval, tasks, n, *cells(records, coverage), width(grouped(records, "distribution")["normal"][0])]
        )
    false: list[list[Value]] = []
    power: list[list[Value]] = []
    for (test, method, n, truth), records in grouped(record["rates"], "test", "method", "n", "truth").items():
        if on_margin(records[0]):
            false.append(
                [test, method, n, *cells(records, lambda each: f"{each['supported']:.3f}, {each['refuted']:.3f}")]
            )
        else:
            right = "supported" if abs(truth) <= MARGINS[test] or test == "superiority" else "refuted"
            found = [float(grouped(records, "distribution")[kind][0][right]) for kind in kinds]
            power.append([test, method, float(truth), right, n, *found])
    looks: list[list[Value]] = [
        [
            test,
            method,
            float(truth),
            *cells(records, lambda each: f"{each['supported']:.3f}, {each['refuted']:.3f}, {each['seeds']:.0f}"),
        ]
        for (test, method, truth), records in grouped(record["sequential"], "test", "method", "truth").items()
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
