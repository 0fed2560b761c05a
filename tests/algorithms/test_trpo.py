"""TRPO, STRPO, NPG and soft NPG by hand: what is soft, and whose step is taken."""

from __future__ import annotations

import math

import pytest
import torch
from numeric import doubled
from reference import now, rollouts, shuffles

from algorithms.learner import Rollout, Spaces
from algorithms.pairs.trpo import TRPO, Settings
from harness.run.streams import Streams

CHOICES, NUMBERS = Spaces((3,), 2), Spaces((3,), 2, ((-1.0, -1.0), (1.0, 1.0)))
HALF = torch.tensor([[0.5]], dtype=torch.float64)
SOFT = ("strpo", "soft-npg")


def learner(arm, spaces=CHOICES, **settings):
    defaults = {"environments": 2, "horizon": 8, "minibatches": 2, "epochs": 2, "hidden": (8,)}
    return TRPO(Settings(**{**defaults, **settings}), spaces, TRPO.arms[arm].switches)


def close(actual, expected, tolerance=1e-9):
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=actual.dtype), rtol=0, atol=tolerance)


@pytest.mark.parametrize("arm", TRPO.arms)
def test_soft_arms_add_the_old_policys_entropy_to_the_reward(arm):
    """Rewards 1 + 0.2 x 0.5 and 2 + 0 x ..., each member with its own temperature."""
    reward = torch.tensor([1.0, 2.0], dtype=torch.float64).view(2, 1, 1)
    entropy, tau = torch.full_like(reward, 0.5), torch.tensor([[0.2], [0.0]], dtype=torch.float64)
    close(learner(arm).reward(reward, entropy, tau).flatten(), [1.1 if arm in SOFT else 1.0, 2.0])


# Advantages 1 and 5 have mean 3 and deviation sqrt 8; log pi/ref - KL is -1 and 2, the temperature 1/2.
ROOT = math.sqrt(8)


@pytest.mark.parametrize(
    ("arm", "weight", "bonus"),
    [
        ("trpo", [-2 / ROOT, 2 / ROOT], None),
        ("trpo-bonus", [-2 / ROOT, 2 / ROOT], 0.5 / ROOT),
        ("strpo", [-2 / ROOT, 2 / ROOT], 0.5 / ROOT),
        ("npg", [-2 / ROOT, 2 / ROOT], None),
        ("soft-npg", [(-2 + 0.5) / ROOT, (2 - 1) / ROOT], None),
    ],
)
def test_what_multiplies_ratios_and_entropy_by_hand(arm, weight, bonus):
    """One temperature: where the advantage is divided by its deviation, so is alpha."""
    advantage, surprise = torch.tensor([[[1.0, 5.0]], [[-1.0, 2.0]]], dtype=torch.float64)
    found, found_bonus = learner(arm).weights(advantage, surprise, HALF)
    close(found, [weight], 1e-7)
    assert found_bonus is None if bonus is None else found_bonus.item() == pytest.approx(bonus)


@pytest.mark.parametrize("arm", TRPO.arms)
def test_scaling_rewards_and_temperature_together_changes_nothing(arm):
    generator = torch.Generator().manual_seed(0)
    advantage, surprise = (torch.randn(2, 20, generator=generator, dtype=torch.float64) for _ in range(2))
    tau = torch.tensor([[0.3], [0.01]], dtype=torch.float64)
    for one, other in zip(
        learner(arm).weights(advantage, surprise, tau),
        learner(arm).weights(7 * advantage, surprise, 7 * tau),
        strict=True,
    ):
        if one is not None:
            torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-6)


def test_the_surrogate_by_hand():
    """0.5 x 3 and 2 x -1, and half of the entropies 0.4 and 0.6."""
    ratio, weight, entropy = torch.tensor([[[0.5, 2.0]], [[3.0, -1.0]], [[0.4, 0.6]]], dtype=torch.float64)
    close(learner("trpo").surrogate(ratio, weight, entropy, None), [[1.5, -2.0]])
    close(learner("strpo").surrogate(ratio, weight, entropy, HALF), [[1.7, -1.7]])


def trained(arm, members=4, spaces=CHOICES, **settings):
    """The state of equal members before and after an update in float64, and its metrics. Settings of rows may be lists."""
    lists = {name: value for name, value in settings.items() if isinstance(value, list)}
    made = learner(arm, spaces, **{name: value for name, value in settings.items() if name not in lists})
    state = doubled(made.initial(Streams([3] * members, 0, torch.device("cpu"))))
    before = {name: tensor.clone() for name, tensor in state.items()}
    (one,) = rollouts(1, 8, 2, spaces, dtype=torch.float64)
    parts = {name: tensor.expand(members, *tensor.shape[1:]) for name, tensor in vars(one).items()}
    (order,) = shuffles(1, 2, 16)
    rows = {name: [getattr(made.settings, name)] * members for name in made.settings.rows()} | lists
    noise = {"minibatch": order.expand(members, -1, -1)}
    metrics = made.update(state, Rollout(**parts), now(0, 100, torch.float64, noise, **rows))
    return before, state, metrics


@pytest.mark.parametrize("spaces", [CHOICES, NUMBERS])
def test_each_member_takes_its_own_step(spaces):
    """Within its own KL; one that may not move has its very bits, and the others go on."""
    most = [0.01, 0.0, 0.001, 0.05]
    before, after, metrics = trained("trpo", spaces=spaces, target_kl=most)
    moved = (after["actor"] != before["actor"]).any(1).tolist()
    assert moved == [True, False, True, True]
    for kl, step, gain, limit in zip(*(metrics[name].tolist() for name in METRICS), most, strict=True):
        assert 0 <= kl <= limit and (kl > 0.3 * limit or limit == 0)
        assert (step > 0) == (gain > 0) == (limit > 0)
    assert metrics["accepted_step"][3] > metrics["accepted_step"][0] > metrics["accepted_step"][2]


METRICS = ("kl", "accepted_step", "surrogate_gain")


def test_steps_that_are_refused_shrink_until_one_is_taken():
    """From the same start along the same direction: where the first length is too far, the one taken is 0.8 of it to some power."""
    most = [0.01, 0.1, 0.3, 0.6]
    before, stayed, once = trained("trpo", target_kl=most, tries=1, damping=1e-3)
    _, after, often = trained("trpo", target_kl=most, tries=40, damping=1e-3)
    refused = once["accepted_step"] == 0
    assert refused.tolist() == [False, True, True, True], "far away the line is no longer straight"
    assert not once["kl"][refused].any() and not once["surrogate_gain"][refused].any()
    assert torch.equal(stayed["actor"][refused], before["actor"][refused])
    assert torch.equal(stayed["actor"][~refused], after["actor"][~refused])
    assert (often["kl"] < torch.tensor(most)).all() and (often["surrogate_gain"] > 0).all()
    first = once["accepted_step"][0] * (torch.tensor(most) / most[0]).sqrt()  # appendix C: of all, by the first's
    power = (often["accepted_step"] / first).log() / math.log(0.8)
    close(power, [0.0, 1.0, 2.0, 2.0], 1e-5)


def test_npg_steps_by_eta_alone():
    """Twice the step moves twice as far along the same direction; step 0 not at all; no KL holds it back."""
    before, after, metrics = trained("npg", step=[0.02, 0.04, 0.0, 9.0], target_kl=0.0)
    change = after["actor"] - before["actor"]
    torch.testing.assert_close(change[1], 2 * change[0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(change[3], 450 * change[0], rtol=1e-9, atol=1e-12)
    assert change[0].any() and not change[2].any()
    close(metrics["accepted_step"], [0.02, 0.04, 0.0, 9.0])


@pytest.mark.parametrize("arm", TRPO.arms)
def test_the_temperature_is_told(arm):
    _, _, metrics = trained(arm, temperature=[0.1, 0.2, 0.0, 1.0])
    close(metrics["temperature"], [0.1, 0.2, 0.0, 1.0])
    assert metrics["entropy"].tolist() == pytest.approx([math.log(2)] * 4, abs=1e-3)


@pytest.mark.parametrize(
    "settings",
    [{"horizon": 1, "environments": 1, "minibatches": 1}, {"horizon": 2, "environments": 2, "minibatches": 5}],
)
def test_settings_that_do_not_fit_are_told(settings):
    with pytest.raises(ValueError, match=r"^minibatches: must be at most horizon x environments = [14], which must"):
        learner("trpo", **settings)
