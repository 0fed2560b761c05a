"""Rows of networks: where their matrices lie, their heads, their initial weights, and gradients by slopes and by autograd."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from reference import flattened, module, parameters

from algorithms.learner import Spaces
from algorithms.population import Network, gradient, leaf
from algorithms.population.rows import ALIGN, Layout
from harness.run.streams import Streams

FLAT, IMAGE = Spaces((5,), 3), Spaces((10, 10, 2), 3, dtype="uint8", scale=255.0)
SHAPES = [(2, 3), (1, 70), (8, 8)]


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def streams(seeds=(1, 2, 3)):
    return Streams(list(seeds), 0, torch.device("cpu"))


def network(spaces=FLAT, heads=(3, 1), **options):
    return Network("net", spaces, (7, 6), heads, "tanh", **{"gains": (0.01,) * len(heads), **options})


def parts(net, flat):
    """All that depends on a matrix, or on a free number: 1 there in a row, 0 in the gaps."""
    used = torch.zeros(1, flat.shape[1])
    for view in net.layout.tensors(used):
        view += 1
    return used


def test_every_matrix_of_a_row_is_aligned_and_gaps_are_left_alone():
    layout = Layout(2, SHAPES)
    assert (layout.lengths, layout.size) == ([64, 128, 64], 256)
    flat = np.zeros((3, 512), np.float32)
    for matrix, shape in zip(layout.arrays(flat), SHAPES, strict=True):
        assert matrix.shape == (3, 2, *shape)
        assert (matrix.ctypes.data - flat.ctypes.data) // 4 % ALIGN == 0
        matrix[:] = 1
    assert flat.sum(1).tolist() == [2 * (6 + 70 + 64)] * 3


def test_arrays_and_tensors_are_the_same_views():
    layout = Layout(2, SHAPES)
    flat = randn(3, 512)
    for array, tensor in zip(layout.arrays(flat.numpy()), layout.tensors(flat), strict=True):
        assert np.array_equal(array, tensor.numpy())
    layout.tensors(flat)[1][2, 1, 0, 69] = 5
    assert layout.arrays(flat.numpy())[1][2, 1, 0, 69] == 5


def test_heads_are_each_members_own_perceptrons():
    net, seen = network(), randn(3, 9, 5, seed=1)
    flat = net.initial(streams())
    policy, value = net(flat, seen)
    assert (policy.shape, value.shape, net.parts) == ((3, 9, 3), (3, 9, 1), 2)
    for member in range(3):
        row = flat[member : member + 1]
        torch.testing.assert_close(policy[member], module(net, row, 0)(seen[member]))
        torch.testing.assert_close(value[member], module(net, row, 1)(seen[member]))


@pytest.mark.parametrize("copies", [None, 2])
@pytest.mark.parametrize("spaces", [FLAT, IMAGE])
def test_one_head_alone_has_the_bits_of_all(spaces, copies):
    net = network(spaces, copies=copies, free=0)
    flat, seen = net.initial(streams()), observations(spaces)
    for index, head in enumerate(net(flat, seen)):
        assert torch.equal(net.head(index, flat)(seen), head)
        assert head.shape == (3, *([copies] if copies else []), 4, net.heads[index])


def observations(spaces, batch=4):
    if spaces.dtype == "uint8":
        return torch.randint(256, (3, batch, *spaces.observation), dtype=torch.uint8)
    return randn(3, batch, *spaces.observation, seed=2)


@pytest.mark.parametrize("copies", [None, 2])
@pytest.mark.parametrize("free", [0, 3])
@pytest.mark.parametrize("spaces", [FLAT, IMAGE])
def test_gradients_by_slopes_by_autograd_and_of_the_plain_network_agree(spaces, free, copies):
    net, seen = network(spaces, copies=copies, free=free, gains=None), observations(spaces)
    flat = net.initial(streams())
    slopes = [randn(*head.shape, seed=3) for head in net(flat, seen)]
    by_globals = randn(3, free, seed=4)

    def loss(outputs, parameters):
        """Each member's mean over its batch."""
        total = [(slope * head).mean(-2).flatten(1).sum(1) for slope, head in zip(slopes, outputs, strict=True)]
        return sum(total) + (by_globals * net.globals(parameters)).sum(1)

    by_hand, plain = leaf(flat), leaf(flat)
    expected = gradient(loss(net.split(net.plain(plain, seen)), plain), plain)
    torch.testing.assert_close(gradient(loss(net(by_hand, seen), by_hand), by_hand), expected)
    followed = net.follow(flat, seen)
    assert all(torch.equal(*pair) for pair in zip(followed.heads, net(flat, seen), strict=True))
    found = followed.gradient(*slopes, by_globals=by_globals if free else None)
    torch.testing.assert_close(found, expected)
    assert (found[:, parts(net, flat)[0] == 0] == 0).all()


def test_a_gradient_has_nothing_left_of_an_earlier_one():
    """Rows are used again; the slopes of free numbers must not stay in them."""
    net, seen = network(free=2), observations(FLAT)
    flat = net.initial(streams())
    slopes = [randn(*head.shape) for head in net(flat, seen)]
    net.follow(flat, seen).gradient(*slopes, by_globals=torch.ones(3, 2))
    assert (net.globals(net.follow(flat, seen).gradient(*slopes)) == 0).all()
    net.follow(flat, seen).gradient(*slopes, by_globals=torch.ones(3, 2))
    parameters = leaf(flat)
    assert (net.globals(gradient(net(parameters, seen)[0].sum((1, 2)), parameters)) == 0).all()


def test_gradients_by_the_observation_are_autograds():
    """Of an action beside the observation, as a critic's policy needs them."""
    net = network(heads=(1,), copies=2, extra=2, gains=None)
    flat, seen = net.initial(streams()), randn(3, 4, 7).requires_grad_()
    same = seen.detach().clone().requires_grad_()
    (found,) = torch.autograd.grad(net(flat, seen)[0].amin(1).sum(), seen)
    (expected,) = torch.autograd.grad(net.plain(flat, same).amin(1).sum(), same)
    torch.testing.assert_close(found, expected)


def test_what_is_held_is_never_overwritten():
    net, seen, other = network(), observations(FLAT), randn(3, 4, 5, seed=9)
    flat = net.initial(streams())
    outputs, slopes = [head.clone() for head in net(flat, seen)], [randn(3, 4, 3), randn(3, 4, 1)]
    first = net.follow(flat, seen)
    net.follow(flat, other)  # two forward passes before a backward
    held, copy = first.gradient(*slopes), None
    copy = held.clone()
    net.follow(flat, other).gradient(*slopes)  # a gradient held over a second backward
    assert torch.equal(held, copy)
    assert all(torch.equal(*pair) for pair in zip(first.heads, outputs, strict=True))


@pytest.mark.parametrize(("spaces", "gain"), [(FLAT, 1.0), (IMAGE, 1.0)])
def test_orthogonal_weights_are_orthogonal_with_their_gains(spaces, gain):
    net = network(spaces, heads=(3, 2), gains=(0.01, 1.0))
    matrices = net.layout.tensors(net.initial(streams()))
    for index, matrix in enumerate(matrices):
        assert (matrix[:, :, -1] == 0).all()
        last = index + 1 == len(matrices)
        weights = [(matrix[:, 0, :-1], math.sqrt(2))]
        if last and net.shared:
            weights = [(matrix[:, 0, :-1, :3], 0.01), (matrix[:, 0, :-1, 3:], 1.0)]
        elif last:
            weights = [(matrix[:, 0, :-1, :3], 0.01), (matrix[:, 1, :-1, :2], 1.0)]
            assert (matrix[:, 1, :, 2:] == 0).all()  # a column that its head does not use
        for weight, gain in weights:
            tall = weight.shape[1] >= weight.shape[2]
            product = weight.mT @ weight if tall else weight @ weight.mT
            identity = torch.eye(min(weight.shape[1:])).expand_as(product)
            torch.testing.assert_close(product / gain**2, identity, rtol=0, atol=1e-5)
            assert not torch.equal(weight[0], weight[1])


def test_uniform_weights_fill_their_range_in_all_layers():
    net = Network("q", Spaces((100,), 50), (64,), (50,))
    for matrix, inputs in zip(net.layout.tensors(net.initial(streams())), (100, 64), strict=True):
        bound = 1 / math.sqrt(inputs)
        assert matrix.dtype == torch.float32
        assert 0.999 * bound < matrix.abs().max() <= bound
        assert abs(matrix.mean()) < 0.02 * bound
        assert matrix.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.01)


def test_a_member_has_the_same_weights_in_any_company():
    net = network(copies=2, gains=None)
    assert torch.equal(net.initial(streams())[1], net.initial(streams([2]))[0])
    copies = net.layout.tensors(net.initial(streams()))[0]
    assert not torch.equal(copies[:, 0], copies[:, 2])


def test_the_reference_tests_see_all_of_a_row():
    net = network()
    flat = net.initial(streams([4]))
    assert torch.equal(flattened(net, flat), parameters(module(net, flat, 0), module(net, flat, 1)))
