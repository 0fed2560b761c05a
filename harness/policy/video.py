"""Pictures into a file: a GIF by Pillow, or an MP4 by ffmpeg (an extra)."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np
from PIL import Image

from harness.errors import InputError
from harness.files import replacing

KINDS = (".gif", ".mp4")
WIDTH = 320
"""Pixels of a GIF's picture, at most: it packs badly."""
FASTEST = 50.0
"""Pictures a second of a GIF, whose times are hundredths of a second."""


def check(path: Path) -> None:
    """Raises InputError where no video of this name can be written here."""
    if path.suffix not in KINDS:
        raise InputError(f"--video: {path.name!r} must end in {' or '.join(KINDS)}")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(f"--video: {path.parent}: is no folder that can be written")
    if path.suffix == ".mp4" and importlib.util.find_spec("imageio_ffmpeg") is None:
        raise InputError("--video: an MP4 needs the package imageio-ffmpeg: pip install -e '.[video]'; or write a .gif")


def write(path: Path, pictures: Iterator[np.ndarray], speed: float) -> None:
    """Pictures [height, width, 3], so many a second. Raises OSError where the file cannot be written."""
    with replacing(path) as temporary:
        (_gif if path.suffix == ".gif" else _mp4)(temporary, pictures, speed)


def _gif(path: Path, pictures: Iterator[np.ndarray], speed: float) -> None:
    skipped = max(1, round(speed / FASTEST))
    frames = (_small(each) for each in islice(pictures, 0, None, skipped))
    first = next(frames)
    duration = round(100 * skipped / speed) * 10
    first.save(path, "GIF", save_all=True, append_images=frames, duration=duration, loop=0)


def _small(picture: np.ndarray) -> Image.Image:
    image = Image.fromarray(picture)
    image.thumbnail((WIDTH, 10 * WIDTH), Image.Resampling.LANCZOS)
    return image.convert("P", palette=Image.Palette.ADAPTIVE)


def _mp4(path: Path, pictures: Iterator[np.ndarray], speed: float) -> None:
    import imageio_ffmpeg

    first = _even(next(pictures))
    height, width = first.shape[:2]
    made = imageio_ffmpeg.write_frames(
        str(path),
        (width, height),
        fps=speed,
        macro_block_size=2,
        output_params=["-f", "mp4"],
        ffmpeg_log_level="error",
    )
    made.send(None)
    for picture in chain([first], map(_even, pictures)):
        made.send(np.ascontiguousarray(picture))
    made.close()


def _even(picture: np.ndarray) -> np.ndarray:
    """A picture whose sides are even, as the colours of an MP4 want them: a last row or column is there twice."""
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
