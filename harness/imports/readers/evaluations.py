"""Stable-Baselines3's EvalCallback: `timesteps [k]`, `results [k, episodes]`; a point is the mean of its episodes."""

from __future__ import annotations

import math
import warnings
import zipfile
import zlib
from io import BytesIO

import numpy as np

from harness.imports.readers.content import MOST_BYTES, ZIP, Unusable, refuse_others, short
from harness.imports.readers.log import Log
from harness.imports.readers.tables import Array


def evaluations(data: bytes) -> Log:
    """Axes of one value at the end of `results`, and episodes that are NaN, as unequal numbers of them are padded, are passed over."""
    timesteps, results = _array(data, "timesteps"), _array(data, "results")
    steps = timesteps.reshape(-1) if timesteps.ndim and timesteps.size == len(timesteps) else timesteps
    if steps.ndim != 1:
        raise Unusable(f"timesteps: has the shape {list(timesteps.shape)}, must be [evaluations]")
    shape = list(results.shape)
    while results.ndim > 2 and results.shape[-1] == 1:
        results = results[..., 0]
    if results.ndim == 1:
        results = results[:, None]
    if results.ndim != 2 or len(results) != len(steps) or not results.shape[1]:
        raise Unusable(f"results: has the shape {shape}, must be [{len(steps)}, episodes]")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # an evaluation without any finite episode is NaN
        return Log({}, steps, np.nanmean(results, axis=1))


def _array(data: bytes, name: str) -> Array:
    """One array of numbers of an .npz file. Never unpickles: an array of Python objects is refused."""
    if not data.startswith(ZIP):
        if not data:
            raise Unusable("is empty")
        refuse_others(data)
        raise Unusable("is no .npz file, or damaged: it does not begin as one")
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            size = archive.getinfo(f"{name}.npy").file_size
            if size > MOST_BYTES:
                raise Unusable(f"{name}: unpacks to {size:,} bytes; at most {MOST_BYTES:,} are read")
            stream = BytesIO(archive.read(f"{name}.npy"))  # never more than `size`: zipfile stops there
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(stream)
    except KeyError as error:
        raise Unusable(f"{name}: is missing") from error
    except (ValueError, OSError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise Unusable(f"is no .npz file, or damaged: {short(error)}") from error
    if dtype.kind not in "iuf":
        why = "Python objects (evaluations of unequal numbers of episodes?)" if dtype.hasobject else str(dtype)
        raise Unusable(f"{name}: holds {why}, must be numbers")
    numbers = stream.read()
    if math.prod(shape) * dtype.itemsize != len(numbers):
        raise Unusable(f"{name}: is truncated: {list(shape)} values of {dtype} are not {len(numbers):,} bytes")
    found = np.frombuffer(numbers, dtype).reshape(shape, order="F" if fortran else "C")
    return found.astype(np.float64)
