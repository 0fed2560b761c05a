"""What softbench raises on purpose, each with a message of one line that a user reads without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SoftbenchError(Exception):
    """The root of the errors below."""


class InputError(SoftbenchError, ValueError):
    """Wrong input. The message is one line: the field or flag, what is wrong, what is allowed. Exit code 2."""


class ResultsError(SoftbenchError, ValueError):
    """A results folder that cannot be read; the message names the file and what is wrong. Exit code 2 where nothing else can be shown."""


class Incomplete(SoftbenchError):
    """Something was not finished; what was is kept, and the same command tries the rest. Exit code 1."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'? Known: ...` for an unknown word."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return (f"; did you mean {close[0]!r}?" if close else ".") + f" Known: {', '.join(names) or 'none'}"
