"""18. The mean of two soft Q-functions is nearly that of the mean reward. Fragkiadaki (CMU 10-703), after Haarnoja et al. 2018.

The sources print Q_C ~ (Q_1 + Q_2) / 2; here the gap is bounded, and both bounds are computed beside the gap itself. Exact where values
are: on random processes, and in the figure on a grid with the four goals of the multi-goal task, two of them in each reward.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import torch
from torch import Tensor

from algorithms import maxent, tabular
from algorithms.tabular import FLOAT, MDP
from suites.theory.problems import Problem, draw, excess, over
from suites.theory.statement import SOLVED, Errors, Mutant, Plot, Statement

HALF = 6  # of the figure's grid, whose middle is 0: goals at +-5 of it, as in the task


def disagreement(q_1: Tensor, q_2: Tensor, tau: Tensor, log_reference: Tensor | float = 0.0) -> Tensor:
    """tau/2 D(pi_1 || pi_2) [N, S] of the Boltzmann policies of Q [N, S, A], D the Renyi divergence of order 1/2; tau [N, 1].

    It is what the soft value of (Q_1 + Q_2) / 2 lacks to the mean of the soft values.
    """
    log_1, log_2 = (maxent.log_boltzmann(q, tau, log_reference) for q in (q_1, q_2))
    return -tau * torch.logsumexp((log_1 + log_2) / 2, -1)


def worst_gap(mdp: MDP, apart: Tensor) -> Tensor:
    """C [N, S, A], the fixed point of C(s, a) = gamma E[apart(s') + max_a' C(s', a')]: the most that (Q_1 + Q_2) / 2 is above Q_C."""
    return tabular.policy_iteration(_of(mdp, apart))


def loss_bound(mdp: MDP, gap: Tensor, log_policy: Tensor) -> Tensor:
    """D [N, S], of D(s) = E_pi[gap(s, a) + gamma D(s')]: the most that the mean's own policy pi loses from s on, against the best."""
    return tabular.evaluate(replace(mdp, reward=gap), log_policy)


def _of(mdp: MDP, paid: Tensor) -> MDP:
    """The process whose reward is gamma E[paid(s')], paid [N, S]; what has ended is paid nothing."""
    return replace(mdp, reward=tabular.look_ahead(replace(mdp, reward=torch.zeros_like(mdp.reward)), paid))


def compose(mdp: MDP, other: Tensor, tau: float, log_reference: Tensor | float = 0.0) -> dict[str, Tensor]:
    """Of a process and another reward for it [N, S, A]: Q_1, Q_2, Q_C of the mean reward, their mean, and both bounds."""
    rewards = {"q_1": mdp.reward, "q_2": other, "best": (mdp.reward + other) / 2}
    found = {
        name: tabular.policy_iteration(replace(mdp, reward=reward), tau, log_reference)
        for name, reward in rewards.items()
    }
    column = torch.full((len(other), 1), tau, dtype=FLOAT)
    mean = (found["q_1"] + found["q_2"]) / 2
    log_policy = tabular.boltzmann(mean, tau, log_reference)
    apart = disagreement(found["q_1"], found["q_2"], column, log_reference)
    gap = worst_gap(mdp, apart)
    best_value = tabular.soft_value(found["best"], tau, log_reference)
    own_value = tabular.evaluate(replace(mdp, reward=rewards["best"]), log_policy, tau, log_reference)
    loss = loss_bound(mdp, gap, log_policy)
    return found | {"mean": mean, "gap": gap, "loss": best_value - own_value, "bound": loss, "value": best_value}


def check(cases: int, seed: int) -> Errors:
    def one(p: Problem) -> Errors:
        found = compose(p.mdp, p.normal(*p.mdp.reward.shape), p.temperature, p.log_reference)
        same = compose(p.mdp, p.mdp.reward, p.temperature, p.log_reference)
        size = 1 + found["mean"].abs().flatten(1).amax(1)
        return {
            "the mean is at least Q of the mean reward": excess(found["best"], found["mean"], size),
            "and at most C above it": excess(found["mean"] - found["best"], found["gap"], size),
            "its policy loses at most D": excess(found["loss"], found["bound"], size),
            "nothing is lost where the rewards are one": same["gap"].abs().flatten(1).amax(1) / size,
        }

    return over(draw(cases, seed, 18), one)


def goals(temperature: float) -> dict[str, Tensor]:
    """`compose` on a grid of steps of one in four directions: two goals pay in r_1, the other two in r_2; all four end an episode."""
    side = torch.arange(-HALF, HALF + 1)
    places = torch.cartesian_prod(side, side)
    moves = torch.tensor([[1, 0], [-1, 0], [0, 1], [0, -1]])
    led = (places.unsqueeze(1) + moves).clamp(-HALF, HALF)  # [S, 4, 2]
    number = (led[..., 0] + HALF) * len(side) + led[..., 1] + HALF
    four = 5 * moves
    far = (led.unsqueeze(2) - four).square().sum(-1).to(FLOAT)  # [S, 4, goal]
    arrived = far.amin(-1) == 0
    transition = torch.nn.functional.one_hot(number, len(places)).to(FLOAT) * ~arrived.unsqueeze(-1)
    rewards = [-far[..., pair].amin(-1) + 10 * (far[..., pair].amin(-1) == 0) for pair in ([0, 1], [2, 3])]
    start = (places.abs().sum(1) == 0).to(FLOAT)
    mdp = MDP(transition[None], rewards[0][None], torch.tensor([0.9], dtype=FLOAT), start[None])
    return compose(mdp, rewards[1][None], temperature)


def figure(seed: int) -> Plot:
    temperatures = [1.0, 3.0, 10.0, 30.0, 100.0]
    found = [goals(tau) for tau in temperatures]
    lines = {
        "bound D": [float(each["bound"].max()) for each in found],
        "largest loss of the mean's policy": [float(each["loss"].max()) for each in found],
        "largest gap of the mean to Q of the mean reward": [
            float((each["mean"] - each["best"]).max()) for each in found
        ],
        "bound C of that gap": [float(each["gap"].max()) for each in found],
    }
    series = [{"label": label, "x": temperatures, "y": values, "line": True} for label, values in lines.items()]
    caption = "A grid of 13 × 13 places with the goals (±5, 0) in one reward and (0, ±5) in the other; γ = 0.9."
    return Plot("What composing costs", caption, "temperature", "soft return", series, log_x=True, log_y=True)


STATEMENT = Statement(
    number=18,
    name="composability",
    title="The mean of two soft Q-functions is above that of the mean reward, by no more than a bound; so is what its policy loses.",
    formula=(
        r"Q_C^* \le \tfrac{1}{2} (Q_1^* + Q_2^*) \le Q_C^* + C, \quad "
        r"C(s, a) = \gamma E [ \tfrac{\alpha}{2} D_{1/2}(\pi_1 \Vert \pi_2)(s') + \max_{a'} C(s', a') ]"
    ),
    source="Fragkiadaki, CMU 10-703 (composability); Haarnoja et al. 2018, Composable deep reinforcement learning, Lemma 1 and Theorem 1",
    computed="Q of two random rewards and of their mean by soft policy iteration, both bounds by their fixed points, value by value.",
    tolerance=1e-9,
    reason=SOLVED,
    check=check,
    mutants=(
        Mutant(
            "divergence without α",
            sys.modules[__name__],
            "disagreement",
            lambda right: lambda q, r, tau, ref=0.0: right(q, r, tau, ref) / tau,
        ),
        Mutant(
            "half the divergence",
            sys.modules[__name__],
            "disagreement",
            lambda right: lambda q, r, tau, ref=0.0: right(q, r, tau, ref) / 2,
        ),
        Mutant(
            "policy of the sum, not of the mean",
            tabular,
            "boltzmann",
            lambda right: lambda q, tau, ref=0.0: right(2 * q, tau, ref),
        ),
        Mutant(
            "bound of the gap at one step alone",
            sys.modules[__name__],
            "worst_gap",
            lambda right: lambda mdp, apart: _of(mdp, apart).reward,
        ),
    ),
    figure=figure,
)
