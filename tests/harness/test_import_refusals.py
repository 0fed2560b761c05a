"""Logs and import files that are wrong, damaged or hostile: one line that names file and field, and nothing is executed."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from imported_logs import (
    one_line,
    reading,
    rows,
    runs_of,
    table,
    write_all,
    write_import,
    write_monitor,
    write_tensorboard,
)

from harness.errors import InputError
from harness.imports.overview import left_out
from harness.imports.readers.content import MOST_BYTES
from harness.imports.schema import NAME
from harness.schema.fields import SLUG

FORMATS = (
    "'tensorboard', 'sb3-monitor', 'sb3-evaluations', 'tidy', 'scores', 'wandb-long', 'wandb-wide', 'openrlbenchmark', "
    "'spinup', 'sb3-progress', 'rllib-progress', 'rllib-result', 'marl-eval', 'dopamine'"
)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


WRONG_TABLES = [
    (rows("dqn"), r"table\.csv: unknown arm 'dqn'.* Known: a2c, ppo"),
    (rows(task="CartPole-v0"), r"table\.csv: unknown task 'CartPole-v0'; did you mean 'CartPole-v1'\?"),
    (rows(seed="one"), r"table\.csv: seed: 'one' is no integer"),
    (rows(seed=-1), r"table\.csv: seed: '-1' is no integer"),
    (rows(seed=2**32), r"table\.csv: seed: '4294967296' is no integer from 0 to 4,294,967,295"),
    (rows(seed="²"), r"table\.csv: seed: '²' is no integer"),
    (rows(seed="1.5"), r"table\.csv: seed: '1\.5' is no integer"),
    (rows(seed=""), r"table\.csv: seed: is empty in 3 rows"),
    (rows(steps=(0, 10, 9)), r"table\.csv: arm ppo, task CartPole-v1, seed 0: step: 9 comes after 10; steps must rise"),
    (rows() + rows(), r"seed 0: step: 0 comes after 20"),
    (rows(steps=(0, 10, 10)), "step: 10 comes after 10"),
    (rows(steps=(0, "x", 10)), r"table\.csv: arm ppo, .*: step: 'x' is no number"),
    (rows(steps=(0, np.inf, 10)), "step: a step is no number from 0"),
    (rows(steps=(-1, 0, 10)), "step: a step is no number from 0"),
    (rows(returns=(1, "much", 2)), r"table\.csv: arm ppo, .*: return: 'much' is no number"),
]


@pytest.mark.parametrize(("logs", "message"), WRONG_TABLES, ids=[message[-30:] for _, message in WRONG_TABLES])
def test_a_wrong_table_gets_one_line(logs, message):
    assert re.search(message, one_line(table(logs)))


def test_steps_of_an_episodic_log_may_repeat_and_not_fall():
    for last, message in [
        (6, None),
        (5, "long.csv: arm ppo, task T, seed 1: step: 5 comes after 6; steps must not fall"),
    ]:
        Path("long.csv").write_text(
            f"run,global_step,charts/episodic_return\nT__ppo__1__1,6,1\nT__ppo__1__1,{last},2\n"
        )
        tasks = {"T": {"low": 0, "high": 1, "source": ""}}
        config = write_import(Path(), tasks=tasks, runs=[{"format": "wandb-long", "files": "long.csv"}])
        if message is None:
            assert [run.curve.returns.tolist() for run in runs_of(config)] == [[2.0]]
        else:
            assert one_line(config) == message


def test_the_same_run_in_two_files_is_refused():
    table(rows(returns=(1, 2, 4)), path="b.csv")
    table(rows(), path="a.csv")
    message = one_line(write_import(Path(), runs=[{"format": "tidy", "files": "*.csv"}], smooth=None))
    assert message == "b.csv: arm ppo, task CartPole-v1, seed 0: appears twice; the other is in a.csv"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"arm,task,seed,step\nppo,CartPole-v1,0,1\n",
            r"table\.csv: column 'return' is missing; it has: arm, task, seed, step",
        ),
        (b"", r"table\.csv: is empty"),
        (
            b"arm,task,seed,step,return\nppo,\xff,0,1,2\n",
            r"table\.csv: is no text in UTF-8 \(byte 0xff at 30\); save it as UTF-8",
        ),
        (b"\n", r"table\.csv: is empty"),
        (
            b"arm,task,seed,step,return\nppo,CartPole-v1,0,1,2\nppo,CartPole-v1,0,2\n",
            r"table\.csv: .*Row #3: Expected 5 columns, got 4",
        ),
        (
            b"arm,task,seed,step,return\nppo,CartPole-v1,0,1,2\nppo,CartPole-v1,0,20",
            r"table\.csv: is truncated: its last line has 4 of 5 cells",
        ),
        (b"arm,task,seed,step,return,step\nppo,CartPole-v1,0,1,2,3\n", r"table\.csv: column 'step' is there twice"),
        (b"arm,task,seed,step,return\nppo,CartPole-v1,0,1,2,3,4,5\n", r"table\.csv: .*Expected 5 columns, got 8"),
        (b"arm,task,seed,step,return\n", r"table\.csv: holds no run"),
    ],
)
def test_a_file_that_is_no_table_gets_one_line(content, message):
    path = table(rows())
    Path("table.csv").write_bytes(content)
    assert re.search(message, one_line(path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"actions": None}, "actions: is missing"),
        ({"actions": "both"}, "actions: must be 'sampled' or 'greedy' (got 'both')"),
        ({"runs": [{"format": "sb3", "files": "*"}]}, f"runs.0: 'format' is 'sb3', must be one of {FORMATS}"),
        ({"runs": [{"files": "*.csv"}]}, "runs.0: 'format' is missing"),
        ({"runs": [{"format": "tidy"}]}, "runs.0.tidy.files: is missing"),
        ({"runs": []}, "runs: must not be empty (got [])"),
        (
            {"runs": [{"format": "tidy", "files": "../*.csv"}]},
            "runs.0.tidy.files: must be a path below the folder of this file, without .. (got '../*.csv')",
        ),
        (
            {"runs": [{"format": "tidy", "files": "/etc/passwd"}]},
            "runs.0.tidy.files: must be a path below the folder of this file, without .. (got '/etc/passwd')",
        ),
        (
            {"runs": [{"format": "tidy", "files": "{arms}.csv"}]},
            "runs.0.tidy.files: {arms} is no placeholder; allowed: {arm}, {task}, {seed} and * (got '{arms}.csv')",
        ),
        (
            {"runs": [{"format": "tidy", "files": "{arm}{seed}.csv"}]},
            "runs.0.tidy.files: placeholders and stars must have something between them (got '{arm}{seed}.csv')",
        ),
        (
            {"runs": [{"format": "tidy", "fiels": "*"}]},
            "runs.0.tidy: unknown field 'fiels'; did you mean 'files'? Known: columns, exclude, files, format, rename, unit",
        ),
        (
            {"runs": [{"format": "tidy", "files": "*", "columns": {"retrun": "r"}}]},
            "runs.0.tidy.columns: unknown field 'retrun'; did you mean 'return'? Known: arm, return, run, seed, step, task",
        ),
        (
            {"runs": [{"format": "tidy", "files": "*", "rename": {"x": "dqn"}}]},
            "runs.0.rename.x: unknown arm or task 'dqn'. Known: CartPole-v1, a2c, ppo",
        ),
        (
            {"runs": [{"format": "sb3-monitor", "files": "*"}], "smooth": None},
            "smooth: is missing: sb3-monitor holds single episodes (runs.0); say over how many the mean is taken, "
            "for example smooth: 10, or smooth: 1 for none",
        ),
        ({"runs": [{"format": "tidy", "files": 5}]}, "runs.0.tidy.files: must be text (got 5)"),
        (
            {"runs": [{"format": "tidy", "files": "."}]},
            "runs.0.tidy.files: must be a path below the folder of this file, without .. (got '.')",
        ),
        (
            {"runs": [{"format": "tidy", "files": "é" * 200}]},
            "runs.0.tidy.files: must have at most 1,000 characters, and 255 bytes between two slashes (got 'é",
        ),
        ({"smooth": "ten"}, "smooth: must be a whole number (got 'ten')"),
        ({"smooth": 0}, "smooth: must be at least 1 (got 0)"),
        ({"grid": {"first": 0, "last": 1, "points": 3}}, "grid: last must be at least first + points - 1 = 2"),
        ({"grid": {"first": 0, "last": 20.5, "points": 3}}, "grid.last: '20.5' is no whole number of steps"),
        (
            {"grid": {"first": "1M", "last": "1e13", "points": 3}},
            "grid.last: '1e13' is not from 1 to 1,000,000,000,000 steps",
        ),
        ({"grid": {"first": 0, "last": "20k", "points": 1}}, "grid.points: must be at least 2 (got 1)"),
        ({"arms": {"a": {"soft": True}}}, "arms: at least one must be hard (soft: false)"),
        ({"arms": {"a": {"soft": "perhaps"}}}, "arms.a.soft: must be true or false (got 'perhaps')"),
        (
            {"arms": {"a": {"soft": False}, "b": {"soft": True, "hard": "c"}}},
            "arms.b.hard: 'c' is no hard arm. Known: a",
        ),
        ({"arms": {"../a": {"soft": False}}}, f"arms: the name '../a' must be {NAME}"),
        ({"tasks": {"T": {"low": 1, "high": 1, "source": ""}}}, "tasks.T: low must be below high (got 1 and 1)"),
        ({"tasks": {"T": {"low": 2, "high": 1, "source": ""}}}, "tasks.T: low must be below high (got 2 and 1)"),
        (
            {"tasks": {task: {"low": 0, "high": 1, "source": ""} for task in ("A/B", "A_B")}},
            "tasks.A/B: another task has the same folder, A_B",
        ),
        ({"name": "../x"}, f"name: must be {SLUG} (got '../x')"),
        ({"name": "my runs"}, f"name: must be {SLUG} (got 'my runs')"),
        (
            {"titel": "x"},
            "unknown field 'titel'; did you mean 'title'? Known: actions, arms, grid, name, runs, seeds, smooth, tasks, title",
        ),
    ],
)
def test_a_wrong_import_file_gets_one_line(changes, message):
    table(rows())
    said = one_line(write_import(Path(), **changes))
    assert said.startswith(f"import.yaml: {message}") if message.endswith("é") else said == f"import.yaml: {message}"


def test_a_pattern_that_matches_no_file_is_told():
    table(rows())
    said = one_line(write_import(Path(), runs=[{"format": "tidy", "files": "none.csv"}]))
    assert said == "runs.0.files: 'none.csv' matches no file in ."


def test_yaml_aliases_are_refused():
    Path("import.yaml").write_text("name: &a x\ntitle: *a\n")
    assert "aliases (*name) are not allowed" in one_line(Path("import.yaml"))


def test_damaged_event_files():
    write_tensorboard(Path("runs/1"), range(0, 100, 10), range(10))
    (path,) = Path("runs/1").iterdir()
    whole = path.read_bytes()
    config = write_import(
        Path(), arms={"ppo": {"soft": False}}, runs=[{"format": "tensorboard", "files": "runs/{seed}/events*"}]
    )
    assert len(runs_of(config)[0].curve.steps) == 10
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    huge = bytearray(whole)
    huge[:8] = struct.pack("<Q", 2**62)
    for content in (whole[:-1], whole[:-20], bytes(flipped)):
        path.write_bytes(content)
        assert re.search(
            rf"{path.name}: arm ppo, .*: is truncated or damaged after [0-9,]+ of {len(content):,} bytes",
            one_line(config),
        )
    none = "is no event file, or damaged from its first byte on"
    for content, message in ((b"", "is empty"), (b"no events at all, but text", none), (bytes(huge), none)):
        path.write_bytes(content)
        assert one_line(config) == f"{path}: arm ppo, task CartPole-v1, seed 1: {message}"
    path.write_bytes(whole)
    other = [{"format": "tensorboard", "files": "runs/{seed}/events*", "tag": "charts/episodic_returns"}]
    message = one_line(write_import(Path(), arms={"ppo": {"soft": False}}, runs=other))
    assert "tag: 'charts/episodic_returns' is missing; did you mean 'charts/episodic_return'?" in message


def test_damaged_monitor_files():
    path = Path("0.monitor.csv")
    write_monitor(path, [10, 10], [1, 2])
    whole = path.read_bytes()
    config = write_import(
        Path(), arms={"ppo": {"soft": False}}, runs=[{"format": "sb3-monitor", "files": "{seed}.monitor.csv"}]
    )
    assert len(runs_of(config)[0].curve.steps) == 2
    path.write_bytes(whole[: whole.rindex(b",")])
    assert [*map(len, (runs_of(config)[0].curve.steps, reading(config).notes))] == [1, 1], (
        "of a process that was killed"
    )
    for content, message in [
        (whole.replace(b"#", b""), "line 1 is not Monitor's"),
        (whole.replace(b"r,l,t", b"r,n,t"), "column 'l' is missing; it has: r, n, t"),
        (whole.replace(b",10,", b",-5,"), "l: the length of an episode must be at least 1"),
        (whole.replace(b",10,", b",ten,"), "l: 'ten' is no number"),
        (b"", "is empty"),
    ]:
        path.write_bytes(content)
        assert one_line(config).startswith(f"0.monitor.csv: arm ppo, task CartPole-v1, seed 0: {message}")


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


class Boom:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (Path("executed").touch, ())


def test_hostile_and_damaged_npz_files():
    path = Path("0.npz")
    config = write_import(
        Path(), arms={"ppo": {"soft": False}}, runs=[{"format": "sb3-evaluations", "files": "{seed}.npz"}]
    )
    good = npz(timesteps=[1, 2], results=[[1.0, 2.0], [3.0, 4.0]])
    lying = io.BytesIO()
    with zipfile.ZipFile(lying, "w") as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
        archive.writestr("timesteps.npy", header.getvalue())
        archive.writestr("results.npy", b"")
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("timesteps.npy", bytes(MOST_BYTES + 1))
    ragged = np.array([[1.0], [1.0, 2.0]], dtype=object)
    for content, message in [
        (npz(timesteps=[1, 2], results=ragged), "results: holds Python objects"),
        (npz(timesteps=np.array([Boom()], dtype=object), results=[[1.0]]), "timesteps: holds Python objects"),
        (npz(timesteps=[1, 2]), "results: is missing"),
        (npz(timesteps=[1, 2], results=[[1.0]]), r"results: has the shape [1, 1], must be [2, episodes]"),
        (npz(timesteps=["a", "b"], results=[[1.0], [2.0]]), "timesteps: holds <U1, must be numbers"),
        (lying.getvalue(), "timesteps: is truncated: [1000000000000] values of float64 are not 0 bytes"),
        (bomb.getvalue(), "timesteps: unpacks to 268,435,457 bytes; at most 268,435,456 are read"),
        (good[:-30], "is packed by zip, and damaged: "),
        (b"text", "is no .npz file, or damaged: "),
    ]:
        path.write_bytes(content)
        assert one_line(config).startswith(f"0.npz: arm ppo, task CartPole-v1, seed 0: {message}")
    assert not Path("executed").exists()
    path.write_bytes(good)
    assert runs_of(config)[0].curve.returns.tolist() == [1.5, 3.5]


def test_big_files_parquet_bombs_and_links_out_of_the_folder():
    path = table(rows())
    with open("table.csv", "r+b") as file:
        file.truncate(MOST_BYTES + 1)
    assert "table.csv: has 268,435,457 bytes; at most 268,435,456 are read" in one_line(path)
    many = pd.DataFrame({"arm": "ppo", "task": "CartPole-v1", "seed": 0, "step": np.zeros(3_000_000), "return": 0.0})
    many.to_parquet("table.parquet")
    assert Path("table.parquet").stat().st_size < 100_000
    parquet = write_import(Path(), runs=[{"format": "tidy", "files": "*.parquet"}], smooth=None)
    assert re.search(r"table\.parquet: has 3,000,000 rows .* too much for one file", one_line(parquet))
    Path("table.parquet").write_bytes(b"PAR1 no")
    assert "table.parquet: is no Parquet file, or damaged: " in one_line(parquet)
    Path("inner").mkdir()
    Path("inner/out.csv").symlink_to(Path("table.csv").resolve())
    inner = write_import(Path("inner"), runs=[{"format": "tidy", "files": "*.csv"}], smooth=None)
    assert one_line(inner) == "inner/out.csv: leads out of the folder inner"
    Path("inner/out.csv").rename("inner/\n.csv")
    assert one_line(inner) == "'inner/\\n.csv': a file's name must be printable"


@pytest.mark.parametrize(
    ("entry", "broken"),
    [
        ({"format": "tensorboard", "files": "runs/{task}__{arm}__{seed}__*/events*"}, "runs/*__ppo__1__*/events*"),
        (
            {"format": "sb3-monitor", "files": "logs/{arm}/{task}/seed{seed}/monitor.csv"},
            "logs/ppo/*/seed1/monitor.csv",
        ),
        ({"format": "sb3-evaluations", "files": "logs/{arm}/{task}/seed{seed}/*.npz"}, "logs/ppo/*/seed1/*.npz"),
        ({"format": "wandb-long", "files": "exports/long.csv", "columns": {"run": "name"}}, "exports/long.csv"),
        ({"format": "wandb-wide", "files": "exports/wide.csv"}, "exports/wide.csv"),
        ({"format": "tidy", "files": "table.csv", "columns": {"arm": "algo", "task": "env_id"}}, "table.csv"),
        ({"format": "tidy", "files": "table.parquet", "columns": {"arm": "algo", "task": "env_id"}}, "table.parquet"),
    ],
    ids=lambda value: value["files"][-8:] if isinstance(value, dict) else "",
)
def test_whatever_bytes_are_flipped_or_lost_there_is_one_line_or_runs(entry, broken):
    write_all(Path())
    pd.read_csv("table.csv").to_parquet("table.parquet")
    (path,) = Path().glob(broken)
    whole, config = path.read_bytes(), write_import(Path(), runs=[entry])
    draw, messages = np.random.default_rng(0), []
    for _ in range(40):
        content = np.frombuffer(whole, np.uint8).copy()
        where = draw.integers(min(len(whole), draw.choice([100, len(whole)])), size=3)
        content[where] = draw.integers(256, size=3)
        path.write_bytes(content.tobytes()[: draw.choice([len(whole), where[0]], p=[0.8, 0.2])])
        try:
            messages += left_out(reading(config))
        except InputError as error:
            messages.append(str(error))
    assert len(messages) > 20 and all("\n" not in message and len(message) < 500 for message in messages)
