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

BLOCK = 2**14  # numbers drawn at a time for a member and a role, to spare calls


def sequence(seed: int, role: str, segment: int) -> np.random.SeedSequence:
    """The root of one stream."""
    return np.random.SeedSequence(entropy=seed, spawn_key=(zlib.crc32(role.encode()), segment))


class Streams:
    """The draws of a cohort in one segment (`algorithms.population.Draws`)."""

    def __init__(self, seeds: list[int], segment: int, device: torch.device) -> None:
        self.seeds, self.segment, self.device = seeds, segment, device
        self.members = len(seeds)
        self._generators: dict[str, list[np.random.Generator]] = {}
        self._blocks: dict[str, tuple[tuple[int, ...], list[Tensor]]] = {}

    def normal(self, role: str, shape: tuple[int, ...]) -> Tensor:
        """Standard normal [P, *shape], float32."""
        return self._next(role, shape, lambda generator, size: generator.standard_normal(size, dtype=np.float32))

    def uniform(self, role: str, shape: tuple[int, ...]) -> Tensor:
        """Uniform in [0, 1) [P, *shape], float64."""
        return self._next(role, shape, lambda generator, size: generator.random(size))

    def gumbel(self, role: str, shape: tuple[int, ...]) -> Tensor:
        """Standard Gumbel [P, *shape], float32."""

        def draw(generator: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
            return -np.log(
                np.maximum(generator.standard_exponential(size, dtype=np.float32), np.finfo(np.float32).tiny)
            )

        return self._next(role, shape, draw)

    def permutation(self, role: str, count: int) -> Tensor:
        """A permutation of range(count) a member [P, count], int64."""
        return self._next(
            role, (count,), lambda generator, size: np.stack([generator.permutation(count) for _ in range(size[0])])
        )

    def environment_seeds(self, role: str, count: int) -> list[int]:
        """One seed an environment, `count` environments a member, member by member."""
        seeds: list[int] = []
        for seed in self.seeds:
            seeds += [int(word) for word in sequence(seed, role, self.segment).generate_state(count)]
        return seeds

    def _next(
        self, role: str, shape: tuple[int, ...], draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
    ) -> Tensor:
        if role not in self._generators:
            self._generators[role] = [
                np.random.Generator(np.random.Philox(sequence(seed, role, self.segment))) for seed in self.seeds
            ]
        known, block = self._blocks.get(role, (shape, []))
        if known != shape:
            raise ValueError(f"stream {role!r} was read in shape {known} before, now {shape}")
        if not block:
            count = max(1, BLOCK // max(1, int(np.prod(shape))))
            drawn = np.stack([draw(generator, (count, *shape)) for generator in self._generators[role]], 1)
            block = list(torch.from_numpy(drawn).to(self.device).unbind(0))[::-1]
            self._blocks[role] = (shape, block)
        return block.pop()
