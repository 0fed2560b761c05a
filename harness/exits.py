"""The exit codes of the command line: the one table."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """A code of its own for each kind of end, so that CI and schedulers can tell them apart."""

    DONE = 0
    INCOMPLETE = 1
    INPUT = 2
    DIFFERENT = 3
    AGAINST = 4
    NOT_MEASURED = 5
    INVALID = 6
    INCONCLUSIVE = 7
    SIGINT = 130
    SIGUSR1 = 138
    PIPE = 141
    SIGTERM = 143


MEANINGS = {
    Exit.DONE: "done, and nothing is wrong",
    Exit.INCOMPLETE: "incomplete: a cohort or a check failed, a result is damaged, or the disk; the rest is done, try again",
    Exit.INPUT: "wrong input, results that cannot be used, or another process in this folder",
    Exit.DIFFERENT: "different: what was recomputed has other bits",
    Exit.AGAINST: "a claim does not hold as it says, or a loss against the baseline is supported",
    Exit.NOT_MEASURED: "something was not measured",
    Exit.INVALID: "a claim is invalid, or one of several suites cannot be judged",
    Exit.INCONCLUSIVE: "a claim is inconclusive, or not decided by the most seeds",
    Exit.SIGINT: "ended by SIGINT (Ctrl-C); the same command goes on",
    Exit.SIGUSR1: "ended by SIGUSR1; the same command goes on",
    Exit.PIPE: "the reader of the output went away",
    Exit.SIGTERM: "ended by SIGTERM; the same command goes on",
}


def legend(*codes: Exit) -> str:
    """The codes of one command, for the end of its help."""
    return "\n\n\b\nExit codes beside 0:\n" + "\n".join(f"  {code:d}: {MEANINGS[code]}" for code in sorted({*codes}))
