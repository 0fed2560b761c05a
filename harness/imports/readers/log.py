"""What a reader gives: one log a run, as it was written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.imports.readers.tables import Array, Numbers

NO_VALUES = np.zeros(0)


@dataclass(frozen=True)
class Log:
    """One run's log: `steps [N]` and `returns [N]` in the order written, without what is absent; not finite where it was so logged.

    `said`: what of arm, task and seed the file says; `fault`: why the run cannot be used; `began`: the time at which its environment
    was started, in seconds, where the file says it; `emptied`: after the last return there are rows whose return is empty; `path`: the
    file, where it is only one of those that are read together; `note`: what else is to be known of how it was read.
    """

    said: dict[str, str] = field(default_factory=dict)
    steps: Array = field(default_factory=NO_VALUES.copy)
    returns: Array = field(default_factory=NO_VALUES.copy)
    fault: str = ""
    began: float | None = None
    emptied: bool = False
    path: Path | None = None
    note: str = ""


Read = Iterator[Log]


def log(
    said: dict[str, str],
    steps: Numbers,
    returns: Numbers,
    rows: Sequence[int] | npt.NDArray[np.int64],
    names: tuple[str, str],
) -> Log:
    """The log in `rows` of two columns called `names`; a row without a return logged something else and is left out."""
    at = np.asarray(rows, np.int64)
    at = at[~returns.absent[at]]
    for column, name in ((steps, names[0]), (returns, names[1])):
        wrong = next((row for row in at.tolist() if row in column.wrong), None) if column.wrong else None
        if wrong is not None:
            return Log(said, fault=f"{name}: {column.wrong[wrong][:40]!r} is no number, or too large")
    if steps.absent[at].any():
        return Log(said, fault=f"{names[0]}: is empty where there is a return")
    return Log(said, steps.values[at], returns.values[at])
