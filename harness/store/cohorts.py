"""A cohort's folder of checkpoints belongs to one identity: settings, code, versions. Written once, compared before every use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.files import make_folder, replacing
from harness.plan.identity import first_difference

NAME = "identity.json"


def take(folder: Path, identity: dict[str, Any]) -> None:
    """Take a folder for `identity`, which it must have or get. Raises InputError naming the first field that differs."""
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
    paths = folder.parent.glob(f"*/{NAME}")
    others = [path for path in paths if path.parent != folder and any(path.parent.glob("seed-*"))]
    if folder.exists() or not others:
        return None
    latest = max(others, key=lambda path: path.stat().st_mtime_ns)
    try:
        found = first_difference(_read(latest), identity)
    except InputError:
        found = None
    return f"checkpoints of another version are left alone: {found or 'theirs cannot be read'}"


def _read(path: Path) -> Any:
    """Raises InputError where the file is damaged."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read: {error}; move the folder away") from error
