"""The temperature: a setting, or learned to a target entropy; Liu et al. 2020, section 4.1 and Fig. 1, line 15."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from algorithms.learner import Draws, Now, Spaces, State
from algorithms.population.optimizers import adam_, adam_state


class Temperature:
    """alpha, in units of the reward. `learned`: it starts at the setting and rises while the policy's entropy is below its target.

    Line 15 descends -alpha (H + log pi), H the target, by its gradient in alpha: -(H + log pi). A plain step could make alpha negative.
    The authors' own code (createamind/DRL, sac1.py) descends -log alpha (H + log pi) in log alpha: the printed gradient, but the step is
    one of log alpha. So does this. (CleanRL descends -exp(log alpha) (H + log pi) in log alpha: a factor alpha more, which Adam takes out
    while alpha changes slowly.) The authors start at 1; here a member starts at its own row of the setting, and at 0 it stays 0.

    The state holds log(alpha / setting) as `temperature` [P, 1], where it is learned, and nothing otherwise.
    """

    def __init__(self, learned: bool, target_entropy: float | None, spaces: Spaces) -> None:
        """`target_entropy` in nats, of actions in (-1, 1) where these are squashed; None: -A for A numbers, half of log A for A choices."""
        usual = -float(spaces.actions) if spaces.kind == "numbers" else 0.5 * math.log(spaces.actions)
        self.learned, self.target_entropy = learned, usual if target_entropy is None else target_entropy

    def initial(self, draws: Draws) -> State:
        if not self.learned:
            return {}
        return adam_state("temperature", torch.zeros(draws.members, 1, device=draws.device))

    def __call__(self, state: State, now: Now) -> Tensor:
        """alpha [P, 1], no gradient through it. The setting is the row `temperature`."""
        setting = now.rows["temperature"].unsqueeze(1)
        return setting * state["temperature"].exp() if self.learned else setting

    def descend_(self, state: State, log_prob: Tensor, rate: Tensor) -> None:
        """One step of Adam, where it is learned. `log_prob` [P, B]: of actions that the policy sampled, or minus its entropies.

        Entropies in closed form are the mean of that over actions: on-policy pairs have them. `rate` [P].
        """
        if self.learned:
            excess = self.target_entropy + log_prob.detach()
            adam_(state, "temperature", -excess.mean(1, keepdim=True), rate)
