"""Columns of CSV and Parquet files: texts as they stand, numbers with what is absent and what is no number told apart.

An empty cell, or a word that says so, is absent; `nan` and `inf` are values that are not finite.
"""

from __future__ import annotations

import csv as lines
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from harness.imports.readers.content import MOST_BYTES, PARQUET, Unusable, listed, short, text

MOST_VALUES = 10_000_000
"""Values read from one table: columns times rows."""
ABSENT = ("", "None", "none", "NONE", "null", "NULL", "Null", "NA", "N/A", "n/a", "#N/A", "<NA>", "-", "--")
"""Cells that hold no value."""
SEPARATORS = (",", "\t", ";")
CUT = "its last line is cut, as of a killed process; the lines before it are read"

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Numbers:
    """A column of numbers: `values [N]`, NaN also where `absent [N]`; `wrong`: row -> the text there that is no number."""

    values: Array
    absent: npt.NDArray[np.bool_]
    wrong: dict[int, str]


class Table:
    """The columns of one file that were asked for."""

    def __init__(self, columns: pa.Table, decimal_comma: bool = False) -> None:
        self.columns, self.decimal_comma = columns, decimal_comma

    def __len__(self) -> int:
        return int(self.columns.num_rows)

    @property
    def names(self) -> list[str]:
        return list(self.columns.column_names)

    def texts(self, name: str) -> pd.Series[Any]:
        """A column as text, without spaces around it; "" where it is absent. Whole numbers of float columns are written without .0."""
        column = self.columns[name]
        if pa.types.is_floating(column.type):
            column = _whole(column)
        series: pd.Series[Any] = (
            column.cast(pa.string()).fill_null("").dictionary_encode().to_pandas().astype("category")
        )
        categories = [str(each).strip() for each in series.cat.categories]
        if len(set(categories)) == len(categories):
            series = series.cat.rename_categories(categories)
            return series
        series = series.astype(str).str.strip().astype("category")
        return series

    def numbers(self, name: str) -> Numbers:
        column = self.columns[name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            return _parsed(column.to_pandas().fillna("").to_numpy(dtype=object), self.decimal_comma)
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_null(column.type)):
            raise Unusable(f"{name}: holds {column.type}, must be numbers")
        absent = np.asarray(column.is_null().to_pandas(), dtype=bool)
        values = column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy()
        return Numbers(np.asarray(values, np.float64), absent, {})


def _whole(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A float column as texts, `3` for 3.0: what pandas makes of whole numbers beside an empty cell."""
    values = column.to_pandas()
    return pa.chunked_array([pa.array([None if pd.isna(each) else f"{each:.15g}" for each in values], pa.string())])


def _parsed(cells: npt.NDArray[np.object_], decimal_comma: bool) -> Numbers:
    """Numbers from texts, each spelling read once."""
    codes, spelled = pd.factorize(cells)
    values, absent, wrong = np.full(len(spelled), np.nan), np.zeros(len(spelled), bool), np.zeros(len(spelled), bool)
    for at, cell in enumerate(spelled):
        value = number(str(cell), decimal_comma)
        if value is None:
            absent[at] = is_absent(str(cell))
            wrong[at] = not absent[at]
        else:
            values[at] = value
    rows = np.flatnonzero(wrong[codes])
    return Numbers(values[codes], absent[codes], {int(row): str(cells[row]) for row in rows})


def is_absent(cell: str) -> bool:
    return cell.strip() in ABSENT


def number(cell: str, decimal_comma: bool = False) -> float | None:
    """A number as writers spell it: `1e3`, ` 5 `, `−5`, `1,000`, `1_000`, `[5.]` (an array of one value), `nan`, `Infinity`; None for
    none, or for one that is too large.

    With `decimal_comma`, as in tables of European spreadsheets, `1.000,5` is 1000.5.
    """
    cell = cell.strip().replace("−", "-")
    if cell.startswith("[") and cell.endswith("]"):
        cell = cell[1:-1].strip()
    if decimal_comma and "," in cell:
        cell = re.sub(r"\.(?=[0-9]{3}([.,]|$))", "", cell).replace(",", ".")
    elif re.fullmatch(r"[+-]?[0-9]{1,3}(,[0-9]{3}|_[0-9]{3})+(\.[0-9]*)?", cell):
        cell = cell.replace(",", "").replace("_", "")
    try:
        value = float(cell) if cell.isascii() and "_" not in cell else None
    except ValueError:
        return None
    return None if value is not None and math.isinf(value) and cell.strip("+-")[0].isdigit() else value


def read_table(data: bytes, names: Sequence[str], numeric: Collection[str], optional: Collection[str] = ()) -> Table:
    """Columns of a CSV or Parquet file by their names; `optional` ones may be absent. Raises Unusable naming the column."""
    if data.startswith(PARQUET):
        return Table(_parquet(data, names, optional))
    return _csv(text(data), names, numeric, optional)


def whole_lines(data: bytes) -> tuple[bytes, str]:
    """The table of one run without a last line that a killed process did not end, and a note where there was one."""
    if data.startswith(PARQUET):
        return data, ""
    data = text(data)
    rows, _, last = data.rpartition(b"\n")
    # The last: the end of a cell of several lines.
    if not rows or not last or last.count(b'"') % 2 > data.count(b'"') % 2:
        return data, ""
    separator, names = _split(data, [])
    cells = next(lines.reader([last.decode()], delimiter=separator), [])
    if data.count(b'"') % 2 == 0 and len(cells) >= len(names):
        return data, ""
    return rows + b"\n", CUT


def header(data: bytes) -> list[str]:
    """The names of a table's columns."""
    if data.startswith(PARQUET):
        return list(_opened(data).schema_arrow.names)
    return _split(text(data), [])[1]


def _opened(data: bytes) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(pa.BufferReader(data))
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise Unusable(f"is no Parquet file, or damaged: {short(error)}") from error


def _parquet(data: bytes, names: Sequence[str], optional: Collection[str]) -> pa.Table:
    file = _opened(data)
    chosen = require(names, file.schema_arrow.names, optional)
    try:
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        size = sum(
            group.column(column).total_uncompressed_size for group in groups for column in range(group.num_columns)
        )
        if size > MOST_BYTES or file.metadata.num_rows * len(chosen) > MOST_VALUES:
            raise Unusable(
                f"has {file.metadata.num_rows:,} rows and unpacks to {size:,} bytes; that is too much for one file"
            )
        return file.read(columns=chosen)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise Unusable(f"is no Parquet file, or damaged: {short(error)}") from error


def _split(data: bytes, wanted: Sequence[str]) -> tuple[str, list[str]]:
    """The separator of a table and its column names: the separator that shows the columns wanted, or most columns."""
    first = data.split(b"\n", 1)[0].decode()
    found = {separator: next(lines.reader([first], delimiter=separator, strict=False), []) for separator in SEPARATORS}
    every = {separator: [name.strip() for name in names] for separator, names in found.items()}
    best = max(every, key=lambda separator: (sum(name in every[separator] for name in wanted), len(every[separator])))
    return best, every[best]


def _csv(data: bytes, names: Sequence[str], numeric: Collection[str], optional: Collection[str]) -> Table:
    """A CSV file by its own separator. Every line must have all cells; the last one may lack its end (RFC 4180, 2.2)."""
    separator, there = _split(data, names)
    chosen = require(names, there, optional)
    if data.count(b'"') % 2:
        raise Unusable("is truncated or damaged: a quote is opened and never closed")
    places = {name: f"{there.index(name)}" for name in chosen}
    reading = csv.ReadOptions(
        use_threads=False,
        block_size=min(max(len(data) + 1, 1), 2**31 - 1),
        column_names=[str(place) for place in range(len(there))],
        skip_rows=1,
    )
    parsing = csv.ParseOptions(newlines_in_values=True, delimiter=separator)
    table = None
    if data.strip().count(b"\n"):
        for fast in (True, False):
            types = {place: pa.float64() if fast and name in numeric else pa.string() for name, place in places.items()}
            converting = csv.ConvertOptions(
                include_columns=list(places.values()),
                column_types=types,
                null_values=list(ABSENT),
                strings_can_be_null=False,
                quoted_strings_can_be_null=True,
            )
            try:
                table = csv.read_csv(pa.BufferReader(data), reading, parsing, converting)
                if not fast or not _infinite(table, places, numeric):  # 1e999 is none, and only its text says so
                    break
            except pa.ArrowInvalid as error:
                if not fast or "conversion error" not in str(error):
                    raise _told(error, data, len(there)) from error
            except (pa.ArrowException, ValueError, MemoryError) as error:
                raise Unusable(f"is no CSV file, or damaged: {short(error)}") from error
    if table is None:
        table = pa.table({place: pa.array([], pa.string()) for place in places.values()})
    if table.num_rows * len(chosen) > MOST_VALUES:
        raise Unusable(f"has {table.num_rows:,} rows; that is too much for one file")
    comma = separator == ";" and _has_decimal_commas(table, places, numeric)
    return Table(table.rename_columns(list(places)), comma)


def _infinite(table: pa.Table, places: dict[str, str], numeric: Collection[str]) -> bool:
    return any(pc.any(pc.is_inf(table[place])).as_py() for name, place in places.items() if name in numeric)


def _told(error: pa.ArrowInvalid, data: bytes, columns: int) -> Unusable:
    """What is wrong with the lines of a CSV file."""
    found = re.search(r"(?:Row #([0-9]+): )?Expected ([0-9]+) columns, got ([0-9]+)", str(error))
    if not found:
        return Unusable(f"is no CSV file, or damaged: {short(error)}")
    last = data.rstrip(b"\n").rsplit(b"\n", 1)[-1]
    cells = len(next(lines.reader([last.decode(errors="replace")]), []))
    if int(found[3]) < columns and not data.endswith(b"\n") and cells == int(found[3]):
        return Unusable(f"is truncated: its last line has {cells} of {columns} cells")
    return Unusable(f"is no CSV file, or damaged: {short(error)}")


def _has_decimal_commas(table: pa.Table, places: dict[str, str], numeric: Collection[str]) -> bool:
    for name, place in places.items():
        column = table[place]
        if name in numeric and pa.types.is_string(column.type) and pc.any(pc.match_substring(column, ",")).as_py():
            return True
    return False


def require(names: Sequence[str], there: Sequence[str], optional: Collection[str] = ()) -> list[str]:
    """Those of `names` that are there. Raises Unusable where another than an optional one is not, or one is there twice."""
    for name in names:
        if name not in there and name not in optional:
            if there and there[0].startswith(("{", "[")):
                raise Unusable("is JSON, which rllib-result, marl-eval and dopamine read")
            raise Unusable(f"column {name!r} is missing; it has: {listed(there)}")
        if list(there).count(name) > 1:
            raise Unusable(f"column {name!r} is there twice")
    return [name for name in names if name in there]
