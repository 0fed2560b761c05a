"""A replay buffer in blocks, each named by its content, so that a checkpoint writes only what a segment has changed.

The tensors `replay.*` of a member's row, [capacity, ...], are cut into runs of ROWS entries. Nothing is assumed about how a learner
fills them: a block that has the bytes of one that is stored is not stored again, whatever its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import torch

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
    tensors = {name: replay[name].cpu().contiguous() for name in sorted(replay)}
    for first in range(0, min((len(tensor) for tensor in tensors.values()), default=0), ROWS):
        block = {name: tensor[first : first + ROWS] for name, tensor in tensors.items()}
        key = hashlib.sha256()
        for name, entries in block.items():
            key.update(f"{name} {entries.dtype} {list(entries.shape)};".encode())
            key.update(entries.numpy().data)
        yield key.hexdigest(), block


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
    """The replay buffer of its blocks. Raises KeyError where they do not have the same tensors."""
    return {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]} if blocks else {}
