"""The schema of suite.yaml: what is taken, and the one line that each mistake gets."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml
from small_suite import SUITE, write_suite

from harness.errors import InputError
from harness.schema.fields import parse_seeds
from harness.schema.suite import load_suite, suite_names


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0", [0]),
        ("0-3", [0, 1, 2, 3]),
        ("0,3,7-9", [0, 3, 7, 8, 9]),
        (" 2 , 1 ", [2, 1]),
        ("5-5", [5]),
        (4, [4]),
        ([3, 1], [3, 1]),
        ("999999999", [999_999_999]),
    ],
)
def test_seeds_are_read(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is no seed range"),
        ("0-", "'0-' is no seed range"),
        ("-1", "'-1' is no seed range"),
        ("1.5", "'1.5' is no seed range"),
        ("1,,2", "'' is no seed range"),
        ("\u0661", "is no seed range"),
        (True, "'True' is no seed range"),
        (None, "'None' is no seed range"),
        ("3-1", "must go up"),
        ("0-10000", "at most 10,000 seeds"),
        ("0-9998,20000-20001", "at most 10,000 seeds"),
        ("9999999999", "is no seed range"),
        ("0-3,2", "seed 2 appears twice"),
    ],
)
def test_wrong_seeds_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_seeds(text)


def test_seeds_come_back_from_any_spelling_of_them():
    draw = random.Random(1)
    for _ in range(200):
        seeds = draw.sample(range(1000), draw.randint(1, 20))
        assert parse_seeds(",".join(str(seed) for seed in seeds)) == seeds
        first = draw.randint(0, 500)
        assert parse_seeds(f"{first}-{first + len(seeds)}") == list(range(first, first + len(seeds) + 1))


def test_a_suite_is_read():
    write_suite(Path.cwd())
    suite = load_suite("small")
    assert suite_names() == ["small"]
    assert suite.seeds == [0, 1] and suite.tasks["CartPole-v1"].steps == 320 and suite.evaluation.primary == "sampled"


def nested(*path, value):
    """SUITE with one field changed."""
    changed = yaml.safe_load(yaml.safe_dump(SUITE))
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return yaml.safe_dump(changed)


BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{n}: &{n} [{','.join([f'*{p}'] * 9)}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)
)
WRONG = {
    "no mapping": ("- 1\n- 2\n", "the file: must be a valid dictionary"),
    "empty": ("", "the file: must be a valid dictionary"),
    "syntax": ("name: small\ntitle: [\n", "line 3, column 1: not valid YAML"),
    "tabs": ("name:\n\t- x\n", "line 2, column 1: not valid YAML"),
    "two keys": ("name: small\nname: small\n", "line 2, column 1: not valid YAML: the key 'name' is given twice"),
    "alias bomb": (BOMB, "aliases .* are not allowed"),
    "alias of itself": ("&a [*a]\n", "aliases .* are not allowed"),
    "deep": ("[" * 500, "cannot be read"),
    "tag": ("name: !!python/object/apply:os.system [true]\n", "not valid YAML"),
    "list as key": ("? [a, b]\n: 1\n", "not valid YAML"),
    "mapping as key": ("? {a: b}\n: 1\n", "not valid YAML"),
    "many digits": (f"name: {'9' * 5000}\n", "suite.yaml"),
    "other name": (nested("name", value="other"), "name: is 'other', must be the folder's name 'small'"),
    "missing field": (nested("title", value=None), "title: Field required"),
    "unknown field": (nested("colour", value="red"), r"colour: unknown field \(got 'red'\)"),
    "negative steps": (
        nested("tasks", "CartPole-v1", "steps", value=-1),
        r"tasks.CartPole-v1.steps: must be greater than .* \(got -1\)",
    ),
    "huge steps": (nested("tasks", "CartPole-v1", "steps", value=10**30), "tasks.CartPole-v1.steps: must be less than"),
    "steps in words": (
        nested("tasks", "CartPole-v1", "steps", value="many"),
        "tasks.CartPole-v1.steps: must be a valid integer",
    ),
    "no segments": (nested("segments", value=0), "segments: must be greater"),
    "not a number": (
        nested("references", "CartPole-v1", "low", value=float("nan")),
        "references.CartPole-v1.low: must be a finite number",
    ),
    "same references": (
        nested("references", "CartPole-v1", "high", value=0),
        "references.CartPole-v1: low and high must differ",
    ),
    "no reference": (nested("references", value={}), "references.CartPole-v1: is missing"),
    "duplicate seeds": (nested("seeds", value=[0, 1, 0]), "seeds: seed 0 appears twice"),
    "no seeds": (nested("seeds", value=[]), "seeds: "),
    "unknown primary": (
        nested("evaluation", "primary", value="best"),
        "evaluation.primary: must be 'sampled' or 'greedy'",
    ),
    "unknown task": (
        nested("cells", "a2c", value={"CartPole-v2": {}}),
        "cells.a2c.CartPole-v2: unknown task; did you mean 'CartPole-v1'",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_suite_gets_a_line_that_names_file_and_field(case):
    text, message = WRONG[case]
    write_suite(Path.cwd())
    Path("suites/small/suite.yaml").write_text(text)
    with pytest.raises(InputError, match=message) as raised:
        load_suite("small")
    assert str(raised.value).startswith("suites/small/suite.yaml")
    assert len(str(raised.value)) < 400


def test_a_suite_that_is_a_folder_or_binary_cannot_be_read():
    path = Path("suites/small/suite.yaml")
    path.mkdir(parents=True)
    with pytest.raises(InputError, match=r"suite\.yaml: cannot be read: Is a directory"):
        load_suite("small")
    path.rmdir()
    path.write_bytes(bytes(range(128, 256)))
    with pytest.raises(InputError, match=r"suite\.yaml: cannot be read: 'utf-8' codec"):
        load_suite("small")
    path.write_bytes(bytes(range(32)))
    with pytest.raises(InputError, match=r"suite\.yaml"):
        load_suite("small")


@pytest.mark.parametrize("name", ["../small", "a/b", "", ".", "small/", "x\0y"])
def test_a_name_is_no_path(name):
    write_suite(Path.cwd())
    with pytest.raises(InputError, match="unknown suite"):
        load_suite(name)


def test_an_unknown_suite_gets_a_suggestion_or_the_way_to_suites(tmp_path):
    with pytest.raises(InputError, match=r"this folder has no suites/<name>/suite\.yaml"):
        load_suite("small")
    write_suite(tmp_path)
    with pytest.raises(InputError, match="did you mean 'small'"):
        load_suite("smal")
