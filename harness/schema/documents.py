"""YAML files of users: read safely, and what is wrong with them in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from yaml.error import MarkedYAMLError

from harness.errors import InputError

MOST_TEXT = 2**20
"""Characters of a YAML file."""


class Loader(yaml.SafeLoader):
    """Safe YAML in which a key given twice and an alias are errors."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise MarkedYAMLError(problem="aliases (*name) are not allowed; write the value out", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise MarkedYAMLError(problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, with safe tags only and bounded in size. Raises InputError naming file, line and column."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MOST_TEXT + 1)
        if len(text) > MOST_TEXT:
            raise ValueError(f"it has more than {MOST_TEXT:,} characters")
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(f"{path}{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from error
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, or no number of Python's
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def first_problem(error: ValidationError) -> str:
    """The first problem of a pydantic error as `field.path: what is wrong (got ...)`."""
    problem = error.errors()[0]
    field = ".".join(str(part) for part in problem["loc"]) or "the file"
    got = (
        "" if problem["type"] == "missing" or isinstance(problem["input"], dict) else f" (got {problem['input']!r:.60})"
    )
    message = problem["msg"].removeprefix("Value error, ").replace("Input should", "must")
    message = message.replace("Extra inputs are not permitted", "unknown field")
    return f"{field}: {message}{got}"
