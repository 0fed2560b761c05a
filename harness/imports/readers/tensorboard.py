"""Event files of TensorBoard. Source: TensorFlow's record format."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import InputError, suggestion
from harness.imports.readers.content import EVENTS, Unusable, content, refuse_others, short
from harness.imports.readers.log import Log
from harness.imports.schema import TensorBoard


def tensorboard(entry: TensorBoard, paths: list[Path]) -> list[Log]:
    """Scalars of one tag, a log a file, in the order of the files; those of a restarted run are joined later. Raises Unusable."""
    logs, tags = [], set[str]()
    for path in paths:
        steps, values = [], []
        try:
            for event in _events(path):
                for value in event.summary.value:
                    tags.add(value.tag)
                    if value.tag == entry.tag:
                        steps.append(event.step)
                        values.append(_scalar(value))
        except Unusable as error:
            raise Unusable(f"{path.name} {error}" if len(paths) > 1 else str(error)) from error
        logs.append(Log({}, np.array(steps, np.float64), np.array(values, np.float64), path=path))
    if not any(len(each.steps) for each in logs):
        raise Unusable(f"tag: {entry.tag!r} is missing{suggestion(entry.tag, sorted(tags)[:20])}")
    return [each for each in logs if len(each.steps)]


def _events(path: Path) -> Iterator[Any]:
    """The events of a file, checked record by record."""
    try:
        from google.protobuf.message import DecodeError
        from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
        from tensorboard.compat.proto.event_pb2 import Event
    except ImportError as error:
        raise InputError(f"{path}: reading event files needs TensorBoard: pip install -e '.[imports]'") from error
    data = content(path)
    packed = len(data) != path.stat().st_size
    with tempfile.NamedTemporaryFile(suffix=".tfevents") as file:
        if packed:
            file.write(data)
            file.flush()
        plain = Path(file.name) if packed else path
        whole = 0
        try:
            for record in RawEventFileLoader(
                str(plain)
            ).Load():  # checks each CRC, and ends silently where one is damaged
                whole += len(record) + 16
                yield Event.FromString(record)
        except (DecodeError, MemoryError, OverflowError, ValueError, OSError) as error:
            raise Unusable(f"is no event file, or damaged after {whole:,} bytes: {short(error)}") from error
    if not data:
        raise Unusable("is empty")
    if not whole:
        if EVENTS not in data[:100]:
            refuse_others(data)
        raise Unusable("is no event file, or damaged from its first byte on")
    if whole < len(data):
        raise Unusable(f"is truncated or damaged after {whole:,} of {len(data):,} bytes")


def _scalar(value: Any) -> float:
    """A scalar summary's number: TensorFlow 1's `simple_value`, or a tensor of one value."""
    from tensorboard.util.tensor_util import make_ndarray

    if value.HasField("simple_value"):
        return float(value.simple_value)
    try:
        numbers = make_ndarray(value.tensor)
        if numbers.size != 1:
            raise ValueError(f"it has {numbers.size} values")
        return float(numbers.reshape(-1)[0])
    except (TypeError, ValueError) as error:
        raise Unusable(f"tag: {value.tag[:80]!r} is no scalar: {short(error)}") from error
