"""DQN and soft DQN: the same learner, exploration and schedule; only the backup differs. And both with Boltzmann exploration, and SQN.

Schulman, Chen, Abbeel 2017, section 6.2, Eq. 81-83 (the print of Eq. 82-83 loses a factor tau; see `backup`), each also with 5-step
returns (Eq. 46). CMU 10-703, Boltzmann exploration: hard-q and soft-q collect alike by exp(Q/tau). SQN (named by Liu, Gu, Liu 2020) has one
policy everywhere, that of the lower of two Q. On Acrobot it ends at -500 on 6 of 10 seeds in suite `classic` and on 3 in `short`; so do
dqn-twin (2 in `short`) and a plain DQN of the lower of two Q (tests/suites/reference_twin.py), while soft-q learns: it is the second Q.
Settings of CleanRL's dqn.py. Convention 1 (Schulman): Q(s, a) leaves out the entropy of s.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from algorithms import learner, maxent
from algorithms.learner import Act, Arm, Draw, Draws, Metric, Metrics, Now, Replay, Row, Spaces, State, Use, Window
from algorithms.population import Network, adam_, adam_state, copy_when_
from algorithms.returns import n_step_windows


class Settings(learner.Settings):
    horizon: int = Field(default=10, ge=1)
    replay_size: int = Field(default=10_000, ge=1)
    learning_starts: int = Field(default=10_000, ge=1)
    batch: int = Field(default=128, ge=1)
    learning_rate: Row = 2.5e-4
    discount: float = Field(default=0.99, ge=0, le=1)
    temperature: Row = 0.1
    target_period: int = Field(default=500, ge=1)
    """Environment steps between two copies to the target network."""
    exploration_start: float = Field(default=1.0, ge=0, le=1)
    exploration_end: float = Field(default=0.05, ge=0, le=1)
    exploration_fraction: float = Field(default=0.5, gt=0, le=1)
    hidden: tuple[learner.Width, ...] = (120, 84)


HARD = {"backup_form": "max", "steps": 1, "boltzmann": False, "twin": False}
SOFT_Q = {**HARD, "backup_form": "entropy", "boltzmann": True}


def _arm(name: str, backup: str, steps: int) -> Arm:
    titles = {"max": "DQN, max backup", "kl": "soft DQN, KL penalty", "entropy": "soft DQN, entropy bonus"}
    hard = None if backup == "max" else "dqn" if steps == 1 else "dqn-5step"
    switches = {**HARD, "backup_form": backup, "steps": steps}
    return Arm(f"{titles[backup]}, {steps}-step", switches, "soft" if hard else "hard", hard, hard)


class DQN(learner.Learner):
    source = "Schulman, Chen, Abbeel 2017, section 6.2, Eq. 81-83 and 46; CMU 10-703; Mnih et al. 2015 (DQN)"
    arms = {
        name + suffix: _arm(name, backup, steps)
        for suffix, steps in (("", 1), ("-5step", 5))
        for name, backup in (("dqn", "max"), ("soft-dqn-kl", "kl"), ("soft-dqn-entropy", "entropy"))
    } | {
        "dqn-twin": Arm("DQN of the lower of two Q", {**HARD, "twin": True}, "control", "dqn"),
        "hard-q": Arm("Q-learning, Boltzmann exploration", {**HARD, "boltzmann": True}),
        "soft-q": Arm("soft Q-learning, acts by its Boltzmann policy", SOFT_Q, "soft", "hard-q", "hard-q"),
        "sqn": Arm("SQN: the Boltzmann policy of the lower of two soft Q", {**SOFT_Q, "twin": True}, "soft", "dqn"),
    }
    actions, settings_type = "choices", Settings
    metrics = {
        "entropy": Metric("mean entropy of the behaviour policy in nats"),
        "td_loss": Metric("mean squared temporal-difference error"),
        "target_mean": Metric("mean target of the sampled transitions"),
    }
    small = {"hidden": (32, 32), "batch": 16, "learning_starts": 40, "replay_size": 100, "target_period": 30}

    def __init__(self, settings: Settings, spaces: Spaces, switches: learner.Switches) -> None:
        self.settings, self.choices = settings, spaces.actions
        self.backup_form, self.steps, self.boltzmann, self.twin = (switches[name] for name in HARD)
        self.net = Network("q", spaces, settings.hidden, (spaces.actions,), copies=1 + self.twin)
        self.exploration = Draw("gumbel", (spaces.actions,)) if self.boltzmann else Draw("uniform", (2,))
        self.replay = Replay(settings.replay_size, settings.batch, settings.learning_starts, window=self.steps)

    # What is soft: the backup. ------------------------------------------------------------------------------------------

    def backup(self, q: Tensor, tau: Tensor) -> Tensor:
        """V(s) [...] of Q [..., A]: Eq. 81 (max), 82 (KL, corrected), 83 (entropy, corrected). tau broadcasts with V."""
        if self.backup_form == "max":
            return q.amax(-1)  # Eq. 81
        # Eq. 82: tau (log sum_a exp(Q/tau) - log|A|); Eq. 83: without log|A|.
        return maxent.soft_value(q, tau, self.log_reference())

    def penalty(self, q: Tensor, tau: Tensor) -> Tensor:
        """tau KL (or -tau H) of the Boltzmann policy of Q [..., A], for the inner steps of Eq. 46 -> [...]."""
        if self.backup_form == "max":
            return torch.zeros_like(q[..., 0])
        return maxent.penalty(q, tau, self.log_reference())

    def log_reference(self) -> float:
        return 0.0 if self.backup_form == "entropy" else maxent.log_uniform(self.choices)

    def target(self, window: Window, q: Tensor, tau: Tensor) -> Tensor:
        """Targets y [P, B] of the target network's Q(s', a) [P, B, n, A] at what each step led to (Eq. 46; n = 1: Eq. 45)."""
        ends, length = window.ends, window.ends.shape[2]
        if length == 1:
            value: Tensor = self.settings.discount * self.backup(q, tau.unsqueeze(2)) * ~window.terminated
            return (window.reward + value).squeeze(2)  # Eq. 45
        stop = torch.where(ends, torch.arange(length, device=ends.device), length - 1).amin(-1, keepdim=True)
        value = self.backup(q, tau.unsqueeze(2)).take_along_dim(stop, 2).squeeze(2)
        # Step d is of the state that step d - 1 led to; the first one's penalty cancels.
        penalty = torch.nn.functional.pad(self.penalty(q[:, :, :-1], tau.unsqueeze(2)), (1, 0))
        return n_step_windows(window.reward, penalty, value, window.terminated, ends, self.settings.discount)

    def loss(self, q: Tensor, action: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Squared error [P, i, B] of Q_i(s, a) (Eq. 44 without its 1/2) and its slope by Q [P, i, B, A]; action and target [P, 1, B]."""
        action = action.expand(q.shape[:-1])
        error = q.gather(-1, action.unsqueeze(-1)) - target.unsqueeze(-1)
        return error.square().squeeze(-1), torch.zeros_like(q).scatter_(-1, action.unsqueeze(-1), 2 * error)

    # What is common. ----------------------------------------------------------------------------------------------------

    def epsilon(self, now: Now) -> Tensor:
        """Probability of a uniform action: linear, then constant."""
        s: Settings = self.settings
        progress = (now.fraction / s.exploration_fraction).clamp(max=1)
        return s.exploration_start + progress * (s.exploration_end - s.exploration_start)

    def initial(self, draws: Draws) -> State:
        parameters = self.net.initial(draws)
        return adam_state("q", parameters) | {"q.target": parameters.clone()}

    def entropy(self, q: Tensor, tau: Tensor, now: Now) -> Tensor:
        """Mean entropy [P] of the policy that acts, at states of Q [P, B, A]. tau [P, 1]."""
        if self.boltzmann:
            return torch.where(tau > 0, maxent.entropy(maxent.log_boltzmann(q, tau)), 0.0).mean(1)
        epsilon = self.epsilon(now)
        greedy, other = 1 - epsilon + epsilon / self.choices, epsilon / self.choices
        entropy: Tensor = -torch.special.xlogy(greedy, greedy) - (self.choices - 1) * torch.special.xlogy(other, other)
        return entropy.expand(len(q))

    def behaviour(self, state: State, use: Use, now: Now) -> Act:
        head, epsilon, tau = self.net.head(0, state["q"]), self.epsilon(now), now.rows["temperature"].view(-1, 1, 1)

        def explore(observation: Tensor, noise: Tensor) -> Tensor:
            q = head(observation).amin(1)
            if self.boltzmann:
                return (q + tau * noise).argmax(-1)  # a sample of exp(Q/tau), the best action at 0
            draw, choice = noise.unbind(-1)
            return torch.where(draw < epsilon, (choice * self.choices).long(), q.argmax(-1))

        own = self.boltzmann and self.backup_form != "max"  # of hard-q it is exploration
        collects = use == "collect" or (use == "sample" and own)
        return explore if collects else lambda observation, noise: head(observation).amin(1).argmax(-1)

    def update(self, state: State, batch: Window, now: Now) -> Metrics:
        tau, s = now.rows["temperature"].unsqueeze(1), self.settings
        q = self.net.head(0, state["q.target"])(batch.next_observation.flatten(1, 2)).amin(1)
        y = self.target(batch, q.view(*batch.reward.shape, -1), tau)
        net, action = self.net.follow(state["q"], batch.observation[:, :, 0]), batch.action[:, None, :, 0]
        loss, by_q = self.loss(net.heads[0], action, y.unsqueeze(1))
        adam_(state, "q", net.gradient(by_q), now.rows["learning_rate"])
        due = (now.step + s.horizon * s.environments) // s.target_period > now.step // s.target_period
        copy_when_(state["q.target"], state["q"], due)
        entropy = self.entropy(net.heads[0].amin(1), tau, now)
        return {"entropy": entropy, "td_loss": loss.mean((1, 2)), "target_mean": y.mean(1)}


LEARNER = DQN
