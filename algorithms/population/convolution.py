"""Layers of images by hand: products over unrolled patches (im2col) for all members, and the gradient straight into their rows.

Images are [height, width, channels]. How a product is cut into pieces follows from a layer's shape and the batch, never from the number of
members: the order of summation is a part of what determines a member's numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, from_numpy

from algorithms.population.rows import Array, Room


def _part(size: int, most: int) -> int:
    """The largest divisor of `size` up to `most`; `size` itself where there is none of 8 or more."""
    return max((d for d in range(8, most + 1) if size % d == 0), default=size)


class Layer(Protocol):
    """One layer of one network of each member, relu included where it has one."""

    shape: tuple[int, int]
    """[inputs + 1, outputs] of its matrix, whose last row is the bias."""
    out: tuple[int, ...]

    def forward(self, matrix: Array, inputs: Array, outputs: Array) -> None:
        """Write the outputs [P, B, *out] of inputs [P, B, *shape]."""
        ...

    def backward(self, matrix: Array, inputs: Array, gradient: Array, into: Array, by_inputs: Array | None) -> None:
        """Write the gradients by the matrix and by the inputs, given that of the outputs before the relu."""
        ...

    def plain(self, matrix: Tensor, inputs: Tensor) -> Tensor:
        """The outputs by torch."""
        ...


class Dense:
    """inputs W + b. W is taken in parts: at small batches up to twice as fast where W is in the cache, at large ones as fast."""

    COLUMNS, ROWS = 64, 200  # of a part, at most

    def __init__(self, inputs: int, outputs: int, relu: bool) -> None:
        self.shape, self.relu = (inputs + 1, outputs), relu
        self.out: tuple[int, ...] = (outputs,)
        self.columns, self.rows = _part(outputs, self.COLUMNS), _part(inputs, self.ROWS)

    def forward(self, matrix: Array, inputs: Array, outputs: Array) -> None:
        members, batch = inputs.shape[:2]
        parts = matrix[:, :-1].reshape(members, self.shape[0] - 1, -1, self.columns).swapaxes(1, 2)
        out = outputs.reshape(members, batch, -1, self.columns).swapaxes(1, 2)
        np.matmul(inputs.reshape(members, 1, batch, -1), parts, out=out)
        outputs += matrix[:, -1:]
        if self.relu:
            from_numpy(outputs).relu_()

    def backward(self, matrix: Array, inputs: Array, gradient: Array, into: Array, by_inputs: Array | None) -> None:
        members, batch, width = gradient.shape
        parts = inputs.reshape(members, batch, -1, self.rows).transpose(0, 2, 3, 1)
        np.matmul(parts, gradient[:, None], out=into[:, :-1].reshape(members, -1, self.rows, width))
        np.sum(gradient, 1, out=into[:, -1])
        if by_inputs is not None:
            parts = matrix[:, :-1].reshape(members, -1, self.rows, width).swapaxes(2, 3)
            out = by_inputs.reshape(members, batch, -1, self.rows).swapaxes(1, 2)
            np.matmul(gradient[:, None], parts, out=out)

    def plain(self, matrix: Tensor, inputs: Tensor) -> Tensor:
        outputs = torch.baddbmm(matrix[:, -1:], inputs.flatten(2), matrix[:, :-1])
        return outputs.relu() if self.relu else outputs


class Convolution:
    """relu of an unpadded convolution of images / scale, k x k pixels, stride s; rows of its matrix are (row, column, channel).

    Patches are unrolled a few samples at a time, of several members where batches are small, so that they stay in the cache.
    """

    SMALL = 1_000_000  # multiply-adds of a product: up to here OpenBLAS does not pack it first where it has AVX-512
    CACHE = 3 * 2**18  # numbers in the patches of larger products

    def __init__(self, image: tuple[int, ...], filters: int, k: int, s: int, scale: float, room: Room) -> None:
        height, width, channels = image
        self.image, self.filters, self.k, self.s, self.scale, self.room = image, filters, k, s, scale, room
        self.high, self.wide, self.taps = (height - k) // s + 1, (width - k) // s + 1, k * k * channels
        self.shape = (self.taps + 1, filters)
        self.out: tuple[int, ...] = (self.high, self.wide, filters)
        size = self.high * self.wide * (self.taps + 1)
        samples = self.SMALL // (size * filters)
        self.chunk = 2 ** int(math.log2(samples if samples >= 8 else max(1, self.CACHE // size)))

    def _numbers(self, images: Array, dtype: np.dtype[Any]) -> Array:
        """images / scale [p, b, *image] of this dtype, without gaps."""
        if images.dtype == dtype and self.scale == 1 and images.flags.c_contiguous:
            return images
        numbers = from_numpy(self.room.take(images.shape, dtype)).copy_(from_numpy(images))
        return (numbers if self.scale == 1 else numbers.div_(self.scale)).numpy()

    def _patches(self, images: Array, dtype: np.dtype[Any]) -> Iterator[tuple[tuple[slice, slice], Array]]:
        """Which members and samples, and their patches [p, b * high * wide, taps + 1], which the next ones overwrite.

        A piece has at most `chunk` samples: some of one member, or all of some members.
        """
        (_, width, channels), (members, batch) = self.image, images.shape[:2]
        work = self.room.take((self.chunk, self.high, self.wide, self.taps + 1), dtype)
        work[..., -1] = 1  # for the bias
        # The pixels of a patch's row, copied as one thing.
        run = np.dtype((np.void, self.k * channels * dtype.itemsize))
        runs = np.ndarray((*work.shape[:3], self.k), run, work, 0, (*work.strides[:3], run.itemsize))
        pixel, row = channels * dtype.itemsize, width * channels * dtype.itemsize
        strides = math.prod(self.image) * dtype.itemsize, self.s * row, self.s * pixel, row
        together = max(1, self.chunk // batch)
        for member in range(0, members, together):
            for sample in range(0, batch, self.chunk):
                piece = slice(member, member + together), slice(sample, sample + self.chunk)
                numbers = self._numbers(images[piece], dtype)
                to = runs[: len(numbers) * numbers.shape[1]]
                np.copyto(to, np.ndarray(to.shape, run, numbers, 0, strides))
                yield piece, work[: len(to)].reshape(len(numbers), -1, self.taps + 1)

    def forward(self, matrix: Array, inputs: Array, outputs: Array) -> None:
        for piece, patches in self._patches(inputs, matrix.dtype):
            out = outputs[piece]
            np.matmul(patches, matrix[piece[0]], out=out.reshape(len(out), -1, self.filters))
            from_numpy(out).relu_()

    def backward(self, matrix: Array, inputs: Array, gradient: Array, into: Array, by_inputs: Array | None) -> None:
        for piece, patches in self._patches(inputs, matrix.dtype):
            (members, samples), slopes = piece, gradient[piece].reshape(len(patches), -1, self.filters)
            if samples.start == 0:
                np.matmul(patches.swapaxes(1, 2), slopes, out=into[members])
            else:
                into[members] += np.matmul(patches.swapaxes(1, 2), slopes)
            if by_inputs is not None:  # the patches are done with: their gradient takes their place
                np.matmul(slopes, matrix[members, :-1].swapaxes(1, 2), out=patches[..., :-1])
                self._fold(patches, by_inputs[piece])

    def _fold(self, patches: Array, images: Array) -> None:
        """Add up in each pixel what the patches that hold it give."""
        _, width, channels = self.image
        joint = self.s if self.k % self.s == 0 == width % self.s else 1  # neighbours that no two patches split
        across, step = self.k // joint, self.s // joint
        taps = from_numpy(patches)[..., :-1].view(-1, self.high, self.wide, self.k, across, joint * channels)
        pixels = from_numpy(images).zero_().view(len(taps), -1, width // joint, joint * channels)
        for a, b in np.ndindex(self.k, across):
            rows = slice(a, a + self.s * self.high, self.s)
            columns = slice(b, b + step * self.wide, step)
            pixels[:, rows, columns].add_(taps[:, :, :, a, b])

    def plain(self, matrix: Tensor, inputs: Tensor) -> Tensor:
        patches = inputs.unfold(2, self.k, self.s).unfold(3, self.k, self.s)  # [P, B, high, wide, C, k, k]
        patches = patches.permute(0, 1, 2, 3, 5, 6, 4).flatten(4).flatten(1, 3)
        outputs = torch.baddbmm(matrix[:, -1:], patches, matrix[:, :-1])
        return outputs.relu().reshape(*inputs.shape[:2], *self.out)
