"""What the reference tests share: one member's networks as modules of torch, and its experience, which ends in both ways."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from algorithms.learner import Now, Rollout
from harness.run.streams import Streams

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
BOUNDS = {torch.float32: 1e-4, torch.float64: 1e-9}  # of an error relative to the change that training made


def module(network, flat, net=0):
    """Perceptron number `net` of member 0."""
    layers = []
    for matrix, tensor in zip(matrices(network, flat, net), network.layout.tensors(flat), strict=False):
        inputs, outputs = matrix.shape[0] - 1, matrix.shape[1]
        layer = nn.Linear(inputs, outputs, dtype=flat.dtype)
        layer.weight.data.copy_(matrix[:-1].T)
        layer.bias.data.copy_(matrix[-1])
        layers += [layer, ACTIVATIONS[network.engine.activation]()]
        assert tensor.shape[0] == 1
    return nn.Sequential(*layers[:-1])


def matrices(network, flat, net):
    """The matrices [inputs + 1, outputs] of member 0's perceptron, without the columns that its head does not use."""
    found = [tensor[0, net] for tensor in network.layout.tensors(flat)[: len(network.engine.shapes)]]
    return [*found[:-1], found[-1][:, : network.heads[net % len(network.heads)]]]


def flattened(network, flat):
    """All of member 0's perceptrons in one vector, in the order of `parameters`."""
    nets = [matrices(network, flat, net) for net in range(network.engine.nets)]
    return torch.cat([part.flatten() for net in nets for matrix in net for part in (matrix[:-1].T, matrix[-1])])


def parameters(*modules):
    return torch.cat([parameter.detach().flatten() for each in modules for parameter in each.parameters()])


def relative(found, expected, before):
    """Error of what was learned, over its size."""
    return ((found - expected).norm() / (expected - before).norm()).item()


def started(learner, seed, dtype):
    """The state of one member, in `dtype`."""
    state = learner.initial(Streams([seed], 0, torch.device("cpu")))
    return {name: x.to(dtype) if x.is_floating_point() else x for name, x in state.items()}


def roughen(network, flat, scale=0.3):
    """Move parameters away from their start, where policies are almost uniform and tell nothing of entropies; in place."""
    generator = torch.Generator().manual_seed(7)
    for matrix in network.layout.tensors(flat):
        matrix += scale * torch.randn(matrix.shape, generator=generator).to(flat.dtype)


def rollouts(count, horizon, environments, spaces, seed=0, dtype=torch.float32, limit=0.1):
    """Consecutive rollouts of one member with random observations and actions, terminations and truncations."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    def chance(probability):
        return torch.rand(1, horizon, environments, generator=generator) < probability

    first = normal(1, 1, environments, *spaces.observation)
    for _ in range(count):
        observation = torch.cat([first, normal(1, horizon, environments, *spaces.observation)], 1)
        first = observation[:, -1:]
        terminated, truncated = chance(limit), chance(limit)
        truncated &= ~terminated
        if spaces.kind == "numbers":
            action = normal(1, horizon, environments, spaces.actions)
        else:
            action = torch.randint(spaces.actions, (1, horizon, environments), generator=generator)
        final = torch.zeros(1, horizon, environments, *spaces.observation, dtype=dtype)
        for environment in range(environments):
            places = int(truncated[0, :, environment].sum())
            final[:, :places, environment] = normal(1, places, *spaces.observation)
        yield Rollout(observation, final, action, normal(1, horizon, environments), terminated, truncated)


def followers(rollout):
    """What each step of member 0 led to, before any reset [T, E, *shape]: by plain loops."""
    led = rollout.observation[0, 1:].clone()
    for environment in range(rollout.reward.shape[2]):
        place = 0
        for t in range(rollout.reward.shape[1]):
            if rollout.truncated[0, t, environment]:
                led[t, environment] = rollout.final[0, place, environment]
                place += 1
    return led


def now(step, budget, /, dtype=torch.float32, noise=None, **rows):
    """`rows`: by name, of the one member, or of each."""
    values = {name: torch.tensor(value, dtype=dtype).reshape(-1) for name, value in rows.items()}
    return Now(torch.tensor(step), torch.tensor(step / budget, dtype=dtype), values, noise or {})


def shuffles(count, epochs, size, seed=0):
    """Permutations [1, epochs, size] of `count` updates."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        yield torch.stack([torch.randperm(size, generator=generator) for _ in range(epochs)]).unsqueeze(0)


def kl_to_uniform(policy):
    """KL(pi || uniform) of a torch.distributions.Categorical."""
    return math.log(policy.probs.shape[-1]) - policy.entropy()


def assert_metrics(metrics, expected, tolerance):
    assert metrics.keys() == expected.keys()
    for name, value in expected.items():
        assert metrics[name].shape == (1,)
        assert metrics[name].item() == pytest.approx(value, rel=tolerance, abs=tolerance), name
