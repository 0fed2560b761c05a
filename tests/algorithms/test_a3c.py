"""A3C and SA3C: what one learner is, whose copy is how stale, and what is soft."""

from __future__ import annotations

import pytest
import torch
from reference import now, rollouts, started

from algorithms.learner import Rollout, Spaces
from algorithms.pairs import a2c
from algorithms.pairs.a3c import A3C, Settings
from algorithms.policies import Categorical
from harness.run.streams import Streams

SPACES = Spaces((3,), 2)
A2C = {"a3c": "a2c-naive", "sa3c": "a2c-proper"}


def learner(arm, spaces=SPACES, **settings):
    defaults = {"environments": 4, "learners": 4, "horizon": 3, "hidden": (8,)}
    return A3C(Settings(**{**defaults, **settings}), spaces, A3C.arms[arm].switches)


def orders(made, members, segment=1):
    """Rounds of draws from the stream that a cohort has."""
    streams = Streams(list(range(members)), segment, torch.device("cpu"))
    while True:
        yield {"order": streams.take("order", made.randomness["order"])}


def trained(made, rounds=4, spaces=SPACES, order=None, **rows):
    """A cohort of two after some rounds, and the last one's metrics."""
    state = made.initial(Streams([1, 1], 0, torch.device("cpu")))
    state["nets"] += 0.3 * torch.sin(torch.arange(state["nets"].shape[1]))  # away from a uniform policy
    if "copies" in state:
        state["copies"].copy_(state["nets"].unsqueeze(1))
    drawn = [order] * rounds if order else orders(made, 2) if made.randomness else [{}] * rounds
    for one, noise in zip(rollouts(rounds, 3, 4, spaces), drawn, strict=False):
        batch = Rollout(*(torch.cat([field] * 2) for field in vars(one).values()))
        metrics = made.update(state, batch, now(250, 1000, noise=noise, **rows))
    return state, metrics


@pytest.mark.parametrize("arm", A3C.arms)
@pytest.mark.parametrize(("spaces", "anneal"), [(SPACES, False), (SPACES, True), (Spaces((10, 10, 2), 3), True)])
def test_one_learner_is_a2c_to_the_bit(arm, spaces, anneal):
    made = learner(arm, spaces, learners=1, anneal=anneal)
    rows = {"learning_rate": [0.01, 0.002], "temperature": [0.3, 0.0]}
    settings = a2c.Settings(**made.settings.model_dump(exclude={"learners"}))
    other = a2c.A2C(settings, spaces, a2c.A2C.arms[A2C[arm]].switches)
    (found, told), (expected, said) = (trained(each, spaces=spaces, **rows) for each in (made, other))
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert all(torch.equal(told[name], said[name]) for name in said)
    assert torch.equal(found["copies"][:, 0], found["nets"]) and not told["staleness"].any()


@pytest.mark.parametrize("arm", A3C.arms)
def test_an_arm_has_the_equations_of_a2cs(arm):
    made, other = learner(arm), a2c.A2C(a2c.Settings(), SPACES, a2c.A2C.arms[A2C[arm]].switches)
    (rollout,) = rollouts(1, 3, 4, SPACES)
    kl, following, tau = torch.rand(1, 3, 4), torch.randn(1, 3, 4), torch.tensor([[0.7]])
    given = rollout, kl, following, tau
    assert torch.equal(made.returns(*given), other.returns(*given))
    flat = kl.flatten(1), following.flatten(1), kl.flatten(1) + 1, tau
    for found, expected in zip(made.policy_loss(*flat), other.policy_loss(*flat), strict=True):
        assert torch.equal(found, expected)


def test_staleness_by_hand():
    """Two learners: in order 0, 1 they wait 0 and 1 updates of others; then 1, 0: learner 1 copied last, 0 waits for both; and so on."""
    made, rows = learner("a3c", learners=2), {"learning_rate": 0.01, "temperature": 0.01}
    state, told = started(made, 1, torch.float32), []
    for one, order in zip(rollouts(4, 3, 4, SPACES), ([0, 1], [1, 0], [1, 0], [0, 1]), strict=True):
        metrics = made.update(state, one, now(0, 1, noise={"order": torch.tensor([order])}, **rows))
        told.append([metrics[f"staleness{part}"].item() for part in ("", "_deviation", "_least", "_most")])
        assert state["copies.age"].tolist() == [[order.index(1), order.index(0)]]
        assert torch.equal(state["copies"][:, order[1]], state["nets"])
    assert told == [[0.5, 0.5, 0, 1], [1, 1, 0, 2], [1, 0, 1, 1], [1, 1, 0, 2]]


def test_staleness_is_k_less_one_in_the_mean_and_spread_as_two_dice():
    """Of 5 learners over rounds of the stream: staleness s with probability (5 - |s - 4|) / 25, and each round's mean is 4."""
    made, members = learner("a3c", learners=5, environments=5, horizon=1), 8
    state = made.initial(Streams([1] * members, 0, torch.device("cpu")))
    (one,) = rollouts(1, 1, 5, SPACES)
    batch, counts = Rollout(*(torch.cat([field] * members) for field in vars(one).values())), torch.zeros(9)
    rows = {"learning_rate": [0.01] * members, "temperature": [0.01] * members}
    for number, noise in zip(range(80), orders(made, members), strict=False):
        found = state["copies.age"].gather(1, noise["order"]) + torch.arange(5)
        told = made.update(state, batch, now(0, 1, noise=noise, **rows))
        assert torch.equal(told["staleness"], found.float().mean(1)) and torch.equal(
            told["staleness_most"], found.amax(1)
        )
        if number:
            assert (told["staleness"] == 4).all()
            counts += torch.bincount(found.flatten(), minlength=9)
    expected = torch.tensor([5 - abs(s - 4) for s in range(9)]) / 25
    torch.testing.assert_close(counts / counts.sum(), expected, rtol=0, atol=0.02)


def test_gradients_are_of_the_copies_and_their_own_environments():
    """With discount 0 a learner whose experience has no rewards and a critic of 0 climbs nothing, whatever the others saw."""
    made = learner("a3c", learners=2, discount=0.0)
    state = started(made, 1, torch.float32)
    for matrix in made.nets.layout.tensors(state["nets"]):
        matrix[:, 1] = 0  # the critic
    state["copies"].copy_(state["nets"].unsqueeze(1))
    (one,) = rollouts(1, 3, 4, SPACES)
    one.reward[:, :, :2] = 0  # of learner 0
    before = state["nets"].clone()
    order = torch.tensor([[0, 1]])
    made.update(state, one, now(0, 1, noise={"order": order}, learning_rate=0.01, temperature=0.0))
    assert torch.equal(state["copies"][:, 0], before) and not torch.equal(state["copies"][:, 1], before)


@pytest.mark.parametrize("use", ["collect", "sample", "greedy"])
def test_learners_act_by_their_copies_and_the_evaluated_policy_is_the_shared_one(use):
    made = learner("sa3c", learners=2, environments=40)
    state = made.initial(Streams([1, 2], 0, torch.device("cpu")))
    state["copies"] += torch.sin(torch.arange(state["copies"].numel())).view(state["copies"].shape)
    observation, noise = torch.randn(2, 40, 3), torch.randn(2, 40, 2)
    flat = [state["copies"][:, index].contiguous() for index in (0, 1)] if use == "collect" else [state["nets"]] * 2
    halves = zip(flat, observation.chunk(2, 1), strict=True)
    policy = Categorical(torch.cat([made.nets.head(0, each)(seen) for each, seen in halves], 1))
    expected = policy.mode if use == "greedy" else policy.sample(noise)
    assert torch.equal(made.behaviour(state, use, now(0, 1))(observation, noise), expected)


def test_each_member_has_its_own_order_rate_and_temperature():
    """Members of the same start and experience; a rate of 0 moves nothing; temperature 0 makes the arms one."""
    order = {"order": torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0]])}
    hard, _ = trained(learner("a3c"), order=order, learning_rate=[0.01, 0.01], temperature=[0.3, 0.3])
    assert not torch.equal(hard["nets"][0], hard["nets"][1])
    ends = [
        trained(learner(arm), order=order, learning_rate=[0.01, 0.01], temperature=[0.0, 0.3])[0]["nets"] for arm in A2C
    ]
    assert torch.equal(ends[0][0], ends[1][0]) and not torch.equal(ends[0][1], ends[1][1])
    still, _ = trained(learner("a3c"), order=order, learning_rate=[0.0, 0.01], temperature=[0.3, 0.3])
    start, _ = trained(learner("a3c"), order=order, learning_rate=[0.0, 0.0], temperature=[0.3, 0.3])
    assert torch.equal(still["nets"][0], start["nets"][0]) and not torch.equal(still["nets"][1], start["nets"][1])


def test_learners_that_do_not_share_the_environments_evenly_are_told():
    with pytest.raises(ValueError, match=r"^learners: must divide the 4 environments"):
        learner("a3c", learners=3)
