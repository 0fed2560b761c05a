"""A population of networks as one flat tensor [P, n]: `outputs = network(flat, observation)`, and autograd goes through it.

On the CPU products and gradients are numpy's (perceptron.py, convolution.py), elsewhere torch's; pairs see no difference. For an image
the heads share one torso, for a row of numbers each head has a perceptron of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, from_numpy

from algorithms.learner import Draw, Draws, Spaces
from algorithms.population.engine import Engine
from algorithms.population.perceptron import Activation, Perceptrons
from algorithms.population.rows import Array, Layout, Room, by_hand
from algorithms.population.torso import Convolutions


class Network:
    """`copies` networks a member for observations of `spaces`, with an output a head: heads (A, 1) are A logits and a value.

    `hidden`: widths of a perceptron's layers. `extra`: numbers beside a flat observation, such as an action's. `gains`: of each head's
    orthogonal initial weights; None: PyTorch's uniform ones in all layers. `free`: numbers that depend on no input, such as a global
    log-deviation. Raises ValueError for an image that is too small, or has numbers beside it.
    """

    def __init__(
        self,
        name: str,
        spaces: Spaces,
        hidden: Sequence[int],
        heads: Sequence[int],
        activation: Activation = "relu",
        *,
        gains: Sequence[float] | None = None,
        copies: int | None = None,
        free: int = 0,
        extra: int = 0,
    ) -> None:
        self.name, self.heads, self.gains, self.copies, self.free = name, tuple(heads), gains, copies, free
        self.shared = len(spaces.observation) == 3
        self.engine: Engine
        if self.shared:
            if extra:
                raise ValueError("observation: an image takes no numbers beside it")
            self.engine = Convolutions(spaces.observation, sum(heads), copies or 1, spaces.scale)
        else:
            sizes = [spaces.observation[0] + extra, *hidden, max(heads)]
            self.engine = Perceptrons(sizes, (copies or 1) * len(heads), activation)
        self.layout = Layout(self.engine.nets, [*self.engine.shapes, *([(1, free)] if free else [])])
        self.gradients = Room()

    @property
    def parts(self) -> int:
        """Equal parts of a row, each of which has a gradient norm of its own: the networks of the heads and copies."""
        return self.engine.nets

    def __call__(self, flat: Tensor, observation: Tensor) -> tuple[Tensor, ...]:
        """An output a head [P, B, width], or [P, copies, B, width], at observation [P, B, *shape]. flat [P, n]."""
        if not by_hand(flat):
            outputs = self.plain(flat, observation)
        elif torch.is_grad_enabled() and (flat.requires_grad or observation.requires_grad):
            outputs = _Apply.apply(flat, observation, self)  # type: ignore[no-untyped-call]
        else:
            outputs = from_numpy(self.engine.forward(self.matrices(flat), _array(observation), False)[0])
        return self.split(outputs)

    def head(self, index: int, flat: Tensor) -> Callable[[Tensor], Tensor]:
        """One head's output at observations, without gradient: where heads have networks of their own, the others are not computed."""
        flat, heads, width = flat.detach(), len(self.heads), self.heads[index]
        if self.shared or not by_hand(flat):
            return lambda observation: self(flat, observation)[index]
        assert isinstance(self.engine, Perceptrons)
        found = self.engine.function([matrix[:, index::heads] for matrix in self.matrices(flat)])
        chosen = (..., slice(width)) if self.copies else (slice(None), 0, slice(None), slice(width))
        return lambda observation: from_numpy(found(_array(observation))[chosen])

    def follow(self, flat: Tensor, observation: Tensor) -> Pass:
        """A forward pass whose gradient is taken by slopes of the outputs, without a graph."""
        return Pass(self, flat, observation)

    def plain(self, flat: Tensor, observation: Tensor) -> Tensor:
        """All outputs [P, nets, B, out] by torch alone, with derivatives of any order."""
        return self.engine.plain(self.layout.tensors(flat)[: len(self.engine.shapes)], observation)

    def split(self, outputs: Tensor) -> tuple[Tensor, ...]:
        """The heads of all outputs [P, nets, B, out]."""
        if self.shared:
            found = list(torch.split(outputs, list(self.heads), 3))
        else:
            by_head = outputs.view(len(outputs), -1, len(self.heads), *outputs.shape[2:])
            found = [by_head[:, :, index, :, :width] for index, width in enumerate(self.heads)]
        return tuple(head if self.copies else head[:, 0] for head in found)

    def globals(self, flat: Tensor) -> Tensor:
        """The numbers that depend on no input [P, free], also where there are none."""
        return self.layout.tensors(flat)[-1][:, 0, 0] if self.free else flat[:, :0]

    def gradient_row(self, like: Array) -> Array:
        """Room for a gradient [P, n], 0 between the matrices and for the numbers that depend on no input."""
        flat = self.gradients.take((len(like), self.engine.nets * self.layout.size), like.dtype)
        if self.free:
            self.layout.arrays(flat)[-1][:] = 0
        return flat

    def matrices(self, flat: Tensor) -> list[Array]:
        return self.layout.arrays(flat.detach().numpy())[: len(self.engine.shapes)]

    def initial(self, draws: Draws) -> Tensor:
        """Parameters [P, n] before the first step. Each network, head and layer has a stream of its own."""
        flat = torch.zeros(draws.members, self.engine.nets * self.layout.size)
        matrices = self.layout.arrays(flat.numpy())[: len(self.engine.shapes)]
        for net in range(self.engine.nets):
            for index, matrix in enumerate(matrices):
                role = f"{self.name}.{net}.{index}"
                if index + 1 < len(matrices):
                    self._fill(matrix[:, net], math.sqrt(2), draws, role)
                else:
                    self._fill_heads(matrix[:, net], net, draws, role)
        return flat.to(draws.device)

    def _fill_heads(self, matrix: Array, net: int, draws: Draws, role: str) -> None:
        """The last layer: of an image network the heads stand side by side, else a network has one; columns left over stay 0."""
        if not self.shared:
            head = net % len(self.heads)
            self._fill(matrix[:, :, : self.heads[head]], self.gains[head] if self.gains else 0.0, draws, role)
            return
        start = 0
        for head, width in enumerate(self.heads):
            gain = self.gains[head] if self.gains else 0.0
            self._fill(matrix[:, :, start : start + width], gain, draws, f"{role}.{head}")
            start += width

    def _fill(self, matrix: Array, gain: float, draws: Draws, role: str) -> None:
        """Initial values of a layer [P, inputs + 1, outputs] in place."""
        _, inputs, outputs = matrix.shape
        if self.gains is None:
            uniform = draws.take(role, Draw("uniform", (inputs, outputs))).cpu().numpy()
            matrix[:] = (2 * uniform - 1) / math.sqrt(inputs - 1)
        else:
            shape = max(inputs - 1, outputs), min(inputs - 1, outputs)
            matrix[:, :-1] = gain * _orthogonal(draws.take(role, Draw("normal", shape)).cpu().numpy(), inputs > outputs)


class Pass:
    """Outputs of a network, and the gradient of its parameters, once, from the slopes of a loss that is a mean over the batch."""

    def __init__(self, network: Network, flat: Tensor, observation: Tensor) -> None:
        self.network = network
        self.by_hand = by_hand(flat)
        if self.by_hand:
            self.matrices = network.matrices(flat)
            outputs, self.saved = network.engine.forward(self.matrices, _array(observation), True)
            self.outputs = from_numpy(outputs)
        else:
            with torch.enable_grad():
                self.flat = flat.detach().requires_grad_()
                self.outputs = network.plain(self.flat, observation)
        self.heads = network.split(self.outputs.detach())

    def gradient(self, *slopes: Tensor, by_globals: Tensor | None = None) -> Tensor:
        """[P, n], given each sample's slopes like `heads`, and the mean ones by the numbers that depend on no input [P, free]."""
        network = self.network
        by_outputs = torch.zeros_like(self.outputs)
        for part, slope in zip(network.split(by_outputs), slopes, strict=True):
            torch.mul(slope, 1 / slope.shape[-2], out=part)
        if self.by_hand:
            flat = network.gradient_row(self.matrices[0])
            into = network.layout.arrays(flat)[: len(self.matrices)]
            network.engine.backward(self.matrices, self.saved, by_outputs.numpy(), into, False)
            found = from_numpy(flat)
        else:
            (found,) = torch.autograd.grad(self.outputs, self.flat, by_outputs)
        if by_globals is not None:
            network.globals(found).copy_(by_globals)
        return found


class _Apply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, flat: Tensor, observation: Tensor, network: Network) -> Tensor:
        matrices = network.matrices(flat)
        outputs, saved = network.engine.forward(matrices, _array(observation), True)
        ctx.kept = network, matrices, saved
        return from_numpy(outputs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        network, matrices, saved = ctx.kept
        flat = network.gradient_row(matrices[0])
        into = network.layout.arrays(flat)[: len(matrices)]
        by_inputs = network.engine.backward(
            matrices, saved, _array(gradient.contiguous()), into, ctx.needs_input_grad[1]
        )
        return from_numpy(flat), None if by_inputs is None else from_numpy(by_inputs), None


def _array(tensor: Tensor) -> Array:
    return tensor.detach().numpy()


def _orthogonal(normal: Array, tall: bool) -> Array:
    """Orthogonal matrices (Saxe et al. 2014) of normal numbers [P, longer, shorter], one QR decomposition a member."""
    rows = []
    for matrix in normal.astype(np.float64):
        q, r = np.linalg.qr(matrix)
        q *= np.sign(np.diag(r))
        rows.append(q if tall else q.T)
    return np.stack(rows)
