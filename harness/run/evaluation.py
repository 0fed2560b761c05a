"""Evaluation of frozen policies on environments and seeds of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from algorithms.learner import Draw, Now, State
from harness.run.collection import to_environment

if TYPE_CHECKING:
    from harness.run.cohort import Cohort, Records
    from harness.run.streams import Streams


class Evaluator:
    """The first half of a member's episodes with sampled actions, the second with greedy ones; all environments step together."""

    def __init__(self, cohort: Cohort) -> None:
        self.cohort = cohort

    @torch.no_grad()
    def evaluate(self, state: State, draws: Streams, now: Now) -> tuple[Records, np.ndarray]:
        """Mean return and length by mode, and the members [P] whose environments or returns broke; diverged ones are not run."""
        cohort, environments = self.cohort, self.cohort.evaluation
        members, episodes = len(cohort.seeds), cohort.spec.episodes
        sample, greedy = (cohort.learner.behaviour(state, use) for use in ("sample", "greedy"))
        exploration = Draw(cohort.learner.exploration.kind, (episodes, *cohort.learner.exploration.shape))
        observation = environments.reset(draws.environment_seeds("evaluation environment", 2 * episodes))
        score, length = np.zeros((2, members * 2 * episodes))
        running = np.repeat(state["diverged_at"].numpy() < 0, 2 * episodes)
        while running.any():
            noise = draws.take("evaluation action", exploration)
            seen = torch.from_numpy(observation).view(members, 2 * episodes, *observation.shape[1:]).to(cohort.device)
            action = torch.cat([sample(seen[:, :episodes], noise, now), greedy(seen[:, episodes:], noise, now)], 1)
            observation, reward, terminated, truncated, _ = environments.step(
                to_environment(cohort, action.cpu().numpy())
            )
            score += reward * running
            length += running
            running &= ~(terminated | truncated)
        broken = (~np.isfinite(score) | environments.faults()).reshape(members, -1).any(1)
        records: Records = {}
        for name, values in (("return", score), ("length", length)):
            by_mode = values.reshape(members, 2, episodes).mean(2)
            records |= {f"{name}_sampled": by_mode[:, 0], f"{name}_greedy": by_mode[:, 1]}
        return records, broken
