"""An event file of TensorBoard, by its own writer of records. Scalars are doubles, so that no digit is lost; times are steps."""

from __future__ import annotations

import math
from pathlib import Path

from harness.errors import InputError
from harness.files import replacing


def write_events(path: Path, steps: list[int], columns: dict[str, list[float]], diverged: list[bool]) -> None:
    """`columns`: tag -> a number a step; NaN is left out but where the run has diverged.

    Raises InputError where TensorBoard is not installed, OSError where the file cannot be written.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_DOUBLE
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError as error:
        raise InputError("KIND: tensorboard needs the package tensorboard: pip install -e '.[imports]'") from error
    scalars = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"))
    with replacing(path) as temporary, temporary.open("wb") as file:
        records = RecordWriter(file)
        records.write(Event(file_version="brain.Event:2").SerializeToString())
        for at, step in enumerate(steps):
            values = [
                Summary.Value(tag=name, metadata=scalars, tensor=TensorProto(dtype=DT_DOUBLE, double_val=[column[at]]))
                for name, column in columns.items()
                if diverged[at] or not math.isnan(column[at])
            ]
            records.write(Event(step=step, wall_time=float(step), summary=Summary(value=values)).SerializeToString())
