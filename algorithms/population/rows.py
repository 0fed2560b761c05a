"""Members as rows: where each matrix of a network lies in a member's flat row, and room for what is computed along the way.

Every operation treats each row alone and in the same way whatever the number of rows, so that a member's numbers do not depend on its
company. Matrices begin at multiples of 64 floats: kernels may round differently at another alignment.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]

ALIGN = 64  # floats; a whole number of the widest SIMD registers


def by_hand(flat: Tensor) -> bool:
    """Whether members' rows are computed on by numpy and by fused kernels, as on the CPU; else by torch's plain operations."""
    return flat.device.type == "cpu"


class Layout:
    """Matrices of `nets` networks of one shape, one network after the other, in a row [nets * size]."""

    def __init__(self, nets: int, shapes: list[tuple[int, int]]) -> None:
        self.nets, self.shapes = nets, shapes
        self.lengths = [math.ceil(math.prod(shape) / ALIGN) * ALIGN for shape in shapes]
        self.size = sum(self.lengths)

    def arrays(self, flat: Array) -> list[Array]:
        """Views [P, nets, *shape] into a contiguous flat [P, nets * size]."""
        rows, start, views = flat.reshape(len(flat), self.nets, self.size), 0, []
        for shape, length in zip(self.shapes, self.lengths, strict=True):
            views.append(rows[:, :, start : start + math.prod(shape)].reshape(*rows.shape[:2], *shape))
            start += length
        return views

    def tensors(self, flat: Tensor) -> list[Tensor]:
        """The same views as tensors, which autograd follows."""
        rows = torch.split(flat.view(len(flat), self.nets, self.size), self.lengths, 2)
        parts = zip(rows, self.shapes, strict=True)
        return [part[:, :, : math.prod(shape)].view(len(flat), self.nets, *shape) for part, shape in parts]


class Room:
    """Arrays that are used again once nobody refers to them: fresh memory of this size would cost page faults at every step.

    Where an earlier result is still held, an array is made anew, so nothing that somebody holds is ever overwritten.
    """

    UNUSED = 2  # references: the list's, and the argument of getrefcount

    def __init__(self) -> None:
        self._arrays: dict[tuple[tuple[int, ...], str], list[Array]] = {}

    def take(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """An array of arbitrary content, 0 where nobody has written yet."""
        known = self._arrays.setdefault((shape, dtype.char), [])
        for index in range(len(known)):
            if sys.getrefcount(known[index]) == self.UNUSED:
                return known[index]
        known.append(np.zeros(shape, dtype))
        return known[-1]
