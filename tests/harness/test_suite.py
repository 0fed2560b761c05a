"""The schema of suite.yaml: what is taken, and the one line that each mistake gets."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml
from small_suite import SUITE, write_suite

from harness.errors import InputError
from harness.plan.cells import cell_specs
from harness.schema.fields import SLUG, parse_seeds, parse_steps
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
FIELDS = "cells, evaluation, evidence, imported, name, published, references, remarks, seeds, segments, tasks, title"
NO_STEPS = "is no number of steps; write for example 20000, 20k, 1.5M or 1e5"
WRONG = {
    "no mapping": ("- 1\n- 2\n", ": the file: must be a table (name: value) (got [1, 2])"),
    "empty": ("", ": the file: must be a table (name: value) (got None)"),
    "syntax": ("name: small\ntitle: [\n", ", line 3, column 1: not valid YAML: ..."),
    "tabs": ("name:\n\t- x\n", ", line 2, column 1: not valid YAML: ..."),
    "two keys": ("name: small\nname: small\n", ", line 2, column 1: not valid YAML: the key 'name' is given twice"),
    "alias bomb": (
        BOMB,
        ", line 2, column 8: not valid YAML: aliases (*name) are not allowed; write the value out",
    ),
    "alias of itself": (
        "&a [*a]\n",
        ", line 1, column 5: not valid YAML: aliases (*name) are not allowed; write the value out",
    ),
    "deep": ("[" * 500, ": cannot be read: ..."),
    "tag": ("name: !!python/object/apply:os.system [true]\n", ", line 1, column 7: not valid YAML: ..."),
    "list as key": ("? [a, b]\n: 1\n", ", line 1, column 3: not valid YAML: ..."),
    "mapping as key": ("? {a: b}\n: 1\n", ", line 1, column 3: not valid YAML: ..."),
    "many digits": (f"name: {'9' * 5000}\n", ": cannot be read: ..."),
    "other name": (nested("name", value="other"), ": name: is 'other', must be the folder's name 'small'"),
    "name with a space": (nested("name", value="my suite"), f": name: must be {SLUG} (got 'my suite')"),
    "missing field": (nested("title", value=None), ": title: is missing"),
    "unknown field": (nested("colour", value="red"), f": unknown field 'colour'. Known: {FIELDS}"),
    "misspelt field": (
        nested("segmnets", value=4),
        f": unknown field 'segmnets'; did you mean 'segments'? Known: {FIELDS}",
    ),
    "number as field": (nested(1, value=2), f": unknown field '1'. Known: {FIELDS}"),
    "misspelt field of a task": (
        nested("tasks", "CartPole-v1", value={"setps": 320}),
        ": tasks.CartPole-v1: unknown field 'setps'; did you mean 'steps'? Known: backend, clip_rewards, steps, time_limit",
    ),
    "misspelt field of the evaluation": (
        nested("evaluation", "episodse", value=3),
        ": evaluation: unknown field 'episodse'; did you mean 'episodes'? Known: episodes, modes, primary",
    ),
    "misspelt field of a reference": (
        nested("references", "CartPole-v1", value={"low": 0, "hihg": 500, "source": ""}),
        ": references.CartPole-v1: unknown field 'hihg'; did you mean 'high'? Known: floor, high, low, optimum, source",
    ),
    "misspelt field of a published figure": (
        nested("published", value=[{"task": "CartPole-v1", "arm": "a2c", "maen": 3, "source": ""}]),
        ": published.0: unknown field 'maen'; did you mean 'mean'? Known: actions, arm, departs, mean, seeds, source, spread, task",
    ),
    "a remark on another task": (
        nested("remarks", value=[{"pair": "a2c", "task": "CartPole-v2", "text": "Look."}]),
        ": remarks: unknown task 'CartPole-v2'; did you mean 'CartPole-v1'? Known: CartPole-v1",
    ),
    "a remark on another pair": (
        nested("remarks", value=[{"pair": "a2", "task": "CartPole-v1", "text": "Look."}]),
        ": remarks: unknown pair 'a2'; did you mean 'a2c'? Known: a2c",
    ),
    "no whole number": (nested("segments", value=1.5), ": segments: must be a whole number (got 1.5)"),
    "number in words": (nested("segments", value="four"), ": segments: must be a whole number (got 'four')"),
    "no segments": (nested("segments", value=0), ": segments: must be at least 1 (got 0)"),
    "many episodes": (
        nested("evaluation", "episodes", value=1001),
        ": evaluation.episodes: must be at most 1,000 (got 1001)",
    ),
    "a judged mode that is not measured": (
        nested("evaluation", value={"episodes": 2, "primary": "greedy", "modes": ["sampled"]}),
        ": evaluation: modes: must hold 'greedy', which is primary",
    ),
    "a mode twice": (
        nested("evaluation", value={"episodes": 2, "modes": ["sampled", "sampled"]}),
        ": evaluation: modes: one is given twice",
    ),
    "no text": (nested("title", value=3), ": title: must be text (got 3)"),
    "a list of tasks": (nested("tasks", value=["T"]), ": tasks: must be a table (name: value) (got ['T'])"),
    "figures in words": (nested("published", value="none"), ": published: must be a list (got 'none')"),
    "unknown backend": (
        nested("tasks", "CartPole-v1", "backend", value="gym"),
        ": tasks.CartPole-v1.backend: must be 'auto', 'batched', 'minatar', 'multigoal', 'gymnasium', 'atari' or 'envpool' (got 'gym')",
    ),
    "negative steps": (
        nested("tasks", "CartPole-v1", "steps", value=-1),
        f": tasks.CartPole-v1.steps: '-1' {NO_STEPS}",
    ),
    "steps in words": (
        nested("tasks", "CartPole-v1", "steps", value="many"),
        f": tasks.CartPole-v1.steps: 'many' {NO_STEPS}",
    ),
    "steps that are true": (
        nested("tasks", "CartPole-v1", "steps", value=True),
        f": tasks.CartPole-v1.steps: 'True' {NO_STEPS}",
    ),
    "huge steps": (
        nested("tasks", "CartPole-v1", "steps", value=10**30),
        f": tasks.CartPole-v1.steps: '{10**30}' is not from 1 to 1,000,000,000,000 steps",
    ),
    "parts of a step": (
        nested("tasks", "CartPole-v1", "steps", value="1.2345k"),
        ": tasks.CartPole-v1.steps: '1.2345k' is no whole number of steps",
    ),
    "not a number": (
        nested("references", "CartPole-v1", "low", value=float("nan")),
        ": references.CartPole-v1.low: must be a finite number (got nan)",
    ),
    "a reference in words": (
        nested("references", "CartPole-v1", "low", value="zero"),
        ": references.CartPole-v1.low: must be a number (got 'zero')",
    ),
    "same references": (
        nested("references", "CartPole-v1", "high", value=0),
        ": references.CartPole-v1: low must be below high (got 0 and 0)",
    ),
    "falling references": (
        nested("references", "CartPole-v1", "high", value=-5),
        ": references.CartPole-v1: low must be below high (got 0 and -5)",
    ),
    "no reference": (
        nested("references", value={}),
        ": references.CartPole-v1: is missing; give low, high and their source",
    ),
    "duplicate seeds": (
        nested("seeds", value=[0, 1, 0]),
        ": seeds: seed 0 appears twice; every seed must be given once (got [0, 1, 0])",
    ),
    "half a range": (nested("seeds", value="0-"), ": seeds: '0-' is no seed range; write for example 0-9 or 0,3,7"),
    "no seeds": (nested("seeds", value=[]), ": seeds: must not be empty (got [])"),
    "no cells": (nested("cells", value={}), ": cells: must not be empty"),
    "segments in quotes": (nested("segments", value="2"), ": segments: must be a whole number (got '2')"),
    "segments true": (nested("segments", value=True), ": segments: must be a whole number (got True)"),
    "evidence in words": (nested("evidence", value="no"), ": evidence: must be true or false (got 'no')"),
    "a pair without tasks": (nested("cells", "a2c", value={}), ": cells.a2c: must not be empty"),
    "too large a grid": (
        nested(
            "cells", "a2c", value={"CartPole-v1": {"grid": {name: [float(at) for at in range(101)] for name in "ab"}}}
        ),
        ": cells.a2c.CartPole-v1: grid: at most 10,000 points are allowed...",
    ),
    "a floor above the scale": (
        nested("references", "CartPole-v1", value={"low": 0, "high": 500, "source": "x", "floor": 500}),
        ": references.CartPole-v1: floor: must be below high (got 500)",
    ),
    "an optimum below the scale": (
        nested("references", "CartPole-v1", value={"low": 0, "high": 500, "source": "x", "optimum": -3}),
        ": references.CartPole-v1: optimum: must be above low (got -3)",
    ),
    "a negative spread": (
        nested("published", value=[{"task": "CartPole-v1", "arm": "a", "mean": 1, "spread": -1, "source": "x"}]),
        ": published.0.spread: must be at least 0 (got -1)",
    ),
    "unknown primary": (
        nested("evaluation", "primary", value="best"),
        ": evaluation.primary: must be 'sampled' or 'greedy' (got 'best')",
    ),
    "unknown task": (
        nested("cells", "a2c", value={"CartPole-v2": {}}),
        ": cells.a2c.CartPole-v2: unknown task; did you mean 'CartPole-v1'? Known: CartPole-v1",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_suite_gets_a_line_that_names_file_and_field(case):
    """Exactly this line; `...` stands for words of the YAML library or of Python."""
    text, line = WRONG[case]
    write_suite(Path.cwd())
    Path("suites/small/suite.yaml").write_text(text)
    with pytest.raises(InputError) as raised:
        load_suite("small")
    said = str(raised.value)
    start, exact, _ = f"suites/small/suite.yaml{line}".partition("...")
    assert said.startswith(start) if exact else said == start
    assert len(said) < 400 and "\n" not in said


def test_a_misspelt_setting_of_a_cell_is_suggested():
    write_suite(Path.cwd(), cells={"a2c": {"CartPole-v1": {"environmnets": 4}}})
    with pytest.raises(InputError) as raised:
        cell_specs(load_suite("small"), "a2c", "CartPole-v1")
    told, known = str(raised.value).split(" Known: ")
    assert told == (
        "suites/small/suite.yaml: cells.a2c.CartPole-v1: unknown field 'environmnets'; did you mean 'environments'?"
    )
    assert {"discount", "environments", "temperature"} <= set(known.split(", "))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "must be at least 1 (got 0)"),
        ("x", "must be a whole number (got 'x')"),
        (None, "must be a whole number (got None)"),
    ],
)
def test_a_wrong_setting_of_a_cell_is_told_without_jargon(value, words):
    write_suite(Path.cwd(), cells={"a2c": {"CartPole-v1": {"environments": value}}})
    with pytest.raises(InputError) as raised:
        cell_specs(load_suite("small"), "a2c", "CartPole-v1")
    assert str(raised.value) == f"suites/small/suite.yaml: cells.a2c.CartPole-v1.environments: {words}"


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("20000", 20_000),
        (20_000, 20_000),
        ("100_000", 100_000),
        ("20k", 20_000),
        ("1.5M", 1_500_000),
        ("1e5", 100_000),
        ("1.5e3", 1500),
        ("2E+3k", 2_000_000),
        (1e5, 100_000),
        (" 7 ", 7),
        ("0.001k", 1),
        ("1e12", 10**12),
    ],
)
def test_steps_are_read(text, steps):
    found = parse_steps(text)
    assert found == steps and type(found) is int
    write_suite(Path.cwd(), tasks={"CartPole-v1": {"steps": text}})
    assert load_suite("small").tasks["CartPole-v1"].steps == steps


@pytest.mark.parametrize(
    "text",
    [
        "",
        "k",
        "1.5",
        "1.2345k",
        "1e-5",
        "-1",
        "+1",
        "1,000",
        "1K",
        "1m",
        "0x10",
        "1e999",
        "\u0661",
        None,
        True,
        [1],
        "nan",
        0.5,
        "0",
        0,
        "1e13",
        "9" * 5000,
    ],
)
def test_wrong_numbers_of_steps_are_refused(text):
    with pytest.raises(ValueError, match="steps"):
        parse_steps(text)


def test_no_step_is_lost_to_rounding():
    draw = random.Random(1)
    for _ in range(200):
        steps = draw.randint(1, 10**12)
        assert parse_steps(str(steps)) == parse_steps(steps) == parse_steps(f"{steps:_}") == steps
        assert parse_steps(f"{steps // 1000}.{steps % 1000:03}k") == steps
        assert parse_steps(f"{steps // 10**6}.{steps % 10**6:06}M") == steps


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


@pytest.mark.parametrize("name", ["my suite", "Ünïcode!", "a.b"])
def test_a_folder_of_an_odd_name_is_told_to_be_renamed(name):
    write_suite(Path.cwd())
    Path("suites/small").rename(Path("suites") / name)
    with pytest.raises(InputError) as raised:
        load_suite(name)
    assert (
        str(raised.value)
        == f"suites/{name}/suite.yaml: the folder's name must be {SLUG}; rename it, and `name` in the file"
    )
