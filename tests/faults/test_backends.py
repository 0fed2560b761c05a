"""Every pair on every environment backend: the same bytes alone, among others and in another order, however evaluation is set."""

from __future__ import annotations

import dataclasses
import importlib.util

import numpy as np
import pytest
from test_company import PARAMETERS, differences, left_behind, make_spec

from harness.run import environments

envpool = pytest.mark.skipif(
    importlib.util.find_spec("envpool") is None, reason="envpool is an optional extra and not installed"
)
PAIRS = {"ppo": "sppo-38", "a2c": "a2c-proper", "dqn": "soft-dqn-kl-5step"}
TASKS = [
    *(pytest.param(pair, "gymnasium", "CartPole-v1", {}) for pair in PAIRS),
    pytest.param("ppo", "gymnasium", "HalfCheetah-v5", {"horizon": 64}, marks=pytest.mark.slow),
    *(pytest.param(pair, "envpool", "CartPole-v1", {}, marks=envpool) for pair in PAIRS),
    pytest.param("ppo", "envpool", "HalfCheetah-v5", {"horizon": 64}, marks=[envpool, pytest.mark.slow]),
    pytest.param("ppo", "atari", "ALE/Pong-v5", {"horizon": 16, "hidden": [32, 32]}, marks=pytest.mark.slow),
    pytest.param("a2c", "atari", "ALE/Pong-v5", {"environments": 2, "hidden": [32, 32]}, marks=pytest.mark.slow),
    pytest.param(
        "dqn",
        "atari",
        "ALE/Pong-v5",
        {"hidden": (32, 32), "learning_starts": 20, "replay_size": 60, "batch": 16},
        marks=pytest.mark.slow,
    ),
]
STEPS = {"ALE/Pong-v5": 64, "HalfCheetah-v5": 512}


@pytest.mark.parametrize(("pair", "backend", "task", "settings"), TASKS)
def test_a_member_leaves_the_same_bytes_on_every_backend(pair, backend, task, settings, fault):
    spec = make_spec(
        pair,
        task,
        PAIRS[pair],
        backend=backend,
        steps=STEPS.get(task),
        segments=1 if backend == "atari" else 2,
        **settings,
    )
    companies = [[4, 2, 9, 1, 0], [2], [0, 1, 9, 2, 4]]
    if backend == "atari":  # whose episodes of evaluation take most of the time
        spec, companies = dataclasses.replace(spec, modes=["sampled"]), [[4, 2], [2]]
    assert differences(spec, *companies) == []
    fault(
        "company",
        f"{pair} on {task} ({backend}): alone, among {len(companies[0])}, in another order",
        "equal bytes",
        len(companies),
    )


def test_members_on_a_backend_differ():
    """Else the tests above could not fail."""
    rows = left_behind(make_spec("ppo", "CartPole-v1", "ppo", backend="gymnasium"), [0, 1])
    assert rows[0]["nets"] != rows[1]["nets"]


@pytest.mark.parametrize("pair", PAIRS)
def test_how_a_member_is_evaluated_does_not_change_what_it_learns(pair, fault):
    spec = make_spec(pair, "CartPole-v1", PAIRS[pair])
    few, many = (left_behind(dataclasses.replace(spec, episodes=episodes), [0, 3]) for episodes in (1, 5))
    learned = [name for name in few[0] if "of segment" not in name or name.startswith(("entropy", "train_return"))]
    assert PARAMETERS[pair] in learned
    assert all(few[seed][name] == many[seed][name] for seed in few for name in learned)
    assert few[0]["return_sampled of segment 2"] != many[0]["return_sampled of segment 2"]
    fault("company", f"{pair}: 1 and 5 evaluation episodes a segment", "equal states and training records", 2)


SEEDED = [
    ("gymnasium", "Acrobot-v1"),
    ("atari", "ALE/Breakout-v5"),
    pytest.param("envpool", "Acrobot-v1", marks=envpool),
]


@pytest.mark.parametrize(("backend", "task"), SEEDED)
def test_an_environment_does_not_feel_the_others(backend, task, fault):
    """Observations, rewards and ends of an environment depend on its own seed and actions alone."""
    seeds, steps = [11, 5, 2**31 + 7, 3], 150
    actions = np.random.default_rng(0).integers(3, size=(steps, len(seeds)))

    def played(places):
        made = environments.make(task, backend, len(places))
        seen = [made.reset([seeds[place] for place in places])]
        for row in actions:
            seen += made.step(row[places])
        return seen

    together = played([0, 1, 2, 3])
    for places in ([2], [3, 1]):
        for ours, theirs in zip(played(places), together, strict=True):
            np.testing.assert_array_equal(ours, theirs[places])
    assert not np.array_equal(together[0][0], together[0][1]) or any(not np.array_equal(x[0], x[1]) for x in together)
    fault(
        "company",
        f"environments of {task} ({backend}) alone, in pairs and together, {steps} steps",
        "equal observations",
        3,
    )
