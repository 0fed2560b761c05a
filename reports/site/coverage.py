"""The page of the simulation: in words what is too narrow and what is false too often, and the tables behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from reports.figures.coverage import COMMAND, pictures
from reports.statistics.coverage import LOOKS, ONE_SIDED, false_share, grouped
from reports.statistics.forms.form import WORDS
from reports.statistics.intervals import LEVEL
from reports.table import NONE, Said, Table, Value, exact

IMPROVEMENT = "Probability of improvement"
"""The simulation's name of it."""

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

    for method, records in grouped(record["rates"], "method").items():
        lines.append(
            f"False verdicts of {method} tests at a level of {ONE_SIDED}, the largest share simulated of each: "
            f"{_worst(records, 'words')} (± {records[0]['error']:.3f})."
        )
    looks = record["sequential"]
    lines.append(
        f"Looks after {', '.join(map(str, LOOKS))} seeds, false verdicts: {_worst(looks, 'words')} (± {looks[0]['error']:.3f}); "
        f"with one test at the end: {_worst(looks, 'at_end')}."
    )
    return lines


def measured(record: dict[str, Any] | None, intervals: Sequence[str], seeds: int, tasks: int) -> str:
    """In words: how often bootstrap intervals of these kinds held the true value, in the simulations nearest below a study's size."""
    if record is None:
        return "Descriptive: bootstrap intervals cover less than the 95 % that they say; by how much, `softbench coverage` simulates."
    its = [each for each in record["coverage"] if each["interval"] in intervals and each["coverage"] is not None]
    n, t = (_nearest(count, {each[key] for each in its}) for key, count in (("n", seeds), ("tasks", tasks)))
    shares = [each["coverage"] for each in its if (each["n"], each["tasks"]) == (n, t)]
    if not shares:
        return measured(None, intervals, seeds, tasks)
    low, high = (f"{share:.0%}".removesuffix("%") for share in (min(shares), max(shares)))
    held = f"{low} %" if low == high else f"{low} to {high} %"
    on = f"{n} seeds on {t} task{'s' * (t != 1)}"
    return f"Descriptive: the intervals say 95 %; simulated with {on}, they held the true value in {held} of studies."


def _nearest(count: int, tried: set[int]) -> int:
    """The largest of the numbers tried that is no larger than `count`, or the smallest."""
    return max((each for each in tried if each <= count), default=min(tried, default=0))


def _worst(records: list[dict[str, Any]], words: str) -> str:
    """word -> its largest share where it is false, and where that was; in words."""
    found = []
    for word in WORDS:
        false = [each for each in records if word in each[words] and word not in each["right"]]
        worst = max(false, key=lambda each: each[words][word])
        seeds = f"{worst['n']} seeds, " if "n" in worst else ""
        found.append(f"{word} {worst[words][word]:.3f} ({_test(worst)}, {seeds}{worst['distribution']} scores)")
    return "; ".join(found)


def _test(rate: dict[str, Any]) -> str:
    return f"{rate['test']}, margin {rate['margin']:g}"


def tables(record: dict[str, Any]) -> list[Table]:
    """Coverage of every interval, false verdicts and power of every test, and the group-sequential plan."""
    kinds = list(grouped(record["coverage"], "distribution"))

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
    for (test, margin, method, n), of_test in grouped(record["rates"], "test", "margin", "method", "n").items():
        for word in of_test[0]["words"]:
            wrong = [each for each in of_test if word not in each["right"]]
            worst = [
                max(each["words"][word] for each in of_kind) for of_kind in grouped(wrong, "distribution").values()
            ]
            false.append([test, f"{margin:g}", method, word, n, *(float(share) for share in worst)])
    for (test, margin, method, truth, n), records in grouped(
        record["rates"], "test", "margin", "method", "truth", "n"
    ).items():
        if right := records[0]["right"]:
            shares = cells(records, lambda each: float(each["words"][each["right"][0]]))
            power.append([test, f"{margin:g}", method, float(truth), right[0], n, *shares])
    looks: list[list[Value]] = [
        [
            test,
            f"{margin:g}",
            method,
            float(truth),
            *cells(records, _shares),
        ]
        for (test, margin, method, truth), records in grouped(
            record["sequential"], "test", "margin", "method", "truth"
        ).items()
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
            "Share of studies with a verdict that is false for their true difference: the largest of all true differences tried (among "
            f"them the ends of what the verdicts say). Each should be at most {ONE_SIDED}.",
            ["test", "margin", "method", "verdict", "seeds", *kinds],
            false,
        ),
        Table(
            "power",
            "Power",
            "Share of studies with the strongest verdict that is right; the scores' standard deviation is 0.25, a steady arm's 0.025.",
            ["test", "margin", "method", "difference", "right verdict", "seeds", *kinds],
            power,
        ),
        Table(
            "looks",
            "Adding seeds until it is decided",
            f"Looks after {', '.join(map(str, LOOKS))} seeds an arm: share of studies with a right verdict, with a false one (each word "
            f"should be at most {ONE_SIDED}), and the mean number of seeds at the verdict.",
            ["test", "margin", "method", "difference", *kinds],
            looks,
        ),
    ]


def _shares(rate: dict[str, Any]) -> Value:
    """Right, false, and the mean number of seeds, in one cell."""
    right, false, seeds = _right(rate), false_share(rate), float(rate["seeds"])
    return Said(f"{right:.3f}, {false:.3f}, {seeds:.0f}", ", ".join(map(exact, (right, false, seeds))))


def _right(rate: dict[str, Any]) -> float:
    """The share of studies with a verdict that is right."""
    return float(sum(share for word, share in rate["words"].items() if word in rate["right"]))
