"""A replay buffer in blocks, each named by its content, so that a checkpoint writes only what a segment has changed.

The tensors `replay.*` of a member's row are cut along their first axis into runs of ROWS entries, those of equal length together. Nothing
is assumed about how they are filled: a block that has the bytes of one that is stored is not stored again, whatever its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor

from algorithms.learner import State

PREFIX = "replay."
ROWS = 1024
KEY = 64
"""Characters of a block's name: a SHA-256."""


def is_replay(name: str) -> bool:
    """Whether a tensor of the state is kept in blocks."""
    return name.startswith(PREFIX)


def split(replay: State) -> Iterator[tuple[str, State]]:
    """The name (a SHA-256 over names, types, shapes and bytes) and the entries of each block, in order. Views, on the CPU."""
    by_length: dict[int, State] = {}
    for name in sorted(replay):
        by_length.setdefault(len(replay[name]), {})[name] = replay[name].cpu().contiguous()
    for length, tensors in sorted(by_length.items()):
        for first in range(0, length, ROWS):
            block = {name: tensor[first : first + ROWS] for name, tensor in tensors.items()}
            key = hashlib.sha256()
            for name, entries in block.items():
                key.update(f"{name} {entries.dtype} {list(entries.shape)};".encode())
                key.update(entries.numpy().data)
            yield key.hexdigest(), block


def count(lengths: Iterable[int]) -> int:
    """Blocks of a replay buffer whose tensors have these lengths."""
    return sum(-(-length // ROWS) for length in set(lengths))


def packed(blocks: Mapping[str, State]) -> State:
    """Blocks by name as one dict of tensors, to be stored in one file."""
    return {f"{key}.{name}": entries.clone() for key, block in blocks.items() for name, entries in block.items()}


def unpacked(stored: State) -> dict[str, State]:
    """The inverse of `packed`."""
    blocks: dict[str, State] = {}
    for name, entries in stored.items():
        blocks.setdefault(name[:KEY], {})[name[KEY + 1 :]] = entries
    return blocks


def joined(blocks: list[State]) -> State:
    """The replay buffer of its blocks, in the order of `split`. Raises RuntimeError where those of a tensor do not fit each other."""
    parts: dict[str, list[Tensor]] = {}
    for block in blocks:
        for name, entries in block.items():
            parts.setdefault(name, []).append(entries)
    return {name: torch.cat(entries) for name, entries in parts.items()}
