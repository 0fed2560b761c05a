"""Running normalization of rewards and observations in PPO, by hand, and where its update reads the next observation."""

from __future__ import annotations

import pytest
import torch

from algorithms.learner import Rollout, Spaces
from algorithms.pairs import ppo
from harness.run.streams import Streams


def learner(**settings):
    defaults = {
        "environments": 1,
        "horizon": 2,
        "minibatches": 1,
        "epochs": 1,
        "discount": 0.5,
        "hidden": 32,
        "normalize": True,
    }
    return ppo.PPO(ppo.Settings(**{**defaults, **settings}), Spaces(1, 2, False), 1000, **ppo.PPO.arms["ppo"].switches)


def close(found, expected, tolerance=1e-6):
    torch.testing.assert_close(found, torch.tensor(expected, dtype=found.dtype), rtol=0, atol=tolerance)


def rollout(rewards, terminated=(False, False), truncated=(False, False)):
    nothing = torch.zeros(1, 2, 1, 1)
    flags = [torch.tensor(flag).view(1, 2, 1) for flag in (terminated, truncated)]
    return Rollout(nothing, nothing, torch.tensor(rewards, dtype=torch.float64).view(1, 2, 1), nothing, *flags)


def scaled(experience):
    state = {
        "return.mean": torch.zeros(1, 1, dtype=torch.float64),
        "return.variance": torch.ones(1, 1, dtype=torch.float64),
    }
    return learner().scaled_reward(state, experience, 0).flatten()


def test_rewards_are_scaled_by_the_deviation_of_the_discounted_return():
    """Returns so far: 1, 2 + 1/2: deviation 0.75. They start anew after an end: 1, 2: deviation 0.5."""
    close(scaled(rollout([1.0, 2.0])), [4 / 3, 8 / 3])
    close(scaled(rollout([1.0, 2.0], terminated=(True, False))), [2.0, 4.0])
    close(scaled(rollout([1.0, 2.0], truncated=(True, False))), [2.0, 4.0])
    close(scaled(rollout([0.01, 1e-9])), [4.0, 4e-7], tolerance=0.01)
    close(scaled(rollout([100.0, 100.1], terminated=(True, False))), [10.0, 10.0])


def test_running_statistics_are_those_of_all_values():
    generator = torch.Generator().manual_seed(0)
    values = 3 + 2 * torch.randn(2, 12, 1, generator=generator, dtype=torch.float64)
    state = {"x.mean": torch.zeros(2, 1, dtype=torch.float64), "x.variance": torch.ones(2, 1, dtype=torch.float64)}
    for first, last in ((0, 4), (4, 5), (5, 12)):
        ppo.track(state, "x", values[:, first:last], first)
    torch.testing.assert_close(state["x.mean"], values.mean(1))
    torch.testing.assert_close(state["x.variance"], values.var(1, correction=0))


def test_observations_are_centred_scaled_and_clipped():
    state = {"observation.mean": torch.tensor([[1.0]]), "observation.variance": torch.tensor([[4.0]])}
    close(learner().normalized(state, torch.tensor([[[5.0], [-3.0], [1e6]]])).flatten(), [2.0, -2.0, 10.0])
    assert learner(normalize=False).normalized({}, torch.tensor([[[5.0]]])).item() == 5.0


@pytest.mark.parametrize("normalize", [True, False])
def test_the_update_bootstraps_from_the_next_observation(normalize, monkeypatch):
    made = learner(normalize=normalize)
    state = made.initial(Streams([1], 0, torch.device("cpu")))
    seen = {}

    def remember(experience, reward, old, value, next_value):
        seen.update(value=value.flatten(), next_value=next_value.flatten())
        return torch.zeros_like(reward), torch.zeros_like(reward)

    monkeypatch.setattr(made, "returns", remember)
    observation, following = (
        torch.tensor([[0.5], [2.0]]).view(1, 2, 1, 1),
        torch.tensor([[-1.0], [3.0]]).view(1, 2, 1, 1),
    )
    no = torch.zeros(1, 2, 1, dtype=torch.bool)
    parameters = {name: tensor.clone() for name, tensor in made.layout.split(state["parameters"]).items()}
    expected = {
        name: made.value(parameters, made.normalized(state, at.flatten(1, 2)))
        for name, at in (("value", observation), ("next_value", following))
    }
    experience = Rollout(observation, torch.zeros(1, 2, 1, dtype=torch.int64), torch.ones(1, 2, 1), following, no, no)
    made.update(state, experience, Streams([1], 1, torch.device("cpu")), 0)
    for name, value in expected.items():
        torch.testing.assert_close(seen[name], value.flatten())
    assert not torch.allclose(seen["value"], seen["next_value"])
