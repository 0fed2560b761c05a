"""The value that a network gives to numbers beside an observation, such as an action's, and its gradient by them.

Parameters get none: a policy climbs a critic that does not learn from it. On the CPU by numpy, as the engines do, elsewhere by torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, from_numpy

from algorithms.population.networks import Network
from algorithms.population.perceptron import Perceptrons
from algorithms.population.rows import by_hand


def first_value(network: Network, flat: Tensor, observation: Tensor, beside: Tensor) -> Tensor:
    """The first network of each member at observation [P, B, D] and `beside` [P, B, extra] -> [P, B]; autograd follows `beside` alone."""
    if by_hand(flat):
        return _FirstValue.apply(beside, flat.detach(), observation, network)  # type: ignore[no-any-return, no-untyped-call]
    matrices = network.layout.tensors(flat.detach())[: len(network.engine.shapes)]
    inputs = torch.cat([observation, beside], -1)
    return network.engine.plain([matrix[:, :1] for matrix in matrices], inputs)[:, 0, :, 0]


class _FirstValue(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, beside: Tensor, flat: Tensor, observation: Tensor, network: Network) -> Tensor:
        matrices = [matrix[:, :1] for matrix in network.matrices(flat)]
        inputs = torch.cat([observation, beside.detach()], -1)
        outputs, saved = network.engine.forward(matrices, inputs.numpy(), True)
        ctx.kept = network, matrices, saved, beside.shape[-1]
        return from_numpy(outputs)[:, 0, :, 0]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        network, matrices, saved, numbers = ctx.kept
        assert isinstance(network.engine, Perceptrons)
        slope = gradient.contiguous().numpy()[:, None, :, None]
        for matrix, hidden in zip(matrices[:0:-1], saved[:0:-1], strict=True):
            room = network.gradients.take(hidden.shape, hidden.dtype)
            slope = np.matmul(slope, matrix[:, :, :-1].swapaxes(2, 3), out=room)
            network.engine._slope(slope, hidden)
        beside = matrices[0][:, :, -1 - numbers : -1]  # the last row is the bias
        return from_numpy(np.matmul(slope, beside.swapaxes(2, 3))[:, 0]), None, None, None
