"""Networks of images: a torso that follows from the image's size, then one matrix to all outputs.

Torsos: Mnih et al. (2015), Human-level control through deep reinforcement learning; Young and Tian (2019), MinAtar.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, from_numpy

from algorithms.population.convolution import Convolution, Dense, Layer
from algorithms.population.rows import Array, Room

NATURE = ((32, 8, 4), (64, 4, 2), (64, 3, 1)), 512
"""(filters, pixels of a side, stride) of each convolution, and the width of the dense layer."""
MINATAR = ((16, 3, 1),), 128
LEAST, LARGE = 3, 36  # pixels of a side: what MINATAR needs, what NATURE needs

_relu_backward = torch.ops.aten.threshold_backward.grad_input


class Convolutions:
    """An Engine. Every hidden layer ends in relu."""

    def __init__(self, observation: tuple[int, ...], outputs: int, nets: int = 1, scale: float = 1.0) -> None:
        """`observation`: (height, width, channels) of images, which are divided by `scale`. Raises ValueError where it is no image."""
        if len(observation) != 3 or min(observation[:2]) < LEAST:
            raise ValueError(
                f"observation: {observation} is not (height, width, channels) of {LEAST} pixels a side or more"
            )
        convolutions, width = NATURE if min(observation[:2]) >= LARGE else MINATAR
        self.nets, self.outputs, self.scale, self.room = nets, outputs, scale, Room()
        self.layers: list[Layer] = []
        image: tuple[int, ...] = observation
        for filters, k, s in convolutions:
            self.layers.append(Convolution(image, filters, k, s, 1.0 if self.layers else scale, self.room))
            image = self.layers[-1].out
        self.layers += [Dense(math.prod(image), width, True), Dense(width, outputs, False)]
        self.shapes = [layer.shape for layer in self.layers]

    def forward(self, matrices: list[Array], inputs: Array, keep: bool) -> tuple[Array, Any]:
        members, batch, dtype = *inputs.shape[:2], matrices[0].dtype
        outputs = self.room.take((members, self.nets, batch, self.outputs), dtype)
        saved: list[list[Array]] = []
        for net in range(self.nets):
            x, hidden = inputs, []
            for layer, matrix in zip(self.layers, matrices, strict=True):
                last = layer is self.layers[-1]
                out = outputs[:, net] if last else self.room.take((members, batch, *layer.out), dtype)
                layer.forward(matrix[:, net], x, out)
                if keep:
                    hidden.append(x)
                x = out
            saved.append(hidden)
        return outputs, saved

    def backward(
        self, matrices: list[Array], saved: Any, gradient: Array, into: list[Array], by_inputs: bool
    ) -> Array | None:
        images = saved[0][0]
        if by_inputs and images.dtype == np.uint8:
            raise ValueError("by_inputs: images in uint8 have no gradient")
        gradient, total = np.ascontiguousarray(gradient), None
        for net, hidden in enumerate(saved):
            slopes = gradient[:, net]
            for i in reversed(range(len(self.layers))):
                back = self.room.take(hidden[i].shape, gradient.dtype) if i or by_inputs else None
                self.layers[i].backward(matrices[i][:, net], hidden[i], slopes, into[i][:, net], back)
                if back is not None:
                    slopes = back
                if i:
                    _relu_backward(from_numpy(slopes), from_numpy(hidden[i]), 0, grad_input=from_numpy(slopes))
            if by_inputs:
                total = slopes if total is None else np.add(total, slopes, out=total)
        return total if total is None else np.divide(total, self.scale, out=total)

    def plain(self, matrices: list[Tensor], inputs: Tensor) -> Tensor:
        x = (inputs.to(matrices[0].dtype) / self.scale).unsqueeze(1)
        x = x.expand(-1, self.nets, *x.shape[2:]).flatten(0, 1)
        for layer, matrix in zip(self.layers, matrices, strict=True):
            x = layer.plain(matrix.flatten(0, 1), x)
        return x.reshape(-1, self.nets, *x.shape[1:])
