"""Perceptrons of a population: their gradient by hand, their bits, and that nothing which somebody holds is overwritten."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numeric import aligned
from torch import from_numpy, nn

from algorithms.population.perceptron import Perceptrons
from algorithms.population.rows import ALIGN, Layout, Room

WIDTHS = {np.float32: 2e-5, np.float64: 1e-12}
SHAPES = [([3, 5, 2], 1), ([4, 64, 64, 6], 2), ([1, 7], 3), ([11, 120, 84, 2], 4)]


def setting(sizes, nets, activation, members, batch, dtype, seed=0):
    """An engine, its layout, flat rows, inputs and slopes of its outputs."""
    rng, engine = np.random.default_rng(seed), Perceptrons(sizes, nets, activation)
    layout = Layout(nets, engine.shapes)
    flat = np.zeros((members, nets * layout.size), dtype)
    for matrix in layout.arrays(flat):
        matrix[:] = rng.standard_normal(matrix.shape) / np.sqrt(matrix.shape[-2])
    inputs = rng.standard_normal((members, batch, sizes[0])).astype(dtype)
    return engine, layout, flat, inputs, rng.standard_normal((members, nets, batch, sizes[-1])).astype(dtype)


def by_hand(engine, layout, flat, inputs, slopes, into=None):
    """Outputs, the flat gradient, and the one by the inputs."""
    into = np.zeros_like(flat) if into is None else into
    outputs, saved = engine.forward(layout.arrays(flat), inputs, True)
    return outputs, into, engine.backward(layout.arrays(flat), saved, slopes, layout.arrays(into), True)


def assert_near(found, expected, relative):
    expected = expected.detach().numpy()
    assert found.shape == expected.shape and found.dtype == expected.dtype
    assert np.abs(found - expected).max() <= relative * np.abs(expected).max()


@pytest.mark.parametrize("dtype", WIDTHS)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize(("sizes", "nets"), SHAPES)
def test_outputs_and_all_gradients_are_those_of_each_networks_own_module(sizes, nets, activation, dtype):
    engine, layout, flat, inputs, slopes = setting(sizes, nets, activation, 3, 9, dtype)
    outputs, into, back = by_hand(engine, layout, flat, inputs, slopes)
    total = torch.zeros(inputs.shape, dtype=from_numpy(flat).dtype)
    for p, n in np.ndindex(3, nets):
        layers = []
        for matrix in layout.arrays(flat):
            layer = nn.Linear(*(matrix[p, n, :-1].shape), dtype=total.dtype)
            layer.weight.data.copy_(from_numpy(matrix[p, n, :-1].T))
            layer.bias.data.copy_(from_numpy(matrix[p, n, -1]))
            layers += [layer, nn.Tanh() if activation == "tanh" else nn.ReLU()]
        module, seen = nn.Sequential(*layers[:-1]), from_numpy(inputs[p]).clone().requires_grad_()
        expected = module(seen)
        assert_near(outputs[p, n], expected, WIDTHS[dtype])
        expected.backward(from_numpy(slopes[p, n]))
        total[p] += seen.grad
        for matrix, layer in zip(layout.arrays(into), layers[::2], strict=True):
            assert_near(matrix[p, n], torch.cat([layer.weight.grad.T, layer.bias.grad[None]]), WIDTHS[dtype])
    assert_near(back, total, WIDTHS[dtype])


@pytest.mark.parametrize("dtype", WIDTHS)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize(("sizes", "nets"), SHAPES)
def test_plain_has_the_same_outputs_and_gradients(sizes, nets, activation, dtype):
    engine, layout, flat, inputs, slopes = setting(sizes, nets, activation, 3, 9, dtype)
    outputs, into, back = by_hand(engine, layout, flat, inputs, slopes)
    leaf, seen = from_numpy(flat).clone().requires_grad_(), from_numpy(inputs).clone().requires_grad_()
    expected = engine.plain(layout.tensors(leaf), seen)
    gradients = torch.autograd.grad(expected, (leaf, seen), from_numpy(slopes))
    for found, wanted in zip((outputs, into, back), (expected, *gradients), strict=True):
        assert_near(found, wanted, WIDTHS[dtype])


def test_3000_odd_shapes_round_alike_alone_and_in_company():
    """Whatever the shape, and wherever in memory rows begin."""
    rng, different = np.random.default_rng(0), 0
    for _ in range(3000):
        sizes = [int(size) for size in rng.integers(1, 70, rng.integers(2, 5))]
        nets, batch, members, activation = (
            rng.integers(1, 4),
            rng.integers(1, 40),
            rng.integers(2, 6),
            rng.choice(["tanh", "relu"]),
        )
        engine = Perceptrons(sizes, int(nets), activation)
        layout = Layout(int(nets), engine.shapes)
        shapes = [(nets * layout.size,), (batch, sizes[0]), (nets, batch, sizes[-1])]
        rows = [rng.standard_normal((members, *shape), np.float32) for shape in shapes]
        company = [int(rng.integers(members))] if rng.random() < 0.7 else list(rng.permutation(members)[:-1])
        found = []
        for chosen in (list(range(members)), company):
            placed = []
            for values in (*rows, 0 * rows[0]):
                own = values[chosen]
                placed.append(aligned(own.size, int(rng.integers(ALIGN)), np.float32).reshape(own.shape))
                placed[-1][:] = own
            found.append(by_hand(engine, layout, *placed))
        different += any(not np.array_equal(alone, whole[company]) for whole, alone in zip(*found, strict=True))
    assert different == 0


def test_what_is_held_is_never_overwritten():
    """Two forward passes before a backward, and gradients held over a second one."""
    engine, layout, flat, inputs, slopes = setting([4, 16, 3], 2, "tanh", 3, 8, np.float32)
    other = setting([4, 16, 3], 2, "tanh", 3, 8, np.float32, seed=5)[3]
    expected = [part.copy() for part in by_hand(engine, layout, flat, inputs, slopes)]
    matrices, first, second = layout.arrays(flat), np.zeros_like(flat), np.zeros_like(flat)
    outputs, saved = engine.forward(matrices, inputs, True)
    engine.forward(matrices, other, True)
    engine.forward(matrices, other, False)
    back = engine.backward(matrices, saved, slopes, layout.arrays(first), True)
    _, saved = engine.forward(matrices, other, True)
    engine.backward(matrices, saved, slopes, layout.arrays(second), True)
    for held, wanted in zip((outputs, first, back), expected, strict=True):
        assert np.array_equal(held, wanted)
    assert not np.array_equal(first, second)


def test_room_is_used_again_when_nobody_holds_it():
    room, kind = Room(), np.dtype(np.float32)
    first, second = room.take((2, 3), kind), room.take((2, 3), kind)
    assert not np.shares_memory(first, second)
    first[:] = 1
    address = first.ctypes.data
    view = from_numpy(first)[0]
    del first
    assert room.take((2, 3), kind).ctypes.data != address  # a view holds it
    del view
    assert room.take((2, 3), kind).ctypes.data == address
    assert room.take((3, 2), kind).shape == (3, 2)
    assert room.take((2, 3), np.dtype(np.float64)).dtype == np.float64
