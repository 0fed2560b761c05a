"""At temperature 0 a soft arm is its hard arm, bit for bit, through training itself; above it is not."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from harness.run.cohort import Cohort
from harness.run.spec import Spec

SMALL = {
    "ppo": {"environments": 2, "horizon": 32, "epochs": 2, "minibatches": 2},
    "a2c": {"environments": 4},
    "dqn": {"learning_starts": 100, "batch": 16, "replay_size": 200, "target_period": 50},
}
STEPS = {"ppo": 512, "a2c": 800, "dqn": 600}
HARD = [
    ("ppo", "CartPole-v1", "sppo-38", "ppo"),
    ("ppo", "CartPole-v1", "sppo-40", "ppo"),
    ("ppo", "CartPole-v1", "ppo-bonus", "ppo"),
    ("ppo", "Pendulum-v1", "sppo-38", "ppo"),
    ("ppo", "Pendulum-v1", "sppo-40", "ppo"),
    ("a2c", "CartPole-v1", "a2c-proper", "a2c-naive"),
    ("dqn", "CartPole-v1", "soft-dqn-kl", "dqn"),
    ("dqn", "CartPole-v1", "soft-dqn-entropy", "dqn"),
    ("dqn", "CartPole-v1", "soft-dqn-kl-5step", "dqn-5step"),
    ("dqn", "CartPole-v1", "soft-dqn-entropy-5step", "dqn-5step"),
]


def trained(pair, task, arm, temperature):
    """Everything that two segments leave behind, as bytes by name."""
    settings = importlib.import_module(f"algorithms.pairs.{pair}").Settings(**SMALL[pair], temperature=temperature)
    spec = Spec(
        pair,
        arm,
        task,
        "batched",
        settings.model_dump(mode="json"),
        steps=STEPS[pair],
        segments=2,
        episodes=1,
        time_limit="bootstrap",
    )
    cohort = Cohort(spec, [0, 5])
    state, left = cohort.initial(), {}
    for number in (1, 2):
        state, records = cohort.segment(state, number)
        left |= {f"record {name} {number}": np.asarray(column).tobytes() for name, column in records.items()}
    return left | {f"state {name}": x.numpy().tobytes() for name, x in state.items()}


@pytest.mark.parametrize(("pair", "task", "soft", "hard"), HARD)
def test_soft_arm_at_temperature_zero_is_its_hard_arm(pair, task, soft, hard):
    soft_bytes, hard_bytes = trained(pair, task, soft, 0.0), trained(pair, task, hard, 0.0)
    assert soft_bytes.keys() == hard_bytes.keys()
    assert [name for name in soft_bytes if soft_bytes[name] != hard_bytes[name]] == []


@pytest.mark.parametrize(("pair", "task", "soft", "hard"), HARD)
def test_soft_arm_above_temperature_zero_is_not_its_hard_arm(pair, task, soft, hard):
    soft_bytes, hard_bytes = trained(pair, task, soft, 0.1), trained(pair, task, hard, 0.1)
    assert soft_bytes["state parameters"] != hard_bytes["state parameters"]


@pytest.mark.parametrize(("pair", "arm"), [("ppo", "ppo"), ("dqn", "dqn"), ("dqn", "dqn-5step")])
def test_hard_arm_does_not_read_the_temperature(pair, arm):
    cold, warm = trained(pair, "CartPole-v1", arm, 0.0), trained(pair, "CartPole-v1", arm, 0.7)
    assert {name for name in cold if cold[name] != warm[name]} <= {
        "record boltzmann_entropy 1",
        "record boltzmann_entropy 2",
    }
