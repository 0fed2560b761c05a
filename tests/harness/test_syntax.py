"""A file's digest is of what it says: equal on every supported Python, deaf to comments and docstrings, and to nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.syntax import file_digest, syntax_digest

# The syntax that all of Python 3.11 to 3.13 read, one construction a line or two.
PROGRAM = '''
"""A module."""
from __future__ import annotations
import os.path as places
from . import sibling

PAIR: tuple[int, ...] = (1, 1.0, True, None, ..., 1j, b"bytes", "text", 10**30)
"""A documented attribute."""

@decorator(option=1)
class Thing(Base, metaclass=Meta):
    """A class."""
    def method(self, a, /, b=1, *rest, c: int, d=2, **others) -> int:
        """A method."""
        global counter
        counter += 1
        return -a if not b else (lambda x, *y: x @ 2)(a) // 3

async def flow(source):
    async with source as s, other():
        async for item in s:
            yield await item
    try:
        raise ValueError(f"{source!r:>{width}} and {source=} {{}} " "joined" f"{1 + 1:.3f}") from None
    except* (OSError, KeyError) as group:
        del source[1:2, ::3], source.name
    finally:
        assert source, "why"
    while (n := next(source)) is not None and n not in {*PAIR} or n <= 3 < 4 != 5:
        if n == 1: continue
        elif n: break
        else: pass
    match n:
        case {"a": [1, *_, -2.5], **rest} | Thing(x=None) if rest: pass
        case "s" | True as found: pass
        case _: pass
    return [i for i in range(9) if i if i > 1], {k: v for k, v in {**{}, 1: 2}.items()}, {*()}, (j for j in "")
'''
RECORDED = "adcc3d4ac955587ab117cc030505428dc3e2089390afec9cf99c156ad7f00bed"


def test_the_digest_is_the_recorded_one_on_this_python():
    assert syntax_digest(PROGRAM.encode()) == RECORDED


def test_the_digest_does_not_depend_on_the_hash_seed_or_on_optimization(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    script = "import sys; from pathlib import Path; from harness.syntax import file_digest; print(file_digest(Path(sys.argv[1])))"
    for flags, seed in (([], "1"), (["-OO"], "2")):
        command = [sys.executable, *flags, "-c", script, str(tmp_path / "program.py")]
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])}
        assert (
            subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()
            == RECORDED
        )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("PAIR:", "# a comment\nPAIR:"),
        ('"""A module."""', ""),
        ('"""A class."""', '"""Another docstring."""'),
        ('"""A method."""\n', "\n"),
        ('"""A documented attribute."""', ""),
        ("option=1)", "option = 1,  # why\n)"),
        ('"text"', "'text'"),
        ("10**30", "(10 ** 30)"),
    ],
)
def test_what_says_the_same_has_the_same_digest(old, new):
    assert old in PROGRAM
    assert syntax_digest(PROGRAM.replace(old, new).encode()) == RECORDED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return -a", "return +a"),
        ("1.0", "1"),
        ("True,", "1,"),
        ("None,", "False,"),
        ('b"bytes"', '"bytes"'),
        (":.3f", ":.4f"),
        ("!r", "!s"),
        ("i > 1", "i >= 1"),
        ("option=1", "option=2"),
        ("a, /,", "a,"),
        ("async for", "for"),
        ("as group", "as other"),
        ("except*", "except"),
        ("from None", ""),
        (", metaclass=Meta", ""),
        ("c: int", "c"),
        ("**{}, 1: 2", "1: 2, **{}"),
        ("from . import", "from .. import"),
        ("counter += 1", "counter -= 1"),
    ],
)
def test_what_says_something_else_has_another_digest(old, new):
    assert old in PROGRAM
    assert syntax_digest(PROGRAM.replace(old, new, 1).encode()) != RECORDED


def test_a_file_that_is_no_python_has_the_digest_of_its_bytes(tmp_path):
    path = tmp_path / "broken.py"
    for source in (b"def (", b"x = 1\0"):
        path.write_bytes(source)
        assert file_digest(path) == file_digest(path, "bytes")
    path.write_bytes(b"x = 1  # one\n")
    assert file_digest(path) != file_digest(path, "bytes")
