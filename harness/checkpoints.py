"""A member's checkpoints: its row of the state as one safetensors file, and a JSON file with its records and hash chain.

The folder of a cohort is named by the hash of its identity (settings, code, versions), so that another version never finds it.
Every file is written beside, synced and renamed; the JSON file, which holds the checksum of the other, comes last. The last two
segments are kept: a damaged one is said and the one before is used.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from algorithms.population import State
from harness.errors import InputError
from harness.results import canonical, replacing

GENERATIONS = 2


@dataclass
class Progress:
    """How far a member is: one record and one link of the chain a finished segment."""

    records: list[dict[str, Any]] = field(default_factory=list)
    chain: list[str] = field(default_factory=list)


def fingerprint(previous: str, row: State, record: Mapping[str, Any]) -> str:
    """The next link: SHA-256 over the previous one, the member's row of the state (names, types, shapes, bytes) and its record."""
    link = hashlib.sha256(previous.encode())
    for name in sorted(row):
        array = row[name].cpu().contiguous().numpy()
        link.update(canonical([name, str(array.dtype), list(array.shape)]))
        link.update(array.tobytes())
    link.update(canonical(record))
    return link.hexdigest()


def rows(state: State, records: Mapping[str, np.ndarray]) -> Iterator[tuple[State, dict[str, Any]]]:
    """Each member's row of the state, and its record as plain numbers."""
    for index in range(len(next(iter(records.values())))):
        row = {name: tensor[index].detach().cpu().clone() for name, tensor in state.items()}
        yield row, {name: column[index].item() for name, column in records.items()}


class Member:
    """The checkpoints of one member in the folder of its cohort."""

    def __init__(self, cohort: Path, seed: int) -> None:
        self.folder = cohort / f"seed-{seed}"

    def save(self, row: State, progress: Progress) -> None:
        """Write the state after the last segment of `progress`, and drop all but the last two."""
        self.folder.mkdir(parents=True, exist_ok=True)
        number = len(progress.chain)
        blob = save(row)
        with replacing(self._path(number, "safetensors")) as path:
            path.write_bytes(blob)
        content = {"records": progress.records, "chain": progress.chain, "sha256": hashlib.sha256(blob).hexdigest()}
        with replacing(self._path(number, "json")) as path:
            path.write_text(json.dumps(content))
        for old in self.numbers()[:-GENERATIONS]:
            self._path(old, "json").unlink(missing_ok=True)
            self._path(old, "safetensors").unlink(missing_ok=True)

    def load(self, with_state: bool = True) -> tuple[State, Progress]:
        """The latest whole checkpoint; an empty progress where there is none. A damaged one is said on stderr.

        Raises OSError where there are checkpoints and none is whole: training never starts again silently.
        """
        numbers = self.numbers()
        for number in reversed(numbers):
            try:
                content = json.loads(self._path(number, "json").read_text())
                progress = Progress(list(content["records"]), list(content["chain"]))
                if not with_state:
                    return {}, progress
                blob = self._path(number, "safetensors").read_bytes()
                if hashlib.sha256(blob).hexdigest() != content["sha256"]:
                    raise ValueError("checksum differs")
                return load(blob), progress
            except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
                print(f"{self.folder}: the checkpoint of segment {number} is damaged ({error}); using the one before", file=sys.stderr)
        if numbers:
            raise OSError(f"{self.folder}: no checkpoint is whole; remove the folder to train this member from the start")
        return {}, Progress()

    def copy_segment(self, number: int, cohort: Path) -> None:
        """Copy the checkpoint of one segment into the folder of another cohort."""
        copy = Member(cohort, int(self.folder.name.removeprefix("seed-")))
        copy.folder.mkdir(parents=True)
        for suffix in ("safetensors", "json"):
            shutil.copyfile(self._path(number, suffix), copy._path(number, suffix))

    def _path(self, number: int, suffix: str) -> Path:
        return self.folder / f"segment-{number:05d}.{suffix}"

    def numbers(self) -> list[int]:
        """The segments whose checkpoints are kept, in order."""
        return sorted(int(path.stem.split("-")[1]) for path in self.folder.glob("segment-*.json"))


def stack(row_list: list[State], device: torch.device) -> State:
    """The state of a cohort from its members' rows."""
    return {name: torch.stack([row[name] for row in row_list]).to("cpu" if name == "diverged_at" else device) for name in row_list[0]}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder for this process. Raises InputError where another one holds it; a killed holder's lock is gone."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = open(folder / "lock", "w")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"--out: {folder}: cannot be written: {error.strerror}") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"--out: {folder}: another process is training here; wait for it, or choose another --out") from error
        yield
