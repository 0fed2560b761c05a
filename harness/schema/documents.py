"""YAML files of users and JSON records of ours: read safely, and what is wrong with them in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.error import MarkedYAMLError

from harness.errors import InputError, ResultsError

Model = TypeVar("Model", bound=BaseModel)
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


def read_record(path: Path, kind: type[Model], most: int) -> Model | None:
    """A JSON file of at most `most` bytes that we wrote, None where there is none. Raises ResultsError naming file and field."""
    if not path.exists():
        return None
    try:
        if path.stat().st_size > most:
            raise ValueError(f"it has more than {most:,} bytes")
        return kind.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise ResultsError(f"{path}: {first_problem(error)}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ResultsError(f"{path}: cannot be read: {error}") from error


WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is no field here",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "string_too_short": "must have at least {min_length:,} characters",
    "string_too_long": "must have at most {max_length:,} characters",
    "too_short": "must be no shorter than {min_length:,}",
    "too_long": "must be no longer than {max_length:,}",
    "greater_than": "must be above {gt:,.15g}",
    "greater_than_equal": "must be at least {ge:,.15g}",
    "less_than": "must be below {lt:,.15g}",
    "less_than_equal": "must be at most {le:,.15g}",
    "multiple_of": "must be a multiple of {multiple_of:,.15g}",
    "literal_error": "must be {expected}",
    "union_tag_invalid": "{discriminator} is {tag!r}, must be one of {expected_tags}",
    "union_tag_not_found": "{discriminator} is missing",
    "model_type": "must be a table (name: value)",
    "dict_type": "must be a table (name: value)",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "value_error": "{error}",
}
"""What pydantic found -> what a user is told, with the names of its context."""


def first_problem(error: ValidationError) -> str:
    """The first problem of a pydantic error as `field.path: what is wrong (got ...)`."""
    problem = error.errors()[0]
    kind, given, where = problem["type"], problem["input"], [str(part) for part in problem["loc"]]
    words = in_words(error)
    said = kind == "missing" or isinstance(given, dict) or repr(str(given)) in words
    got = "" if said else f" (got {given!r:.60})"
    if where[-1:] == ["[key]"]:  # of a table whose names are the user's
        where, words, got = where[:-2], f"the name {where[-2][:80]!r} {words}", ""
    if not where and kind == "value_error":  # of the whole file, in words that say where
        return words
    return f"{'.'.join(where) or 'the file'}: {words}{got}"


def in_words(error: ValidationError) -> str:
    """What is wrong, without the place."""
    problem = error.errors()[0]
    context = problem.get("ctx", {})
    if context.get("min_length") == 1:
        return "must not be empty"
    return WORDS.get(problem["type"], problem["msg"]).format(**context)
