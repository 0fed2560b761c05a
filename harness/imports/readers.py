"""One reader a format: log files in, `(what the files say of the run, steps [N], returns [N])` out, as they were logged.

Files are data from strangers: nothing in them is executed or unpickled, and every size is checked before memory is taken.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
import zlib
from collections.abc import Collection, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from harness.errors import InputError, suggestion
from harness.imports.schema import IDENTITY, WILD, Entry, Evaluations, Monitor, TensorBoard, Tidy, WandbLong, WandbWide

MOST_BYTES = 256 * 2**20
"""Bytes of one file, and of what it unpacks to."""
MOST_VALUES = 10_000_000
"""Values read from one table: columns times rows."""

Array = npt.NDArray[np.float64]
Read = Iterator[tuple[dict[str, str], Array, Array]]


def matching(pattern: str, text: str) -> dict[str, str] | None:
    """What the placeholders of a pattern stand for in `text`; None where it does not match. A seed of digits is preferred.

    >>> matching("{arm}_{seed}/*.csv", "a_b_3/x.csv")
    {'arm': 'a_b', 'seed': '3'}
    """
    for seed in ("[0-9]+", "[^/]+?"):
        kinds = {"*": "[^/]*", "{arm}": "(?P<arm>[^/]+?)", "{task}": "(?P<task>[^/]+?)", "{seed}": f"(?P<seed>{seed})"}
        found = re.fullmatch("".join(kinds.get(part, re.escape(part)) for part in WILD.split(pattern)), text)
        if found:
            return found.groupdict()
    return None


def read(entry: Entry, paths: list[Path], known: set[str], only: set[str]) -> Read:
    """The runs in `paths`: the files of one run (TensorBoard, Monitor), or one file of one or more runs.

    `known`: what of arm, task and seed the paths say; `only`: of what a single one is declared, so that the files may leave it out.
    Raises InputError naming file and field.
    """
    for path in paths:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path}: has {path.stat().st_size:,} bytes; at most {MOST_BYTES:,} are read")
    match entry:
        case TensorBoard():
            yield {}, *_tensorboard(entry, paths)
        case Monitor():
            yield {}, *_monitor(paths)
        case Evaluations():
            yield {}, *_evaluations(paths[0])
        case Tidy():
            yield from _tidy(entry, paths[0], known, only)
        case WandbLong():
            yield from _wandb_long(entry, paths[0], {*known, *only})
        case WandbWide():
            yield from _wandb_wide(entry, paths[0])


def _tensorboard(entry: TensorBoard, paths: list[Path]) -> tuple[Array, Array]:
    """Scalars of one tag, in the order of the files (a restarted run has several). Source: TensorFlow's record format."""
    try:
        from google.protobuf.message import DecodeError
        from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
        from tensorboard.compat.proto.event_pb2 import Event
    except ImportError as error:
        raise InputError(f"{paths[0]}: reading event files needs TensorBoard: pip install -e '.[imports]'") from error
    steps: list[float] = []
    values: list[float] = []
    tags: set[str] = set()
    for path in paths:
        whole = 0
        try:
            for record in RawEventFileLoader(
                str(path)
            ).Load():  # checks each record's CRC, and ends silently where one is damaged
                whole += len(record) + 16
                event = Event.FromString(record)
                for value in event.summary.value:
                    tags.add(value.tag)
                    if value.tag == entry.tag:
                        steps.append(event.step)
                        values.append(_scalar(value))
        except (DecodeError, MemoryError, OverflowError, ValueError, OSError) as error:
            raise InputError(f"{path}: is no event file, or damaged after {whole:,} bytes: {_short(error)}") from error
        if whole < path.stat().st_size or not whole:
            raise InputError(f"{path}: is truncated or damaged after {whole:,} of {path.stat().st_size:,} bytes")
    if not values:
        raise InputError(f"{paths[0]}: tag: {entry.tag!r} is missing{suggestion(entry.tag, sorted(tags)[:20])}")
    return np.array(steps, np.float64), np.array(values, np.float64)


def _scalar(value: Any) -> float:
    """A scalar summary's number: TensorFlow 1's `simple_value`, or a float tensor without axes."""
    if value.HasField("simple_value"):
        return float(value.simple_value)
    numbers = list(value.tensor.float_val) or np.frombuffer(value.tensor.tensor_content, "<f4").tolist()
    if len(numbers) != 1:
        raise ValueError(f"tag {value.tag!r} is no scalar")
    return float(numbers[0])


def _monitor(paths: list[Path]) -> tuple[Array, Array]:
    """Stable-Baselines3's Monitor: a JSON line, then r, l, t an episode. Several environments' files of one run are merged by
    time, as in its `load_results`; the step is the sum of all lengths so far."""
    tables = []
    for path in paths:
        first, _, rest = path.read_bytes().partition(b"\n")
        try:
            start = float(json.loads(first.removeprefix(b"#"))["t_start"]) if first.startswith(b"#") else math.nan
        except (ValueError, KeyError, TypeError, RecursionError):
            start = math.nan
        if not math.isfinite(start):
            raise InputError(f'{path}: line 1 is not Monitor\'s: must be #{{"t_start": ..., "env_id": ...}}')
        table = _csv(path, rest, ["r", "l", "t"])
        table = pd.DataFrame({name: _numbers(path, table, name) for name in ("r", "l", "t")})
        if not (table["l"] >= 1).all():
            raise InputError(f"{path}: l: the length of an episode must be at least 1")
        tables.append(table.assign(t=table["t"] + start))
    merged = pd.concat(tables).sort_values("t", kind="stable")
    return merged["l"].cumsum().to_numpy(np.float64), merged["r"].to_numpy(np.float64)


def _evaluations(path: Path) -> tuple[Array, Array]:
    """Stable-Baselines3's EvalCallback: `timesteps [k]`, `results [k, episodes]`; a point is the mean of its episodes."""
    timesteps, results = _npz(path, "timesteps", 1), _npz(path, "results", 2)
    if len(timesteps) != len(results) or not results.size:
        raise InputError(f"{path}: results: has the shape {list(results.shape)}, must be [{len(timesteps)}, episodes]")
    return timesteps, results.mean(axis=1)


def _npz(path: Path, name: str, axes: int) -> Array:
    """One array of numbers of an .npz file. Never unpickles: an array of Python objects is refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = archive.getinfo(f"{name}.npy").file_size
            if size > MOST_BYTES:
                raise InputError(f"{path}: {name}: unpacks to {size:,} bytes; at most {MOST_BYTES:,} are read")
            data = BytesIO(archive.read(f"{name}.npy"))  # never more than `size`: zipfile stops there
        version = np.lib.format.read_magic(data)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(data)
    except InputError:
        raise
    except KeyError as error:
        raise InputError(f"{path}: {name}: is missing") from error
    except (ValueError, OSError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: is no .npz file, or damaged: {_short(error)}") from error
    if dtype.kind not in "iuf":
        why = "Python objects (evaluations of unequal numbers of episodes?)" if dtype.hasobject else str(dtype)
        raise InputError(f"{path}: {name}: holds {why}, must be numbers")
    numbers = data.read()
    if len(shape) != axes or math.prod(shape) * dtype.itemsize != len(numbers):
        raise InputError(
            f"{path}: {name}: has the shape {list(shape)} and {len(numbers):,} bytes, must have {axes} axes and all values"
        )
    return np.frombuffer(numbers, dtype).reshape(shape, order="F" if fortran else "C").astype(np.float64)


def _tidy(entry: Tidy, path: Path, known: set[str], only: set[str]) -> Read:
    """A table of one row a point: arm, task, seed, step, return, under these names or those of `columns`."""
    given = entry.columns.model_dump(by_alias=True, exclude_none=True)
    names = {
        name: given.get(name, name) for name in (*IDENTITY, "step", "return") if name in given or name not in known
    }
    table = _columns(path, names, {name for name in only if name not in given})
    yield from _grouped(path, table, [name for name in IDENTITY if name in table])


def _wandb_long(entry: WandbLong, path: Path, known: set[str]) -> Read:
    """An export of one row a logged step: rows without a return logged something else and are left out."""
    given = {
        "step": "global_step",
        "return": "charts/episodic_return",
        **entry.columns.model_dump(by_alias=True, exclude_none=True),
    }
    if not {*given, *known} >= set(IDENTITY):
        given.setdefault("run", "run")
    table = _columns(path, given, set())
    table = table[table["return"] != ""]
    for found, steps, returns in _grouped(path, table, [name for name in ("run", *IDENTITY) if name in given]):
        named = _run_name(path, entry.run, found.pop("run")) if "run" in found else {}
        yield {**named, **found}, steps, returns


def _wandb_wide(entry: WandbWide, path: Path) -> Read:
    """An export of a chart: a step column and one `RUN - TAG` column a run (its __MIN and __MAX are left out)."""
    end = f" - {entry.tag}"
    table = _csv(path, path.read_bytes())
    columns = [str(name) for name in table]
    _require(path, [entry.step], columns)
    names = [name for name in columns if name.endswith(end)]
    if not names:
        raise InputError(f"{path}: tag: there is no column `RUN - {entry.tag}`; it has: {_list(columns)}")
    steps = _numbers(path, table, entry.step)
    for name in names:
        there = (table[name] != "").to_numpy()
        yield _run_name(path, entry.run, name.removesuffix(end)), steps[there], _numbers(path, table[there], name)


def _run_name(path: Path, pattern: str, name: str) -> dict[str, str]:
    found = matching(pattern, name)
    if found is None:
        raise InputError(f"{path}: run: the name {name[:80]!r} does not fit {pattern!r}")
    return found


def _grouped(path: Path, table: pd.DataFrame, keys: list[str]) -> Read:
    """The runs of a tidy table, in the order in which they begin; rows of a run keep theirs."""
    for name in keys:
        if (table[name] == "").any():
            raise InputError(f"{path}: {name}: is empty in a row")
    steps, returns = _numbers(path, table, "step"), _numbers(path, table, "return", empty_is_nan=True)
    groups = table.groupby(keys, sort=False).indices if keys else {(): np.arange(len(table))}
    for found, rows in groups.items():
        values = found if isinstance(found, tuple) else (found,)
        yield dict(zip(keys, map(str, values), strict=True)), steps[rows], returns[rows]


def _columns(path: Path, names: dict[str, str], optional: set[str]) -> pd.DataFrame:
    """Columns of a CSV or Parquet file as text, renamed from `names[ours]` to ours; `optional` ones may be absent."""
    if len(set(names.values())) < len(names):
        raise InputError(f"{path}: columns: two of {_list(names)} are the same column")
    wanted = list(names.values())
    table = (
        _parquet(path, wanted, optional)
        if path.suffix == ".parquet"
        else _csv(path, path.read_bytes(), wanted, optional)
    )
    there = {ours: theirs for ours, theirs in names.items() if theirs in table}
    return table[list(there.values())].set_axis(list(there), axis="columns")


def _parquet(path: Path, names: list[str], optional: set[str]) -> pd.DataFrame:
    try:
        names = _require(path, names, pq.ParquetFile(path).schema_arrow.names, optional)
        file = pq.ParquetFile(path, read_dictionary=names)  # texts that repeat are kept once
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        size = sum(
            group.column(column).total_uncompressed_size for group in groups for column in range(group.num_columns)
        )
        if size > MOST_BYTES or file.metadata.num_rows * len(names) > MOST_VALUES:
            raise InputError(
                f"{path}: has {file.metadata.num_rows:,} rows and unpacks to {size:,} bytes; that is too much for one file"
            )
        table: pd.DataFrame = file.read(columns=names).to_pandas()
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise InputError(f"{path}: is no Parquet file, or damaged: {_short(error)}") from error
    for name in names:
        table[name] = table[name].astype(object).where(table[name].notna(), "").astype(str)
    return table


def _csv(path: Path, data: bytes, names: list[str] | None = None, optional: Collection[str] = ()) -> pd.DataFrame:
    """Columns of a CSV file, every cell as text; all columns for None. Every line must have all cells, the last one its end."""
    if not data.endswith(b"\n"):
        raise InputError(f"{path}: is truncated: its last line has no end")
    reading = csv.ReadOptions(use_threads=False, block_size=len(data) + 1)
    parsing = csv.ParseOptions(newlines_in_values=True)
    try:
        header = csv.open_csv(pa.BufferReader(data), reading, parsing).schema.names
        wanted = _require(path, list(dict.fromkeys(header)) if names is None else names, header, optional)
        types = dict.fromkeys(wanted, pa.string())
        text = csv.ConvertOptions(include_columns=wanted, column_types=types, strings_can_be_null=False)
        table = csv.read_csv(pa.BufferReader(data), reading, parsing, text)
    except InputError:
        raise
    except (pa.ArrowException, ValueError, MemoryError) as error:
        raise InputError(f"{path}: is no CSV file, or damaged: {_short(error)}") from error
    if table.num_rows * len(wanted) > MOST_VALUES:
        raise InputError(f"{path}: has {table.num_rows:,} rows; that is too much for one file")
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _require(path: Path, names: list[str], there: list[str], optional: Collection[str] = ()) -> list[str]:
    """Those of `names` that are there. Raises InputError where another than an optional one is not, or one is there twice."""
    for name in names:
        if name not in there and name not in optional:
            raise InputError(f"{path}: column {name!r} is missing; it has: {_list(there)}")
        if there.count(name) > 1:
            raise InputError(f"{path}: column {name!r} is there twice")
    return [name for name in names if name in there]


def _numbers(path: Path, table: pd.DataFrame, name: str, empty_is_nan: bool = False) -> Array:
    """A column of text as numbers, `nan` and `inf` among them."""
    texts = table[name].str.strip()
    if empty_is_nan:
        texts = texts.where(texts != "", "nan")
    try:
        return texts.to_numpy(dtype=object).astype(np.float64)
    except ValueError as error:
        raise InputError(f"{path}: {name}: {str(error)[:100]}") from error


def _short(error: BaseException) -> str:
    """A library's message, in one short line."""
    return " ".join(str(error).split())[:120] or type(error).__name__


def _list(names: Any) -> str:
    shown = [str(name)[:40] if str(name).isprintable() else repr(name)[:40] for name in names]
    return ", ".join(shown[:12]) + (" ..." if len(shown) > 12 else "")
