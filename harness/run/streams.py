"""Counter-based random streams, keyed by (member seed, role, segment): never a global generator, never `seed + i`.

The arm's name is no part of the key: the arms of a pair share initial weights, environment seeds and noise (common random numbers).
A stream is read in order; how much of it is read at a time, and who else reads, changes nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from algorithms.learner import Draw

BLOCK = 2**14  # numbers drawn at a time for a member and a role, to spare calls


def sequence(seed: int, role: str, segment: int) -> np.random.SeedSequence:
    """The root of one stream."""
    return np.random.SeedSequence(entropy=seed, spawn_key=(zlib.crc32(role.encode()), segment))


def _gumbel(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    exponential = generator.standard_exponential(shape, dtype=np.float32)
    return -np.log(np.maximum(exponential, np.finfo(np.float32).tiny))


def _permutation(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Of range(count) along the last axis, each row anew."""
    return generator.permuted(np.broadcast_to(np.arange(shape[-1]), shape), axis=-1)


def _normal(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return generator.standard_normal(shape, dtype=np.float32)


DRAWN: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "normal": _normal,
    "uniform": lambda generator, shape: generator.random(shape),
    "gumbel": _gumbel,
    "permutation": _permutation,
    "ornstein-uhlenbeck": _normal,  # its steps: whoever knows the episodes adds them up
}
"""By kind; float32, but uniform numbers in [0, 1) float64 and permutations int64."""


class Streams:
    """The draws of a cohort in one segment (`algorithms.learner.Draws`)."""

    def __init__(self, seeds: list[int], segment: int, device: torch.device) -> None:
        self.seeds, self.segment, self.device = seeds, segment, device
        self.members = len(seeds)
        self._generators: dict[str, list[np.random.Generator]] = {}
        self._blocks: dict[str, tuple[Draw, list[Tensor]]] = {}

    def take(self, role: str, draw: Draw) -> Tensor:
        """The next [P, *draw.shape] of a role. Raises ValueError where it was read as something else before."""
        if role not in self._generators:
            self._generators[role] = [
                np.random.Generator(np.random.Philox(sequence(seed, role, self.segment))) for seed in self.seeds
            ]
        known, block = self._blocks.get(role, (draw, []))
        if known != draw:
            raise ValueError(f"stream {role!r} was read as {known} before, now as {draw}")
        if not block:
            count = max(1, BLOCK // max(1, int(np.prod(draw.shape))))
            numbers = [DRAWN[draw.kind](generator, (count, *draw.shape)) for generator in self._generators[role]]
            block = list(torch.from_numpy(np.stack(numbers, 1)).to(self.device).unbind(0))[::-1]
            self._blocks[role] = (draw, block)
        return block.pop()

    def environment_seeds(self, role: str, count: int) -> list[int]:
        """One seed an environment, `count` environments a member, member by member."""
        seeds: list[int] = []
        for seed in self.seeds:
            seeds += [int(word) for word in sequence(seed, role, self.segment).generate_state(count)]
        return seeds
