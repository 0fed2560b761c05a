from __future__ import annotations

import math

import pytest
import torch
from reference import now, started

from algorithms.learner import Draw, Spaces, Window
from algorithms.pairs import dqn
from harness.run.streams import Streams

LN3 = 1.0986122886681098
# Temperature 1/2 and Q = (0, ln(3)/2): values 0.5493061443 (max), ln(2)/2 (KL), ln 2 (entropy); Boltzmann policy (1/4, 3/4),
# tau KL = 0.0654060180, -tau H = -0.2811675723. For Q = (0, 0): tau KL = 0, -tau H = -ln(2)/2 = -0.3465735903.
Q = [0.0, LN3 / 2]
VALUES = {"dqn": 0.5493061443340549, "soft-dqn-kl": 0.3465735902799727, "soft-dqn-entropy": 0.6931471805599453}
HALF = torch.tensor([[0.5]], dtype=torch.float64)


def learner(arm, **settings):
    defaults = {"horizon": 2, "replay_size": 40, "learning_starts": 10, "batch": 8, "discount": 0.5, "hidden": (4, 8)}
    return dqn.DQN(dqn.Settings(**{**defaults, **settings}), Spaces((2,), 2), dqn.DQN.arms[arm].switches)


def close(actual, expected, tolerance=1e-9):
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=actual.dtype), rtol=0, atol=tolerance)


def window(reward, terminated, truncated):
    """One window of one member, of which a target reads rewards and ends alone."""
    number = torch.tensor(reward, dtype=torch.float64)[None, None]
    flags = [
        torch.tensor([step in steps for step in range(len(reward))])[None, None]
        for steps in (terminated, [*terminated, *truncated])
    ]
    return Window(number, number, number, number, *flags)


def target(arm, reward, following, terminated=(), truncated=(), tau=HALF):
    """Of one window; `following` are the target network's Q of what each step led to."""
    q = torch.tensor(following, dtype=torch.float64)[None, None]
    return learner(arm).target(window(reward, list(terminated), list(truncated)), q, tau).item()


@pytest.mark.parametrize(("arm", "value"), list(VALUES.items()))
def test_one_step_target_by_hand(arm, value):
    """Schulman et al. 2017, Eq. 81-83 with the factor tau that the print of Eq. 82-83 loses."""
    assert target(arm, [1.0], [Q]) == pytest.approx(1 + 0.5 * value, abs=1e-12)
    assert target(arm, [1.0], [Q], truncated=[0]) == pytest.approx(1 + 0.5 * value, abs=1e-12)
    assert target(arm, [1.0], [Q], terminated=[0]) == 1.0


def test_backup_is_not_the_misprinted_one():
    """As printed, gamma (log sum exp(Q/tau) - log |A|) would give gamma ln 2 and, without log |A|, gamma ln 4."""
    assert abs(target("soft-dqn-kl", [1.0], [Q]) - (1 + 0.5 * math.log(2))) > 0.1
    assert abs(target("soft-dqn-entropy", [1.0], [Q]) - (1 + 0.5 * math.log(4))) > 0.1


# Rewards 1, 2, 4, 8, 16 count 1 each at discount 1/2. Steps lead to states with Q = (0, ln(3)/2), the second one to Q = (0, 0).
REWARD = [1.0, 2.0, 4.0, 8.0, 16.0]


def five_step(arm, stop, terminated, truncated):
    """What follows the stop is of another episode, and far off."""
    led = [Q, [0.0, 0.0], Q, Q, Q]
    led[stop], led[stop + 1 :] = Q, [[1000.0, 1000.0]] * (4 - stop)
    return target(f"{arm}-5step", REWARD, led, terminated, truncated)


@pytest.mark.parametrize(
    ("arm", "whole", "ended", "cut"),
    [
        # 5 + V/32; 3 (terminated at step 2); 3 + V/8 (truncated at step 2)
        ("dqn", 5.017165817010439, 3.0, 3.068663268041757),
        # penalties 0.0654060180 at steps 1, 3, 4: x (1/2 + 1/8 + 1/16); x 1/2 before the stop at 2
        ("soft-dqn-kl", 4.965863787341515, 2.9672969910147158, 3.0106186897997124),
        # bonuses 0.2811675723 at the same steps and 0.3465735903 x 1/4 at step 2
        ("soft-dqn-entropy", 5.301606952924961, 3.227227183724695, 3.3138705812946883),
    ],
)
def test_five_step_target_by_hand(arm, whole, ended, cut):
    assert five_step(arm, 4, [], []) == pytest.approx(whole, abs=1e-12)
    assert five_step(arm, 4, [], [4]) == pytest.approx(whole, abs=1e-12)
    assert five_step(arm, 2, [2], []) == pytest.approx(ended, abs=1e-12)
    assert five_step(arm, 2, [2], [4]) == pytest.approx(ended, abs=1e-12)
    assert five_step(arm, 2, [], [2]) == pytest.approx(cut, abs=1e-12)
    assert five_step(arm, 2, [], [2, 3, 4]) == pytest.approx(cut, abs=1e-12)


@pytest.mark.parametrize("suffix", ["", "-5step"])
def test_forms_differ_by_tau_log_actions(suffix):
    """Without an end: by (gamma + ... + gamma^n) tau ln |A|, with tau ln |A| = ln(2)/2."""
    length = 5 if suffix else 1
    entropy, kl = (target(f"soft-dqn-{form}{suffix}", REWARD[:length], [Q] * length) for form in ("entropy", "kl"))
    assert entropy - kl == pytest.approx(0.3465735902799727 * (0.96875 if suffix else 0.5))


@pytest.mark.parametrize("form", ["kl", "entropy"])
@pytest.mark.parametrize("suffix", ["", "-5step"])
def test_a_row_of_temperature_zero_has_the_hard_target(form, suffix):
    length = 5 if suffix else 1
    whole = window(REWARD[:length], [], [1])
    both = Window(*(torch.cat([field, field]) for field in vars(whole).values()))
    q = torch.tensor([Q, [3.0, -1.0], Q, [0.5, 0.5], Q][:length], dtype=torch.float64).expand(2, 1, -1, -1)
    taus = torch.tensor([[0.0], [0.5]], dtype=torch.float64)
    soft, hard = (learner(arm + suffix).target(both, q, taus) for arm in (f"soft-dqn-{form}", "dqn"))
    assert torch.equal(soft[0], hard[0]) and not torch.equal(soft[1], hard[1])


def test_loss_by_hand():
    """Q(s, a) = 3 and -1 against 1 and 0; its slope is at the action that was taken alone."""
    q = torch.tensor([[[[5.0, 3.0], [-1.0, 7.0]]]], dtype=torch.float64)
    loss, slope = learner("dqn").loss(q, torch.tensor([[[1, 0]]]), torch.tensor([[[1.0, 0.0]]], dtype=torch.float64))
    close(loss, [[[4.0, 1.0]]])
    close(slope, [[[[0.0, 4.0], [-2.0, 0.0]]]])


def updates(made, quantum, first, count):
    """Whether each of `count` updates, from step `first` on, copied to the target network; it is always what was just learned."""
    state, seen = started(made, 1, torch.float32), []
    generator = torch.Generator().manual_seed(0)
    shape = (1, 8, made.steps)
    for step in range(first, first + count * quantum, quantum):
        before = {name: state[name].clone() for name in ("q", "q.target")}
        flags = [torch.rand(shape, generator=generator) < 0.2 for _ in range(2)]
        numbers = [torch.randn(*shape, 2, generator=generator) for _ in range(2)]
        batch = Window(*numbers, torch.randint(2, shape, generator=generator), torch.randn(shape), *flags)
        made.update(state, batch, now(step, 1000, learning_rate=0.01, temperature=0.1))
        copied = not torch.equal(before["q.target"], state["q.target"])
        assert not torch.equal(before["q"], state["q"])
        assert torch.equal(state["q.target"], state["q"] if copied else before["q.target"])
        seen.append(copied)
    return seen


@pytest.mark.parametrize(("environments", "copies"), [(1, [4, 9]), (3, [1, 3, 4, 6, 8, 9])])
def test_target_copies_come_at_their_steps_after_the_gradient_step(environments, copies):
    """A period of 10 steps of all environments; rollouts of 2 or 6. An update has its own rollout behind it."""
    made = learner("soft-dqn-kl", target_period=10, environments=environments)
    seen = updates(made, 2 * environments, 0, 10)
    assert [index for index, copied in enumerate(seen) if copied] == copies


def test_exploration_falls_linearly_and_then_stays():
    made = learner("dqn", exploration_start=1.0, exploration_end=0.1, exploration_fraction=0.5)
    assert [made.epsilon(now(step, 1000)).item() for step in (0, 250, 500, 900)] == pytest.approx([1, 0.55, 0.1, 0.1])


def acting(arm, epsilon, use="collect", tau=0.5):
    """Actions of 100,000 environments where action 1 is the best, of Q = (0, 1); a twin has Q = (0, 3)."""
    made = learner(arm, exploration_start=epsilon, exploration_end=epsilon)
    twins = torch.tensor([[0.0, 1.0], [0.0, 3.0]])[: 1 + made.twin]
    made.net.head = lambda _index, _flat: lambda observation: twins[:, None].expand(1, -1, 100_000, -1)
    kind = made.exploration
    noise = Streams([1], 1, torch.device("cpu")).take("action", Draw(kind.kind, (100_000, *kind.shape)))
    act = made.behaviour({"q": torch.zeros(1, 1)}, use, now(0, 1, temperature=tau))
    return act(torch.zeros(1, 100_000, 2), noise)


@pytest.mark.parametrize("arm", list(VALUES))
def test_behaviour_is_epsilon_greedy_in_every_arm(arm):
    assert acting(arm, 0.2).float().mean().item() == pytest.approx(0.9, abs=0.005)
    assert acting(arm, 1.0).float().mean().item() == pytest.approx(0.5, abs=0.006)
    assert acting(arm, 0.0).float().mean().item() == 1


BOLTZMANN = 1 / (1 + math.exp(-2))  # of action 1, where Q = (0, 1) and the temperature is 1/2


@pytest.mark.parametrize("arm", ["hard-q", "soft-q", "sqn"])
def test_boltzmann_exploration_is_the_same_in_hard_and_soft_arms_and_by_the_lower_of_two(arm):
    """Whatever epsilon is; at temperature 0 it is the best action."""
    assert acting(arm, 1.0).float().mean().item() == pytest.approx(BOLTZMANN, abs=0.004)
    assert (acting(arm, 1.0, tau=0.0) == 1).all()


@pytest.mark.parametrize("arm", ["dqn", "dqn-twin", "hard-q"])
def test_the_policy_itself_never_explores(arm):
    assert (acting(arm, 1.0, "sample") == 1).all()


@pytest.mark.parametrize("arm", ["soft-q", "sqn"])
def test_the_policy_itself_is_that_of_the_soft_q(arm):
    assert acting(arm, 1.0, "sample").float().mean().item() == pytest.approx(BOLTZMANN, abs=0.004)


@pytest.mark.parametrize("arm", list(dqn.DQN.arms))
def test_greedy_is_the_best_action(arm):
    assert (acting(arm, 1.0, "greedy") == 1).all()


def test_hard_q_is_soft_q_at_temperature_0_of_the_backup():
    assert target("soft-q", [1.0], [Q], tau=0 * HALF) == target("hard-q", [1.0], [Q]) == target("dqn", [1.0], [Q])
    assert target("soft-q", [1.0], [Q]) == target("soft-dqn-entropy", [1.0], [Q])


@pytest.mark.parametrize(("arm", "value"), [("dqn-twin", 0.9), ("sqn", 0.1 * math.log(1 + math.exp(9)))])
def test_a_twin_learns_both_networks_towards_the_lower_one(arm, value):
    """Q = (0, 0.9) of the target networks' (0.5, 0.9) and (0, 2): their lowest action by action, at temperature 0.1."""
    made = learner(arm)
    seen = torch.zeros(1, 8, 1, 2)
    flags = torch.zeros(1, 8, 1, dtype=torch.bool)
    batch = Window(seen, seen, torch.zeros(1, 8, 1, dtype=torch.int64), torch.ones(1, 8, 1), flags, flags)
    made.net.head = lambda _index, _flat: (
        lambda observation: torch.tensor([[[[0.5, 0.9]], [[0.0, 2.0]]]]).expand(1, 2, 8, 2)
    )
    state = started(made, 1, torch.float32)
    before = state["q"].clone()
    metrics = made.update(state, batch, now(0, 1, learning_rate=0.1, temperature=0.1))
    close(metrics["target_mean"], [1 + 0.5 * value], 1e-6)
    changed = (state["q"] != before).view(2, -1).any(1)
    assert changed.tolist() == [True, True]


def test_reported_entropy_is_that_of_the_boltzmann_policy():
    made = learner("sqn")
    q = torch.tensor(Q).expand(1, 3, 2)  # at temperature 1/2 the policy is (1/4, 3/4)
    entropies = [made.entropy(q, torch.tensor([[tau]]), now(0, 1)).item() for tau in (0.5, 0.0)]
    assert entropies == [pytest.approx(0.5623351446188083, abs=1e-6), 0.0]


def test_reported_entropy_is_that_of_the_epsilon_greedy_policy():
    for epsilon, entropy in ((0.5, 0.5623351446188083), (1.0, math.log(2)), (0.0, 0.0)):  # of (3/4, 1/4)
        made = learner("dqn", exploration_start=epsilon, exploration_end=epsilon)
        nothing = torch.zeros(1, 8, 1)
        batch = Window(
            *[nothing.unsqueeze(3).expand(-1, -1, -1, 2)] * 2, nothing.long(), nothing, *[nothing.bool()] * 2
        )
        metrics = made.update(started(made, 1, torch.float32), batch, now(0, 1, learning_rate=0.1, temperature=0.1))
        close(metrics["entropy"], [entropy], 1e-6)
