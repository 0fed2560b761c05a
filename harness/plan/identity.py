"""What a cohort's checkpoints belong to: settings, code, versions. Written once in the cohort's folder, compared before every use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.files import make_folder, replacing

NAME = "identity.json"


def claim(folder: Path, identity: dict[str, Any]) -> None:
    """Take a cohort's folder for `identity`, which it must have or get. Raises InputError naming the first field that differs."""
    path = folder / NAME
    if path.is_symlink() or folder.is_symlink():
        raise InputError(f"{path}: is or is in a symbolic link; remove it")
    if not path.exists():
        if any(folder.glob("seed-*")):
            raise InputError(
                f"{folder}: has checkpoints and no {NAME}: whose they are is not known; move the folder away"
            )
        make_folder(folder)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(identity, indent=1, sort_keys=True))
        return
    found = first_difference(_read(path), identity)
    if found:
        raise InputError(f"{folder}: has checkpoints of another version: {found}; move the folder away")


def left_alone(folder: Path, identity: dict[str, Any]) -> str | None:
    """One line where there are checkpoints of this cohort, but only of other versions: what differs from the latest of them."""
    others = [
        path for path in folder.parent.glob(f"*/{NAME}") if path.parent != folder and any(path.parent.glob("seed-*"))
    ]
    if folder.exists() or not others:
        return None
    latest = max(others, key=lambda path: path.stat().st_mtime_ns)
    try:
        found = first_difference(_read(latest), identity)
    except InputError:
        found = None
    return f"checkpoints of another version are left alone: {found or 'theirs cannot be read'}"


def first_difference(old: Any, new: dict[str, Any]) -> str | None:
    """`field: was x, is now y` for the first leaf in which two identities differ."""
    fields = ({} if not isinstance(old, dict) else old).get
    return next((found for name in new if (found := difference(fields(name), new[name], name))), None)


def difference(old: Any, new: Any, path: str) -> str | None:
    """`path: was x, is now y` for the first leaf in which two JSON values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(set(old) | set(new), reverse=path == "code"):  # `hash` says less than the file that differs
            if path == "code" and key == "hash":
                continue
            found = difference(old.get(key), new.get(key), f"{path}.{key}")
            if found is not None:
                return found
        return None
    return None if old == new else f"{path}: was {old!r:.60}, is now {new!r:.60}"


def _read(path: Path) -> Any:
    """Raises InputError where the file is damaged."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read: {error}; move the folder away") from error
