"""What several test modules share: finite differences, and a gradient that remembers what it gave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algorithms import population
from algorithms.population.rows import ALIGN


def slope(function: Callable[[Tensor], Tensor], at: Tensor, direction: Tensor, step: float = 1e-6) -> Tensor:
    """Central difference of `function` (any shape) at `at` along `direction`, in float64."""
    assert at.dtype == torch.float64
    return (function(at + step * direction) - function(at - step * direction)) / (2 * step)


def directions(like: Tensor, count: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(like.shape, generator=generator, dtype=torch.float64) for _ in range(count)]


def assert_gradient(function: Callable[[Tensor], Tensor], at: Tensor, gradient: Tensor, count: int = 8) -> None:
    """`gradient` [P, n] is that of `function` ([P, n] -> [P]), row by row, along random directions."""
    for direction in directions(at, count):
        numeric = slope(function, at, direction)
        torch.testing.assert_close((gradient * direction).sum(1), numeric, rtol=1e-5, atol=1e-7)


class RememberedGradient:
    """Stands in for `population.gradient`."""

    last: Tensor

    def __call__(self, loss: Tensor, parameters: Tensor) -> Tensor:
        result = population.gradient(loss, parameters)
        self.last = result.clone()
        return result


def doubled(state: population.State) -> population.State:
    """A copy of the state with its floats in float64."""
    return {name: x.double() if x.is_floating_point() else x.clone() for name, x in state.items()}


def aligned(size: int, offset: int, dtype: type) -> Any:
    """An array that begins `offset` items after a multiple of ALIGN items."""
    buffer = np.empty(size + 2 * ALIGN + offset, dtype)
    start = -(buffer.ctypes.data // buffer.itemsize) % ALIGN + offset
    return buffer[start : start + size]
