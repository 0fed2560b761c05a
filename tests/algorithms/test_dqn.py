from __future__ import annotations

import math

import pytest
import torch
from numeric import RememberedGradient, assert_gradient, doubled

from algorithms import replay
from algorithms.learner import Rollout, Spaces
from algorithms.pairs import dqn
from harness.run.streams import Streams

LN3 = 1.0986122886681098
# Temperature 1/2 and Q = (0, ln(3)/2): values 0.5493061443 (max), ln(2)/2 (KL), ln 2 (entropy); Boltzmann policy (1/4, 3/4),
# tau KL = 0.0654060180, -tau H = -0.2811675723. For Q = (0, 0): tau KL = 0, -tau H = -ln(2)/2 = -0.3465735903.
Q = [0.0, LN3 / 2]
VALUES = {"dqn": 0.5493061443340549, "soft-dqn-kl": 0.3465735902799727, "soft-dqn-entropy": 0.6931471805599453}


def learner(arm, observed_q=False, **settings):
    """With `observed_q` the observations are the Q values themselves."""
    defaults = {
        "horizon": 2,
        "replay_size": 40,
        "learning_starts": 10,
        "batch": 8,
        "temperature": 0.5,
        "discount": 0.5,
        "hidden": (4, 8),
    }
    chosen = dqn.Settings(**{**defaults, **settings})
    made = dqn.DQN(chosen, Spaces(2, 2, False), 1000, **dqn.DQN.arms[arm].switches)
    if observed_q:
        made.q = lambda _parameters, observation: observation
    return made


def close(actual, expected, tolerance=1e-9):
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=actual.dtype), rtol=0, atol=tolerance)


def window(reward, inner, following, terminated, truncated):
    """One window of one member; `inner` are the observations (Q values), `following` the next ones, by step."""
    numbers = [torch.tensor(x, dtype=torch.float64)[None, None] for x in (inner, reward, following)]
    flags = [
        torch.tensor([step in steps for step in range(len(reward))])[None, None]
        for steps in (terminated, terminated + truncated)
    ]
    return {
        "observation": numbers[0],
        "reward": numbers[1],
        "next_observation": numbers[2],
        "terminated": flags[0],
        "ends": flags[1],
    }


def one_step(arm, terminated=(), truncated=()):
    return learner(arm, True).target({}, window([1.0], [[9.0, 9.0]], [Q], list(terminated), list(truncated))).item()


@pytest.mark.parametrize(("arm", "value"), list(VALUES.items()))
def test_one_step_target_by_hand(arm, value):
    """Schulman et al. 2017, Eq. 81-83 with the factor tau that the print of Eq. 82-83 loses."""
    assert one_step(arm) == pytest.approx(1 + 0.5 * value, abs=1e-12)
    assert one_step(arm, truncated=[0]) == pytest.approx(1 + 0.5 * value, abs=1e-12)
    assert one_step(arm, terminated=[0]) == 1.0


def test_backup_is_not_the_misprinted_one():
    """As printed, gamma (log sum exp(Q/tau) - log |A|) would give gamma ln 2 and, without log |A|, gamma ln 4."""
    assert abs(one_step("soft-dqn-kl") - (1 + 0.5 * math.log(2))) > 0.1
    assert abs(one_step("soft-dqn-entropy") - (1 + 0.5 * math.log(4))) > 0.1


# Rewards 1, 2, 4, 8, 16 count 1 each at discount 1/2. Q of the inner states is (0, ln(3)/2), at step 2 it is (0, 0); the first state's is
# not read. The state after the stop has Q = (0, ln(3)/2), the others' next states are far off.
REWARD, INNER = [1.0, 2.0, 4.0, 8.0, 16.0], [[50.0, 0.0], Q, [0.0, 0.0], Q, Q]
FAR = [1000.0, 1000.0]


def five_step(arm, stop, terminated, truncated):
    following = [Q if step == stop else FAR for step in range(5)]
    made = learner(f"{arm}-5step", True)
    return made.target({}, window(REWARD, INNER, following, terminated, truncated)).item()


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
    inputs = window(REWARD[:length], INNER[:length], [Q] * length, [], [])
    entropy, kl = (learner(f"soft-dqn-{form}{suffix}", True).target({}, inputs) for form in ("entropy", "kl"))
    close(entropy - kl, [[0.3465735902799727 * (0.96875 if suffix else 0.5)]])


def filled_state(made, seed=0):
    """Two members' state in float64 with 20 stored steps, and the rollout of 2 more."""
    state = doubled(made.initial(Streams([1, 2], 0, torch.device("cpu"))))
    generator = torch.Generator().manual_seed(seed)

    def rollout(steps):
        observation, following = (
            torch.randn(2, steps, 1, 2, generator=generator, dtype=torch.float64) for _ in range(2)
        )
        flags = [torch.rand(2, steps, 1, generator=generator) < 0.15 for _ in range(2)]
        action = torch.randint(2, (2, steps, 1), generator=generator)
        return Rollout(
            observation, action, torch.randn(2, steps, 1, generator=generator, dtype=torch.float64), following, *flags
        )

    replay.append(state, rollout(20), 0)
    state["target"] = state["target"] + 0.3 * torch.randn(
        state["target"].shape, generator=generator, dtype=torch.float64
    )
    return state, rollout(2)


@pytest.mark.parametrize("arm", list(dqn.DQN.arms))
def test_update_descends_the_squared_error_of_fixed_targets(arm, monkeypatch):
    remembered = RememberedGradient()
    monkeypatch.setattr(dqn, "gradient", remembered)
    made = learner(arm)
    state, rollout = filled_state(made)

    def loss(parameters):
        trial = {name: x.clone() for name, x in state.items()} | {"parameters": parameters.clone()}
        return made.update(trial, rollout, Streams([1, 2], 1, torch.device("cpu")), 20)["td_loss"]

    loss(state["parameters"])
    assert_gradient(loss, state["parameters"], remembered.last.clone())
    assert remembered.last.abs().amax(1).min() > 1e-3


@pytest.mark.parametrize("arm", list(VALUES))
def test_loss_by_hand(arm):
    """A buffer of equal steps: reward 1, Q(s, a) = 0.25, Q(s') = (0, ln(3)/2)."""
    made = learner(arm, True, target_period=10**6)
    made.q = lambda parameters, observation: observation + 0 * parameters["flat"].sum(1).view(-1, 1, 1)
    state = doubled(made.initial(Streams([1, 2], 0, torch.device("cpu"))))
    made.layout.split = lambda flat: {"flat": flat}
    one, no = torch.ones(2, 12, 1, dtype=torch.float64), torch.zeros(2, 12, 1, dtype=torch.bool)
    observation = torch.tensor([7.0, 0.25], dtype=torch.float64).expand(2, 12, 1, 2)
    following = torch.tensor(Q, dtype=torch.float64).expand(2, 12, 1, 2)
    rollout = Rollout(observation, no.long() + 1, one, following, no, no)
    replay.append(state, rollout, 0)
    last = Rollout(*(x[:, :2] for x in vars(rollout).values()))
    metrics = made.update(state, last, Streams([1, 2], 1, torch.device("cpu")), 12)
    close(metrics["td_loss"], [(0.75 + 0.5 * VALUES[arm]) ** 2] * 2)
    close(metrics["q_mean"], [0.25, 0.25])


def updates(made, state, rollout, steps):
    streams, seen = Streams([1, 2], 1, torch.device("cpu")), []
    for step in steps:
        before = {name: state[name].clone() for name in ("parameters", "target")}
        made.update(state, rollout, streams, step)
        learned = not torch.equal(before["parameters"], state["parameters"])
        copied = not torch.equal(before["target"], state["target"])
        assert not copied or torch.equal(state["target"], state["parameters"])
        seen.append((learned, copied))
    return seen


def test_learning_starts_and_target_copies_come_at_their_steps():
    made = learner("soft-dqn-kl", learning_starts=6, target_period=10)
    state, rollout = filled_state(made)
    state["target"] = state["parameters"].clone()
    seen = updates(made, state, rollout, range(0, 24, 2))  # each update has `step + 2` steps behind it
    assert [learned for learned, _ in seen] == [False, False] + [True] * 10
    assert [index for index, (_, copied) in enumerate(seen) if copied] == [4, 9]  # after 10 and 20 steps


def test_exploration_falls_linearly_and_then_stays():
    made = learner("dqn", exploration_start=1.0, exploration_end=0.1, exploration_fraction=0.5)  # of 1000 steps
    assert [made.epsilon(step) for step in (0, 250, 500, 900)] == pytest.approx([1.0, 0.55, 0.1, 0.1])


@pytest.mark.parametrize("arm", list(VALUES))
def test_behaviour_is_epsilon_greedy_in_every_arm(arm):
    made = learner(arm, True, exploration_start=0.2, exploration_end=0.2)
    noise = Streams([1], 1, torch.device("cpu")).uniform("action", (100_000, 2))
    made.layout.split = lambda _flat: {}
    act = made.behaviour({"parameters": torch.zeros(1, 1)})
    observation = torch.tensor([0.0, 1.0]).expand(1, 100_000, 2)
    assert act(observation, noise, 0).float().mean().item() == pytest.approx(0.9, abs=0.005)
    assert (act(observation, torch.zeros_like(noise), 0) == 1).all()


def test_zero_noise_is_greedy_under_full_exploration():
    made = learner("dqn", True, exploration_start=1.0)
    made.layout.split = lambda _flat: {}
    observation = torch.tensor([0.0, 1.0]).expand(1, 9, 2)
    assert (made.behaviour({"parameters": torch.zeros(1, 1)})(observation, torch.zeros(1, 9, 2), 0) == 1).all()


def test_reported_entropy_is_that_of_the_epsilon_greedy_policy():
    made = learner("dqn", exploration_start=0.5, exploration_end=0.5)
    state, rollout = filled_state(made)
    entropy = made.update(state, rollout, Streams([1, 2], 1, torch.device("cpu")), 0)["entropy"]
    close(entropy, [0.5623351446188083] * 2, 1e-6)  # of (3/4, 1/4)
