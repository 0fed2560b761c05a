from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import from_numpy, nn

from algorithms.population.engine import Engine
from algorithms.population.rows import ALIGN, Layout
from algorithms.population.torso import Convolutions

MINATAR, NATURE = (10, 10, 4), (84, 84, 4)
SMALL, ODD = (5, 6, 7), (37, 45, 3)  # ODD: strides that do not fit its size
WIDTHS = {np.float32: 1e-5, np.float64: 1e-12}


def setting(observation, outputs, nets, members, batch, dtype, pixels, seed=0, offset=0):
    """An engine, its flat rows (which begin `offset` floats into a buffer) and images."""
    rng = np.random.default_rng(seed)
    scale = 255.0 if pixels == np.uint8 else 3.0 if observation == ODD else 1.0
    engine = Convolutions(observation, outputs, nets, scale)
    layout = Layout(nets, engine.shapes)
    flat = aligned(members * nets * layout.size, offset, dtype).reshape(members, -1)
    flat[:] = 0
    for matrix in layout.arrays(flat):
        matrix[:] = rng.standard_normal(matrix.shape) / np.sqrt(matrix.shape[-2] / 2)
    images = rng.integers(0, 256, (members, batch, *observation)).astype(pixels)
    return engine, layout, flat, images if pixels == np.uint8 else images / pixels(255)


def aligned(size, offset, dtype):
    """An array that begins `offset` items after a multiple of ALIGN items."""
    buffer = np.empty(size + 2 * ALIGN + offset, dtype)
    start = -(buffer.ctypes.data // buffer.itemsize) % ALIGN + offset
    return buffer[start : start + size]


def slopes(engine, images, dtype, seed=1):
    shape = (len(images), engine.nets, images.shape[1], engine.shapes[-1][1])
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def by_hand(engine, layout, flat, images, gradient, by_inputs=False, offset=0):
    """Outputs, the flat gradient, and the gradient by the images."""
    into = aligned(flat.size, offset, flat.dtype).reshape(flat.shape)
    into[:] = 0
    outputs, saved = engine.forward(layout.arrays(flat), images, True)
    back = engine.backward(layout.arrays(flat), saved, gradient, layout.arrays(into), by_inputs)
    return outputs, into, back


class Torso(nn.Module):
    """One network by torch, from one network's matrices."""

    def __init__(self, observation, matrices):
        super().__init__()
        channels, self.convolutions = observation[2], nn.ModuleList()
        for matrix, (filters, k, s) in zip(
            matrices, [(32, 8, 4), (64, 4, 2), (64, 3, 1)] if len(matrices) == 5 else [(16, 3, 1)], strict=False
        ):
            layer = nn.Conv2d(channels, filters, k, s, dtype=matrix.dtype)
            layer.weight.data.copy_(matrix[:-1].view(k, k, channels, filters).permute(3, 2, 0, 1))
            layer.bias.data.copy_(matrix[-1])
            self.convolutions.append(layer)
            channels = filters
        self.dense = nn.ModuleList()
        for matrix in matrices[-2:]:
            layer = nn.Linear(len(matrix) - 1, matrix.shape[1], dtype=matrix.dtype)
            layer.weight.data.copy_(matrix[:-1].T)
            layer.bias.data.copy_(matrix[-1])
            self.dense.append(layer)

    def forward(self, images):
        x = images.permute(0, 3, 1, 2)
        for layer in self.convolutions:
            x = layer(x).relu()
        hidden = self.dense[0](x.permute(0, 2, 3, 1).flatten(1)).relu()
        return self.dense[1](hidden)

    def gradients(self):
        """In the order and form of the matrices."""
        for layer in self.convolutions:
            weight = layer.weight.grad.permute(2, 3, 1, 0).flatten(0, 2)
            yield torch.cat([weight, layer.bias.grad[None]])
        for layer in self.dense:
            yield torch.cat([layer.weight.grad.T, layer.bias.grad[None]])


def assert_near(value, expected, relative):
    value, expected = (x.detach().numpy() if isinstance(x, torch.Tensor) else x for x in (value, expected))
    assert value.shape == expected.shape and value.dtype == expected.dtype
    assert np.abs(value - expected).max() <= relative * np.abs(expected).max()


CASES = [
    (MINATAR, 4, 1, 33, np.float32),
    (MINATAR, 7, 2, 5, np.uint8),
    (SMALL, 1, 2, 40, np.float32),
    (ODD, 3, 2, 3, np.float32),
    (NATURE, 7, 1, 3, np.uint8),
]


@pytest.mark.parametrize("dtype", WIDTHS)
@pytest.mark.parametrize(("observation", "outputs", "nets", "batch", "pixels"), CASES)
def test_outputs_and_gradients_are_those_of_each_networks_own_module(observation, outputs, nets, batch, pixels, dtype):
    members, pixels = 2, dtype if pixels == np.float32 else pixels
    engine, layout, flat, images = setting(observation, outputs, nets, members, batch, dtype, pixels)
    gradient, by_inputs = slopes(engine, images, dtype), pixels == dtype
    values, into, back = by_hand(engine, layout, flat, images, gradient, by_inputs)
    assert values.shape == gradient.shape
    total = torch.zeros(images.shape, dtype=from_numpy(flat).dtype)
    for p, n in np.ndindex(members, nets):
        module = Torso(observation, [from_numpy(matrix[p, n]) for matrix in layout.arrays(flat)])
        scaled = (from_numpy(images[p]).to(total.dtype) / engine.scale).requires_grad_()
        expected = module(scaled)
        assert_near(values[p, n], expected, WIDTHS[dtype])
        expected.backward(from_numpy(gradient[p, n]))
        total[p] += scaled.grad / engine.scale
        for found, wanted in zip(layout.arrays(into), module.gradients(), strict=True):
            assert_near(found[p, n], wanted, WIDTHS[dtype])
    if by_inputs:
        assert_near(back, total, WIDTHS[dtype])
    else:
        assert back is None


@pytest.mark.parametrize("dtype", WIDTHS)
@pytest.mark.parametrize(("observation", "outputs", "nets", "batch", "pixels"), CASES)
def test_plain_has_the_same_outputs_and_gradients(observation, outputs, nets, batch, pixels, dtype):
    pixels = dtype if pixels == np.float32 else pixels
    engine, layout, flat, images = setting(observation, outputs, nets, 3, batch, dtype, pixels)
    gradient, by_inputs = slopes(engine, images, dtype), pixels == dtype
    values, into, back = by_hand(engine, layout, flat, images, gradient, by_inputs)
    leaf, seen = from_numpy(flat).clone().requires_grad_(), from_numpy(images).requires_grad_(by_inputs)
    expected = engine.plain(layout.tensors(leaf), seen)
    assert_near(values, expected, WIDTHS[dtype])
    expected.backward(from_numpy(gradient))
    for found, wanted in zip(layout.arrays(into), layout.arrays(leaf.grad.numpy()), strict=True):
        assert_near(found, wanted, WIDTHS[dtype])
    if by_inputs:
        assert_near(back, seen.grad, WIDTHS[dtype])


def test_plain_has_second_derivatives():
    engine, layout, flat, images = setting(SMALL, 2, 2, 2, 3, np.float64, np.float64)
    direction = torch.randn(flat.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def along(at):
        leaf = at.clone().requires_grad_()
        loss = engine.plain(layout.tensors(leaf), from_numpy(images)).square().sum()
        return torch.autograd.grad(loss, leaf, create_graph=True)[0], leaf

    gradient, leaf = along(from_numpy(flat))
    product = torch.autograd.grad((gradient * direction).sum(), leaf)[0]
    step = 1e-6 * direction
    numeric = (along(from_numpy(flat) + step)[0] - along(from_numpy(flat) - step)[0]) / 2e-6
    assert_near(product, numeric, 1e-6)


@pytest.mark.parametrize("pixels", [torch.uint8, torch.float32])
@pytest.mark.parametrize("observation", [MINATAR, NATURE])
def test_plain_asks_nothing_of_the_host(observation, pixels):
    engine = Convolutions(observation, 5, 2, 255.0)
    layout = Layout(2, engine.shapes)
    flat = torch.empty(3, 2 * layout.size, device="meta", requires_grad=True)
    outputs = engine.plain(layout.tensors(flat), torch.empty(3, 4, *observation, dtype=pixels, device="meta"))
    assert outputs.shape == (3, 2, 4, 5)
    assert torch.autograd.grad(outputs.sum(), flat)[0].shape == flat.shape


COMPANY = [
    (MINATAR, 6, 1, np.uint8, (1, 3, 8, 17, 33, 256)),
    ((10, 10, 7), 1, 1, np.float32, (1, 4, 31, 100)),
    (SMALL, 3, 2, np.float32, (1, 2, 9, 65)),
    (ODD, 2, 1, np.float32, (1, 5)),
]


@pytest.mark.parametrize(("observation", "outputs", "nets", "pixels", "batches"), COMPANY)
def test_bits_do_not_depend_on_company_nor_on_where_a_row_begins(observation, outputs, nets, pixels, batches):
    by_inputs = pixels == np.float32
    for batch in batches:
        engine, layout, flat, images = setting(observation, outputs, nets, 20, batch, np.float32, pixels)
        gradient = slopes(engine, images, np.float32)
        whole = by_hand(engine, layout, flat, images, gradient, by_inputs)
        for count, company in enumerate([[19], [4, 11, 0], list(range(12, 5, -1))], 1):
            rows = aligned(flat[company].size, count * ALIGN, np.float32).reshape(len(company), -1)
            rows[:] = flat[company]
            found = by_hand(
                engine, layout, rows, images[company], gradient[company], by_inputs, offset=(5 - count) * ALIGN
            )
            for part, all_of_it in zip(found, whole, strict=True):
                assert part is None if all_of_it is None else np.array_equal(part, all_of_it[company])


def test_nature_in_company():
    engine, layout, flat, images = setting(NATURE, 6, 1, 3, 5, np.float32, np.uint8)
    gradient = slopes(engine, images, np.float32)
    whole = by_hand(engine, layout, flat, images, gradient)
    for company in ([0], [2], [2, 0, 1]):
        found = by_hand(engine, layout, flat[company], images[company], gradient[company])
        assert np.array_equal(found[0], whole[0][company])
        assert np.array_equal(found[1], whole[1][company])


def test_what_is_held_is_never_overwritten():
    engine, layout, flat, images = setting(MINATAR, 3, 2, 3, 8, np.float32, np.uint8)
    other = setting(MINATAR, 3, 2, 3, 8, np.float32, np.uint8, seed=5)[3]
    gradient, matrices = slopes(engine, images, np.float32), layout.arrays(flat)
    before = gradient.copy()
    outputs, first, _ = (x if x is None else x.copy() for x in by_hand(engine, layout, flat, images, gradient))
    held, saved = engine.forward(matrices, images, True)
    assert not np.array_equal(engine.forward(matrices, other, True)[0], held)
    by_hand(engine, layout, flat, other, gradient)
    for _ in range(2):  # what is saved stays good
        into = np.zeros_like(flat)
        engine.backward(matrices, saved, gradient, layout.arrays(into), False)
        assert np.array_equal(into, first)
    assert np.array_equal(held, outputs)
    assert np.array_equal(gradient, before)


def test_acting_keeps_nothing_and_gives_the_same_outputs():
    engine, layout, flat, images = setting(MINATAR, 3, 1, 3, 4, np.float32, np.uint8)
    kept, saved = engine.forward(layout.arrays(flat), images, True)
    free, nothing = engine.forward(layout.arrays(flat), images, False)
    assert np.array_equal(kept, free)
    assert sum(map(len, saved)) == 3
    assert sum(map(len, nothing)) == 0


def test_images_need_not_lie_close_together():
    engine, layout, flat, images = setting(MINATAR, 3, 1, 3, 4, np.float32, np.float32)
    wide = np.zeros((3, 4, 2, *MINATAR), np.float32)
    wide[:, :, 1] = images
    expected = engine.forward(layout.arrays(flat), images, False)[0]
    assert np.array_equal(engine.forward(layout.arrays(flat), wide[:, :, 1], False)[0], expected)


def test_networks_follow_from_the_images_size():
    assert Convolutions((10, 10, 4), 6).shapes == [(37, 16), (1025, 128), (129, 6)]
    assert Convolutions((84, 84, 4), 6).shapes == [(257, 32), (513, 64), (577, 64), (3137, 512), (513, 6)]
    assert Convolutions((36, 36, 1), 6).shapes[-2] == (65, 512)
    assert Convolutions((35, 84, 1), 6).shapes[-2] == (33 * 82 * 16 + 1, 128)
    engine: Engine = Convolutions((3, 3, 1), 1)
    assert engine.shapes[1] == (17, 128)


@pytest.mark.parametrize("observation", [(4,), (10, 10), (2, 10, 4)])
def test_what_is_no_image_is_refused(observation):
    with pytest.raises(ValueError, match="observation: "):
        Convolutions(observation, 2)


def test_nobody_differentiates_by_bytes():
    engine, layout, flat, images = setting(MINATAR, 3, 1, 2, 4, np.float32, np.uint8)
    with pytest.raises(ValueError, match="uint8"):
        by_hand(engine, layout, flat, images, slopes(engine, images, np.float32), by_inputs=True)
