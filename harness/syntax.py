"""What a Python file says, apart from how it is written: its syntax tree without comments and docstrings.

A comment, a docstring or another layout changes no number, and so no identity. `ast.dump` differs between Python's versions; this
does not (a test holds recorded digests).
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

SILENT = {"ctx", "kind", "type_comment", "type_ignores"}
"""Fields that follow from others, or are comments."""


@functools.cache
def syntax_digest(source: bytes) -> str:
    """SHA-256 of what a file says. Raises SyntaxError where it is no Python."""
    return hashlib.sha256(json.dumps(_plain(ast.parse(source)), separators=(",", ":")).encode()).hexdigest()


def file_digest(path: Path, by: str = "syntax") -> str:
    """SHA-256 of what a file says (its bytes where it is no Python), or of its `bytes`, as results of earlier versions name it."""
    source = path.read_bytes()
    try:
        if by == "syntax":
            return syntax_digest(source)
    except (SyntaxError, ValueError):  # ValueError: a null byte
        pass
    return hashlib.sha256(source).hexdigest()


def _plain(value: Any) -> Any:
    """A node as [name, [field, value] ...], a list as one; other values by type and text (1, 1.0 and True are equal, not the same)."""
    if isinstance(value, ast.JoinedStr):  # 3.12 leaves an empty text behind some fields
        return [
            "JoinedStr",
            [_plain(part) for part in value.values if not (isinstance(part, ast.Constant) and part.value == "")],
        ]
    if isinstance(value, ast.AST):
        fields = [(name, getattr(value, name, None)) for name in value._fields if name not in SILENT]
        # Empty fields are left out: other versions of Python may not have them.
        return [type(value).__name__, *([name, _plain(field)] for name, field in fields if field not in (None, []))]
    if isinstance(value, list):
        return [_plain(each) for each in value if not _is_text(each)]
    return [type(value).__name__, repr(value)]


def _is_text(node: Any) -> bool:
    """Whether a statement is a string alone: the docstring of a module, class, function or attribute."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
