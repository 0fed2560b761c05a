"""`softbench watch`: a trained policy in its task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from harness.commands.policy import trained_and_told
from harness.commands.shared import ArmName, CellName, Results, SeedNumber, new_app
from harness.errors import InputError
from harness.exits import Exit, legend
from harness.plan.cells import Plan
from harness.plan.tasks import offered
from harness.policy import video as videos
from harness.policy.episodes import Moment, Scene, episode, scene
from harness.policy.policy import Policy
from harness.policy.trained import plan_of

app = new_app()


@app.command(
    "watch",
    epilog="\b\nExamples:\n  softbench watch smoke/ppo/CartPole-v1 --arm sppo-38 --seed 3\n"
    "  softbench watch smoke/ppo/Pendulum-v1 --arm ppo --seed 0 --episodes 1 --video pendulum.gif"
    + legend(Exit.INCOMPLETE, Exit.INPUT, Exit.DIFFERENT),
)
def watch(
    cell: CellName,
    arm: ArmName,
    seed: SeedNumber,
    episodes: Annotated[int, typer.Option(min=1, max=1000, help="episodes to run")] = 5,
    video: Annotated[Path | None, typer.Option(help="file for a video of all episodes: .gif or .mp4")] = None,
    results: Results = Path("results"),
) -> None:
    """Run a trained policy in its task, with the actions that its pair is judged by, and print the returns."""
    if video is not None:
        videos.check(video)
    plan = plan_of(cell, arm, seed, results)
    spec = plan.specs[arm]
    on = scene(spec, offered(spec.task, spec.backend), pictures=video is not None)  # before anything is trained
    found, returns = trained_and_told(plan), list[float]()
    mode = plan.suite.registered(plan.pair, plan.task).evaluation.primary
    played = (_play(found.policy, on, mode, number, returns) for number in range(1, episodes + 1))
    if video is None:
        for each in played:
            for _ in each:
                pass
    else:
        try:
            videos.write(video, (on.picture() for each in played for _ in each), on.speed)
        except OSError as error:
            raise InputError(f"--video: {video}: cannot be written: {error.strerror or error}") from error
    print(f"mean {np.mean(returns):,.2f} of {episodes}, {mode} actions{_recorded(plan, arm, seed, mode)}")
    if video is not None:
        print(video)
    if found.published is False:
        raise typer.Exit(Exit.DIFFERENT)


def _play(policy: Policy, on: Scene, mode: str, number: int, returns: list[float]) -> Iterator[Moment]:
    """The steps of one episode; at its end its return is noted and printed."""
    length, total = 0, 0.0
    for moment in episode(policy, on, mode, number):
        length, total = length + 1, total + moment.reward
        yield moment
    returns.append(total)
    print(f"episode {number}: return {total:,.2f} in {length:,} steps")


def _recorded(plan: Plan, arm: str, seed: int, mode: str) -> str:
    """What the results say of the member at the end of its training, to compare with."""
    if plan.existing is None:
        return ""
    curves, episodes = plan.existing.curves, plan.existing.manifest.evaluation.episodes
    its = curves[(curves["arm"] == arm) & (curves["seed"] == seed)].sort_values("segment")
    return f"; recorded at its end: {its[f'return_{mode}'].iloc[-1]:,.2f}, mean of {episodes}" if len(its) else ""
