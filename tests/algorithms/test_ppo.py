from __future__ import annotations

import math

import pytest
import torch
from numeric import RememberedGradient, assert_gradient, doubled

from algorithms.learner import Rollout, Spaces
from algorithms.pairs import ppo
from algorithms.policies import Categorical, Gaussian
from harness.run.streams import Streams

LN2, LN3 = 0.6931471805599453, 1.0986122886681098


def learner(arm, continuous=False, **settings):
    defaults = {
        "environments": 1,
        "horizon": 2,
        "minibatches": 1,
        "epochs": 1,
        "temperature": 0.5,
        "discount": 0.5,
        "gae_lambda": 0.5,
    }
    chosen = ppo.Settings(**{**defaults, "clip": 0.1, "hidden": 32, **settings})
    return ppo.PPO(chosen, Spaces(3, 2, continuous), 1000, **ppo.PPO.arms[arm].switches)


def policy(*probabilities, dtype=torch.float64):
    return Categorical(torch.tensor(probabilities, dtype=dtype).log())


def close(actual, expected, tolerance=1e-9):
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=actual.dtype), rtol=0, atol=tolerance)


def column(*rows, dtype=torch.float64):
    """[P, T, 1]"""
    return torch.tensor(rows, dtype=dtype).unsqueeze(-1)


def returns_of(arm):
    """Advantage and target of two members. Member 0 has policies (1/4, 3/4), (1/2, 1/2): entropies 0.56234, ln 2. Member 1 has entropy 0
    and terminates. Rewards 1, 2; values 0.5, 1; next values 1, 3; discount and lambda 1/2; temperature 1/2."""
    nothing = torch.zeros(2, 2, 1, 3)
    terminated, truncated = (column([False, False], [False, flag], dtype=torch.bool) for flag in (True, False))
    rollout = Rollout(nothing, nothing, column([1.0, 2.0], [1.0, 2.0]), nothing, terminated, truncated)
    old = Categorical(torch.tensor([[[0.0, LN3], [0.0, 0.0]], [[0.0, -1e4], [0.0, -1e4]]], dtype=torch.float64))
    value, following = column([0.5, 1.0], [0.5, 1.0]), column([1.0, 3.0], [1.0, 3.0])
    advantage, target = learner(arm).returns(rollout, rollout.reward, old, value, following)
    return advantage.squeeze(-1), target.squeeze(-1)


@pytest.mark.parametrize("arm", ["ppo", "ppo-bonus"])
def test_hard_returns_by_hand(arm):
    advantage, target = returns_of(arm)
    close(advantage, [[1.625, 2.5], [1.25, 1.0]])  # deltas 1, 2.5 and 1, 1
    close(target, [[2.125, 3.5], [1.75, 2.0]])


@pytest.mark.parametrize("arm", ["sppo-38", "sppo-40"])
def test_soft_returns_add_the_old_policys_entropy_to_the_reward(arm):
    """Liu et al. 2020, Eq. 35: rewards 1 + 0.56234/2 and 2 + ln(2)/2 for member 0."""
    advantage, target = returns_of(arm)
    close(advantage, [[1.9928109698796975, 2.8465735902799727], [1.25, 1.0]])
    close(target, [[2.4928109698796975, 3.8465735902799727], [1.75, 2.0]])


# Two members, two samples each: old probability 1/2 of every taken action, so the ratios are 1.2 and 0.4; clipped 1.1 and 0.9.
NEW = ([[0.6, 0.4], [0.8, 0.2]], [[0.6, 0.4], [0.8, 0.2]])
TAKEN = torch.tensor([[0, 1], [0, 1]])
OLD = torch.full((2, 2), -LN2, dtype=torch.float64)
ADVANTAGE = torch.tensor([[1.0, -1.0], [-1.0, 2.0]], dtype=torch.float64)
MEAN_ENTROPY = 0.5867070452737222  # of (0.6, 0.4), (0.8, 0.2): (0.6730116670 + 0.5004024235)/2


def test_clipped_loss_by_hand():
    """Objectives min(1.2, 1.1) and min(-0.4, -0.9); min(-1.2, -1.1) and min(0.8, 1.8)."""
    loss, ratio = learner("ppo").policy_loss(policy(*NEW), TAKEN, OLD, ADVANTAGE)
    close(ratio, [[1.2, 0.4], [1.2, 0.4]])
    close(loss, [-(1.1 - 0.9) / 2, -(-1.2 + 0.8) / 2])


@pytest.mark.parametrize("arm", ["ppo-bonus", "sppo-38"])
def test_bonus_in_the_loss_by_hand(arm):
    """Liu et al. 2020, Eq. 38."""
    loss, _ = learner(arm).policy_loss(policy(*NEW), TAKEN, OLD, ADVANTAGE)
    close(loss, [-0.1 - 0.5 * MEAN_ENTROPY, 0.2 - 0.5 * MEAN_ENTROPY])


def test_log_policy_in_the_advantage_by_hand():
    """Liu et al. 2020, Eq. 40-41: advantages A + ln(2)/2, the whole of it under the clip; no bonus."""
    loss, _ = learner("sppo-40").policy_loss(policy(*NEW), TAKEN, OLD, ADVANTAGE)
    half = 0.34657359027997264
    first = (1.1 * (1 + half) + 0.9 * (-1 + half)) / 2
    second = (1.2 * (-1 + half) + 0.4 * (2 + half)) / 2
    close(loss, [-first, -second])
    close(loss, [-0.4465735902799727, -0.0772588722239781])


def test_value_loss_by_hand():
    value, old = torch.tensor([[1.0, 3.0], [2.0, 0.0]]), torch.tensor([[1.05, 2.0], [2.0, 1.0]])
    target = torch.tensor([[2.0, 4.0], [0.0, 0.95]])
    # Clipped values 1, 2.1 and 2, 0.9; squared errors (1, 1) and (1, 3.61); (4, 0.9025) and (4, 0.0025).
    close(learner("ppo").value_loss(value, old, target), [(1 + 3.61) / 4, (4 + 0.9025) / 4], 1e-6)
    close(learner("ppo", clip_value=False).value_loss(value, old, target), [0.5, 4.9025 / 4], 1e-6)


def random_samples(seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits, old = (torch.randn(4, 200, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    action = torch.randint(3, (4, 200), generator=generator)
    advantage = torch.randn(4, 200, generator=generator, dtype=torch.float64)
    return logits, action, Categorical(old).log_prob(action), advantage


def test_clipped_objective_is_a_lower_bound_of_the_unclipped_one():
    logits, action, old, advantage = random_samples()
    loss, ratio = learner("ppo").policy_loss(Categorical(logits[:, :, :]), action, old, advantage)
    assert (-loss <= (ratio * advantage).mean(1)).all()
    for index in range(20):  # and so is every sample's
        part = slice(index, index + 1)
        single, _ = learner("ppo").policy_loss(
            Categorical(logits[:, part]), action[:, part], old[:, part], advantage[:, part]
        )
        assert (-single <= (ratio * advantage)[:, index] + 1e-12).all()


def test_gradient_is_zero_exactly_where_the_objective_is_flat():
    logits, action, old, advantage = random_samples()
    leaf = logits.clone().requires_grad_()
    loss, ratio = learner("ppo").policy_loss(Categorical(leaf), action, old, advantage)
    gradient = torch.autograd.grad(loss.sum(), leaf)[0].abs().sum(-1)
    flat = ((ratio > 1.1) & (advantage > 0)) | ((ratio < 0.9) & (advantage < 0))
    assert 50 < flat.sum() < 750
    assert (gradient[flat] == 0).all()
    assert (gradient[~flat] > 0).all()


def expected_gradient(arm, logits, advantages, temperature=0.3):
    """Expected gradient of the objective by logits [S, A] at theta = theta_old: every action with its probability."""
    leaf = logits.clone().unsqueeze(1).requires_grad_()  # a state is a row
    new, total = Categorical(leaf), 0.0
    for action in range(logits.shape[1]):
        taken = torch.full((len(logits), 1), action)
        old = new.log_prob(taken).detach()
        loss, _ = learner(arm, temperature=temperature).policy_loss(new, taken, old, advantages[:, action : action + 1])
        total = total - (old.exp().squeeze(1) * loss).sum()
    return torch.autograd.grad(total, leaf)[0].squeeze(1)


def test_both_soft_forms_have_the_same_expected_gradient():
    """Liu et al. 2020, Eq. 19 = Eq. 20: the bonus' gradient is that of -alpha log pi in the advantage, in expectation."""
    generator = torch.Generator().manual_seed(0)
    logits, advantages = (torch.randn(5, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    hard, bonus, eq38, eq40 = (
        expected_gradient(arm, logits, advantages) for arm in ("ppo", "ppo-bonus", "sppo-38", "sppo-40")
    )
    torch.testing.assert_close(eq38, eq40, rtol=0, atol=1e-12)
    torch.testing.assert_close(bonus, eq38)
    assert (hard - eq38).abs().amax(1).min() > 1e-2
    probability = logits.softmax(-1)
    entropy = -(probability * probability.log()).sum(-1, keepdim=True)
    entropy_gradient = -probability * (probability.log() + entropy)
    torch.testing.assert_close(eq38 - hard, 0.3 * entropy_gradient, rtol=0, atol=1e-12)
    baseline = (probability * advantages).sum(-1, keepdim=True)
    torch.testing.assert_close(hard, probability * (advantages - baseline), rtol=0, atol=1e-12)


def sample_and_state(made, seed=0, size=6):
    """A minibatch of two members, far enough from the old policy that some samples are clipped, in float64."""
    streams = Streams([1, 2], 0, torch.device("cpu"))
    state = doubled(made.initial(streams))
    generator = torch.Generator().manual_seed(seed)
    state["parameters"] += 0.3 * torch.randn(state["parameters"].shape, generator=generator, dtype=torch.float64)
    numbers = torch.randn(5, 2, size, generator=generator, dtype=torch.float64)
    observation = torch.randn(2, size, 3, generator=generator, dtype=torch.float64)
    actions = torch.tensor([[0, 1] * 3] * 2)
    if made.spaces.continuous:
        actions = torch.randn(2, size, 2, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        log_prob = made.policy(made.layout.split(state["parameters"]), observation).log_prob(actions) + 0.1 * numbers[0]
    names = {"observation": observation, "action": actions, "log_prob": log_prob, "advantage": numbers[1]}
    return {**names, "value": numbers[2], "target": numbers[3]}, state


@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("arm", list(ppo.PPO.arms))
def test_gradient_of_a_step_is_that_of_finite_differences(arm, continuous, monkeypatch):
    remembered = RememberedGradient()
    monkeypatch.setattr(ppo, "gradient", remembered)
    made = learner(arm, continuous)
    sample, state = sample_and_state(made)

    def loss(parameters):
        metrics = made.step(
            {name: x.clone() for name, x in state.items()} | {"parameters": parameters.clone()}, sample, 1, 0.1
        )
        return metrics["policy_loss"] + 0.5 * metrics["value_loss"]

    loss(state["parameters"])
    assert_gradient(loss, state["parameters"], remembered.last.clone())
    assert remembered.last.abs().amax(1).min() > 1e-3


def test_first_step_is_an_adam_step_with_clipped_gradient(monkeypatch):
    remembered = RememberedGradient()
    monkeypatch.setattr(ppo, "gradient", remembered)
    made = learner("ppo", max_gradient_norm=0.01)
    sample, state = sample_and_state(made)
    before = state["parameters"].clone()
    made.step(state, sample, 1, 0.1)
    clipped = remembered.last * (0.01 / remembered.last.norm(dim=1, keepdim=True)).clamp(max=1)
    torch.testing.assert_close(
        state["parameters"] - before, -0.1 * clipped / (clipped.abs() + 1e-5), rtol=1e-3, atol=1e-6
    )


def test_advantages_are_normalized_before_the_log_policy_is_taken_off(monkeypatch):
    seen = []
    made = learner("sppo-40")
    true = made.policy_loss

    def listening(new, action, old, advantage):
        seen.append(advantage)
        return true(new, action, old, advantage)

    monkeypatch.setattr(made, "policy_loss", listening)
    sample, state = sample_and_state(made)
    made.step(state, sample, 1, 0.1)
    close(seen[0].mean(1), [0.0, 0.0])
    close(seen[0].std(1), [1.0, 1.0], 1e-6)


def test_gaussian_entropy_in_the_return_by_hand():
    """log_std 0 and -1 in two dimensions: H = 2 * 1.4189385 - 1; alpha = 1/2, no values."""
    nothing, no = torch.zeros(1, 2, 1, 3), torch.zeros(1, 2, 1, dtype=torch.bool)
    rollout = Rollout(nothing, nothing, column([1.0, 2.0]), nothing, no, no)
    zero = torch.zeros(1, 2, 1, dtype=torch.float64)
    old = Gaussian(torch.zeros(1, 2, 2, dtype=torch.float64), torch.tensor([[[0.0, -1.0]]], dtype=torch.float64))
    _, target = learner("sppo-38", True, gae_lambda=0).returns(rollout, rollout.reward, old, zero, zero)
    close(target.squeeze(-1), [[1 + 0.9189385332046727, 2 + 0.9189385332046727]])


def test_running_statistics_are_those_of_all_values():
    generator = torch.Generator().manual_seed(0)
    values = 5 + 3 * torch.randn(2, 30, 3, generator=generator, dtype=torch.float64)
    state = {"x.mean": torch.zeros(2, 3, dtype=torch.float64), "x.variance": torch.ones(2, 3, dtype=torch.float64)}
    for first, last in ((0, 10), (10, 12), (12, 30)):
        ppo.track(state, "x", values[:, first:last], first)
    torch.testing.assert_close(state["x.mean"], values.mean(1))
    torch.testing.assert_close(state["x.variance"], values.var(1, correction=0))


def test_learning_rate_falls_to_zero_over_the_budget():
    rates = []
    made = learner("ppo", environments=2, horizon=5)
    made.step = lambda _state, _sample, count, rate: (rates.append((count, rate)), {})[1]
    streams = Streams([1], 0, torch.device("cpu"))
    state = made.initial(streams)
    nothing, no = torch.zeros(1, 5, 2, 3), torch.zeros(1, 5, 2, dtype=torch.bool)
    for step in (0, 10, 990):
        made.update(
            state,
            Rollout(nothing, torch.zeros(1, 5, 2, dtype=torch.int64), torch.zeros(1, 5, 2), nothing, no, no),
            streams,
            step,
        )
    assert [count for count, _ in rates] == [1, 2, 100]
    assert [rate for _, rate in rates] == pytest.approx([2.5e-4, 2.5e-4 * 0.99, 2.5e-4 * 0.01])


def test_every_sample_is_used_once_an_epoch():
    made = learner("ppo", environments=3, horizon=5, minibatches=4, epochs=3)
    seen = []
    made.step = lambda _state, sample, _count, _rate: (seen.append(sample["observation"][:, :, 0]), {})[1]
    streams = Streams([1, 2], 0, torch.device("cpu"))
    observation = torch.zeros(2, 5, 3, 3)
    observation[..., 0] = torch.arange(30.0).view(2, 5, 3)
    no, actions = torch.zeros(2, 5, 3, dtype=torch.bool), torch.zeros(2, 5, 3, dtype=torch.int64)
    made.update(
        made.initial(streams), Rollout(observation, actions, torch.zeros(2, 5, 3), observation, no, no), streams, 0
    )
    assert len(seen) == 12
    orders = [torch.cat(seen[4 * epoch : 4 * epoch + 4], 1) for epoch in range(3)]
    for order in orders:
        assert torch.equal(order.sort(1).values, torch.arange(30.0).view(2, 15))
    assert not torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0][0], orders[0][1] - 15)


def test_initial_weights_have_cleanrls_gains():
    state = learner("ppo", hidden=64).initial(Streams([1], 0, torch.device("cpu")))
    tensors = learner("ppo", hidden=64).layout.split(state["parameters"])
    norms = {name: torch.linalg.matrix_norm(x, 2).item() for name, x in tensors.items() if name.endswith("weight")}
    expected = {"0": math.sqrt(2), "1": math.sqrt(2)}
    for name, norm in norms.items():
        net, index, _ = name.split(".")
        assert norm == pytest.approx(expected.get(index, 0.01 if net == "actor" else 1.0), rel=1e-4)
    assert all((x == 0).all() for name, x in tensors.items() if name.endswith("bias"))
