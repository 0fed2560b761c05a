"""A member's checkpoints: safetensors and JSON, the last two generations, nothing pickled.

After segment N the folder of a member holds

- `segment-N.safetensors`: its row of the state without the replay buffer,
- `replay-N.safetensors`: the blocks of its replay buffer that no file before holds (see `blocks.py`); absent where there are none,
- `segment-N.json`: records, hash chain, checksums of all files that make this generation, and last the checksum of its own text.

Every file is written beside, synced and renamed, and the folder synced; the JSON file comes last. Files are removed when neither of
the last two generations needs them. What is loaded must have its checksums, the layout that the learner expects, and the last link of
the hash chain: a damaged generation is said and the one before is used. Both generations share the old blocks of a replay buffer, so
that damage to one of those is an error.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from algorithms.learner import State
from harness.files import canonical, make_folder, replacing
from harness.store import blocks

GENERATIONS = 2
FORMAT = 2
MOST_JSON = 2**26
"""Bytes of a JSON file; 10,000 segments need about a tenth."""
MOST_HEADER = 2**20
"""Bytes by which a safetensors file may exceed its tensors, and by which one of blocks may exceed twice the state."""
SEAL = b', "seal": "'

Layout = dict[str, tuple[torch.dtype, tuple[int, ...]]]
"""Name -> type and shape of each tensor of a member's row."""


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


def layout(state: State) -> Layout:
    """The layout of one member's row of a cohort's state [P, ...]."""
    return {name: (tensor.dtype, tuple(tensor.shape[1:])) for name, tensor in state.items()}


class Member:
    """The checkpoints of one member in the folder of its cohort."""

    def __init__(self, cohort: Path, seed: int) -> None:
        self.folder = cohort / f"seed-{seed}"

    def save(self, row: State, progress: Progress) -> None:
        """Write the state after the last segment of `progress`, and drop what only generations before the last two need.

        Raises OSError where it cannot be written; the generations before are whole then.
        """
        make_folder(self.folder)
        number = len(progress.chain)
        plain = {name: tensor for name, tensor in row.items() if not blocks.is_replay(name)}
        content = {
            "records": progress.records,
            "chain": progress.chain,
            "sha256": self._write(self._path("segment", number), plain),
            **self._save_replay({name: tensor for name, tensor in row.items() if blocks.is_replay(name)}, number),
        }
        with replacing(self._path("segment", number, "json")) as path:
            path.write_bytes(_sealed(content))
        self._clean(number, set(map(int, content["replay"])))

    def _save_replay(self, replay: State, number: int) -> dict[str, Any]:
        """Write the blocks that the generation before has not stored.

        Returns `blocks`, [[name, number of its file]] in order, and `replay`, {number of a file: its SHA-256}.
        """
        before = self._stored(number - 1) if replay else {"blocks": [], "replay": {}}
        files: dict[str, str] = dict(before["replay"])
        where: dict[str, int] = dict(before["blocks"])
        fresh: dict[str, State] = {}
        order: list[tuple[str, int]] = []
        for key, block in blocks.split(replay):
            if key not in where:
                fresh[key], where[key] = block, number
            order.append((key, where[key]))
        if fresh:
            files[str(number)] = self._write(self._path("replay", number), blocks.packed(fresh))
        return {
            "blocks": order,
            "replay": {str(file): files[str(file)] for file in sorted({where[key] for key, _ in order})},
        }

    def _stored(self, number: int) -> dict[str, Any]:
        """What a generation says of its replay buffer; nothing where it is absent or damaged."""
        try:
            return self._content(number)
        except (OSError, ValueError):
            return {"blocks": [], "replay": {}}

    def _clean(self, number: int, needed: set[int]) -> None:
        """Remove the generations before the last two, and files of blocks that neither these nor `needed` name."""
        for old in self.numbers():
            if old <= number - GENERATIONS:
                self._path("segment", old, "json").unlink(missing_ok=True)
        for old in self._numbers("segment-*.safetensors"):
            if old <= number - GENERATIONS:
                self._path("segment", old).unlink(missing_ok=True)
        stored = set(self._numbers("replay-*.safetensors"))
        if stored - needed:
            for old in stored - needed - set(map(int, self._stored(number - 1)["replay"])):
                self._path("replay", old).unlink(missing_ok=True)

    def load(self, with_state: bool = True, expected: Layout | None = None) -> tuple[State, Progress]:
        """The latest whole checkpoint; an empty progress where there is none. A damaged one is said on stderr.

        `expected`: the layout that the state must have; with it, no more memory is used than such a state needs twice over.
        Raises OSError where there are checkpoints and none is whole: training never starts again silently.
        """
        if self.folder.is_symlink():
            raise OSError(f"{self.folder}: is a symbolic link; a member's folder must be a folder")
        numbers = self.numbers()
        for number in reversed(numbers):
            try:
                content = self._content(number)
                progress = Progress(content["records"], content["chain"])
                return (self._state(number, content, expected) if with_state else {}), progress
            except (OSError, ValueError, SafetensorError) as error:
                reason = " ".join(str(error).split())[:200]
                print(
                    f"{self.folder}: the checkpoint of segment {number} is damaged ({reason}); using the one before",
                    file=sys.stderr,
                )
        if numbers or any(number > 1 for number in self._numbers("segment-*.safetensors")):
            raise OSError(
                f"{self.folder}: no checkpoint is whole; remove the folder to train this member from the start"
            )
        return {}, Progress()

    def _content(self, number: int) -> dict[str, Any]:
        """The JSON file of a generation. Raises ValueError where its checksum or its form is wrong."""
        content = _opened(_read(self._path("segment", number, "json"), MOST_JSON))
        link = re.compile(r"[0-9a-f]{64}")
        chain, records, order, files = (content.get(name) for name in ("chain", "records", "blocks", "replay"))
        if not (
            isinstance(chain, list)
            and all(isinstance(each, str) and link.fullmatch(each) for each in chain)
            and len(chain) == number
        ):
            raise ValueError(f"chain: is not one of {number} hashes")
        if not (isinstance(records, list) and len(records) == number and all(map(_is_record, records))):
            raise ValueError(f"records: are not {number} of numbers")
        if not (isinstance(files, dict) and all(re.fullmatch("[1-9][0-9]{0,8}", file) for file in files)):
            raise ValueError("replay: is no table of files")
        if not (isinstance(order, list) and all(_is_block(each) and str(each[1]) in files for each in order)):
            raise ValueError("blocks: is no list of names and files")
        return content

    def _state(self, number: int, content: dict[str, Any], expected: Layout | None) -> State:
        """The row of a generation. Raises ValueError where a checksum, the layout or the last link of the chain is another."""
        size = (
            None if expected is None else sum(kind.itemsize * int(np.prod(shape)) for kind, shape in expected.values())
        )
        state = self._tensors(self._path("segment", number), content.get("sha256"), size)
        if content["blocks"]:
            _check_count(len(content["blocks"]), expected)
            stored: dict[str, State] = {}
            for file, checksum in content["replay"].items():
                held = blocks.unpacked(self._tensors(self._path("replay", int(file)), checksum, size))
                stored |= {key: held[key] for key, at in content["blocks"] if str(at) == file and key in held}
            try:
                state |= blocks.joined([stored[key] for key, _ in content["blocks"]])
            except (KeyError, TypeError, RuntimeError) as error:
                raise ValueError(f"a block of the replay buffer is missing or has another shape: {error}") from error
        if expected is not None:
            _compare(layout({name: tensor.unsqueeze(0) for name, tensor in state.items()}), expected)
        chain = content["chain"]
        if fingerprint(chain[-2] if number > 1 else "", state, content["records"][-1]) != chain[-1]:
            raise ValueError("the state is not that of the hash chain")
        return state

    @staticmethod
    def _write(path: Path, tensors: State) -> str:
        """Write tensors; returns the file's SHA-256."""
        blob = save(tensors)
        with replacing(path) as temporary:
            temporary.write_bytes(blob)
        return hashlib.sha256(blob).hexdigest()

    @staticmethod
    def _tensors(path: Path, checksum: Any, size: int | None) -> State:
        """The tensors of a file. Raises ValueError where its SHA-256 is not `checksum`, or it is larger than `size` bytes of them need."""
        blob = _read(path, None if size is None else 2 * size + MOST_HEADER)
        if hashlib.sha256(blob).hexdigest() != checksum:
            raise ValueError(f"{path.name}: checksum differs")
        tensors: State = load(blob)
        return tensors

    def copy_segment(self, number: int, cohort: Path) -> None:
        """Copy the checkpoint of one segment into the folder of another cohort."""
        folder = cohort / self.folder.name
        make_folder(folder)
        files = [self._path("segment", number), self._path("segment", number, "json")]
        for path in files + [self._path("replay", int(file)) for file in self._stored(number)["replay"]]:
            shutil.copyfile(path, folder / path.name)

    def numbers(self) -> list[int]:
        """The segments whose checkpoints are kept, in order."""
        return self._numbers("segment-*.json")

    def _path(self, kind: str, number: int, suffix: str = "safetensors") -> Path:
        return self.folder / f"{kind}-{number:05d}.{suffix}"

    def _numbers(self, pattern: str) -> list[int]:
        names = [re.fullmatch(r"\w+-([0-9]{5,9})\.\w+", path.name) for path in self.folder.glob(pattern)]
        return sorted(int(name[1]) for name in names if name)


def stack(row_list: list[State], device: torch.device) -> State:
    """The state of a cohort from its members' rows."""
    return {
        name: torch.stack([row[name] for row in row_list]).to("cpu" if name == "diverged_at" else device)
        for name in row_list[0]
    }


def _sealed(content: Mapping[str, Any]) -> bytes:
    """`content` as JSON, whose last field is the SHA-256 of the text before it."""
    text = json.dumps(content).encode()[:-1]
    return text + SEAL + hashlib.sha256(text).hexdigest().encode() + b'"}'


def _opened(blob: bytes) -> dict[str, Any]:
    """The inverse of `_sealed`. Raises ValueError where a byte is another or it is no JSON object."""
    text, _, seal = blob.rpartition(SEAL)
    if seal != hashlib.sha256(text).hexdigest().encode() + b'"}':
        raise ValueError("the JSON file's checksum differs")
    try:
        content = json.loads(text + b"}")
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError("is no JSON object")
    return content


def _is_record(record: Any) -> bool:
    return isinstance(record, dict) and all(isinstance(value, (bool, int, float)) for value in record.values())


def _is_block(entry: Any) -> bool:
    return isinstance(entry, list) and [type(part) for part in entry] == [str, int]


def _read(path: Path, most: int | None) -> bytes:
    """The bytes of a plain file. Raises OSError for anything else (a link, a device, a pipe), ValueError for more than `most` bytes."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(f"{path.name}: is no plain file")
        if most is not None and facts.st_size > most:
            raise ValueError(f"{path.name}: {facts.st_size:,} bytes; at most {most:,} are expected")
        return file.read()


def _check_count(count: int, expected: Layout | None) -> None:
    """Raises ValueError for another number of blocks than the expected replay buffer has, before they are put together."""
    lengths = [shape[0] for name, (_, shape) in (expected or {}).items() if blocks.is_replay(name)]
    if expected is not None and blocks.count(lengths) != count:
        raise ValueError(f"{count} blocks of a replay buffer, which the learner does not expect")


def _compare(found: Layout, expected: Layout) -> None:
    """Raises ValueError naming the first tensor that is another than the learner's."""
    for name in sorted(set(found) | set(expected)):
        if found.get(name) != expected.get(name):
            there, wanted = (
                f"{each[name][0]} {list(each[name][1])}" if name in each else "nothing" for each in (found, expected)
            )
            raise ValueError(f"{name[:60]}: {there}, the learner expects {wanted}")
