"""The bytes of a log as its reader expects them: unpacked, in UTF-8, lines ended by LF; or what the file is instead.

Files are data from strangers: nothing in them is executed or unpickled, and every size is checked before memory is taken.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Protocol

MOST_BYTES = 256 * 2**20
"""Bytes of one file, and of what it unpacks to."""

GZIP, BZIP2, XZ, ZIP = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"PK\x03\x04"
PARQUET, NUMPY = b"PAR1", b"\x93NUMPY"
OTHERS = {
    b"\x28\xb5\x2f\xfd": "is packed by Zstandard; unpack it",
    b"7z\xbc\xaf\x27\x1c": "is a 7z archive; unpack it",
    b"Rar!": "is a RAR archive; unpack it",
    b"\xd0\xcf\x11\xe0": "is an Excel workbook; save it as CSV",
    b"SQLite format 3\x00": "is an SQLite database; export its table as CSV",
    b"\x89HDF": "is an HDF5 file; export its table as CSV",
    b"ARROW1": "is an Arrow file; save it as Parquet or CSV",
    b"\x80\x04": "is a pickle, which is never loaded; save it as CSV",
    b"\x80\x05": "is a pickle, which is never loaded; save it as CSV",
    b"version https://git-lfs": "is a pointer of Git LFS, not the file; run git lfs pull",
    b"<!DOCTYPE": "is a web page; download the file itself",
    b"<!doctype": "is a web page; download the file itself",
    b"<html": "is a web page; download the file itself",
    NUMPY: "is a NumPy array, which does not say its runs; write a table of it",
    PARQUET: "is a Parquet table, which format tidy reads",
}
"""The first bytes of files that no reader reads -> what they are, and what to do."""


EVENTS = b"brain.Event:"
"""In the first record of an event file."""


class Unusable(Exception):
    """Why a file, or a run in it, cannot be used: in words that follow its name."""


def content(path: Path) -> bytes:
    """The bytes of a file, unpacked where it is packed by gzip, bzip2, xz, or alone in a zip archive. Raises Unusable."""
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise Unusable(f"has {size:,} bytes; at most {MOST_BYTES:,} are read")
        data = path.read_bytes()
    except OSError as error:
        raise Unusable(f"cannot be read: {error.strerror or error}") from error
    return unpacked(data)


def unpacked(data: bytes) -> bytes:
    """`data`, or what it holds where it is packed. Raises Unusable where that is damaged, too large or several files."""
    packer, stream = "", BytesIO(data)
    try:
        if data.startswith(GZIP):
            packer = "gzip"
            return _bounded(gzip.GzipFile(fileobj=stream))
        if data.startswith(BZIP2):
            packer = "bzip2"
            return _bounded(bz2.BZ2File(stream))
        if data.startswith(XZ):
            packer = "xz"
            return _bounded(lzma.LZMAFile(stream))
        if data.startswith(ZIP):
            packer = "zip"
            return _alone(zipfile.ZipFile(stream), data)
    except (OSError, EOFError, ValueError, RuntimeError, lzma.LZMAError, zipfile.BadZipFile, zlib.error) as error:
        raise Unusable(f"is packed by {packer}, and damaged: {short(error)}") from error
    return data


def _alone(archive: zipfile.ZipFile, data: bytes) -> bytes:
    """The only file of an archive; the archive itself where it is NumPy's .npz."""
    names = [each for each in archive.namelist() if not each.endswith("/") and not hidden(each)]
    if names and all(name.endswith(".npy") for name in names):
        return data
    if any(name.startswith("xl/") for name in names):
        raise Unusable("is an Excel workbook; save it as CSV")
    if len(names) != 1:
        raise Unusable(f"is a zip archive of {len(names):,} files; unpack it")
    with archive.open(names[0]) as file:
        return _bounded(file)


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


def _bounded(file: Readable) -> bytes:
    found = file.read(MOST_BYTES + 1)
    if len(found) > MOST_BYTES:
        raise Unusable(f"unpacks to more than {MOST_BYTES:,} bytes, which are the most that are read")
    return found


def hidden(name: str) -> bool:
    """Whether a path is nobody's log: a hidden file or folder, or what macOS leaves beside files."""
    return any(part == "__MACOSX" or (part.startswith(".") and part != ".") for part in name.split("/"))


def text(data: bytes) -> bytes:
    """A text file in UTF-8 without a mark, its lines ended by LF (CR LF and CR before). Raises Unusable, saying what it is instead."""
    if not data.strip():
        raise Unusable("is empty")
    refuse_others(data)
    data = _utf8(data)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data.lstrip(b"\n")


def refuse_others(data: bytes) -> None:
    """Raises Unusable, saying what it is and what reads it, where a file is known to be of another kind than its reader's."""
    if data.startswith(ZIP):
        named = b".npy" in data[:200]
        raise Unusable(
            "is a NumPy archive, which format sb3-evaluations reads" if named else "is a zip archive; unpack it"
        )
    if EVENTS in data[:100]:
        raise Unusable("is an event file of TensorBoard, which format tensorboard reads")
    for start, words in OTHERS.items():
        if data.startswith(start):
            raise Unusable(words)


def _utf8(data: bytes) -> bytes:
    encoding = "utf-8-sig" if data.startswith(codecs.BOM_UTF8) else "utf-8"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif 3 * data[:200].count(0) > len(data[:200]):  # without a mark: every other byte of ASCII is 0
        encoding = "utf-16-be" if data[:1] == b"\x00" else "utf-16-le"
    try:
        decoded = data.decode(encoding)
    except UnicodeDecodeError as error:
        shown = f"byte {data[error.start]:#04x} at {error.start:,}" if encoding.startswith("utf-8") else short(error)
        raise Unusable(f"is no text in {encoding.upper()[:6].rstrip('-')} ({shown}); save it as UTF-8") from error
    if "\x00" in decoded:
        raise Unusable("is no text: it has bytes of 0")
    return data if encoding == "utf-8" else decoded.encode()


def short(error: BaseException) -> str:
    """A library's message, in one short line."""
    return " ".join(str(error).split())[:120] or type(error).__name__


def listed(names: object) -> str:
    """Names for a message: a dozen of them, nothing that does not print."""
    every = [str(name) for name in names]  # type: ignore[attr-defined]
    shown = [name[:40] if name.isprintable() else repr(name)[:40] for name in every]
    return ", ".join(shown[:12]) + (" ..." if len(shown) > 12 else "") or "nothing"
