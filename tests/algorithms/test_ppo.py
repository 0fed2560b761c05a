from __future__ import annotations

import math

import pytest
import torch
from reference import now, rollouts, shuffles, started

from algorithms.learner import Rollout, Spaces
from algorithms.pairs import ppo
from algorithms.policies import Categorical
from harness.run.streams import Streams

LN2 = 0.6931471805599453
CHOICES, NUMBERS = Spaces((3,), 2), Spaces((3,), 2, ((-1.0, -1.0), (1.0, 1.0)))
HALF = torch.tensor([[0.5]], dtype=torch.float64)


def learner(arm, spaces=CHOICES, **settings):
    defaults = {"environments": 1, "horizon": 2, "minibatches": 1, "epochs": 1, "clip": 0.1, "hidden": (32,)}
    return ppo.PPO(ppo.Settings(**{**defaults, **settings}), spaces, ppo.PPO.arms[arm].switches)


def policy(*probabilities, dtype=torch.float64):
    return Categorical(torch.tensor(probabilities, dtype=dtype).log())


def close(actual, expected, tolerance=1e-9):
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=actual.dtype), rtol=0, atol=tolerance)


@pytest.mark.parametrize("arm", ppo.PPO.arms)
def test_soft_arms_add_the_old_policys_entropy_to_the_reward(arm):
    """Liu et al. 2020, Eq. 35: rewards 1 + 0.2 x 0.5 and 2 + 0 x ..., each member with its own temperature."""
    reward = torch.tensor([1.0, 2.0], dtype=torch.float64).view(2, 1, 1)
    entropy, tau = torch.full_like(reward, 0.5), torch.tensor([[0.2], [0.0]], dtype=torch.float64)
    found = learner(arm, NUMBERS if ppo.PPO.arms[arm].actions else CHOICES).reward(reward, entropy, tau)
    close(found.flatten(), [1.1 if arm.startswith("sppo") else 1.0, 2.0])


# Advantages 1 and 5 have mean 3 and deviation sqrt 8; old log-probabilities -1 and -2, temperature 1/2.
ROOT = math.sqrt(8)
SCALED = [-2 / ROOT, 2 / ROOT]


@pytest.mark.parametrize(
    ("arm", "weight", "bonus"),
    [
        ("ppo", SCALED, None),
        ("ppo-bonus", SCALED, 0.5),
        ("sppo-38", SCALED, 0.5 / ROOT),
        ("sppo-auto", SCALED, 0.5 / ROOT),
        ("sppo-40", [(-2 + 0.5) / ROOT, (2 + 1.0) / ROOT], None),
        ("sppo-38-baselines", SCALED, 0.5),
        ("sppo-40-baselines", [-2 / ROOT + 0.5, 2 / ROOT + 1.0], None),
    ],
)
def test_what_multiplies_ratios_and_entropy_by_hand(arm, weight, bonus):
    """One temperature: where the advantage is divided by its deviation, so is alpha; in the controls it is not."""
    advantage = torch.tensor([[1.0, 5.0]], dtype=torch.float64)
    old = torch.tensor([[-1.0, -2.0]], dtype=torch.float64)
    found, found_bonus = learner(arm).weights(advantage, old, HALF)
    close(found, [weight], 1e-7)
    assert found_bonus is None if bonus is None else found_bonus.item() == pytest.approx(bonus)


@pytest.mark.parametrize("arm", ["sppo-38", "sppo-40", "ppo"])
def test_scaling_rewards_and_temperature_together_changes_nothing(arm):
    """Of one temperature in units of the reward: gradients do not know the unit."""
    generator = torch.Generator().manual_seed(0)
    advantage, old = (torch.randn(2, 20, generator=generator, dtype=torch.float64) for _ in range(2))
    weight, bonus = learner(arm).weights(advantage, old, HALF)
    scaled, scaled_bonus = learner(arm).weights(7 * advantage, old, 7 * HALF)
    torch.testing.assert_close(scaled, weight, rtol=1e-6, atol=1e-6)
    if bonus is not None:
        torch.testing.assert_close(scaled_bonus, bonus, rtol=1e-6, atol=1e-6)


def test_clipped_loss_by_hand():
    """Objectives min(1.2, 1.1) and min(-0.4, -0.9); min(-1.2, -1.1) and min(0.8, 1.8); flat where the clip acts."""
    ratio = torch.tensor([[1.2, 0.4], [1.2, 0.4]], dtype=torch.float64)
    loss, slope = learner("ppo").policy_loss(ratio, torch.tensor([[1.0, -1.0], [-1.0, 2.0]], dtype=torch.float64))
    close(loss, [[-1.1, 0.9], [1.2, -0.8]])
    close(slope, [[0.0, 0.0], [1.2, -0.8]])


def test_value_loss_by_hand():
    """Clipped values 0.6, 3, 2.4 and 0.4: the first and the third are worse than the values, and flat."""
    value, target = torch.tensor([[1.0, 3.0], [2.0, 0.0]]), torch.tensor([[2.0, 4.0], [0.0, 0.95]])
    old = torch.tensor([[0.5, 3.05], [2.5, 0.5]])
    loss, slope = learner("ppo", clip_value=False).value_loss(value, old, target)
    close(loss, [[0.5, 0.5], [2.0, 0.9025 / 2]], 1e-6)
    close(slope, [[-1.0, -1.0], [2.0, -0.95]], 1e-6)
    loss, slope = learner("ppo").value_loss(value, old, target)
    close(loss, [[0.98, 0.5], [2.88, 0.9025 / 2]], 1e-6)
    close(slope, [[0.0, -1.0], [0.0, -0.95]], 1e-6)


def random_samples(seed=0):
    generator = torch.Generator().manual_seed(seed)
    log_ratio, weight, target = (torch.randn(4, 200, generator=generator, dtype=torch.float64) for _ in range(3))
    return (0.3 * log_ratio).requires_grad_(), weight, target


def test_slopes_are_autograds():
    leaf, weight, target = random_samples()
    made = learner("ppo")
    for loss, slope in (made.policy_loss(leaf.exp(), weight), made.value_loss(leaf, weight, target)):
        (expected,) = torch.autograd.grad(loss.sum(), leaf)
        torch.testing.assert_close(slope, expected)


def test_clipped_objective_is_a_lower_bound_of_the_unclipped_one():
    log_ratio, weight, _ = random_samples()
    loss, slope = learner("ppo").policy_loss(log_ratio.exp(), weight)
    flat = ((log_ratio.exp() > 1.1) & (weight > 0)) | ((log_ratio.exp() < 0.9) & (weight < 0))
    assert (-loss <= log_ratio.exp() * weight).all()
    assert 50 < flat.sum() < 750
    assert (slope[flat] == 0).all()
    assert (slope[~flat].abs() > 0).all()


def expected_gradient(arm, logits, advantages, tau=0.3):
    """Expected gradient of the objective by logits [S, A] at theta = theta_old: every action with its probability.

    Advantages are scaled as a batch of all states and actions; the result is in their own unit.
    """
    states, choices = logits.shape
    old = Categorical(logits.repeat_interleave(choices, 0).unsqueeze(0))
    action = torch.arange(choices).repeat(1, states)
    log_prob, batch = old.log_prob(action), advantages.view(1, -1)
    weight, bonus = learner(arm).weights(batch, log_prob, torch.tensor([[tau]], dtype=torch.float64))
    _, by_log_prob = learner(arm).policy_loss(torch.ones_like(weight), weight)
    climbs = -old.slope(action, by_log_prob, bonus) * log_prob.exp().unsqueeze(2)
    return batch.std() * climbs.view(states, choices, -1).sum(1)


def test_both_soft_forms_have_the_same_expected_gradient():
    """Liu et al. 2020, Eq. 19 = Eq. 20: the bonus' gradient is that of -alpha log pi in the advantage, in expectation."""
    generator = torch.Generator().manual_seed(0)
    logits, advantages = (torch.randn(5, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    advantages = 3 * advantages
    hard, bonus, eq38, eq40 = (
        expected_gradient(arm, logits, advantages) for arm in ("ppo", "ppo-bonus", "sppo-38", "sppo-40")
    )
    torch.testing.assert_close(eq38, eq40, rtol=0, atol=1e-7)
    assert (hard - eq38).abs().amax(1).min() > 1e-2
    assert (bonus - eq38).abs().amax(1).min() > 1e-2  # weighed by sigma alpha
    probability = logits.softmax(-1)
    entropy = -(probability * probability.log()).sum(-1, keepdim=True)
    entropy_gradient = -probability * (probability.log() + entropy)
    torch.testing.assert_close(eq38 - hard, 0.3 * entropy_gradient, rtol=0, atol=1e-7)
    torch.testing.assert_close(bonus - hard, advantages.std() * 0.3 * entropy_gradient, rtol=0, atol=1e-7)
    baseline = (probability * advantages).sum(-1, keepdim=True)
    torch.testing.assert_close(hard, probability * (advantages - baseline), rtol=0, atol=1e-7)


def updated(made, spaces, experience, order, at):
    """The minibatches and rates of an update that takes no step."""
    seen = []
    nothing = torch.zeros(1, 1)
    made.step = lambda _state, part, rate, tau: (seen.append((part, rate, tau)), (nothing, nothing, nothing + 1))[1]
    at.noise["minibatch"] = order
    made.update(started(made, 1, torch.float32), experience, at)
    return seen


@pytest.mark.parametrize("anneal", [True, False])
def test_learning_rate_falls_to_zero_over_the_budget(anneal):
    made = learner("ppo", environments=2, horizon=5, anneal=anneal)
    experience, order = next(rollouts(1, 5, 2, CHOICES)), next(shuffles(1, 1, 10))
    for step, share in ((0, 1.0), (10, 0.99), (990, 0.01)):
        at = now(step, 1000, learning_rate=[2.5e-4], temperature=[0.1])
        ((_, rate, tau),) = updated(made, CHOICES, experience, order, at)
        close(rate, [2.5e-4 * (share if anneal else 1)], 1e-9)
        close(tau, [[0.1]], 1e-7)


def test_every_sample_is_used_once_an_epoch():
    made = learner("ppo", environments=3, horizon=5, minibatches=4, epochs=3)
    experience = next(rollouts(1, 5, 3, CHOICES))
    experience.observation[..., 0] = torch.arange(18.0).view(1, 6, 3)
    at = now(0, 1000, learning_rate=[2.5e-4], temperature=[0.1])
    seen = [part["seen"][0, :, 0] for part, *_ in updated(made, CHOICES, experience, next(shuffles(1, 3, 15)), at)]
    assert [len(part) for part in seen] == [3, 4, 4, 4] * 3
    orders = [torch.cat(seen[4 * epoch : 4 * epoch + 4]) for epoch in range(3)]
    for order in orders:
        assert torch.equal(order.sort().values, torch.arange(15.0))
    assert not torch.equal(orders[0], orders[1])


def test_values_of_what_a_step_led_to_are_normalized_as_those_before():
    """The bootstrap is the value of the normalized observation that followed, also where an episode was cut."""
    made = learner("ppo", environments=2, horizon=4, normalize=True, gae_lambda=0.0, discount=0.5)
    experience = next(rollouts(1, 4, 2, CHOICES, limit=0.0))
    experience.truncated[0, 1, 1] = True
    experience.final[0, 0, 1] = torch.tensor([7.0, -8.0, 9.0])
    state = started(made, 1, torch.float32)
    state["observation.mean"] += 1.0
    state["observation.variance"] *= 4.0
    state["nets"] += 0.1 * torch.randn(state["nets"].shape, generator=torch.Generator().manual_seed(0))
    seen = []
    nothing = torch.zeros(1, 1)
    made.step = lambda _state, part, _rate, _tau: (seen.append(part), (nothing, nothing, nothing + 1))[1]
    at = now(0, 1000, learning_rate=[1e-3], temperature=[0.1])
    at.noise["minibatch"] = torch.arange(8).view(1, 1, 8)

    def value(observation):
        return made.nets.head(1, state["nets"])((observation - 1) / 2).squeeze(2)

    led = experience.observation[:, 1:].clone()
    led[0, 1, 1] = experience.final[0, 0, 1]
    here, there = value(experience.observation[:, :-1].flatten(1, 2)), value(led.flatten(1, 2))
    made.update(state, experience, at)
    reward = (experience.reward / (state["return.variance"] + 1e-8).sqrt()).flatten(1)
    torch.testing.assert_close(seen[0]["advantage"], reward + 0.5 * there - here, rtol=1e-4, atol=1e-5)


def test_initial_weights_have_cleanrls_gains():
    made = learner("ppo-s4", NUMBERS, hidden=(64, 64))
    flat = made.initial(Streams([1], 0, torch.device("cpu")))["nets"]
    *matrices, free = made.nets.layout.tensors(flat)
    assert free.count_nonzero() == 0
    for net, last in ((0, 0.01), (1, 1.0)):
        for matrix, gain in zip(matrices, [math.sqrt(2), math.sqrt(2), last], strict=True):
            assert torch.linalg.matrix_norm(matrix[0, net, :-1], 2).item() == pytest.approx(gain, rel=1e-4)
            assert matrix[0, net, -1].count_nonzero() == 0


def test_a_minibatch_of_one_is_refused():
    with pytest.raises(ValueError, match="minibatches: must be at most half of horizon x environments = 8"):
        learner("ppo", horizon=4, environments=2, minibatches=5)


@pytest.mark.parametrize("arm", ["ppo", "sppo-38", "sppo-auto"])
def test_arms_of_scheme_1_and_4_are_told_apart_by_their_outputs(arm):
    assert learner(arm, NUMBERS).nets.heads == (2, 1)
    assert learner("sppo-38-s4", NUMBERS).nets.heads == (4, 1)
    assert learner(arm, CHOICES).nets.heads == (2, 1) and learner(arm, CHOICES).nets.free == 0


def test_metrics_are_of_the_last_epoch():
    """With two epochs they are not those of the first, at whose first step all ratios are 1."""
    kls = []
    for epochs in (1, 2):
        made = learner("ppo", environments=2, horizon=8, epochs=epochs)
        experience, order = next(rollouts(1, 8, 2, CHOICES)), next(shuffles(1, epochs, 16))
        at = now(0, 10**6, noise={"minibatch": order}, learning_rate=[1e-2], temperature=[0.1])
        kls.append(made.update(started(made, 1, torch.float32), experience, at)["approx_kl"].item())
    assert kls[0] == pytest.approx(0, abs=1e-7) and kls[1] > 1e-5


def test_a_rollout_of_one_step_learns():
    made = learner("ppo", environments=4, horizon=1, minibatches=2)
    at = now(0, 100, noise={"minibatch": next(shuffles(1, 1, 4))}, learning_rate=[1e-2], temperature=[0.1])
    state = started(made, 1, torch.float32)
    before = state["nets"].clone()
    made.update(state, Rollout(*vars(next(rollouts(1, 1, 4, CHOICES))).values()), at)
    assert state["nets"].isfinite().all() and not torch.equal(before, state["nets"])
