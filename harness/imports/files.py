"""Which files an entry of an import names, and what their paths say."""

from __future__ import annotations

import glob
from collections.abc import Collection
from dataclasses import dataclass
from itertools import groupby, product
from pathlib import Path

from harness.errors import InputError
from harness.imports.patterns import WILD, matching
from harness.imports.readers import TOGETHER
from harness.imports.readers.content import hidden
from harness.imports.schema import Entry

MOST_FILES = 20_000


@dataclass(frozen=True)
class Group:
    """Files that are read together: those of one run, or a single one; `said`: what their paths say; `fault`: why they are not read."""

    paths: list[Path]
    said: dict[str, str]
    fault: str = ""


def groups(entry: Entry, folder: Path, number: int, slashed: Collection[str]) -> list[Group]:
    """The files of entry `number` in `folder`, in the order of their names. `slashed`: names of arms and tasks with a slash.

    Hidden files are nobody's logs. Raises InputError where nothing matches, too much does, or an exclusion matches nothing.
    """
    root, found = folder.resolve(), list[tuple[Path, dict[str, str]]]()
    lost: list[Group] = []
    idle = {*entry.exclude}
    for path in sorted({path for pattern in _globs(entry.files, slashed) for path in folder.glob(pattern)}):
        name = path.relative_to(folder).as_posix()
        said = matching(entry.files, name, slashed=slashed)
        if said is None or not path.is_file() or (hidden(name) and not hidden(entry.files)):
            continue
        excluding = [pattern for pattern in entry.exclude if _excludes(pattern, name, slashed)]
        idle -= {*excluding}
        if excluding:
            continue
        if not name.isprintable():
            lost.append(Group([path], said, "a file's name must be printable"))
        elif not path.resolve().is_relative_to(root):
            lost.append(Group([path], said, f"leads out of the folder {folder}"))
        else:
            found.append((path, said))
        if len(found) > MOST_FILES:
            raise InputError(f"runs.{number}.files: {entry.files!r} matches more than {MOST_FILES:,} files")
    if not found and not lost:
        left = " that is not excluded" if idle != {*entry.exclude} else ""
        raise InputError(f"runs.{number}.files: {entry.files!r} matches no file in {folder}{left}")
    if idle:
        raise InputError(f"runs.{number}.exclude: {min(idle)!r} matches none of the files of {entry.files!r}")
    if entry.format not in TOGETHER:
        return [*(Group([path], said) for path, said in found), *lost]
    found.sort(key=lambda each: (each[0].parent, sorted(each[1].items()), each[0]))
    runs = []
    for _, group in groupby(found, key=lambda each: (each[0].parent, each[1])):
        members = list(group)
        runs.append(Group([path for path, _ in members], members[0][1]))
    return [*runs, *lost]


def shown(path: Path) -> str:
    """A path in a message."""
    return path.as_posix() if path.as_posix().isprintable() else repr(path.as_posix())


def _globs(pattern: str, slashed: Collection[str]) -> list[str]:
    """Patterns of the shell: a star for all that may stand there, and stars with slashes where a declared name has some."""
    depths = sorted({0, *(name.count("/") for name in slashed)})
    stars = {depth: "/".join(["*"] * (depth + 1)) for depth in depths}
    parts = WILD.split(pattern)
    choices = [
        list(stars.values()) if part in ("{task}", "{arm}") else ["*"] if WILD.fullmatch(part) else [glob.escape(part)]
        for part in parts
    ]
    return ["".join(chosen) for chosen in product(*choices)]


def _excludes(pattern: str, name: str, slashed: Collection[str]) -> bool:
    """Whether a file, or a folder that it lies in, is excluded."""
    parts = name.split("/")
    heads = ["/".join(parts[: place + 1]) for place in range(len(parts))]
    return any(matching(pattern.rstrip("/"), head, slashed=slashed) is not None for head in heads)
