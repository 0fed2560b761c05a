"""Our curves as others read them, one folder a pair: the logs, and the import file by which `softbench import` reads them back."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from harness.errors import InputError, ResultsError
from harness.exports.tensorboard import write_events
from harness.files import make_folder, replacing
from harness.schema.results import Cell, damages, folder_name, read_cell
from harness.schema.suite import Suite

IDENTITY = ("arm", "seed", "segment", "step", "diverged")
"""Columns that are no measured numbers."""


@dataclass(frozen=True)
class Exported:
    """All cells of one pair. `table`: their curves, with a column `task`."""

    suite: Suite
    pair: str
    cells: dict[str, Cell]

    @property
    def table(self) -> pd.DataFrame:
        tables = [cell.curves.assign(task=task) for task, cell in self.cells.items()]
        return pd.concat(tables, ignore_index=True)

    @property
    def value(self) -> str:
        """The column by which the pair is judged."""
        return f"return_{self.suite.primary(self.pair)}"


def export(kind: str, suite: Suite, results: Path, out: Path) -> tuple[list[Path], list[str]]:
    """Write all pairs of a suite that have results: the import files, and a line for each cell that is damaged and left out.

    Raises InputError where there are none, or a folder is not free; nothing is written then.
    """
    found: dict[Path, Exported] = {}
    damaged: list[str] = []
    for pair, tasks in suite.cells.items():
        cells: dict[str, Cell] = {}
        for task in tasks:
            folder = results / suite.name / folder_name(pair) / folder_name(task)
            try:
                cell = read_cell(folder) if (folder / "manifest.json").exists() else None
                if cell is not None and (altered := damages(cell)):
                    raise ResultsError(f"{folder}: {altered[0]}")
                cells |= {task: cell} if cell is not None else {}
            except ResultsError as error:
                damaged.append(str(error))
        if cells:
            found[out / folder_name(pair)] = Exported(suite, pair, cells)
    if not found:
        train = f"train it first: softbench train {suite.name}"
        raise InputError(
            damaged[0] if damaged else f"SUITE: {suite.name!r} has no results in {results / suite.name}; {train}"
        )
    for folder, exported in found.items():
        _check(exported, folder)
    return [_write(kind, exported, folder) for folder, exported in found.items()], damaged


def _check(exported: Exported, folder: Path) -> None:
    """Raises InputError where there are no curves, or the folder is not free."""
    if any(cell.curves["step"].nunique() < 2 for cell in exported.cells.values()):
        raise InputError(f"SUITE: {exported.suite.name!r} has one evaluation a run, so no curves")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"-o: {folder} is there and not an empty folder; choose another one")


def _write(kind: str, exported: Exported, folder: Path) -> Path:
    try:
        make_folder(folder)
        runs = WRITERS[kind](exported, folder)
        path = folder / "import.yaml"
        with replacing(path) as temporary:
            temporary.write_text(
                "# Written by `softbench export`: softbench import reads these logs back.\n"
                + yaml.safe_dump(_import_file(exported, runs), sort_keys=False, width=140)
            )
    except OSError as error:
        raise InputError(f"-o: {folder}: cannot be written: {error.strerror or error}") from error
    return path


def _import_file(exported: Exported, runs: dict[str, Any]) -> dict[str, Any]:
    suite, pair = exported.suite, exported.pair
    manifests = [cell.manifest for cell in exported.cells.values()]
    arms = {name: arm for manifest in manifests for name, arm in manifest.arms.items()}
    seeds = [suite.registered(pair, task).seeds for task in exported.cells]
    return {
        "name": re.sub(r"[^a-z0-9_-]", "-", f"{suite.name}-{folder_name(pair)}".lower()),
        "title": f"{suite.title}: {pair}, exported",
        "actions": suite.primary(pair),
        "smooth": 1,
        **({"seeds": seeds[0]} if all(its == seeds[0] for its in seeds) else {}),
        "tasks": {
            task: {
                **suite.references[task].model_dump(exclude_none=True),
                "grid": {"at": sorted(int(step) for step in cell.curves["step"].unique())},
            }
            for task, cell in exported.cells.items()
        },
        "arms": {
            name: {"soft": True, "hard": arm.against} if arm.role == "soft" else {"soft": False}
            for name, arm in arms.items()
        },
        "runs": [runs],
    }


def tidy(exported: Exported, folder: Path) -> dict[str, Any]:
    """One row an evaluation, columns as in our results."""
    front = ["arm", "task", "seed", "step"]
    _csv(exported, exported.table, front, folder / "table.csv")
    return {"format": "tidy", "files": "table.csv", "columns": {"return": exported.value}}


def wandb(exported: Exported, folder: Path) -> dict[str, Any]:
    """As an export of runs' histories: one row a logged step, with the run's name and what is in its config."""
    table = exported.table.rename(columns={"step": "global_step"})
    names = [run_name(exported, *each) for each in zip(table["task"], table["arm"], table["seed"], strict=True)]
    table = table.assign(name=names).rename(columns={name: tag(name) for name in measured(table)})
    _csv(exported, table, ["name", "task", "arm", "seed", "global_step"], folder / "history.csv")
    columns = {"arm": "arm", "task": "task", "seed": "seed", "step": "global_step", "return": tag(exported.value)}
    return {"format": "wandb-long", "files": "history.csv", "columns": columns}


def tensorboard(exported: Exported, folder: Path) -> dict[str, Any]:
    """A folder a run with one event file: a scalar a measured number."""
    for name, its in exported.table.groupby(["task", "arm", "seed"], sort=True):
        task, arm, seed = map(str, name)
        numbers = its.sort_values("step")
        columns = {tag(name): numbers[name].tolist() for name in measured(its)}
        run = folder / folder_name(run_name(exported, task, arm, seed))
        make_folder(run)
        write_events(
            run / "events.out.tfevents.0.softbench", numbers["step"].tolist(), columns, numbers["diverged"].tolist()
        )
    pattern = "{task}__{arm}__{seed}__*/events.out.tfevents*"
    return {"format": "tensorboard", "files": pattern, "tag": tag(exported.value)}


WRITERS: dict[str, Callable[[Exported, Path], dict[str, Any]]] = {
    "tensorboard": tensorboard,
    "wandb": wandb,
    "tidy": tidy,
}
"""Kind -> what writes the logs into a folder, and says how an import file names them."""


def run_name(exported: Exported, task: str, arm: str, seed: object) -> str:
    """As CleanRL names runs: task, arm, seed, and what else they belong to."""
    return f"{task}__{arm}__{seed}__{exported.suite.name}"


def measured(table: pd.DataFrame) -> list[str]:
    """The columns that hold numbers of a run."""
    return [str(name) for name in table if name not in (*IDENTITY, "task", "name", "global_step")]


def tag(column: str) -> str:
    """`eval/return_sampled`, `train/entropy`."""
    kind = "eval" if column.rpartition("_")[2] in ("sampled", "greedy") else "train"
    return f"{kind}/{column.removeprefix('train_')}"


def _csv(exported: Exported, table: pd.DataFrame, front: list[str], path: Path) -> None:
    """Every digit; what was not measured is empty, and `nan` from where a run has diverged."""
    numbers = [name for name in table if name not in (*front, *IDENTITY)]
    written = table[[*front, *numbers]].astype(object)
    for name in numbers:
        written[name] = written[name].where(table[name].notna(), table["diverged"].map({True: "nan", False: ""}))
    with replacing(path) as temporary:
        written.to_csv(temporary, index=False)
