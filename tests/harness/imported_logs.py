"""Logs of other people's runs, written by the libraries that write them in the wild, without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from harness.errors import InputError
from harness.imports.replication import suspicions
from harness.imports.runs import Reading, Run, read_runs
from harness.imports.schema import load_import
from harness.imports.writing import write

ARMS, SEEDS, STEP = ("ppo", "a2c"), (1, 2, 3), 100
TAG = "charts/episodic_return"
IMPORT = {
    "name": "cartpole",
    "title": "CartPole",
    "actions": "sampled",
    "smooth": 1,
    "grid": {"first": 1000, "last": 19000, "points": 19},
    "tasks": {"CartPole-v1": {"low": 0, "high": 500, "source": "range of the return"}},
    "arms": {"ppo": {"soft": False}, "a2c": {"soft": True, "hard": "ppo"}},
    "runs": [{"format": "tidy", "files": "table.csv"}],
}


def write_import(folder: Path, **changes) -> Path:
    """An import file in `folder`; a change to None takes the field away."""
    content = {name: value for name, value in {**IMPORT, **changes}.items() if value is not None}
    path = folder / "import.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def reading(path: Path) -> Reading:
    return read_runs(load_import(path), path.parent)


def runs_of(path: Path) -> list[Run]:
    return reading(path).runs


def curves(path: Path) -> dict:
    """(arm, task, seed) -> (steps, returns, the step of divergence) of the runs that are used."""
    return {
        (run.arm, run.task, run.seed): (run.curve.steps.tolist(), run.curve.returns.tolist(), run.curve.diverged)
        for run in runs_of(path)
        if not run.why
    }


def imported(path: Path) -> None:
    """Write the suite and the results of an import file."""
    found = reading(path)
    write(load_import(path), found, suspicions(found.runs), path, Path("results"))


def table(rows, names=("arm", "task", "seed", "step", "return"), path="table.csv") -> Path:
    """A tidy table in the current folder, and an import file of it with the grid 0, 10, 20."""
    pd.DataFrame(rows, columns=list(names)).to_csv(path, index=False)
    return write_import(Path(), grid={"first": 0, "last": 20, "points": 3}, smooth=None)


def rows(arm="ppo", seed=0, steps=(0, 10, 20), returns=(1.0, 2.0, 3.0), task="CartPole-v1"):
    return [[arm, task, seed, step, value] for step, value in zip(steps, returns, strict=True)]


def one_line(path: Path) -> str:
    """The message with which an import file is refused."""
    with pytest.raises(InputError) as refused:
        runs_of(path)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 400
    return str(refused.value)


def episodes(arm: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`(steps [200], returns [200])`: an episode every 100 steps, whose return rises with an arm's own slope."""
    steps = np.arange(STEP, 20001, STEP)
    return steps, np.round((1 + (arm == "a2c")) * steps / 100 + seed, 6)


def write_tensorboard(folder: Path, steps, returns, **options) -> None:
    """As CleanRL writes: hyper-parameters as text, and scalars by global_step."""
    torch = pytest.importorskip("torch.utils.tensorboard", reason="TensorBoard is not installed (extra `imports`)")
    writer = torch.SummaryWriter(str(folder), **options)
    writer.add_text("hyperparameters", "|param|value|\n|-|-|\n|seed|1|")
    for step, value in zip(steps, returns, strict=True):
        writer.add_scalar(TAG, value, step)
        writer.add_scalar("charts/SPS", 1000, step)
    writer.close()


def write_monitor(path: Path, lengths, returns, seconds=None, start: float = 1.7e9) -> None:
    """With Stable-Baselines3's own writer of monitor.csv."""
    monitor = pytest.importorskip(
        "stable_baselines3.common.monitor", reason="Stable-Baselines3 is not installed (extra `sb3`)"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = monitor.ResultsWriter(str(path), header={"t_start": start, "env_id": "CartPole-v1"})
    for number, (length, value) in enumerate(zip(lengths, returns, strict=True)):
        writer.write_row(
            {"r": float(value), "l": int(length), "t": float(number + 1 if seconds is None else seconds[number])}
        )
    writer.close()


def write_all(folder: Path) -> None:
    """The same runs in every format, in the places that docs/import.md names."""
    wide = {"Step": np.arange(STEP, 20001, STEP)}
    long, tidy = [], []
    for arm in ARMS:
        for seed in SEEDS:
            steps, returns = episodes(arm, seed)
            name = f"CartPole-v1__{arm}__{seed}__1700000000"
            logs = folder / "logs" / arm / "CartPole-v1" / f"seed{seed}"
            write_tensorboard(folder / "runs" / name, steps, returns)
            write_monitor(logs / "monitor.csv", np.full(len(steps), STEP), returns)
            np.savez(
                logs / "evaluations.npz",
                timesteps=steps,
                results=returns[:, None] + [-1.0, 1.0],
                ep_lengths=np.ones((len(steps), 2)),
            )
            wide |= {f"{name} - {TAG}{end}": returns for end in ("", "__MIN", "__MAX")}
            long.append(pd.DataFrame({"name": name, "global_step": steps, TAG: returns, "losses/value_loss": 1.0}))
            long.append(pd.DataFrame({"name": name, "global_step": steps, "losses/value_loss": 2.0}))
            tidy.append(
                pd.DataFrame({"algo": arm, "env_id": "CartPole-v1", "seed": seed, "step": steps, "return": returns})
            )
    (folder / "exports").mkdir()
    pd.DataFrame(wide).to_csv(folder / "exports" / "wide.csv", index=False)
    rows = pd.concat(long).sort_values(["name", "global_step"], kind="stable")
    rows.to_csv(folder / "exports" / "long.csv", index=False)
    pd.concat(tidy).to_csv(folder / "table.csv", index=False)
