"""Policies over the outputs of a network: choices, numbers without bounds, and numbers in (-1, 1).

Shapes: member P, batch B (or environments), actions A. Only functions are used here whose bits on the CPU do not depend on where in an
array a number stands: exp, log1p, tanh, log_softmax and sums. softplus, logaddexp, atanh and sigmoid round an array's tail otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import torch
from torch import Tensor

from algorithms import maxent
from algorithms.learner import Draw, Spaces, Use

LOG_TWO_PI = math.log(2 * math.pi)


class Categorical:
    """Softmax policy of logits [..., A]."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits

    @cached_property
    def log_policy(self) -> Tensor:
        """log pi(.|s) [..., A]."""
        return torch.log_softmax(self.logits, -1)

    @property
    def mode(self) -> Tensor:
        """The likeliest action [...] (int64)."""
        return self.logits.argmax(-1)

    def sample(self, noise: Tensor) -> Tensor:
        """Actions [...] (int64): the Gumbel-max trick with standard Gumbel noise [..., A]."""
        return (self.logits + noise).argmax(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        """log pi(a|s), action [...] -> [...]."""
        return self.log_policy.gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        """H(pi) in nats [...]."""
        return maxent.entropy(self.log_policy)

    def slope(self, action: Tensor, by_log_prob: Tensor, bonus: Tensor | None = None) -> Tensor:
        """Of a loss by the logits [P, B, A], given its slope by log pi(a|s) [P, B]; it has minus `bonus` [P, 1] times the entropy."""
        policy = self.log_policy.exp()
        slope = -by_log_prob.unsqueeze(-1) * policy  # d log pi(a) / d logits = 1_a - pi
        slope.scatter_add_(-1, action.unsqueeze(-1), by_log_prob.unsqueeze(-1))
        if bonus is not None:  # d H / d logits = -pi (log pi + H)
            surprise = self.log_policy - (policy * self.log_policy).sum(-1, keepdim=True)
            slope += bonus.unsqueeze(-1) * policy * surprise
        return slope


@dataclass(frozen=True)
class Gaussian:
    """Diagonal Gaussian policy, without bounds. `mean` [P, B, A]; `log_std` broadcasts to it."""

    mean: Tensor
    log_std: Tensor

    @property
    def mode(self) -> Tensor:
        """The mean [P, B, A]."""
        return self.mean

    def sample(self, noise: Tensor) -> Tensor:
        """Actions [P, B, A] from standard normal noise [P, B, A]."""
        return self.mean + self.log_std.exp() * noise

    def log_prob(self, action: Tensor) -> Tensor:
        """log density of action [P, B, A] -> [P, B]."""
        scaled = (action - self.mean) / self.log_std.exp()
        return (-0.5 * scaled * scaled - self.log_std - 0.5 * LOG_TWO_PI).sum(-1)

    def entropy(self) -> Tensor:
        """Differential entropy in nats, in closed form [P, B]."""
        return (self.log_std + 0.5 * (1 + LOG_TWO_PI)).expand_as(self.mean).sum(-1)

    def slope(self, action: Tensor, by_log_prob: Tensor, bonus: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Of a loss by mean and log_std [P, B, A] each; see Categorical.slope."""
        deviation = self.log_std.exp()
        scaled = (action - self.mean) / deviation
        by_log_std = by_log_prob.unsqueeze(-1) * (scaled * scaled - 1)
        if bonus is not None:
            by_log_std = by_log_std - bonus.unsqueeze(-1)
        return by_log_prob.unsqueeze(-1) * scaled / deviation, by_log_std


@dataclass(frozen=True)
class SigmaScheme:
    """Where sigma of a Gaussian comes from; Liu et al. 2020, section 4.2 and Table 1.

    1: a global sigma. 2: a local one, of the state. 3: global times local. 4: the same with the local log-scale clipped to be at most 0,
    which gets no gradient where it is clipped. A global log sigma is a free parameter, a local one an output of the network.
    The table bounds nothing else; the authors' later code bounds the local log-scale smoothly instead, to (-1, 1) and (-1, 0).
    """

    number: Literal[1, 2, 3, 4]

    @property
    def outputs(self) -> int:
        """Of the network, for each number of an action."""
        return 1 if self.number == 1 else 2

    @property
    def free(self) -> int:
        """Free parameters of a member, for each number of an action; 0 is sigma 1."""
        return 0 if self.number == 2 else 1

    def gaussian(self, outputs: Tensor, free: Tensor) -> Gaussian:
        """Of outputs [P, B, self.outputs A], the means first, and free parameters [P, self.free A]."""
        mean, *local = outputs.chunk(self.outputs, -1)
        if self.number == 1:
            return Gaussian(mean, free.unsqueeze(1))
        log_std = local[0].clamp(max=0) if self.number == 4 else local[0]
        return Gaussian(mean, log_std if self.number == 2 else free.unsqueeze(1) + log_std)

    def slope(self, outputs: Tensor, by_mean: Tensor, by_log_std: Tensor) -> tuple[Tensor, Tensor | None]:
        """By the outputs, and by the free parameters the batch's mean [P, self.free A], given slopes by mean and log_std [P, B, A]."""
        by_free = by_log_std.mean(1) if self.free else None
        if self.number == 1:
            return by_mean, by_free
        if self.number == 4:
            by_log_std = by_log_std * (outputs.chunk(2, -1)[1] <= 0)
        return torch.cat([by_mean, by_log_std], -1), by_free


class SquashedGaussian:
    """a = tanh u of a diagonal Gaussian u: actions in (-1, 1), the ends in float32 included, with state-dependent sigma.

    Outputs [P, B, 2 A]: means of u, then what tanh brings to a log sigma in (-5, 2), as CleanRL's sac_continuous_action.py does.
    An action's density needs its u, and nobody inverts a tanh: action and log-density come together. Neither entropy nor the density of
    any other action is known in closed form.
    """

    outputs: ClassVar[int] = 2
    """Of the network, for each number of an action."""
    LOW, HIGH = -5.0, 2.0

    def __init__(self, outputs: Tensor) -> None:
        self.mean, spread = outputs.chunk(2, -1)
        self.log_std = self.LOW + 0.5 * (self.HIGH - self.LOW) * (spread.tanh() + 1)

    @property
    def mode(self) -> Tensor:
        """tanh of the mean of u [P, B, A]: the greedy action of the source, not the peak of the squashed density."""
        return self.mean.tanh()

    def sample(self, noise: Tensor) -> Tensor:
        """Actions [P, B, A] from standard normal noise [P, B, A]."""
        return self.sample_log_prob(noise)[0]

    def sample_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions [P, B, A] from standard normal noise [P, B, A], and the log of their density in (-1, 1) [P, B].

        log(1 - tanh^2 u) = 2 (log 2 - |u| - log(1 + exp(-2 |u|))) is exact where 1 - a^2 would round to 0.
        """
        u = self.mean + self.log_std.exp() * noise
        size = u.abs()
        log_slope = 2 * (math.log(2) - size - torch.log1p(torch.exp(-2 * size)))
        log_prob = -0.5 * noise * noise - self.log_std - 0.5 * LOG_TWO_PI - log_slope
        return u.tanh(), log_prob.sum(-1)


class Deterministic:
    """a = tanh of outputs [P, B, A]: the limit sigma = 0 of a squashed Gaussian, in its place where nothing reads a density."""

    outputs: ClassVar[int] = 1
    """Of the network, for each number of an action."""

    def __init__(self, outputs: Tensor) -> None:
        self.mode = outputs.tanh()
        """The action [P, B, A]."""

    def sample(self, noise: Tensor) -> Tensor:
        """The action, whatever the noise: exploration is the pair's."""
        return self.mode

    def sample_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The action [P, B, A] and zeros [P, B] for a density that it has not."""
        return self.mode, torch.zeros_like(self.mode[..., 0])


def stretch(action: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """An action [..., A] in (-1, 1), in the task's own units between low and high [A]; -1 and 1 give exactly these.

    Densities and entropies stay those of the action in (-1, 1): a target entropy of -A is meant so, and a temperature does not depend on
    the units. In the task's units every log-density is lower by the sum of log((high - low) / 2).
    """
    return low * (0.5 * (1 - action)) + high * (0.5 * (1 + action))


ExplicitPolicy = Categorical | Gaussian
"""With `log_prob` of any action and `entropy()` in closed form."""
Policy = Categorical | Gaussian | SquashedGaussian | Deterministic
"""With `sample(noise)` and `mode`."""


def act(policy: Policy, noise: Tensor, use: Use) -> Tensor:
    """The action of a policy that explores by itself: its mode where greedy, else a sample."""
    return policy.mode if use == "greedy" else policy.sample(noise)


class Head:
    """What a network must put out for a policy that explores by itself: logits for choices, a Gaussian's scheme for numbers."""

    def __init__(self, spaces: Spaces, scheme: Literal[1, 2, 3, 4]) -> None:
        self.scheme = SigmaScheme(scheme) if spaces.kind == "numbers" else None
        self.outputs = spaces.actions * (self.scheme.outputs if self.scheme else 1)
        self.sizes = (self.outputs, 1)
        """Heads of an actor and its critic."""
        self.free = spaces.actions * (self.scheme.free if self.scheme else 0)
        """Free parameters of a member."""
        self.noise = Draw("normal" if self.scheme else "gumbel", (spaces.actions,))

    def policy(self, outputs: Tensor, free: Tensor) -> Categorical | Gaussian:
        """Of outputs [P, B, self.outputs] and free parameters [P, self.free]."""
        return self.scheme.gaussian(outputs, free) if self.scheme else Categorical(outputs)

    def slope(
        self,
        policy: Categorical | Gaussian,
        outputs: Tensor,
        action: Tensor,
        by_log_prob: Tensor,
        bonus: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Of a loss by the outputs, and by the free parameters the mean over the batch [P, free]; see Categorical.slope."""
        if isinstance(policy, Categorical):
            return policy.slope(action, by_log_prob, bonus), None
        assert self.scheme is not None
        return self.scheme.slope(outputs, *policy.slope(action, by_log_prob, bonus))
