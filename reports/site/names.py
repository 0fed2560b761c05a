"""Names of the results, which may hold anything, as names of files and places of a page."""

from __future__ import annotations

import re


def stem(name: str) -> str:
    """A file's stem, or the id of a place in a page."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "unnamed"
