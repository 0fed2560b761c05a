"""Evaluation of frozen policies on environments and seeds of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from algorithms.learner import Draw, Now, State, Use
from harness.run.collection import to_environment

if TYPE_CHECKING:
    from harness.run.cohort import Cohort, Records
    from harness.run.streams import Streams


class Evaluator:
    """As many episodes of a member in each mode of its spec, one mode's after another's; all environments step together."""

    USES: ClassVar[dict[str, Use]] = {"sampled": "sample", "greedy": "greedy"}

    def __init__(self, cohort: Cohort) -> None:
        self.cohort = cohort

    @torch.no_grad()
    def evaluate(self, state: State, draws: Streams, now: Now) -> tuple[Records, np.ndarray]:
        """Mean return and length by mode, and the members [P] whose environments or returns broke; diverged ones are not run."""
        cohort, environments = self.cohort, self.cohort.evaluation
        members, episodes, modes = len(cohort.seeds), cohort.spec.episodes, cohort.spec.modes
        acts, each = [cohort.learner.behaviour(state, self.USES[mode], now) for mode in modes], len(modes) * episodes
        exploration = Draw(cohort.learner.exploration.kind, (episodes, *cohort.learner.exploration.shape))
        observation = environments.reset(draws.environment_seeds("evaluation environment", each))
        score, length = np.zeros((2, members * each))
        running = np.repeat(state["diverged_at"].numpy() < 0, each)
        while running.any():
            noise = draws.take("evaluation action", exploration)
            seen = torch.from_numpy(observation).view(members, each, *observation.shape[1:]).to(cohort.device)
            parts = (seen[:, place * episodes : (place + 1) * episodes] for place in range(len(modes)))
            action = torch.cat([act(part, noise) for act, part in zip(acts, parts, strict=True)], 1)
            observation, reward, terminated, truncated, _ = environments.step(
                to_environment(cohort, action.cpu().numpy())
            )
            score += reward * running
            length += running
            running &= ~(terminated | truncated)
        broken = (~np.isfinite(score) | environments.faults()).reshape(members, -1).any(1)
        records: Records = {}
        for name, values in (("return", score), ("length", length)):
            means = values.reshape(members, len(modes), episodes).mean(2)
            records |= {f"{name}_{mode}": np.full(members, np.nan) for mode in self.USES}
            records |= {f"{name}_{mode}": means[:, place] for place, mode in enumerate(modes)}
        return records, broken
