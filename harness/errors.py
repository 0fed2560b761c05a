"""Wrong input is told in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Wrong input. The message is one line: the field or flag, what is wrong, what is allowed. Exit code 2."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'? Known: ...` for an unknown word."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return (f"; did you mean {close[0]!r}?" if close else ".") + f" Known: {', '.join(names) or 'none'}"
