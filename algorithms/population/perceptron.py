"""Perceptrons of all members by numpy, their gradient by hand, straight into the flat rows: no graph and no fresh memory at each step.

Products are made network by network in a shape that the batch alone decides, everything else is element by element or along a member's
own axis, so that a member's bits do not depend on its company (numpy's matmul holds that, torch's bmm does not).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor, from_numpy

from algorithms.population.rows import Array, Room

Activation = Literal["tanh", "relu"]


class Perceptrons:
    """`nets` perceptrons a member with layers `sizes`; an `Engine`. Inputs get a column of ones for the first layer's bias."""

    def __init__(self, sizes: list[int], nets: int, activation: Activation) -> None:
        self.nets, self.activation = nets, activation
        self.shapes = [(inputs + 1, outputs) for inputs, outputs in pairwise(sizes)]
        self._room = Room()

    def forward(self, matrices: list[Array], inputs: Array, keep: bool) -> tuple[Array, list[Array]]:
        """See Engine; what is kept: the inputs [P, 1, B, in + 1] and the hidden layers' outputs."""
        members, batch, size = inputs.shape
        hidden = self._room.take((members, 1, batch, size + 1), matrices[0].dtype)
        hidden[:, 0, :, :-1], hidden[..., -1] = inputs, 1
        kept = [hidden]
        for index, matrix in enumerate(matrices):
            following = self._room.take((members, matrix.shape[1], batch, matrix.shape[-1]), matrix.dtype)
            if index == 0:
                np.matmul(hidden, matrix, out=following)
            else:
                np.matmul(hidden, matrix[:, :, :-1], out=following)
                from_numpy(following).add_(from_numpy(matrix[:, :, -1:]))
            if index + 1 < len(matrices):
                self._activate(following)
                if keep:
                    kept.append(following)
            hidden = following
        return hidden, kept

    def function(self, matrices: list[Array]) -> Callable[[Array], Array]:
        """`forward` for many inputs under the same matrices, in fewer calls of numpy's and torch's; its outputs are new arrays."""
        first, layers = matrices[0], [(matrix[:, :, :-1], matrix[:, :, -1:]) for matrix in matrices[1:]]
        rooms: dict[int, tuple[Array, list[Array | None]]] = {}

        def run(inputs: Array) -> Array:
            members, batch, size = inputs.shape
            if batch not in rooms:
                hidden = [
                    np.empty((members, each.shape[1], batch, each.shape[3]), each.dtype) for each in matrices[:-1]
                ]
                rooms[batch] = np.ones((members, 1, batch, size + 1), first.dtype), [*hidden, None]
            with_ones, rest = rooms[batch]
            with_ones[:, 0, :, :-1] = inputs
            values = np.matmul(with_ones, first, out=rest[0])
            for room, (weight, bias) in zip(rest[1:], layers, strict=True):
                self._activate(values)
                values = np.matmul(values, weight, out=room)
                values += bias
            return values

        return run

    def backward(
        self, matrices: list[Array], saved: list[Array], gradient: Array, into: list[Array], by_inputs: bool
    ) -> Array | None:
        """See Engine."""
        room = None
        for index in range(len(matrices) - 1, 0, -1):
            hidden = saved[index]
            np.matmul(hidden.swapaxes(2, 3), gradient, out=into[index][:, :, :-1])
            torch.sum(from_numpy(gradient), 2, keepdim=True, out=from_numpy(into[index][:, :, -1:]))
            if room is None or room.shape != hidden.shape:
                room = self._room.take(hidden.shape, hidden.dtype)
            np.matmul(gradient, matrices[index][:, :, :-1].swapaxes(2, 3), out=room)
            self._slope(room, hidden)
            gradient, room = room, hidden  # whose values have done their duty
        np.matmul(saved[0].swapaxes(2, 3), gradient, out=into[0])
        if not by_inputs:
            return None
        found: Array = np.matmul(gradient, matrices[0][:, :, :-1].swapaxes(2, 3)).sum(1)
        return found

    def plain(self, matrices: list[Tensor], inputs: Tensor) -> Tensor:
        """See Engine."""
        hidden = inputs.unsqueeze(1)
        for index, matrix in enumerate(matrices):
            if index:
                hidden = hidden.tanh() if self.activation == "tanh" else hidden.relu()
            hidden = hidden @ matrix[:, :, :-1] + matrix[:, :, -1:]
        return hidden

    def _activate(self, values: Array) -> None:
        if self.activation == "relu":
            np.maximum(values, 0, out=values)
            return
        # tanh x = 1 - 2 / (exp(2 x) + 1), to 2e-7: in two thirds of np.tanh's time, which is more than that of the products.
        with np.errstate(over="ignore"):
            np.multiply(values, 2, out=values)
            np.exp(values, out=values)
        np.add(values, 1, out=values)
        np.divide(2, values, out=values)
        np.subtract(1, values, out=values)

    def _slope(self, gradient: Array, outputs: Array) -> None:
        """Multiply the gradient of a layer's outputs by the activation's derivative, in place."""
        by, of = from_numpy(gradient), from_numpy(outputs)
        if self.activation == "tanh":
            torch.ops.aten.tanh_backward.grad_input(by, of, grad_input=by)
        else:
            torch.ops.aten.threshold_backward.grad_input(by, of, 0, grad_input=by)
