"""A population of networks as one flat parameter tensor [P, n]: layers, Adam, RMSProp, clipping, all per member.

Every operation treats each row alone and in the same way whatever the number of rows, so that a member's numbers do not
depend on its company. Rows and layers are padded to multiples of 64 floats for the same reason: kernels may round differently
in the tail of an array or at another alignment. Fused library optimizers are left out: they mix the tails of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

ALIGN = 64  # floats; a whole number of SIMD blocks, so that no row's tail is computed by other instructions

HEAD = 16  # columns
WIDTH = 32  # floats in two of the widest SIMD registers

State = dict[str, Tensor]
"""A learner's whole state: every tensor has the member as its first axis."""


class Draws(Protocol):
    """Random numbers of a segment. Each call gives the next [P, *shape] of the stream (member, role, segment)."""

    members: int
    device: torch.device

    def normal(self, role: str, shape: tuple[int, ...]) -> Tensor: ...
    def uniform(self, role: str, shape: tuple[int, ...]) -> Tensor: ...
    def gumbel(self, role: str, shape: tuple[int, ...]) -> Tensor: ...
    def permutation(self, role: str, count: int) -> Tensor: ...


class Layout:
    """Where each tensor of one member lies in its flat row. `shapes`: name -> shape without the member axis."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self.shapes = shapes
        self.sizes = [math.ceil(math.prod(shape) / ALIGN) * ALIGN for shape in shapes.values()]
        self.size = sum(self.sizes)

    def split(self, flat: Tensor) -> dict[str, Tensor]:
        """Views [P, *shape] into flat [P, n], by name."""
        return {
            name: part[:, : math.prod(shape)].view(flat.shape[0], *shape)
            for part, (name, shape) in zip(torch.split(flat, self.sizes, 1), self.shapes.items(), strict=True)
        }

    def join(self, tensors: dict[str, Tensor]) -> Tensor:
        """The flat [P, n] of tensors [P, *shape], the last axis of which may be shorter; the gaps are 0. Inverse of `split`."""
        members = next(iter(tensors.values())).shape[0]
        flat = torch.zeros(members, self.size)
        for name, view in self.split(flat).items():
            view[..., : tensors[name].shape[-1]] = tensors[name]
        return flat


def mlp_shapes(name: str, sizes: list[int]) -> dict[str, tuple[int, ...]]:
    """Shapes of a perceptron with layers `sizes`: weights [in, out], biases [1, out].

    The last layer is padded to a multiple of HEAD columns, which stay 0: a narrow product is two to three times slower than a padded
    one, and one with a single column takes another kernel, and rounds differently, alone than in company.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    padded = [*sizes[:-1], math.ceil(sizes[-1] / HEAD) * HEAD]
    for index, (inputs, outputs) in enumerate(pairwise(padded)):
        shapes[f"{name}.{index}.weight"] = (inputs, outputs)
        shapes[f"{name}.{index}.bias"] = (1, outputs)
    return shapes


def tanh(inputs: Tensor) -> Tensor:
    """tanh to 2e-7 in float32: 2 sigmoid(2x) - 1 takes a third of the time of the library's own on the CPU.

    The size of each member's part must be a multiple of WIDTH, or the tail of the array is computed by other instructions.
    """
    return 2 * torch.sigmoid(2 * inputs) - 1


def mlp(
    parameters: dict[str, Tensor], name: str, inputs: Tensor, activation: Callable[[Tensor], Tensor], outputs: int
) -> Tensor:
    """Apply each member's perceptron `name` to its own inputs: [P, B, in] -> [P, B, outputs]."""
    hidden, index = inputs, 0
    while True:
        hidden = torch.baddbmm(parameters[f"{name}.{index}.bias"], hidden, parameters[f"{name}.{index}.weight"])
        index += 1
        if f"{name}.{index}.weight" not in parameters:
            return hidden.narrow(-1, 0, outputs)
        hidden = activation(hidden)


def orthogonal(draws: Draws, role: str, inputs: int, outputs: int, gain: float) -> Tensor:
    """Orthogonal weights [P, in, out] (Saxe et al. 2014), one QR decomposition a member."""
    normal = draws.normal(role, (max(inputs, outputs), min(inputs, outputs))).cpu().numpy().astype(np.float64)
    rows = []
    for matrix in normal:
        q, r = np.linalg.qr(matrix)
        q *= np.sign(np.diag(r))
        rows.append(torch.from_numpy(np.ascontiguousarray(q if inputs >= outputs else q.T)))
    return gain * torch.stack(rows).float()


def orthogonal_layers(draws: Draws, layout: Layout, heads: dict[str, tuple[int, float]]) -> dict[str, Tensor]:
    """Initial tensors [P, *shape] of a layout: orthogonal weights of gain sqrt(2), all else 0. `heads`: weight -> (outputs, gain)."""
    tensors = {name: torch.zeros(draws.members, *shape) for name, shape in layout.shapes.items()}
    for name, shape in layout.shapes.items():
        if name.endswith("weight"):
            outputs, gain = heads.get(name, (shape[1], math.sqrt(2)))
            tensors[name] = orthogonal(draws, name, shape[0], outputs, gain)
    return tensors


def fan_in_uniform(draws: Draws, role: str, shape: tuple[int, ...], inputs: int) -> Tensor:
    """Uniform [P, *shape] in +-1/sqrt(inputs): PyTorch's default for linear layers."""
    return ((2 * draws.uniform(role, shape) - 1) / math.sqrt(inputs)).float()


def gradient(loss: Tensor, parameters: Tensor) -> Tensor:
    """Gradient [P, n] of each member's own loss. loss [P]: rows do not touch, so one backward pass of the sum gives all."""
    (found,) = torch.autograd.grad(loss.sum(), parameters)
    return found


def clip_norm_(gradients: Tensor, limit: float) -> Tensor:
    """Scale each member's gradient [P, n] in place to at most `limit` in the 2-norm; returns the norms before [P]."""
    norms = gradients.square().sum(1).sqrt()
    gradients.mul_((limit / (norms + 1e-6)).clamp_(max=1.0).unsqueeze(1))
    return norms


def adam_(
    state: State,
    name: str,
    gradients: Tensor,
    count: int,
    rate: float,
    epsilon: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
) -> None:
    """One Adam step (Kingma and Ba 2015, Algorithm 1) on state[name] [P, n], in place. `count`: this step's number, from 1."""
    mean, square = state[f"{name}.adam_mean"], state[f"{name}.adam_square"]
    mean.mul_(beta1).add_(gradients, alpha=1 - beta1)
    square.mul_(beta2).addcmul_(gradients, gradients, value=1 - beta2)
    denominator = square.sqrt().div_(math.sqrt(1 - beta2**count)).add_(epsilon)
    state[name].addcdiv_(mean, denominator, value=-rate / (1 - beta1**count))


def rmsprop_(state: State, name: str, gradients: Tensor, rate: float, decay: float, epsilon: float) -> None:
    """One RMSProp step on state[name] [P, n], in place; epsilon outside the root, as in PyTorch."""
    square = state[f"{name}.rms_square"]
    square.mul_(decay).addcmul_(gradients, gradients, value=1 - decay)
    state[name].addcdiv_(gradients, square.sqrt().add_(epsilon), value=-rate)


def optimizer_state(name: str, parameters: Tensor, *slots: str) -> State:
    """state[name] and its optimizer slots, all [P, n], the slots 0."""
    return {name: parameters, **{f"{name}.{slot}": torch.zeros_like(parameters) for slot in slots}}
