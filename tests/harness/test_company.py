"""A member's numbers do not depend on its company: alone, among others, in any order, it leaves the same bytes."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch

from algorithms.pairs import a2c, dqn, ppo
from harness.run.cohort import Cohort
from harness.run.collection import Episodes
from harness.run.spec import Spec
from harness.run.streams import Streams

# Networks and batches are those of real runs, so that the same kernels work; only the budgets are small.
SETTINGS = {
    "ppo": {"epochs": 2},
    "a2c": {},
    "dqn": {"learning_starts": 150, "replay_size": 250, "target_period": 200},  # the ring wraps around
}
STEPS = {"ppo": 1024, "a2c": 400, "dqn": 300}
PARAMETERS = {"ppo": "nets", "a2c": "nets", "dqn": "q"}
SEVEN, TWENTY = list(range(7)), [9, 6, 5, 4, 17, 3, 2, 1, 0, *range(100, 111)]
"""The seven are among the twenty, in another order."""
ALL_ARMS = [
    *(("ppo", "CartPole-v1", name) for name, arm in ppo.PPO.arms.items() if arm.actions is None),
    *(("ppo", "Pendulum-v1", name) for name in ppo.PPO.arms),
    *(("a2c", "CartPole-v1", arm) for arm in a2c.A2C.arms),
    *(("dqn", "CartPole-v1", arm) for arm in dqn.DQN.arms),
    ("ppo", "Acrobot-v1", "sppo-40"),
    ("a2c", "Acrobot-v1", "a2c-proper"),
    ("dqn", "Acrobot-v1", "soft-dqn-entropy-5step"),
]
QUICK = {
    "CartPole-v1": {
        "ppo",
        "sppo-38",
        "sppo-auto",
        *a2c.A2C.arms,
        "dqn",
        "soft-dqn-entropy",
        "dqn-twin",
        "sqn",
        "soft-q",
    },
    "Pendulum-v1": {"ppo", "sppo-40-baselines", "sppo-38-s4", "sppo-auto"},
    "Acrobot-v1": set(),  # but for their inputs the networks are those of CartPole
}
"""Of each kind of arm one; the others are slow tests, and every arm of every pair has this law on small networks."""
ARMS = [pytest.param(*each, marks=[] if each[2] in QUICK[each[1]] else pytest.mark.slow) for each in ALL_ARMS]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def make_spec(pair, task, arm, steps=None, segments=2, backend="batched", **settings):
    if task in ("Pendulum-v1", "HalfCheetah-v5"):
        settings["normalize"] = True
    chosen = importlib.import_module(f"algorithms.pairs.{pair}").Settings(**{**SETTINGS[pair], **settings})
    return Spec(
        pair,
        arm,
        task,
        backend,
        chosen.model_dump(mode="json"),
        steps or STEPS[pair],
        segments,
        episodes=1,
        time_limit="bootstrap",
    )


def left_behind(spec, seeds):
    """By seed: every tensor row of the first and last state and every record of every segment, as bytes by name."""
    cohort = Cohort(spec, seeds)
    state = cohort.initial()
    rows = {
        seed: {f"initial {name}": x[i].numpy().tobytes() for name, x in state.items()} for i, seed in enumerate(seeds)
    }
    for number in range(1, spec.segments + 1):
        state, records = cohort.segment(state, number)
        for i, seed in enumerate(seeds):
            rows[seed] |= {
                f"{name} of segment {number}": np.asarray(column[i]).tobytes() for name, column in records.items()
            }
    for i, seed in enumerate(seeds):
        rows[seed] |= {name: x[i].numpy().tobytes() for name, x in state.items()}
    return rows


def differences(spec, *companies):
    """Names of what differs between companies, for the members that they share with the first one, as (seed, name)."""
    first, *others = (left_behind(spec, seeds) for seeds in companies)
    shared = [(seed, other[seed]) for other in others for seed in first if seed in other]
    assert shared
    assert all(first[seed].keys() == row.keys() for seed, row in shared)
    return sorted({(seed, name) for seed, row in shared for name in row if row[name] != first[seed][name]})


@pytest.mark.parametrize(("pair", "task", "arm"), ARMS)
def test_a_member_leaves_the_same_bytes_in_any_company(pair, task, arm):
    assert differences(make_spec(pair, task, arm), SEVEN, [3], TWENTY) == []


ODD = [
    ("ppo", "CartPole-v1", "sppo-38", {"environments": 3, "horizon": 37, "minibatches": 4}),  # minibatches of 27 and 28
    ("ppo", "Pendulum-v1", "sppo-40", {"environments": 1, "horizon": 41, "minibatches": 2, "hidden": [96, 50]}),
    ("a2c", "CartPole-v1", "a2c-proper", {"environments": 1, "horizon": 3, "hidden": [32, 32]}),
    ("dqn", "CartPole-v1", "soft-dqn-kl-5step", {"batch": 13, "horizon": 7}),
]


@pytest.mark.parametrize(("pair", "task", "arm", "settings"), ODD)
def test_odd_batches_leave_the_same_bytes_as_well(pair, task, arm, settings):
    assert differences(make_spec(pair, task, arm, steps=400, **settings), SEVEN, [3], TWENTY) == []


def test_members_are_different_and_learn():
    for pair in SETTINGS:
        spec = make_spec(pair, "CartPole-v1", {"ppo": "ppo", "a2c": "a2c-naive", "dqn": "dqn"}[pair])
        rows = left_behind(spec, [0, 1])
        flat = PARAMETERS[pair]
        assert rows[0][flat] != rows[1][flat]
        assert rows[0][flat] != rows[0][f"initial {flat}"]


SHORT = {"steps": 512, "segments": 1}


def test_a_gradient_clipped_by_the_cohorts_norm_is_caught(monkeypatch):
    def clip_together_(gradients, limit, parts):
        gradients.mul_((limit / gradients.norm()).clamp(max=1.0))

    monkeypatch.setattr(ppo, "clip_norm_", clip_together_)
    assert (3, "nets") in differences(make_spec("ppo", "CartPole-v1", "ppo", **SHORT), SEVEN, [3])


def test_a_rounding_that_depends_on_the_company_is_caught(monkeypatch):
    exact = ppo.gae

    def rounded(reward, *rest):
        return exact(reward, *rest) + 1e-7 * (len(reward) == 1)

    monkeypatch.setattr(ppo, "gae", rounded)
    assert (3, "nets") in differences(make_spec("ppo", "CartPole-v1", "ppo", **SHORT), SEVEN, [3])


def test_environment_seeds_by_place_are_caught(monkeypatch):
    monkeypatch.setattr(Streams, "environment_seeds", lambda self, _role, count: list(range(count * self.members)))
    caught = differences(make_spec("ppo", "CartPole-v1", "ppo", **SHORT), SEVEN, SEVEN[::-1])
    assert (0, "nets") in caught
    assert (3, "nets") not in caught  # the middle place stays


def test_a_record_that_mixes_members_is_caught(monkeypatch):
    def mixed(self):
        return {"train_return": np.full(len(self.total), self.total.sum()), "train_episodes": self.ended}

    monkeypatch.setattr(Episodes, "records", mixed)
    caught = differences(make_spec("ppo", "CartPole-v1", "ppo", **SHORT), SEVEN, [3])
    assert caught == [(3, "train_return of segment 1")]
