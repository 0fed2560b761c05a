"""Files that last: written whole or not at all, held by one process, named by their content."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import InputError

ROOT = Path(__file__).parent.parent
"""The folder of our packages: a checkout's, or that of installed ones."""


def digest(content: Any) -> str:
    """SHA-256 of a JSON-able value, in canonical form."""
    return hashlib.sha256(canonical(content)).hexdigest()


def canonical(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


class replacing:
    """`with replacing(path) as temporary:` writes beside `path`, syncs, and renames onto it; a failure leaves `path` whole."""

    def __init__(self, path: Path) -> None:
        if not path.name:
            raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
        self.path = path
        self.temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")

    def __enter__(self) -> Path:
        for stale in self.path.parent.glob(f".{self.path.name}.*.tmp"):  # of a killed process
            stale.unlink(missing_ok=True)
        return self.temporary

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                _sync(self.temporary)
                os.replace(self.temporary, self.path)
                _sync(self.path.parent)
        finally:
            self.temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, each synced into its parent. Raises OSError where a part is no folder or cannot be made."""
    if not folder.is_dir():
        if not folder.parent.exists():
            make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder for this process. Raises InputError where another one holds it; a killed holder's lock is gone."""
    try:
        make_folder(folder)
        handle = open(os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "w")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"--out: {folder}: cannot be written: {error.strerror}") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"--out: {folder}: another process is training here; wait for it, or choose another --out"
            ) from error
        yield
