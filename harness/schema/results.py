"""The files of a finished cell, and nothing else of ours: the contract between training and reports.

A cell (pair x task) leaves in `results/<suite>/<pair>/<task>/`

- `curves.parquet`: tidy, one row an arm, a seed and a segment. Columns and units: `COLUMNS`; a pair adds its own metrics.
- `manifest.json`: what was run (settings, code, versions, seeds), each member's hash chain and the hash of its rows in the curves,
  and a seal over all of it.
- `summary.json`: mean final return in the primary mode over the hard and over the soft arms (controls are neither), for `dvc metrics show`.
- `learning.csv`: mean return in the primary mode of each arm over steps, for `dvc plots show`.

None of them changes from run to run: no times, no host. `timing.json` and `audit.json` (the last certificate) beside them do, and are
no pipeline outputs; nor are `episodes.json` and `paths.json` (`harness.schema.episodes`, `harness.schema.paths`), which do not change
either but are drawn alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from harness.errors import ResultsError
from harness.files import ROOT, digest, make_folder, replacing
from harness.schema.documents import first_problem, read_record
from harness.schema.fields import MOST_STEPS
from harness.schema.manifest import FORMAT, Manifest, seal
from harness.schema.sidecars import MOST_SIDECAR, Certificate, Timing
from harness.syntax import file_digest

COLUMNS = {
    "arm": "name of the arm",
    "seed": "training seed",
    "segment": "number of the segment, from 1",
    "step": "environment steps of this member so far",
    "return_sampled": "mean undiscounted return of the evaluation episodes, actions of the policy itself (NaN: not measured)",
    "return_greedy": "mean undiscounted return of the evaluation episodes, greedy actions (NaN: not measured)",
    "length_sampled": "mean length of the evaluation episodes in steps, sampled actions",
    "length_greedy": "mean length of the evaluation episodes in steps, greedy actions",
    "train_return": "mean undiscounted return of the training episodes within this segment, so long ones are missing (NaN: none)",
    "train_episodes": "training episodes that ended in this segment",
    "entropy": "mean entropy of the behaviour policy over the segment's updates in nats (NaN: none, as before a replay's first one)",
    "diverged": "true from the segment on in which a metric, the state, a reward or an observation of this member was not finite",
}

WHOLE = (pa.types.is_integer, "whole numbers")
KINDS: dict[str, tuple[Callable[[pa.DataType], bool], str]] = {
    "arm": (lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind), "names"),
    **dict.fromkeys(("seed", "segment", "step"), WHOLE),
    "diverged": (pa.types.is_boolean, "true or false"),
}
NUMBER = (
    lambda kind: pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind),
    "numbers",
)
"""Of all other columns, which may have gaps."""


def folder_name(name: str) -> str:
    """The folder of a pair or task: `ALE/Pong-v5` is kept in `ALE_Pong-v5`, `module:Task-v0` in `module_Task-v0`."""
    return name.replace("/", "_").replace(":", "_")


@dataclass(frozen=True)
class Cell:
    """One finished cell: `curves` (tidy, see `COLUMNS`), `manifest`, and the sidecars `timing` and `audit` (None where absent)."""

    path: Path
    curves: pd.DataFrame
    manifest: Manifest
    sealed: bool
    """Whether the manifest is as it was written."""
    timing: Timing | None
    audit: Certificate | None

    def changed_code(self) -> list[str]:
        """Files of the code that made these results which say something else, or are gone, in this installation."""
        code = self.manifest.code
        found = [] if code is None else [(ROOT / name, name, code.by, known) for name, known in code.files.items()]
        return [name for path, name, by, known in found if not path.is_file() or file_digest(path, by) != known]

    @property
    def pair(self) -> str:
        return self.manifest.pair

    @property
    def task(self) -> str:
        return self.manifest.task


def read_cell(folder: Path) -> Cell:
    """Read one cell. Raises ResultsError naming file and field where one is missing, damaged or of another format."""
    file = folder / "manifest.json"
    try:
        content = json.loads(file.read_text())
        # Without what pandas notes in it: a column is a column, never an index.
        table = pq.ParquetFile(folder / "curves.parquet").read().replace_schema_metadata(None)
        problem = _problem(table)
        curves = table.to_pandas() if problem is None else pd.DataFrame()
    except (OSError, ValueError, RecursionError, pa.ArrowException) as error:
        raise ResultsError(f"{folder}: cannot be read: {error}") from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise ResultsError(f"{file}: format {found!r}; this version reads format {FORMAT}")
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        raise ResultsError(f"{file}: {first_problem(error)}") from error
    if problem is not None:
        raise ResultsError(f"{folder / 'curves.parquet'}: column {problem}")
    timing = read_record(folder / "timing.json", Timing, MOST_SIDECAR)
    audit = read_record(folder / "audit.json", Certificate, MOST_SIDECAR)
    return Cell(folder, curves, manifest, content.get("seal") == seal(content), timing, audit)


def _problem(table: pa.Table) -> str | None:
    """What is wrong with the columns of a cell's curves; None where nothing is."""
    if missing := [name for name in COLUMNS if name not in table.column_names]:
        return f"{missing[0]} is missing"
    for name, column in zip(table.column_names, table.columns, strict=True):
        if table.column_names.count(name) > 1:
            return f"{name}: is given twice"
        fits, what = KINDS.get(name, NUMBER)
        if not fits(column.type) or (what != NUMBER[1] and column.null_count):
            empty = " with gaps" if column.null_count else ""
            return f"{name}: must hold {what} (got {str(column.type)[:80]}{empty})"
    steps = pc.min_max(table.column("step")).as_py()
    if table.num_rows and not 0 <= steps["min"] <= steps["max"] <= MOST_STEPS:
        return f"step: must be from 0 to {MOST_STEPS:,}"
    return None


def write_cell(
    folder: Path, curves: pd.DataFrame, manifest: Manifest, units: Mapping[str, str], timing: Mapping[str, Any]
) -> None:
    """Write a cell's files, each by a rename; the manifest last, so that a folder with one is whole.

    `units` describes the pair's own metric columns; rows are sorted so that equal results give equal bytes.
    """
    make_folder(folder)
    described = {**COLUMNS, **units}
    curves = curves[[name for name in described if name in curves.columns]]
    curves = curves.sort_values(["arm", "seed", "segment"], ignore_index=True)
    digests = records_digests(curves)
    content = manifest.content()
    for arm, members in content["members"].items():
        for seed, facts in members.items():
            facts["records"] = digests.get((arm, int(seed)), "")
    content["seal"] = seal(content)
    fields = [
        pa.field(n, pa.Schema.from_pandas(curves[[n]]).field(0).type, metadata={"unit": described[str(n)]})
        for n in curves
    ]
    table = pa.Table.from_pandas(curves, schema=pa.schema(fields), preserve_index=False).replace_schema_metadata({})
    with replacing(folder / "curves.parquet") as path:
        pq.write_table(table, path)
    shown = f"return_{manifest.evaluation.primary}"
    final = curves[curves["segment"] == curves["segment"].max()]
    role = final["arm"].map({name: arm.role for name, arm in manifest.arms.items()})
    summary = {
        "hard_return": _mean(final.loc[role == "hard", shown]),
        "soft_return": _mean(final.loc[role == "soft", shown]),
        "seeds": int(final.groupby("arm")["seed"].nunique().min()),
        "diverged": int(final["diverged"].sum()),
    }
    with replacing(folder / "learning.csv") as path:
        curves.pivot_table(shown, index="step", columns="arm", dropna=False).to_csv(path)
    for name, written in (("timing.json", timing), ("summary.json", summary), ("manifest.json", content)):
        with replacing(folder / name) as path:
            path.write_text(json.dumps(written, indent=1, sort_keys=True, allow_nan=False) + "\n")


def records_digests(curves: pd.DataFrame) -> dict[tuple[str, int], str]:
    """(arm, seed) -> SHA-256 over a member's rows of the curves, by segment: every column by its name, every number to its last digit."""
    curves = curves.sort_values(["arm", "seed", "segment"], ignore_index=True)
    columns = {str(name): curves[name].tolist() for name in curves}
    members = list(zip(columns["arm"], columns["seed"], strict=True))
    starts = [row for row, member in enumerate(members) if row == 0 or member != members[row - 1]]
    ends = [*starts[1:], len(members)]
    return {
        members[start]: digest({name: values[start:end] for name, values in columns.items()})
        for start, end in zip(starts, ends, strict=True)
    }


def damages(cell: Cell) -> list[str]:
    """Where a cell's files contradict each other: altered after they were written. One line each; [] for a sound cell."""
    found = [] if cell.sealed else ["manifest.json: was altered: it does not match its seal"]
    digests = records_digests(cell.curves)
    known = {
        (arm, int(seed)): facts for arm, members in cell.manifest.members.items() for seed, facts in members.items()
    }
    for (arm, seed), facts in known.items():
        if facts.records != digests.get((arm, seed), ""):
            found.append(
                f"curves.parquet: {arm}, seed {seed}: was altered: it does not match the hash in manifest.json"
            )
    there = set(zip(cell.curves["arm"], cell.curves["seed"], strict=True))
    return found + [
        f"curves.parquet: {arm}, seed {seed}: is not in manifest.json" for arm, seed in sorted(there - set(known))
    ]


def _mean(returns: pd.Series[float]) -> float | None:
    return None if returns.isna().all() else round(float(returns.mean()), 6)
