from __future__ import annotations

import inspect
import random
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch

from algorithms.learner import Draw
from harness.run import streams
from harness.run.cohort import Cohort
from harness.run.spec import Spec
from harness.run.streams import Streams

KINDS = {
    kind: lambda draws, kind=kind: draws.take("a role", Draw(kind, (3, 2) if kind != "permutation" else (3, 11)))
    for kind in get_args(get_type_hints(Draw)["kind"])
}


def make(seeds, segment=1):
    return Streams(list(seeds), segment, torch.device("cpu"))


def numbers(kind, seeds, count, segment=1):
    """[count, P, ...]"""
    draws = make(seeds, segment)
    return torch.stack([KINDS[kind](draws) for _ in range(count)])


@pytest.mark.parametrize("kind", KINDS)
def test_streams_do_not_depend_on_the_company(kind):
    alone, among, turned = (numbers(kind, seeds, 50) for seeds in ([3], range(7), reversed(range(7))))
    assert torch.equal(alone[:, 0], among[:, 3])
    assert torch.equal(among, turned.flip(1))


@pytest.mark.parametrize("kind", KINDS)
def test_streams_do_not_depend_on_the_block(kind, monkeypatch):
    whole = numbers(kind, [1, 2], 40)
    for block in (1, 7, 18, 10**5):
        monkeypatch.setattr(streams, "BLOCK", block)
        assert torch.equal(numbers(kind, [1, 2], 40), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_streams_do_not_depend_on_what_others_read(kind):
    draws, read = make([1, 2]), []
    for index in range(20):
        draws.take("something else", Draw("normal", (2,))) if index % 2 else draws.take(
            "a third", Draw("uniform", (4,))
        )
        read.append(KINDS[kind](draws))
    assert torch.equal(torch.stack(read), numbers(kind, [1, 2], 20))


@pytest.mark.parametrize("kind", KINDS)
def test_members_segments_and_draws_differ(kind):
    read = numbers(kind, [1, 2], 3)
    assert not torch.equal(read[:, 0], read[:, 1])
    assert not torch.equal(read[0], read[1])
    assert not torch.equal(read, numbers(kind, [1, 2], 3, segment=2))


def test_roles_differ_and_neighbouring_keys_share_nothing():
    seen = set()
    for seed in (0, 1, 2**31):
        for segment in (0, 1, 2):
            draws = make([seed], segment)
            for role in ("action", "evaluation action", "replay"):
                seen |= set(draws.take(role, Draw("uniform", (100,))).flatten().tolist())
    assert len(seen) == 3 * 3 * 3 * 100


def test_what_was_given_out_may_be_changed_by_its_owner():
    draws = make([1, 2])
    KINDS["normal"](draws).zero_()
    assert torch.equal(KINDS["normal"](draws), numbers("normal", [1, 2], 2)[1])


def test_environment_seeds_depend_on_member_role_and_segment_alone():
    four = make(range(7)).environment_seeds("environment", 4)
    assert len(set(four)) == 28
    assert make([3]).environment_seeds("environment", 4) == four[12:16]
    assert make([6, 3]).environment_seeds("environment", 4) == four[24:28] + four[12:16]
    assert make([3]).environment_seeds("environment", 2) == four[12:14]
    assert not set(make(range(7)).environment_seeds("evaluation environment", 4)) & set(four)
    assert not set(make(range(7), 2).environment_seeds("environment", 4)) & set(four)


def test_ranges_and_types():
    draws = make([1])
    uniform, gumbel, normal = (draws.take(kind, Draw(kind, (100_000,))) for kind in ("uniform", "gumbel", "normal"))
    assert (uniform.dtype, gumbel.dtype, normal.dtype) == (torch.float64, torch.float32, torch.float32)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.004)
    assert gumbel.mean().item() == pytest.approx(0.5772157, abs=0.017)  # Euler's constant
    assert gumbel.var().item() == pytest.approx(1.644934, abs=0.06)  # pi^2/6
    assert normal.mean().item() == pytest.approx(0, abs=0.013)
    assert normal.var().item() == pytest.approx(1, abs=0.018)
    orders = draws.take("order", Draw("permutation", (3, 11)))[0]
    assert orders.dtype == torch.int64 and orders.sort(1).values.tolist() == [list(range(11))] * 3
    assert len({tuple(order) for order in orders.tolist()}) == 3, "each row anew"


@pytest.mark.parametrize("other", [Draw("normal", (4,)), Draw("uniform", (3,))])
def test_a_stream_is_read_in_one_shape_and_kind(other):
    draws = make([1])
    draws.take("a role", Draw("normal", (3,)))
    with pytest.raises(ValueError, match="a role"):
        draws.take("a role", other)


def small(pair, arm):
    settings = {"ppo": {"horizon": 16}, "dqn": {"learning_starts": 20, "replay_size": 1000}}[pair]
    return Cohort(Spec(pair, arm, "CartPole-v1", "batched", settings, 200, 1, 1, "bootstrap"), [4, 5])


def test_arms_share_initial_weights_and_noise():
    assert not {"arm", "name"} & set(inspect.signature(streams.sequence).parameters)
    for pair, arms in (("ppo", ("ppo", "sppo-38", "sppo-40")), ("dqn", ("dqn", "soft-dqn-kl-5step"))):
        cohorts = [small(pair, arm) for arm in arms]
        states = [cohort.initial() for cohort in cohorts]
        noises = [make([4, 5]).take("action", cohort.learner.exploration) for cohort in cohorts]
        for state, noise in zip(states[1:], noises[1:], strict=True):
            assert states[0].keys() == state.keys() and len(state) > 3
            assert all(torch.equal(value, state[name]) for name, value in states[0].items())
            assert torch.equal(noises[0], noise)


def test_arms_see_the_same_starts(monkeypatch):
    seen = []
    real = Streams.environment_seeds

    def listening(self, role, count):
        seen.append((role, real(self, role, count)))
        return seen[-1][1]

    monkeypatch.setattr(Streams, "environment_seeds", listening)
    for arm in ("ppo", "sppo-40"):
        cohort = small("ppo", arm)
        cohort.segment(cohort.initial(), 1)
    assert [role for role, _ in seen] == ["environment", "evaluation environment"] * 2
    assert seen[:2] == seen[2:]


@pytest.mark.parametrize(("pair", "arm"), [("ppo", "sppo-38"), ("dqn", "soft-dqn-kl")])
def test_training_leaves_the_global_generators_alone_and_does_not_read_them(pair, arm):
    left = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        before = (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate())
        cohort = small(pair, arm)
        state, _ = cohort.segment(cohort.initial(), 1)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.random.get_state()[1].tolist() == before[1]
        assert random.getstate() == before[2]
        left.append(state)
    assert all(torch.equal(value, left[1][name]) for name, value in left[0].items())
