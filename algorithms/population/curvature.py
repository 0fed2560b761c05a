"""A network near its parameters, and systems of equations in their directions: what natural gradients need, each member its own.

Fisher products are J' F J v: along v to the outputs, through the small Fisher matrix of each output (divergence.py), and back.
Both ways are exact, by numpy on the CPU and by torch elsewhere, as the engines' are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, from_numpy

from algorithms.population.convolution import Layer
from algorithms.population.networks import Network
from algorithms.population.perceptron import Perceptrons
from algorithms.population.rows import Array, by_hand
from algorithms.population.torso import Convolutions


class Tangent:
    """The outputs at parameters flat [P, n], which must stay as they are; along directions and back as often as wanted."""

    def __init__(self, network: Network, flat: Tensor, observation: Tensor) -> None:
        self.network, self.by_hand = network, by_hand(flat)
        if self.by_hand:
            self.matrices = network.matrices(flat)
            outputs, self.saved = network.engine.forward(self.matrices, observation.numpy(), True)
            self.outputs = from_numpy(outputs)
        else:
            with torch.enable_grad():
                self.flat = flat.detach().requires_grad_()
                self.outputs = network.plain(self.flat, observation)
                self.slopes = torch.zeros_like(self.outputs, requires_grad=True)
                # Linear in the slopes: its own gradient by them goes along a direction.
                (self.back,) = torch.autograd.grad(self.outputs, self.flat, self.slopes, create_graph=True)
        self.heads, self.globals = network.split(self.outputs.detach()), network.globals

    def along(self, direction: Tensor) -> tuple[Tensor, ...]:
        """J v: how `heads` change, to first order, along a direction [P, n]."""
        if not self.by_hand:
            (moved,) = torch.autograd.grad(self.back, self.slopes, direction, retain_graph=True)
            return self.network.split(moved)
        engine, change = self.network.engine, self.network.matrices(direction)
        if isinstance(engine, Perceptrons):
            return self.network.split(from_numpy(_perceptrons(engine, self.matrices, self.saved, change)))
        assert isinstance(engine, Convolutions)
        return self.network.split(from_numpy(_convolutions(engine, self.matrices, self.saved, change)))

    def gradient(self, *slopes: Tensor, by_globals: Tensor | None = None) -> Tensor:
        """J' u over the batch's size [P, n]: of a mean over the batch; see Pass.gradient."""
        network, by_outputs = self.network, torch.zeros_like(self.outputs)
        for part, slope in zip(network.split(by_outputs), slopes, strict=True):
            torch.mul(slope, 1 / slope.shape[-2], out=part)
        if self.by_hand:
            flat = network.gradient_row(self.matrices[0])
            into, saved = network.layout.arrays(flat)[: len(self.matrices)], deepcopy(self.saved)  # to be used once
            network.engine.backward(self.matrices, saved, by_outputs.numpy(), into, False)
            found = from_numpy(flat)
        else:
            (found,) = torch.autograd.grad(self.outputs, self.flat, by_outputs, retain_graph=True)
        if by_globals is not None:
            network.globals(found).copy_(by_globals)
        return found


def dot(left: Tensor, right: Tensor) -> Tensor:
    """Of each row [P, n] -> [P, 1]."""
    if by_hand(left):
        return from_numpy(np.vecdot(left.numpy(), right.numpy())).unsqueeze(1)
    return (left * right).sum(1, keepdim=True)


def conjugate_gradient(product: Callable[[Tensor], Tensor], wanted: Tensor, steps: int) -> Tensor:
    """x [P, n] with product(x) = wanted, by so many steps from 0; Hestenes and Stiefel 1952. `product`: linear, symmetric, not negative.

    A row ends by itself once its residual is at rounding. What its product does not see, x has not: for matrices it is the pseudoinverse.
    """
    found, residual, direction = torch.zeros_like(wanted), wanted, wanted
    size = dot(residual, residual)
    least = size * torch.finfo(size.dtype).eps ** 2
    for _ in range(steps):
        image = product(direction)
        curvature = dot(direction, image)
        going = (size > least) & (curvature > 0)
        length = torch.where(going, size / curvature, 0)
        found, residual = found + length * direction, residual - length * image
        size, before = dot(residual, residual), size
        direction = residual + torch.where(going, size / before, 0) * direction
    return found


def _perceptrons(
    engine: Perceptrons, matrices: Sequence[Array], saved: Sequence[Array], change: Sequence[Array]
) -> Array:
    """How the outputs of perceptrons change with their matrices, given what `forward` has kept."""
    moved: Array = np.matmul(saved[0], change[0])
    for hidden, matrix, by in zip(saved[1:], matrices[1:], change[1:], strict=True):
        moved *= 1 - hidden * hidden if engine.activation == "tanh" else hidden > 0
        moved = np.matmul(moved, matrix[:, :, :-1])
        moved += np.matmul(hidden, by[:, :, :-1])
        moved += by[:, :, -1:]
    return moved


def _convolutions(engine: Convolutions, matrices: Sequence[Array], saved: Any, change: Sequence[Array]) -> Array:
    """The same for networks of images."""
    outputs: list[Array] = []
    for net, inputs in enumerate(saved):
        moved: Array = np.zeros(0)  # nothing has, before the first layer
        for index, layer in enumerate(engine.layers):
            last = layer is engine.layers[-1]
            found = _linear(layer, change[index][:, net], inputs[index], last)
            if index:
                weight = matrices[index][:, net].copy()
                weight[:, -1] = 0  # the bias does not move with the inputs
                found += _linear(layer, weight, moved, last)
            moved = found if last else found * (inputs[index + 1] > 0)
        outputs.append(moved)
    return np.stack(outputs, 1)


def _linear(layer: Layer, matrix: Array, inputs: Array, last: bool) -> Array:
    """A layer without its relu: relu(x) - relu(-x) = x."""
    found, other = (np.empty((*inputs.shape[:2], *layer.out), matrix.dtype) for _ in range(2))
    layer.forward(matrix, inputs, found)
    if not last:
        layer.forward(-matrix, inputs, other)
        found -= other
    return found
