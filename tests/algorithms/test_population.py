from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from algorithms import population
from algorithms.population import ALIGN, Layout
from harness.run.streams import Streams

SHAPES = {"w": (2, 3), "b": (1, 3), "long": (70,), "exact": (8, 8)}


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def streams(seeds=(1, 2, 3)):
    return Streams(list(seeds), 0, torch.device("cpu"))


def test_split_and_join_are_inverse():
    layout = Layout(SHAPES)
    tensors = {name: randn(4, *shape) for name, shape in SHAPES.items()}
    flat = layout.join(tensors)
    assert flat.shape == (4, layout.size)
    back = layout.split(flat)
    assert list(back) == list(SHAPES)
    assert all(torch.equal(back[name], tensors[name]) for name in SHAPES)
    assert torch.equal(layout.join(back), flat)


def test_every_tensor_of_a_row_is_aligned_and_gaps_are_zero():
    layout = Layout(SHAPES)
    flat = layout.join({name: torch.ones(2, *shape) for name, shape in SHAPES.items()})
    assert layout.sizes == [64, 64, 128, 64]
    assert flat.sum(1).tolist() == [6 + 3 + 70 + 64] * 2
    starts = [x.storage_offset() for x in layout.split(flat[:1]).values()]
    assert starts == [0, 64, 128, 256]
    assert all(start % ALIGN == 0 for start in starts)


def test_split_gives_views():
    layout = Layout(SHAPES)
    flat = torch.zeros(2, layout.size)
    layout.split(flat)["long"][1, 69] = 5
    assert flat[1].sum() == 5
    assert flat[0].sum() == 0


@pytest.mark.parametrize("outputs", [1, 3])
def test_mlp_is_each_members_own_sequential(outputs):
    sizes = [4, 7, 5, outputs]
    layout = Layout(population.mlp_shapes("net", sizes))
    inputs, members = randn(3, 6, 4, seed=1), []
    for seed in range(3):
        torch.manual_seed(seed)
        layers = [torch.nn.Linear(a, b) for a, b in pairwise(sizes)]
        members.append(torch.nn.Sequential(layers[0], torch.nn.Tanh(), layers[1], torch.nn.Tanh(), layers[2]))
    tensors = {}
    for i in range(3):
        tensors[f"net.{i}.weight"] = torch.stack([net[2 * i].weight.detach().T for net in members])
        tensors[f"net.{i}.bias"] = torch.stack([net[2 * i].bias.detach().unsqueeze(0) for net in members])
    flat = layout.join(tensors).requires_grad_()
    output = population.mlp(layout.split(flat), "net", inputs, torch.tanh, outputs)
    assert output.shape == (3, 6, outputs)
    gradients = layout.split(population.gradient(output.square().mean((1, 2)), flat))
    for member, net in enumerate(members):
        expected = net(inputs[member])
        torch.testing.assert_close(output[member], expected)
        expected.square().mean().backward()
        for i in range(3):
            width = sizes[i + 1]
            torch.testing.assert_close(gradients[f"net.{i}.weight"][member, :, :width], net[2 * i].weight.grad.T)
            torch.testing.assert_close(gradients[f"net.{i}.bias"][member, 0, :width], net[2 * i].bias.grad)
            assert (gradients[f"net.{i}.weight"][member, :, width:] == 0).all()  # padding never moves


def test_join_fills_up_a_shorter_last_axis_with_zeros():
    layout = Layout({"w": (2, 16)})
    flat = layout.join({"w": torch.ones(3, 2, 5)})
    assert layout.split(flat)["w"].sum(1).tolist() == [[2.0] * 5 + [0.0] * 11] * 3


def test_tanh_is_tanh_to_two_tenths_of_a_millionth():
    inputs = torch.linspace(-20, 20, 100_001)
    assert (population.tanh(inputs) - torch.tanh(inputs)).abs().max() <= 2e-7
    assert torch.autograd.gradcheck(population.tanh, (torch.linspace(-3, 3, 21, dtype=torch.float64).requires_grad_(),))


@pytest.mark.parametrize("outputs", [1, 2, 3, 5, 6, 7, 10, 17, 18])
def test_networks_and_their_gradients_round_alike_alone_and_in_company(outputs):
    for batch in (1, 2, 3, 5, 8, 17, 27, 32, 33, 64):
        layout = Layout(population.mlp_shapes("net", [11, 64, 64, outputs]))
        flat, inputs = 0.3 * randn(5, layout.size), randn(5, batch, 11, seed=1)

        def run(part, layout=layout, flat=flat, inputs=inputs):
            leaf = flat[part].clone().requires_grad_()
            output = population.mlp(layout.split(leaf), "net", inputs[part], population.tanh, outputs)
            return output.detach(), population.gradient(output.square().sum((1, 2)), leaf)

        together = run(slice(0, 5))
        for member in range(5):
            for whole, alone in zip(together, run(slice(member, member + 1)), strict=True):
                assert torch.equal(whole[member], alone[0])


def optimized_alone(make, start, gradients):
    """One member's parameters after torch's own optimizer has seen `gradients` [steps, n]."""
    parameter = torch.nn.Parameter(start.clone())
    optimizer = make([parameter])
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach()


def scattered_gradients(steps, members, size):
    return randn(steps, members, size, seed=1) * torch.logspace(-4, 2, members).view(1, -1, 1)


def test_adam_is_torch_adam_for_each_member():
    start, gradients = randn(3, 128), scattered_gradients(50, 3, 128)
    state = population.optimizer_state("p", start.clone(), "adam_mean", "adam_square")
    for count, gradient in enumerate(gradients, 1):
        population.adam_(state, "p", gradient, count, rate=1e-2, epsilon=1e-5)
    for member in range(3):
        alone = optimized_alone(lambda p: torch.optim.Adam(p, lr=1e-2, eps=1e-5), start[member], gradients[:, member])
        torch.testing.assert_close(state["p"][member], alone, rtol=2e-6, atol=2e-6)
    assert (state["p"] - start).abs().min() > 1e-4


def test_rmsprop_is_torch_rmsprop_for_each_member():
    start, gradients = randn(3, 128), scattered_gradients(50, 3, 128)
    state = population.optimizer_state("p", start.clone(), "rms_square")
    for gradient in gradients:
        population.rmsprop_(state, "p", gradient, rate=1e-2, decay=0.9, epsilon=1e-3)
    for member in range(3):
        alone = optimized_alone(
            lambda p: torch.optim.RMSprop(p, lr=1e-2, alpha=0.9, eps=1e-3), start[member], gradients[:, member]
        )
        torch.testing.assert_close(state["p"][member], alone, rtol=2e-6, atol=2e-6)


def test_clipping_is_torchs_for_each_member():
    gradients = scattered_gradients(1, 4, 64)[0]
    parameters = [torch.nn.Parameter(torch.zeros(64)) for _ in gradients]
    norms = []
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
        norms.append(torch.nn.utils.clip_grad_norm_([parameter], 0.5))
    before = gradients.clone()
    torch.testing.assert_close(population.clip_norm_(gradients, 0.5), torch.stack(norms))
    torch.testing.assert_close(gradients, torch.stack([parameter.grad for parameter in parameters]))
    assert torch.equal(gradients[0], before[0])  # the small one is left as it was
    assert gradients[-1].norm().item() == pytest.approx(0.5, rel=1e-4)


def test_clipping_by_hand():
    gradients = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
    assert population.clip_norm_(gradients, 1.0).tolist() == pytest.approx([5.0, 0.5])
    assert gradients[0].tolist() == pytest.approx([0.6, 0.8], rel=1e-5)
    assert torch.equal(gradients[1], torch.tensor([0.3, 0.4]))


def test_gradients_are_those_of_each_members_own_loss():
    parameters = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert population.gradient((parameters**2).sum(1) * torch.tensor([1.0, 10.0]), parameters).tolist() == [
        [2.0, 4.0],
        [60.0, 80.0],
    ]


@pytest.mark.parametrize(("inputs", "outputs"), [(8, 8), (12, 5), (5, 12), (6, 1)])
@pytest.mark.parametrize("gain", [1.0, math.sqrt(2), 0.01])
def test_orthogonal_weights_are_orthogonal_with_their_gain(inputs, outputs, gain):
    weight = population.orthogonal(streams(), "w", inputs, outputs, gain)
    assert weight.shape == (3, inputs, outputs)
    assert weight.dtype == torch.float32
    product = weight.mT @ weight if inputs >= outputs else weight @ weight.mT
    identity = torch.eye(min(inputs, outputs)).expand_as(product)
    torch.testing.assert_close(product / gain**2, identity, rtol=0, atol=1e-5)
    assert not torch.equal(weight[0], weight[1])


def test_fan_in_uniform_fills_its_range():
    weight = population.fan_in_uniform(streams(), "w", (100, 50), 100)
    assert weight.dtype == torch.float32
    assert weight.abs().max() <= 0.1
    assert weight.abs().max() > 0.0999
    assert abs(weight.mean()) < 0.002
    assert weight.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.01)
