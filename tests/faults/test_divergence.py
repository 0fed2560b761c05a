"""One member breaks: it is marked at that step, keeps its place, and the others go on as if it were not there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_company import PARAMETERS, make_spec

from harness.run.cohort import Cohort
from harness.run.collection import Collector

SEEDS, BROKEN = [3, 8, 5], 1  # the place of the member that breaks
ALL = [("ppo", "sppo-40", "CartPole-v1"), ("ppo", "sppo-38", "Pendulum-v1"), ("a2c", "a2c-proper", "CartPole-v1")]
ALL += [("dqn", "soft-dqn-kl-5step", "CartPole-v1")]


def trained(spec, seeds, harm=None):
    """(state, records of both segments) of a cohort; `harm(cohort, state, iteration)` is called before every rollout."""
    cohort = Cohort(spec, seeds)
    collect, count = Collector.collect, iter(range(10**6))

    def harmed(self, state, *rest, **more):
        if harm is not None:
            harm(cohort, state, next(count))
        return collect(self, state, *rest, **more)

    state, records = cohort.initial(), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Collector, "collect", harmed)
        for number in (1, 2):
            state, record = cohort.segment(state, number)
            records.append(record)
    return state, records


def bytes_of(state, records, place):
    found = {name: tensor[place].numpy().tobytes() for name, tensor in state.items()}
    return found | {
        (name, k): np.asarray(column[place]).tobytes()
        for k, record in enumerate(records)
        for name, column in record.items()
    }


def parameter(cohort, state, iteration):
    if iteration == 1:
        state[PARAMETERS[cohort.spec.pair]][BROKEN, 5] = float("nan")


def huge_parameter(cohort, state, iteration):
    if iteration == 1:
        state[PARAMETERS[cohort.spec.pair]][BROKEN] = 3e38


def _patched(cohort, field):
    step, per_member = cohort.training.step, cohort.learner.settings.environments
    mine = slice(BROKEN * per_member, (BROKEN + 1) * per_member)

    def broken(actions):
        result = [np.array(part) for part in step(actions)]
        for index in field:
            result[index][mine] = np.nan
        return tuple(result)

    cohort.training.step = broken


def reward(cohort, state, iteration):
    if iteration == 1:
        _patched(cohort, [1])


def observation(cohort, state, iteration):
    if iteration == 1:
        _patched(cohort, [0, 4])


@pytest.mark.parametrize("harm", [parameter, huge_parameter, reward, observation])
@pytest.mark.parametrize(("pair", "arm", "task"), ALL)
def test_a_member_that_breaks_is_marked_and_changes_no_other(pair, arm, task, harm, fault):
    spec = make_spec(pair, task, arm, steps=2048 if pair == "ppo" else None)
    clean, broken = trained(spec, SEEDS), trained(spec, SEEDS, harm)
    without = trained(spec, [SEEDS[0], SEEDS[2]])
    quantum = Cohort(spec, SEEDS).quantum
    at = int(broken[0]["diverged_at"][BROKEN])
    assert at == 2 * quantum or (pair == "dqn" and at <= spec.steps // 2), "a replay comes to what broke later"
    assert [record["diverged"].tolist() for record in broken[1]] == [[False, True, False]] * 2
    for place, other in ((0, 0), (2, 1)):
        assert bytes_of(*broken, place) == bytes_of(*clean, place) == bytes_of(*without, other)
    for record in broken[1]:
        assert all(np.isnan(column[BROKEN]) for column in record.values() if column.dtype.kind == "f")
    assert all(torch.isfinite(value).all() for value in broken[0].values())
    fault(
        "divergence",
        f"{harm.__name__.replace('_', ' ')} not finite, {pair}",
        "marked at that step; the others bit for bit as without it",
    )


def test_a_diverged_member_leaves_the_same_bytes_in_any_company():
    spec = make_spec("ppo", "Pendulum-v1", "ppo", steps=2048)

    def alone(cohort, state, iteration):
        if iteration == 1:
            state["nets"][0, 5] = float("nan")

    among, single = trained(spec, SEEDS, parameter), trained(spec, [SEEDS[BROKEN]], alone)
    assert bytes_of(*among, BROKEN) == bytes_of(*single, 0)


@pytest.mark.parametrize("what", ["qpos", pytest.param("qvel", marks=pytest.mark.slow)])
def test_mujocos_silent_reset_is_divergence(what, fault):
    """MuJoCo puts a bad state back to the start and goes on: finite observations and rewards, and a return that means nothing."""
    spec = make_spec("ppo", "HalfCheetah-v5", "ppo", backend="gymnasium", steps=512, horizon=64)

    def bad_state(cohort, state, iteration):
        if iteration == 0:
            env = cohort.training.watched[BROKEN * cohort.learner.settings.environments].unwrapped
            getattr(env.data, what)[2] = 1e11

    clean, broken = trained(spec, SEEDS), trained(spec, SEEDS, bad_state)
    assert broken[0]["diverged_at"].tolist() == [-1, 256, -1]
    assert all(bytes_of(*broken, place) == bytes_of(*clean, place) for place in (0, 2))
    fault(
        "divergence",
        f"MuJoCo resets a huge {what} by itself",
        "marked at that step; the others bit for bit as without it",
    )
