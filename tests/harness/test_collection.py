"""What a rollout holds, and what is told of its episodes."""

from __future__ import annotations

import numpy as np
import torch

from harness.run.cohort import Cohort
from harness.run.collection import Collector, Episodes
from harness.run.spec import Spec
from harness.run.streams import Streams


def collected(clip_rewards):
    """One rollout of Pendulum-v1, whose rewards are down to -16, over an episode's end at 200 steps."""
    settings = {"environments": 2, "horizon": 256, "minibatches": 2}
    spec = Spec("ppo", "ppo", "Pendulum-v1", "batched", settings, 512, 1, 1, "bootstrap", clip_rewards=clip_rewards)
    cohort = Cohort(spec, [4, 5])
    collector = Collector(cohort, Streams([4, 5], 1, torch.device("cpu")))
    rollout = collector.collect(cohort.initial(), 0, cut=True)
    return rollout, collector.episodes.records()


def test_clipped_rewards_are_learned_from_and_returns_are_the_tasks_own():
    (clipped, told), (plain, expected) = collected(True), collected(False)
    assert plain.reward.min() < -2
    assert torch.equal(clipped.reward, plain.reward.clamp(-1, 1))
    assert torch.equal(clipped.observation, plain.observation) and torch.equal(clipped.action, plain.action)
    assert told["train_episodes"].tolist() == expected["train_episodes"].tolist() == [2, 2]
    assert (told["train_return"] == expected["train_return"]).all() and (told["train_return"] < -200).all()


def test_a_return_is_of_the_whole_episode_and_no_episode_has_none():
    episodes = Episodes(members=2, count=2)
    for reward, done in (([1, 2, 3, 4], [0, 0, 0, 0]), ([1, 1, 1, 1], [1, 0, 0, 0]), ([5, 5, 5, 5], [1, 1, 0, 0])):
        episodes.add(np.array(reward, np.float32), np.array(done, bool))
    records = episodes.records()
    assert records["train_episodes"].tolist() == [3, 0]
    assert records["train_return"][0] == (2 + 5 + 8) / 3 and np.isnan(records["train_return"][1])


def test_noise_that_goes_on_pushes_the_car_to_the_flag():
    """From rest at the valley's floor, where the policy does nothing: 87 % of episodes (400, by the task's equations), else none."""
    settings = {"horizon": 999, "noise": "ornstein-uhlenbeck", "exploration": 0.5, "learning_starts": 1000}
    spec = Spec("ddpg", "ddpg", "MountainCarContinuous-v0", "gymnasium", settings, 9990, 1, 1, "bootstrap")
    seeds = [*range(50)]
    cohort = Cohort(spec, seeds)
    still = {
        name: torch.zeros_like(each) if each.is_floating_point() else each for name, each in cohort.initial().items()
    }
    rollout = Collector(cohort, Streams(seeds, 1, torch.device("cpu"))).collect(still, 1000, cut=True)
    reached = rollout.terminated.any(1)
    assert 0.75 < reached.float().mean() < 0.97
