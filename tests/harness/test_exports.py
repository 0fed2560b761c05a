"""`softbench export`: our curves as others read them; importing what was exported is the identity."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from small_suite import folder_of, train_here, write_suite

from harness.schema.results import COLUMNS, folder_name, read_cell, write_cell

KINDS = ("tidy", "wandb", "tensorboard")
TASKS = {"CartPole-v1": {"steps": 500}, "MountainCar-v0": {"steps": 400}}
SCALE = {"low": 0, "high": 500, "floor": 21.3, "source": "range"}
CELLS = {
    "a2c": {
        "CartPole-v1": {"settings": {"environments": 3, "hidden": [8]}, "grid": {"temperature": [0.01, 0.1]}},
        "MountainCar-v0": {"settings": {"environments": 3, "hidden": [8]}},
    },
    "ppo": {
        "CartPole-v1": {
            "settings": {"horizon": 16, "minibatches": 2, "epochs": 1, "hidden": [8]},
            "arms": ["ppo", "ppo-bonus", "sppo-38"],
        }
    },
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A suite of uneven steps, a grid and a control, of which one member has diverged in the middle."""
    references = {task: dict(SCALE) for task in TASKS}
    with folder_of(tmp_path_factory, cells=CELLS, tasks=TASKS, references=references) as folder:
        path = Path("results/small/ppo/CartPole-v1/curves.parquet")
        curves = pd.read_parquet(path)
        late = (curves["arm"] == "sppo-38") & (curves["seed"] == 1) & (curves["segment"] > 2)
        numbers = [name for name in curves if curves[name].dtype.kind == "f"]
        curves.loc[late, numbers], curves.loc[late, "diverged"] = np.nan, True
        units = {str(name): "" for name in curves if name not in COLUMNS}
        write_cell(path.parent, curves, read_cell(path.parent).manifest, units, {})
    return folder


@pytest.fixture
def here(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


@pytest.mark.parametrize("kind", KINDS)
def test_importing_what_was_exported_is_the_identity(here, softbench, kind):
    if kind == "tensorboard":
        pytest.importorskip("tensorboard")
    code, out, _ = softbench("export", kind, "small", "-o", f"out-{kind}")
    assert code == 0 and out.split() == [f"out-{kind}/{pair}/import.yaml" for pair in CELLS]
    for pair, tasks in CELLS.items():
        path = Path(f"out-{kind}/{pair}/import.yaml")
        path.write_text(re.sub(r"^name: .*$", f"name: again-{kind}-{pair}", path.read_text(), flags=re.M))
        code, out, err = softbench("import", path)
        assert code == 0 and "left out" not in out, out + err
        for task in tasks:
            ours = read_cell(Path("results/small", pair, folder_name(task)))
            theirs = read_cell(Path(f"results/again-{kind}-{pair}/again-{kind}-{pair}", folder_name(task)))
            columns = ["arm", "seed", "step", "return_sampled", "diverged"]
            both = [cell.curves[columns].sort_values(columns[:3], ignore_index=True) for cell in (ours, theirs)]
            assert len(both[0]) and (pair == "ppo" or ours.curves["step"].diff().nunique() > 2), (
                "steps are not evenly spaced"
            )
            for column in columns:
                ones, others = (each[column].to_numpy() for each in both)
                np.testing.assert_array_equal(ones, others.astype(ones.dtype), err_msg=column)
            for arm in ours.manifest.arms:
                for name in ("role", "against"):
                    asked = [getattr(cell.manifest, name)(arm) for cell in (ours, theirs)]
                    assert asked[0] == asked[1], (arm, name)
            assert theirs.manifest.imported is not None and theirs.manifest.imported.seeds == [0, 1]


def test_the_logs_are_as_others_read_them(here, softbench):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for kind in KINDS:
        assert softbench("export", kind, "small", "-o", f"read-{kind}")[0] == 0
    ours = read_cell(Path("results/small/ppo/CartPole-v1")).curves
    its = ours[(ours["arm"] == "ppo") & (ours["seed"] == 1)].sort_values("step")
    run = EventAccumulator("read-tensorboard/ppo/CartPole-v1__ppo__1__small").Reload()
    assert {"eval/return_sampled", "eval/return_greedy", "train/entropy", "train/policy_loss"} <= {
        *run.Tags()["tensors"]
    }
    events = run.Tensors("eval/return_greedy")
    assert [event.step for event in events] == its["step"].tolist()
    assert [event.tensor_proto.double_val[0] for event in events] == its["return_greedy"].tolist()
    assert run.SummaryMetadata("eval/return_greedy").plugin_data.plugin_name == "scalars"

    history = pd.read_csv("read-wandb/ppo/history.csv")
    row = history[history["name"] == "CartPole-v1__ppo__1__small"]
    assert row["global_step"].tolist() == its["step"].tolist()
    assert row["train/entropy"].tolist() == its["entropy"].tolist()
    assert row[["task", "arm", "seed"]].drop_duplicates().to_numpy().tolist() == [["CartPole-v1", "ppo", 1]]

    table = pd.read_csv("read-tidy/ppo/table.csv")
    assert [*table.columns[:4]] == ["arm", "task", "seed", "step"] and "value_loss" in table
    assert (
        table[(table["arm"] == "ppo") & (table["seed"] == 1)]["length_greedy"].tolist() == its["length_greedy"].tolist()
    )


def test_what_was_not_measured_is_empty_and_what_has_diverged_is_nan(here, softbench):
    assert softbench("export", "tidy", "small", "-o", "gaps")[0] == 0
    rows = Path("gaps/ppo/table.csv").read_text().splitlines()
    diverged = [row for row in rows if row.startswith("sppo-38,CartPole-v1,1,")]
    assert [("nan" in row) for row in diverged] == [False, False, True, True]
    assert not [row for row in rows[1:] if "nan" in row and row not in diverged]


def test_the_bytes_do_not_change(here, softbench):
    pytest.importorskip("tensorboard")
    made = []
    for folder in ("first", "second"):
        for kind in KINDS:
            assert softbench("export", kind, "small", "-o", f"{folder}/{kind}")[0] == 0
        made.append(
            {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}
        )
    assert made[0] == made[1] and len(made[0]) > 20


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("tidy", "smal", "-o", "x"), "unknown suite 'smal'; did you mean 'small'"),
        (("csv", "small", "-o", "x"), "'csv' is not one of 'tensorboard', 'wandb', 'tidy'"),
        (("tidy", "small"), "Missing option '-o'"),
        (("tidy", "small", "-o", "full"), "-o: full/a2c is there and not an empty folder; choose another one"),
        (("tidy", "small", "-o", "file"), "-o: file/a2c: cannot be written: Not a directory"),
        (("tidy", "small", "-o", "x", "--results", "none"), "'small' has no results in none/small; train it first"),
    ],
)
def test_what_cannot_be_exported_is_said_in_a_line(here, softbench, words, message):
    Path("full/a2c").mkdir(parents=True, exist_ok=True)
    Path("full/a2c/old.csv").write_text("")
    Path("file").write_text("")
    code, _, err = softbench("export", *words)
    assert code == 2 and message in err and err.count("\n") == 1
    assert not Path("x").exists()


def test_nothing_is_written_where_one_of_the_folders_is_not_free(here, softbench):
    Path("half/ppo").mkdir(parents=True)
    Path("half/ppo/old.csv").write_text("")
    code, out, err = softbench("export", "tidy", "small", "-o", "half")
    assert code == 2 and not out and "-o: half/ppo is there and not an empty folder" in err and err.count("\n") == 1
    assert [*Path("half").iterdir()] == [Path("half/ppo")]


def test_a_damaged_cell_is_left_out_and_told(here, softbench):
    path = Path("results/small/a2c/MountainCar-v0/manifest.json")
    whole = path.read_text()
    path.write_text("{")
    try:
        code, out, err = softbench("export", "tidy", "small", "-o", "damaged")
    finally:
        path.write_text(whole)
    assert code == 1 and "left out: results/small/a2c/MountainCar-v0: cannot be read" in err and err.count("\n") == 1
    assert set(pd.read_csv("damaged/a2c/table.csv")["task"]) == {"CartPole-v1"} and len(out.split()) == 2


def test_an_altered_cell_is_left_out_and_told(here, softbench):
    path = Path("results/small/a2c/MountainCar-v0/curves.parquet")
    whole = path.read_bytes()
    curves = pd.read_parquet(path)
    curves.assign(return_sampled=curves["return_sampled"] - 1).to_parquet(path)
    try:
        code, _, err = softbench("export", "tidy", "small", "-o", "altered")
    finally:
        path.write_bytes(whole)
    assert code == 1 and "left out: results/small/a2c/MountainCar-v0: " in err and err.count("\n") == 1
    assert set(pd.read_csv("altered/a2c/table.csv")["task"]) == {"CartPole-v1"}


def test_one_evaluation_a_run_is_no_curve(here, tmp_path, monkeypatch, softbench):
    monkeypatch.chdir(tmp_path)
    write_suite(tmp_path, segments=1)
    assert train_here(Path("results"))[0]
    code, _, err = softbench("export", "tidy", "small", "-o", "x")
    assert code == 2 and "'small' has one evaluation a run, so no curves" in err


def test_a_grid_may_list_its_steps(tmp_path):
    from harness.imports.schema import Grid

    assert Grid.model_validate({"at": [100, "1k", 5000]}).steps.tolist() == [100, 1000, 5000]
    for wrong in ({"at": [3, 2]}, {"at": [1]}, {"at": [1, 2], "points": 2}, {"at": []}, {"at": "1-3"}):
        with pytest.raises(ValueError):  # noqa: PT011  # each says something else
            Grid.model_validate(wrong)


def test_import_files_are_read_as_documented(here, softbench):
    assert softbench("export", "tidy", "small", "-o", "documented")[0] == 0
    content = yaml.safe_load(Path("documented/a2c/import.yaml").read_text())
    assert content["name"] == "small-a2c" and content["actions"] == "sampled"
    assert content["tasks"]["CartPole-v1"]["floor"] == 21.3
    assert content["arms"]["a2c-proper@temperature=0.1"] == {"soft": True, "hard": "a2c-naive@temperature=0.1"}
