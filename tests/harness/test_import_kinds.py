"""Faults of others' logs, each with its neighbours: what is absent, faulty, continued, called otherwise, too large, or no seed."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from imported_logs import curves, one_line, reading, rows, runs_of, write_import, write_tensorboard

from harness.imports.overview import left_out

pytestmark = pytest.mark.usefixtures("no_ink")
TASK = {"T": {"low": 0, "high": 100, "source": ""}}
TWO = {"a": {"soft": False}, "b": {"soft": True}}
EPISODES = [(1, 10, 1.0), (2, 10, 2.0), (3, 10, 3.0), (4, 10, 4.0)]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


def monitor(path: str, episodes=EPISODES, start: float = 1.7e9, header: bool = True) -> str:
    """A monitor.csv; returns its text."""
    first = f'#{{"t_start": {start}, "env_id": "T"}}\nr,l,t\n' if header else ""
    text = first + "".join(f"{r},{length},{t}\n" for r, length, t in episodes)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    return text


def monitors(files: str = "{arm}_{seed}/*monitor.csv", **changes) -> Path:
    entry = {"format": "sb3-monitor", "files": files, **changes.pop("entry", {})}
    grid = {"first": 10, "last": 40, "points": 4}
    return write_import(Path(), **{"tasks": TASK, "arms": TWO, "grid": grid, "smooth": 1, "runs": [entry], **changes})


def tidy(text: str, **changes) -> Path:
    Path("t.csv").write_text("arm,task,seed,step,return\n" + text)
    grid = {"first": 10, "last": 30, "points": 3}
    runs = [{"format": "tidy", "files": "t.csv"}]
    return write_import(Path(), **{"tasks": TASK, "arms": TWO, "grid": grid, "smooth": None, "runs": runs, **changes})


def out(path: Path) -> list[str]:
    """What was left out."""
    return left_out(reading(path))


# --- absent, or diverged -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", ["nan", "NaN", "inf", "-Infinity", "", "None", "N/A"])
def test_a_value_that_is_not_finite_before_finite_ones_is_absent(gap):
    found = curves(tidy(f"a,T,0,0,{gap}\na,T,0,10,1\na,T,0,20,{gap}\na,T,0,30,3\n"))
    assert found == {("a", "T", 0): ([10, 30], [1, 3], None)}


def test_what_is_not_finite_to_its_end_has_diverged_and_what_is_empty_has_ended():
    path = tidy(
        "a,T,0,10,1\na,T,0,20,nan\na,T,0,30,inf\na,T,1,10,1\na,T,1,20,\na,T,1,30,\nb,T,0,10,nan\nb,T,0,30,nan\n"
    )
    assert curves(path) == {("a", "T", 0): ([10], [1], 20)}
    assert out(path) == [
        "left out: a on T, seed 1 (t.csv): ends at step 10, before the grid's last, 30 (its later returns are empty: absent; "
        "write nan where a run has diverged)",
        "left out: b on T, seed 0 (t.csv): has no finite return",
    ]
    continued = "a,T,0,10,1\na,T,0,20,2\na,T,0,15,3\na,T,0,25,4\na,T,0,30,\n"
    (line,) = out(tidy("b,T,0,10,1\nb,T,0,30,1\n" + continued))
    assert "ends at step 25, before the grid's last, 30 (its later returns are empty" in line


def test_absent_values_in_every_reader():
    monitor("a_0/monitor.csv", [("nan", 10, 0.5), *EPISODES])
    path = monitors(grid={"first": 20, "last": 50, "points": 4})
    assert curves(path) == {("a", "T", 0): ([20, 30, 40, 50], [1, 2, 3, 4], None)}
    steps, results = [10, 20, 30], [[np.nan, np.nan], [1.0, np.nan], [2.0, 4.0]]
    np.savez("a_0.npz", timesteps=steps, results=results)
    path = tidy(
        "",
        runs=[{"format": "sb3-evaluations", "files": "{arm}_{seed}.npz"}],
        grid={"first": 20, "last": 30, "points": 2},
    )
    assert curves(path) == {("a", "T", 0): ([20, 30], [1, 3], None)}, "an episode that is NaN is padding"
    name = "T__a__0__1"
    Path("w.csv").write_text(f'"Step","{name} - charts/episodic_return"\n"0","NaN"\n"10","1"\n"20","NaN"\n"30","3"')
    path = tidy("", runs=[{"format": "wandb-wide", "files": "w.csv"}], smooth=1)
    assert curves(path) == {("a", "T", 0): ([10, 30], [1, 3], None)}
    Path("l.csv").write_text(
        f"run,global_step,charts/episodic_return\n{name},0,nan\n{name},,\n{name},10,1\n,20,\n{name},30,3\n"
    )
    path = tidy("", runs=[{"format": "wandb-long", "files": "l.csv"}], smooth=1)
    assert curves(path) == {("a", "T", 0): ([10, 30], [1, 3], None)}, "of a row without a return nothing is read"
    Path("l.csv").write_text(f"run,global_step,charts/episodic_return\n{name},10,1\n{name},,2\n{name},30,3\n")
    assert "global_step: is empty where there is a return" in one_line(path)


def test_a_run_without_any_return_is_missing_and_does_not_vanish(softbench):
    """Under its arm and seed, in every reader."""
    missing = "left out: a on T, seed 1 ({}): has no finite return"
    other = "b,T,1,10,1\nb,T,1,30,3\n"
    assert out(tidy("a,T,1,10,\na,T,1,30,\n,,,40,\n" + other)) == [missing.format("t.csv")]
    names = {name: f"T__{name}__1__7" for name in TWO}
    lines = [f"{names['a']},10,", f"{names['a']},30,", f"{names['b']},10,1", f"{names['b']},30,3"]
    Path("l.csv").write_text("\n".join(["run,global_step,charts/episodic_return", *lines]))
    path = tidy("", runs=[{"format": "wandb-long", "files": "l.csv"}], smooth=1)
    assert out(path) == [missing.format("l.csv")]
    Path("w.csv").write_text(
        "Step," + ",".join(f"{name} - charts/episodic_return" for name in names.values()) + "\n10,,1\n30,,3\n"
    )
    path = tidy("", runs=[{"format": "wandb-wide", "files": "w.csv"}], smooth=1)
    assert out(path) == [missing.format("w.csv")]
    for arm, values in (("a", (None, None)), ("b", (1, 3))):
        rows = [
            {"timesteps_total": 10, "episode_reward_mean": values[0]},
            {"timesteps_total": 30, "episode_reward_mean": values[1]},
        ]
        config = {"env": "T", "seed": 1}
        Path(f"{arm}.json").write_text("".join(json.dumps({**row, "config": config}) + "\n" for row in rows))
        pd.DataFrame(rows).to_csv(f"{arm}_1.csv", index=False)
    path = tidy("", runs=[{"format": "rllib-result", "files": "{arm}.json"}])
    assert out(path) == [missing.format("a.json")]
    assert softbench("import", "import.yaml")[0] == 0
    path = tidy("", runs=[{"format": "rllib-progress", "files": "{arm}_{seed}.csv"}])
    assert out(path) == [missing.format("a_1.csv")]
    Path("a.json").write_text(json.dumps({"timesteps_total": 10, "config": config}) + "\n")
    path = tidy("", runs=[{"format": "rllib-result", "files": "{arm}.json"}])
    (line,) = out(path)
    assert line.startswith("left out: a on T, seed 1 (a.json): 'num_env_steps_sampled_lifetime' is missing; it has: ")


def test_null_is_absent_and_nan_is_none_in_parquet():
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"arm": ["a"] * 6, "task": ["T"] * 6, "seed": [0.0, 0, 0, 1, 1, 1], "step": [10, 20, 30] * 2}
    pq.write_table(pa.table({**columns, "return": pa.array([1.0, 2, None, 1, 2, float("nan")])}), "t.parquet")
    path = tidy("", runs=[{"format": "tidy", "files": "t.parquet"}])
    assert curves(path) == {("a", "T", 1): ([10, 20], [1, 2], 30)}


def test_absent_values_in_event_files():
    write_tensorboard(Path("a_0"), [0, 10, 20, 30], [np.nan, 1, np.nan, 3])
    path = tidy("", runs=[{"format": "tensorboard", "files": "{arm}_{seed}/events*"}], smooth=1)
    assert curves(path) == {("a", "T", 0): ([10, 30], [1, 3], None)}


# --- one fault leaves out one run --------------------------------------------------------------------------------------------------


def test_a_fault_of_one_run_leaves_out_that_run_alone(softbench):
    for arm in TWO:
        for seed in range(2):
            monitor(f"{arm}_{seed}/monitor.csv", [(r + seed, n, t) for r, n, t in EPISODES], start=1.7e9 + 900 * seed)
    monitor("a_2/monitor.csv", [])
    Path("a_3").mkdir()
    Path("a_3/monitor.csv").write_bytes(b"")
    text = monitor("a_4/monitor.csv")
    Path("a_4/monitor.csv").write_text(text[: text.rindex(",")])
    monitor("a_5/monitor.csv", [(1, "ten", 1.0)])
    monitor("b_x/monitor.csv")
    monitor("c_1/monitor.csv")
    monitors()
    code, told, errors = softbench("import", "import.yaml")
    assert (code, errors) == (0, "") and [line for line in told.splitlines() if line.startswith("left out")] == [
        "left out: a on T, seed 2 (a_2/monitor.csv): has no finished episode",
        "left out: a on T, seed 3 (a_3/monitor.csv): is empty",
        "left out: a on T, seed 4 (a_4/monitor.csv): ends at step 30, before the grid's last, 40",
        "left out: a on T, seed 5 (a_5/monitor.csv): l: 'ten' is no number",
        "left out: b_x/monitor.csv: seed: 'x' is no integer from 0 to 4,294,967,295 (arm b on T)",
        "left out: arm 'c', which is not declared (c_1/monitor.csv)",
    ]
    cut = "its last line is cut, as of a killed process; the lines before it are read"
    assert f"note: arm a, task T, seed 4: {cut} (a_4/monitor.csv)" in told
    assert softbench("report", "cartpole")[0] == 0
    page = Path("site/cartpole.html").read_text()
    assert "arm a: seeds 2-5 missing" in page and "not read: b_x/monitor.csv: seed:" in page
    monitors(entry={"exclude": ["a_[2]"]})
    code, _, errors = softbench("import", "import.yaml")
    assert code == 2 and "runs.0.exclude: 'a_[2]' matches none of the files" in errors
    assert len(out(monitors(entry={"exclude": ["a_2", "a_3/*", "*_4", "a_5/monitor.csv", "b_x", "c_1"]}))) == 0
    assert "matches no file in . that is not excluded" in one_line(monitors(entry={"exclude": ["*"]}))


def test_a_misspelt_name_is_refused_and_a_stray_one_left_out():
    monitor("a_0/monitor.csv")
    monitor("bb_0/monitor.csv")
    assert one_line(monitors()) == "bb_0/monitor.csv: unknown arm 'bb'; did you mean 'b'? Known: a, b"
    monitor("b_0/monitor.csv")
    assert out(monitors()) == ["left out: arm 'bb', which is not declared (bb_0/monitor.csv)"]


def test_a_log_without_the_tag_and_an_event_file_of_a_start_alone():
    write_tensorboard(Path("a_0"), [10, 30], [1, 3])
    write_tensorboard(Path("a_1"), [], [])
    path = tidy("", runs=[{"format": "tensorboard", "files": "{arm}_{seed}/events*"}], smooth=1)
    (line,) = out(path)
    assert (
        line.startswith("left out: a on T, seed 1 (a_1/events") and "tag: 'charts/episodic_return' is missing" in line
    )
    (Path("a_0") / "events.out.tfevents.99").write_bytes((next(Path("a_1").iterdir())).read_bytes())
    assert curves(path) == {("a", "T", 0): ([10, 30], [1, 3], None)}, "a start without values beside the log"


def test_a_run_that_does_not_fit_the_pattern_of_names():
    columns = '"Step","T__a__1__7 - charts/episodic_return","dazzling-sun-12 - charts/episodic_return"\n'
    Path("w.csv").write_text(columns + '"10","1","1"\n"30","2","2"')
    path = tidy("", runs=[{"format": "wandb-wide", "files": "w.csv"}], smooth=1)
    assert curves(path) == {("a", "T", 1): ([10, 30], [1, 2], None)}
    assert out(path) == ["left out: w.csv: run: the name 'dazzling-sun-12' does not fit '{task}__{arm}__{seed}__*'"]


def test_what_one_entry_reads_is_not_left_out_by_a_wider_one():
    for arm in TWO:
        monitor(f"{arm}_1/monitor.csv", EPISODES[:2])
        monitor(f"{arm}_1_resumed/monitor.csv", EPISODES[2:], start=1.7e9 + 100)
        monitor(f"old_{arm}_2/monitor.csv")
    names = ("{arm}_{seed}", "{arm}_{seed}_resumed", "old_{arm}_{seed}")
    path = monitors(runs=[{"format": "sb3-monitor", "files": f"{name}/monitor.csv"} for name in names])
    assert [*curves(path)] == [("a", "T", 1), ("a", "T", 2), ("b", "T", 1), ("b", "T", 2)]
    assert curves(path)["b", "T", 1][1] == [1, 2, 3, 4] and out(path) == []
    monitor("a_x/monitor.csv")
    assert out(path) == ["left out: a_x/monitor.csv: seed: 'x' is no integer from 0 to 4,294,967,295 (arm a on T)"]


# --- dialects ------------------------------------------------------------------------------------------------------------------------

TABLE = "arm,task,seed,step,return\na,T,1,10,1\na,T,1,30,2.5\n"
DIALECTS = {
    "no end": TABLE[:-1].encode(),
    "CR LF": TABLE.replace("\n", "\r\n").encode(),
    "CR": TABLE.replace("\n", "\r").encode(),
    "blank lines": ("\n" + TABLE + "\n\n").encode(),
    "UTF-8 mark": b"\xef\xbb\xbf" + TABLE.encode(),
    "UTF-16": TABLE.encode("utf-16"),
    "UTF-16 big": b"\xfe\xff" + TABLE.encode("utf-16-be"),
    "UTF-16 without mark": TABLE.encode("utf-16-le"),
    "tabs": TABLE.replace(",", "\t").encode(),
    "semicolons": TABLE.replace(",", ";").encode(),
    "decimal commas": TABLE.replace(",", ";").replace("2.5", "2,5").encode(),
    "spaces": TABLE.replace(",", " , ").encode(),
    "quotes": ("\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in TABLE.split()) + "\n").encode(),
    "whole floats": TABLE.replace(",1,", ",1.0,").replace(",30,", ",3.0e1,").encode(),
    "an array of one": TABLE.replace("2.5", "[2.5]").encode(),
    "an index": "\n".join(f"{at},{line}" for at, line in enumerate(TABLE.split())).replace("0,", ",", 1).encode(),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_a_table_in_every_dialect(name):
    path = tidy("")
    Path("t.csv").write_bytes(DIALECTS[name])
    assert curves(path) == {("a", "T", 1): ([10, 30], [1, 2.5], None)}


@pytest.mark.parametrize("name", ["no end", "CR LF", "CR", "UTF-8 mark", "UTF-16"])
def test_a_monitor_in_every_dialect(name):
    text = monitor("a_0/monitor.csv")
    encodings = {"UTF-16": "utf-16", "UTF-8 mark": "utf-8-sig"}
    ends = {"CR LF": "\r\n", "CR": "\r"}
    changed = text[:-1] if name == "no end" else text.replace("\n", ends.get(name, "\n"))
    Path("a_0/monitor.csv").write_bytes(changed.encode(encodings.get(name, "utf-8")))
    assert curves(monitors()) == {("a", "T", 0): ([10, 20, 30, 40], [1, 2, 3, 4], None)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "is a web page; download the file itself"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "is a pointer of Git LFS, not the file; run git lfs pull"),
        (b"\x28\xb5\x2f\xfdxx", "is packed by Zstandard; unpack it"),
        (b"\xd0\xcf\x11\xe0xx", "is an Excel workbook; save it as CSV"),
        (b"SQLite format 3\x00", "is an SQLite database; export its table as CSV"),
        (b"\x80\x04\x95", "is a pickle, which is never loaded; save it as CSV"),
        (b"\x1f\x8b\x08\x00", "is packed by gzip, and damaged"),
        (TABLE.encode()[:-6], "is truncated: its last line has 4 of 5 cells"),
        (TABLE.encode()[:-4] + b'"2', "is truncated or damaged: a quote is opened and never closed"),
        (TABLE.encode("latin-1").replace(b"T", b"\xe9"), "is no text in UTF-8 (byte 0xe9"),
    ],
)
def test_a_file_is_refused_by_what_it_is(content, message):
    path = tidy("")
    Path("t.csv").write_bytes(content)
    assert one_line(path).startswith(f"t.csv: {message}")


KINDS = {
    "npz": "is a NumPy archive, which format sb3-evaluations reads",
    "npy": "is a NumPy array, which does not say its runs; write a table of it",
    "parquet": "is a Parquet table, which format tidy reads",
    "events": "is an event file of TensorBoard, which format tensorboard reads",
    "zip": "is a zip archive of 2 files; unpack it",
    "zipped": "is a zip archive; unpack it",
    "json": "is JSON, which rllib-result, marl-eval and dopamine read",
}
FORMATS = {
    "tidy": ("npz", "npy", "events", "zip", "zipped", "json"),
    "sb3-monitor": ("npz", "npy", "parquet", "events", "zip", "zipped"),
    "sb3-progress": ("npz", "npy", "events", "zip", "zipped", "json"),
    "wandb-wide": ("npz", "npy", "events", "zip", "zipped", "json"),
    "rllib-result": ("npz", "npy", "parquet", "events", "zip", "zipped"),
    "dopamine": ("npz", "npy", "parquet", "events", "zip", "zipped"),
    "sb3-evaluations": ("npy", "parquet", "events", "zip"),
    "tensorboard": ("npz", "npy", "parquet", "zip", "zipped"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_of_another_kind_than_its_reader_is_called_by_its_kind(name):
    for kind in FORMATS[name]:
        match kind:
            case "npz":
                np.savez("1.npz", timesteps=[1], results=[[1.0]])
            case "npy":
                np.save("1.npy", np.arange(3.0))
            case "parquet":
                pd.DataFrame({"x": [1]}).to_parquet("1.parquet")
            case "events":
                write_tensorboard(Path("made"), [1], [1])
                next(Path("made").iterdir()).rename("1.events")
            case "json":
                Path("1.json").write_text('{"timesteps_total": 10}\n')
            case "zip" | "zipped":
                inner = io.BytesIO()
                for file in (inner, f"1.{kind}"):
                    with zipfile.ZipFile(file, "w") as archive:
                        archive.writestr("a.csv", inner.getvalue() if file is not inner and kind == "zipped" else "x")
                        if file is inner or kind == "zip":
                            archive.writestr("b.csv", "x")
        path = tidy("", runs=[{"format": name, "files": f"{{seed}}.{kind}"}], arms={"a": {"soft": False}}, smooth=1)
        assert KINDS[kind] in one_line(path), kind


def test_hidden_files_are_nobodys_logs():
    monitor("a_0/monitor.csv")
    for name in ("a_0/._monitor.csv", ".trash/a_9/monitor.csv", "__MACOSX/a_8/monitor.csv", "a_0/.ipynb/monitor.csv"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"\x00\x05\x16\x07")
    assert [*curves(monitors())] == [("a", "T", 0)] and out(monitors()) == []
    assert "matches no file" in one_line(monitors("*/{arm}_{seed}/monitor.csv")), "in .trash and __MACOSX"
    assert "matches no file" in one_line(monitors("{arm}_{seed}/*/monitor.csv")), "in .ipynb"
    os.rename("a_0", ".a_0")
    assert [*curves(monitors(".{arm}_{seed}/monitor.csv"))] == [("a", "T", 0)], "unless the pattern says so"


def test_thousands_are_grouped_as_writers_do():
    for many in ("3_000", "3,000", "3000", "3e3"):
        assert curves(tidy(f'a,T,1,10,1\na,T,1,"{many}","1_000.5"\n')) == {
            ("a", "T", 1): ([10, 3000], [1, 1000.5], None)
        }
    for none in ("30_0", "_300", "3__000"):
        assert "is no number" in one_line(tidy(f"a,T,1,10,1\na,T,1,{none},1\n"))
    monitor("a_3-1_000/monitor.csv")
    assert "seed: '1_000' is no integer" in one_line(monitors("{arm}_3-{seed}/monitor.csv")), "which may be two numbers"


ATARI = {name: {**TASK["T"]} for name in ("ALE/Pong-v5", "CartPole-v1")}


def test_names_with_a_slash_in_paths_and_in_names():
    """CleanRL calls a run by its task's name, and TensorBoard makes folders of it."""
    for folder in ("runs/ALE/Pong-v5__a__1__17", "runs/CartPole-v1__a__1__17", "runs/ALE_Pong-v5__b__1__17"):
        monitor(f"{folder}/monitor.csv")
    found = runs_of(monitors("runs/{task}__{arm}__{seed}__*/monitor.csv", tasks=ATARI))
    assert [(run.arm, run.task) for run in found] == [("a", "ALE/Pong-v5"), ("b", "ALE/Pong-v5"), ("a", "CartPole-v1")]
    names = [f"{task}__a__1__17 - charts/episodic_return" for task in ATARI]
    Path("w.csv").write_text(
        ",".join(f'"{name}"' for name in ("global_step", *names)) + '\n"10","1","1"\n"30","2","2"\n'
    )
    wide = {"format": "wandb-wide", "files": "w.csv", "step": "global_step"}
    assert [run.task for run in runs_of(tidy("", tasks=ATARI, runs=[wide], smooth=1))] == [*ATARI]


def test_evaluations_with_a_trailing_axis_of_one_and_others():
    def path(*shape):
        np.savez("a_1.npz", timesteps=[10, 20, 30], results=np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
        return tidy("", runs=[{"format": "sb3-evaluations", "files": "{arm}_{seed}.npz"}])

    for shape in ((3, 2), (3, 2, 1), (3, 2, 1, 1)):
        assert curves(path(*shape)) == {("a", "T", 1): ([10, 20, 30], [0.5, 2.5, 4.5], None)}
    assert curves(path(3)) == {("a", "T", 1): ([10, 20, 30], [0, 1, 2], None)}
    for shape in ((3, 2, 3), (2, 2), (3, 0)):
        assert f"results: has the shape {list(shape)}, must be [3, episodes]" in one_line(path(*shape))


def test_seeds_as_the_zoo_draws_them():
    seeds = (0, 7, 10**9, 2**32 - 1)
    path = tidy("".join(f"a,T,{seed},10,1\na,T,{seed},30,2\n" for seed in seeds))
    assert [run.seed for run in runs_of(path)] == list(seeds)


# --- continued ---------------------------------------------------------------------------------------------------------------------


def test_a_monitor_that_was_continued_keeps_the_order_of_its_rows(softbench):
    monitor("a_1/monitor.csv", [(1, 10, 1.0), (2, 10, 2.0), (100, 10, 0.5), (200, 10, 1.5)])
    assert curves(monitors()) == {("a", "T", 1): ([10, 20, 30, 40], [1, 2, 100, 200], None)}
    monitor("a_1/monitor.csv", [(1, 10, 1.0), (2, 10, 2.0), (3, 10, 0.5), (4, 10, 1.5)], header=False)
    assert curves(monitors()) == {("a", "T", 1): ([10, 20, 30, 40], [1, 2, 3, 4], None)}, (
        "appended to a file that was not there"
    )
    text = monitor("a_1/monitor.csv", EPISODES[:2])
    Path("a_1/monitor.csv").write_text(text + text)
    assert curves(monitors()) == {("a", "T", 1): ([10, 20, 30, 40], [1, 2, 1, 2], None)}, "joined with its header"
    assert told(monitors()) == [SESSIONS]


SESSIONS = (
    "arm a, task T, seed 1: was continued after a restart; the 2 sessions in its log are read as one (a_1/monitor.csv)"
)


def told(path: Path) -> list[str]:
    """The notes."""
    return reading(path).notes


def test_a_monitor_that_was_continued_is_told(softbench):
    monitor("a_1/monitor.csv", [(1, 10, 1.0), (2, 10, 2.0), (100, 10, 0.5), (200, 10, 1.5)])
    assert told(monitors()) == [SESSIONS], "rows appended"
    first = monitor("a_1/monitor.csv", [(1, 10, 1.0), (2, 10, 2.0)])
    second = monitor("a_1/monitor.csv", [(3, 10, 5.0), (4, 10, 6.0)], start=1.7e9 + 500)
    Path("a_1/monitor.csv").write_text(first + second)
    assert told(monitors()) == [SESSIONS], "a second header, though no time falls"
    assert curves(monitors()) == {("a", "T", 1): ([10, 20, 30, 40], [1, 2, 3, 4], None)}
    assert f"note: {SESSIONS}" in softbench("import", "import.yaml", "--check")[1]
    monitor("a_1/monitor.csv")
    assert told(monitors()) == []


def test_environments_that_were_continued_are_merged_by_the_starts_of_their_later_headers():
    """Of which one was begun 0.5 s after the other."""
    for rank, late in ((0, 0.5), (1, 0.0)):
        path = f"a_1/{rank}.monitor.csv"
        sessions = [monitor(path, [(rank, 10, 1.0), (rank, 10, 2.0)], start=start + late) for start in (1e9, 2e9)]
        Path(path).write_text("".join(sessions))
    path = monitors(grid={"first": 10, "last": 80, "points": 8})
    assert curves(path)["a", "T", 1][1] == [1, 0, 1, 0, 1, 0, 1, 0]


def test_the_environments_of_a_run_that_was_continued():
    sessions = [(1, 10, 1.0), (3, 10, 2.0), (5, 10, 0.5), (7, 10, 1.5)]
    monitor("a_1/0.monitor.csv", sessions)
    monitor("a_1/1.monitor.csv", [(r + 1, length, t + 0.25) for r, length, t in sessions], start=1.7e9 + 0.1)
    path = monitors(grid={"first": 10, "last": 80, "points": 8})
    assert curves(path)["a", "T", 1][1] == [1, 2, 3, 4, 5, 6, 7, 8]
    monitor("a_1/2.monitor.csv", EPISODES)
    assert "its environments were started anew a different number of times" in one_line(path)


def test_logs_continued_in_another_file_or_folder(softbench):
    write_tensorboard(Path("T__a__1__100"), [10, 15, 20], [1.0, 2.0, 9.0])
    write_tensorboard(Path("T__a__1__200"), [20, 30], [3.0, 4.0])
    runs = [{"format": "tensorboard", "files": "{task}__{arm}__{seed}__*/events*"}]
    path = tidy("", runs=runs, smooth=1)
    assert curves(path) == {("a", "T", 1): ([10, 15, 20, 30], [1, 2, 3, 4], None)}, "what was logged again counts"
    (note,) = reading(path).notes
    assert "arm a, task T, seed 1: was continued after a restart; its 2 logs are read as one" in note
    assert "note: arm a" in softbench("import", "import.yaml", "--check")[1]
    assert [*map(len, (run.files for run in runs_of(path)))] == [2]
    path = tidy("a,T,0,10,1\na,T,0,20,2\na,T,0,15,3\na,T,0,30,4\n")
    assert curves(path) == {("a", "T", 0): ([10, 15, 30], [1, 3, 4], None)}, "in the same file"
    monitor("a_1/monitor.csv", EPISODES[:2])
    monitor("again/a_1/monitor.csv", EPISODES[:2], start=1.7e9 + 100)
    entries = [
        {"format": "sb3-monitor", "files": files} for files in ("{arm}_{seed}/monitor.csv", "again/{arm}_{seed}/*")
    ]
    assert curves(monitors(runs=entries)) == {("a", "T", 1): ([10, 20, 30, 40], [1, 2, 1, 2], None)}


def test_a_run_that_was_begun_twice():
    one, two = "a,T,0,10,1\na,T,0,30,2\n", "a,T,0,10,1\na,T,0,30,3\n"
    for first, second, said in ((one, one, 2.0), (one, two, None), (one[: len(one) // 2], two, 3.0)):
        for name, text in (("x.csv", first), ("y.csv", second)):
            Path(name).write_text("arm,task,seed,step,return\n" + text)
        path = tidy("b,T,0,10,1\nb,T,0,30,3\n", runs=[{"format": "tidy", "files": "*.csv"}])
        found = curves(path)
        if said is None:
            assert [*found] == [("b", "T", 0)]
            assert out(path) == ["left out: a on T, seed 0 (y.csv): appears twice; the other is in x.csv"]
        else:
            assert found["a", "T", 0][1][-1] == said and "was begun more than once" in reading(path).notes[0]


def test_of_several_event_files_in_a_folder_the_one_that_is_used_is_named():
    for end, returns in (("a", [1, 2]), ("b", [3, 4])):
        write_tensorboard(Path("a_1"), [10, 30] if end == "a" else [10, 20], returns, filename_suffix=f".{end}")
    used, other = (next(Path("a_1").glob(f"*.{end}")) for end in "ab")
    path = tidy("", runs=[{"format": "tensorboard", "files": "{arm}_{seed}/events*"}], smooth=1)
    found = reading(path)
    assert [[*run.files] for run in found.runs] == [[str(used)]]
    assert found.notes == [f"arm a, task T, seed 1: was begun more than once; {used} is used, not {other}"]


# --- cut by a kill ---------------------------------------------------------------------------------------------------------------

CUT = "arm a, task T, seed 1: its last line is cut, as of a killed process; the lines before it are read"
KILLED = {
    "sb3-monitor": ('#{"t_start": 1, "env_id": "T"}\nr,l,t\n1,10,1\n2,10,2\n3,10,3\n', "4,1", {}),
    "sb3-progress": ("rollout/ep_rew_mean,time/total_timesteps\n1,10\n2,20\n3,30\n", "4", {}),
    "rllib-progress": ('config,episode_reward_mean,timesteps_total\n"{""a"": 1}",1,10\n,2,20\n,3,30\n', '"{""a"', {}),
    "rllib-result": (
        "".join(f'{{"timesteps_total": {10 * n}, "episode_reward_mean": {n}}}\n' for n in (1, 2, 3)),
        '{"timesteps_to',
        {},
    ),
    "spinup": ("Epoch\tAverageEpRet\tTotalEnvInteracts\n0\t1\t10\n1\t2\t20\n2\t3\t30\n", "3\t4", {}),
    "openrlbenchmark": ("global_step,charts/episodic_return,x\n10,1,\n20,2,\n30,3,\n", "40,4", {"smooth": 1}),
}
"""Of each log of one run that a program appends to: what is whole, and the line in which it was killed."""


@pytest.mark.parametrize("name", KILLED)
def test_of_a_log_that_a_killed_run_left_what_is_whole_is_read_and_told(name):
    whole, last, changes = KILLED[name]
    changes = {"smooth": 1} if name == "sb3-monitor" else changes
    for text, said in ((whole, []), (whole[:-1], []), (whole + last, [f"{CUT} (a_1.log)"])):
        Path("a_1.log").write_text(text)
        path = tidy("", runs=[{"format": name, "files": "{arm}_{seed}.log"}], **changes)
        assert curves(path) == {("a", "T", 1): ([10, 20, 30], [1, 2, 3], None)} and told(path) == said


# --- what is no seed ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("apart", "refused"), [(0.1, True), (900, False)])
def test_the_environments_of_one_run_are_no_seeds(softbench, apart, refused):
    for arm in TWO:
        for rank in range(4):
            monitor(f"{arm}/{rank}.monitor.csv", [(r + rank, n, t) for r, n, t in EPISODES], start=1.7e9 + apart * rank)
    monitors("{arm}/{seed}.monitor.csv")
    code, _, errors = softbench("import", "import.yaml")
    assert (code == 2) == refused
    if refused:
        assert (
            "a on T: 0.monitor.csv to 3.monitor.csv in a are the environments of one run, started within 60 s" in errors
        )
        assert not Path("results").exists()


def test_suspicions_are_told_to_the_verdict(softbench):
    for arm in TWO:
        for rank in range(4):
            monitor(f"{arm}/env{rank}/monitor.csv", [(r + rank, n, t) for r, n, t in EPISODES], start=1.7e9 + rank)
    monitor("b/env3/monitor.csv", [(r + 2, n, t) for r, n, t in EPISODES], start=1.7e9)
    monitors("{arm}/env{seed}/monitor.csv")
    code, told, _ = softbench("import", "import.yaml")
    assert code == 0 and "warning: all 4 seeds of a on T were started within 3.0 s" in told
    assert "warning: seeds 2, 3 of b on T have the same values; copies of a run are one seed" in told
    claim = {"id": "C", "statement": "s", "source": "s", "pair": "cartpole", "arm": "b", "against": "a", "reason": "r"}
    claims = {"claims": [{**claim, "test": "superiority", "margin": 0, "effect": 0.1}]}
    Path("suites/cartpole/claims.yaml").write_text(yaml.safe_dump(claims))
    assert "Note: seeds 2, 3 of b on T have the same values" in softbench("judge")[1]
    assert softbench("report", "cartpole")[0] == 0
    assert "3 doubts about seeds:" in re.sub(r"<[^>]+>", "", Path("site/cartpole.html").read_text())


@pytest.mark.parametrize("name", ["worker_{seed}/p", "rank{seed}/p", "Env-{seed}/p", "x/episode{seed}", "seed{seed}/p"])
def test_seeds_that_are_called_as_parts_of_a_run_are_told(softbench, name):
    for arm in TWO:
        for seed in range(3):
            path = Path(f"{arm}/{name}.csv".format(seed=seed))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"time/total_timesteps,rollout/ep_rew_mean\n10,1\n30,{seed + 2}\n")
    tidy("", runs=[{"format": "sb3-progress", "files": f"{{arm}}/{name}.csv"}])
    code, told, _ = softbench("import", "import.yaml")
    said = name.split("{")[0].removeprefix("x/")
    line = f"warning: all 3 seeds of a on T are called as parts of a run are ({said}0 to {said}2); if they are, they are one seed"
    assert code == 0 and (line in " ".join(told.split())) == (said != "seed")


def test_numbers_of_parts_are_no_seeds(softbench):
    for column in ("episode", "rank", "env_index", "worker"):
        Path("t.csv").write_text(f"arm,task,{column},step,return\na,T,0,10,1\na,T,0,30,2\n")
        runs = [{"format": "tidy", "files": "t.csv", "columns": {"seed": column}}]
        write_import(Path(), tasks=TASK, arms=TWO, grid={"first": 10, "last": 30, "points": 3}, runs=runs)
        code, _, errors = softbench("import", "import.yaml")
        assert code == 2 and f"runs.0.columns.seed: '{column}' numbers the parts of one run" in errors
    for second in (1700000000, 1700000009):
        path = Path(f"a/events.out.tfevents.{second}.host.1.0")
        write_tensorboard(Path("made"), [10, 30], [1, 2])
        path.parent.mkdir(exist_ok=True)
        next(Path("made").iterdir()).rename(path)
    entry = {"format": "tensorboard", "files": "{arm}/events.out.tfevents.{seed}.host*"}
    write_import(Path(), tasks=TASK, arms=TWO, grid={"first": 10, "last": 30, "points": 3}, smooth=1, runs=[entry])
    assert "are the files of one run and its restarts, not 2 seeds" in softbench("import", "import.yaml")[2]


def test_seeds_at_the_end_of_event_files_are_seeds(softbench):
    """Their digits are found in every time too."""
    for seed in (0, 1, 7):
        for arm in TWO:
            write_tensorboard(Path(arm), [10, 30], [1, 2 + seed], filename_suffix=f".seed{seed}")
            (path,) = Path(arm).glob(f"*.seed{seed}")
            path.rename(path.with_name(f"events.out.tfevents.1700000017.host.1.0.seed{seed}"))
    entry = {"format": "tensorboard", "files": "{arm}/events*.seed{seed}"}
    path = write_import(
        Path(), tasks=TASK, arms=TWO, grid={"first": 10, "last": 30, "points": 3}, smooth=1, runs=[entry]
    )
    code, _, errors = softbench("import", "import.yaml")
    assert (code, errors) == (0, "") and {seed for _, _, seed in curves(path)} == {0, 1, 7}


# --- numbers too large -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["1e31", "-1e300", "1e400", "9" * 400])
def test_a_return_too_large_is_a_fault_of_its_run(value):
    (line,) = out(tidy(f"a,T,0,10,1\na,T,0,30,{value}\na,T,1,10,1\na,T,1,30,2\n"))
    assert (line.startswith("left out: a on T, seed 0 (t.csv): return: ") and "beyond" in line) or "too large" in line


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (-1e308, 1e308, "tasks.T.low: must be at least -1e+30"),
        (0, 1e31, "tasks.T.high: must be at most 1e+30"),
        (0, 1e-300, "tasks.T: low 0 and high 1e-300 are too close for the returns of arm a, task T, seed 0"),
    ],
)
def test_a_scale_that_overflows_is_refused(softbench, low, high, message):
    tidy("a,T,0,10,1\na,T,0,30,2\n", tasks={"T": {"low": low, "high": high, "source": ""}})
    code, _, errors = softbench("import", "import.yaml")
    assert code == 2 and message in errors


def test_huge_values_of_json_are_told():
    Path("x.json").write_text(
        '[{"Agent": "a", "Iteration": 0, "Value": 1' + "0" * 400 + '}, {"Agent": "a", "Iteration": 1, "Value": 2}]'
    )
    path = tidy("", runs=[{"format": "dopamine", "files": "x.json", "iteration": 10}])
    assert "Value: '1000" in one_line(path) and "too large" in one_line(path)


def test_a_column_of_whole_numbers_beside_empty_cells():
    """pandas makes floats of them."""
    data = pd.DataFrame(rows("a", 1, (10, 30), (1, 2), "T"), columns=["arm", "task", "seed", "step", "return"])
    data.loc[2] = ["a", "T", np.nan, np.nan, np.nan]
    data.to_csv("t.csv", index=False)
    runs = [{"format": "tidy", "files": "t.csv"}]
    path = write_import(
        Path(), tasks=TASK, arms=TWO, grid={"first": 10, "last": 30, "points": 3}, smooth=None, runs=runs
    )
    assert curves(path) == {("a", "T", 1): ([10, 30], [1, 2], None)}
