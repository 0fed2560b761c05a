"""Runs of others: logs as their libraries write them become curves, a suite and results; what is wrong with them is said in one line."""

from __future__ import annotations

import io
import re
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from imported_logs import ARMS, SEEDS, TAG, episodes, write_all, write_import, write_monitor, write_tensorboard
from small_suite import write_suite

from harness import cli, pipeline
from harness.errors import InputError
from harness.imports import importer, readers
from harness.imports.schema import load_import
from harness.results import damages, read_cell
from harness.suite import load_suite
from reports.scores import read_studies
from reports.site import build

pytestmark = pytest.mark.usefixtures("no_sync")
CELL = Path("results/cartpole/cartpole/CartPole-v1")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def runs_of(path: Path):
    return importer.read_runs(load_import(path), path.parent)


def table(rows, names=("arm", "task", "seed", "step", "return"), path="table.csv") -> Path:
    """A tidy table in the current folder, and an import file of it with the grid 0, 10, 20."""
    pd.DataFrame(rows, columns=list(names)).to_csv(path, index=False)
    return write_import(Path(), grid={"first": 0, "last": 20, "points": 3}, smooth=None)


def rows(arm="ppo", seed=0, steps=(0, 10, 20), returns=(1.0, 2.0, 3.0), task="CartPole-v1"):
    return [[arm, task, seed, step, value] for step, value in zip(steps, returns, strict=True)]


def one_line(path: Path) -> str:
    """The message with which an import file is refused."""
    with pytest.raises(InputError) as refused:
        runs_of(path)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 400
    return str(refused.value)


# --- the formats -------------------------------------------------------------------------------------------------------------------


def blocks() -> list[str]:
    text = (Path(__file__).parents[2] / "docs" / "import.md").read_text()
    return re.findall(r"```yaml\n(.*?)```", text, re.S)


@pytest.mark.parametrize("number", range(len(blocks())))
def test_every_block_of_the_document_reads_the_runs_that_were_logged(number):
    write_all(Path())
    whole, *others = map(yaml.safe_load, blocks())
    content = {**whole, **([{}, *others][number]), "smooth": 1}
    Path("import.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    config, runs = load_import(Path("import.yaml")), runs_of(Path("import.yaml"))
    assert [(run.arm, run.task, run.seed) for run in runs] == [(arm, "CartPole-v1", seed) for arm in ARMS for seed in SEEDS]
    for run in runs:
        steps, returns = episodes(run.arm, run.seed)
        np.testing.assert_array_equal(run.steps, steps)
        np.testing.assert_allclose(run.returns, returns, rtol=1e-6)
        assert run.why == "" and len(run.files) == 1
        found, diverged = importer.curve(run, config.grid)
        np.testing.assert_allclose(found, (1 + (run.arm == "a2c")) * np.arange(10, 191, 10) + run.seed, rtol=1e-6)
        assert not diverged.any()


def test_the_document_shows_every_format():
    shown = {entry["format"] for block in blocks() for entry in yaml.safe_load(block)["runs"]}
    assert shown == {"tensorboard", "sb3-monitor", "sb3-evaluations", "wandb-long", "wandb-wide", "tidy"}


def test_a_restarted_tensorboard_run_with_several_environments():
    """CleanRL logs every environment's episode at the same global_step; a restart adds a file to the folder."""
    folder = Path("runs/CartPole-v1__ppo__1__1700000000")
    write_tensorboard(folder, [10, 10, 20], [1.0, 3.0, 5.0], filename_suffix=".a")
    write_tensorboard(folder, [30, 40], [6.0, 8.0], filename_suffix=".b")
    first, second = sorted(folder.iterdir())
    if first.name.endswith(".b"):  # both began in the same second: the file names' time decides
        first.rename(folder / second.name.replace("events.out.tfevents.", "events.out.tfevents.9"))
    (run,) = runs_of(write_import(Path(), runs=[{"format": "tensorboard", "files": "runs/{task}__{arm}__{seed}__*/*tfevents*"}], smooth=2))
    np.testing.assert_array_equal(run.steps, [10, 20, 30, 40])
    np.testing.assert_array_equal(run.returns, [2.0, 4.0, 5.5, 7.0])
    assert len(run.files) == 2


def test_scalars_of_newer_tensorboard_writers():
    tensorboard = pytest.importorskip("torch.utils.tensorboard", reason="TensorBoard is not installed (extra `imports`)")
    writer = tensorboard.SummaryWriter("runs/1")
    writer.add_scalar(TAG, 2.5, 10, new_style=True)
    writer.close()
    (run,) = runs_of(
        write_import(Path(), arms={"ppo": {"soft": False}}, runs=[{"format": "tensorboard", "files": "runs/{seed}/events*"}], smooth=1)
    )
    assert (run.arm, run.task, run.seed, run.steps.tolist(), run.returns.tolist()) == ("ppo", "CartPole-v1", 1, [10], [2.5])


def test_monitor_files_of_several_environments_are_merged_as_their_library_does():
    results_plotter = pytest.importorskip("stable_baselines3.common.results_plotter", reason="Stable-Baselines3 is not installed")
    from stable_baselines3.common.monitor import load_results

    folder = Path("logs/ppo/seed0")
    write_monitor(folder / "0.monitor.csv", [10, 20, 30], [1, 2, 3], seconds=[1, 4, 5], start=100.0)
    write_monitor(folder / "1.monitor.csv", [15, 25], [4, 5], seconds=[1, 2], start=101.0)
    (run,) = runs_of(write_import(Path(), runs=[{"format": "sb3-monitor", "files": "logs/{arm}/seed{seed}/*.monitor.csv"}]))
    steps, returns = results_plotter.ts2xy(load_results(str(folder)), "timesteps")
    np.testing.assert_array_equal(run.steps, steps)
    np.testing.assert_array_equal(run.returns, returns)
    assert run.steps.tolist() == [10, 25, 50, 70, 100]


def test_evaluations_and_monitors_of_real_training():
    """Tiny A2C runs with Monitor and EvalCallback: what is read is what the library says it logged."""
    sb3 = pytest.importorskip("stable_baselines3", reason="Stable-Baselines3 is not installed (extra `sb3`)")
    train_sb3(sb3.A2C, "a2c", 0, 300, eval_freq=100)
    evaluations = [{"format": "sb3-evaluations", "files": "logs/{arm}_{seed}/evaluations.npz"}]
    (run,) = runs_of(write_import(Path(), runs=evaluations, actions="greedy", smooth=None, grid={"first": 100, "last": 300, "points": 3}))
    assert run.steps.tolist() == [100, 200, 300] and run.why == ""
    assert run.returns.tolist() == np.load("logs/a2c_0/evaluations.npz")["results"].mean(axis=1).tolist()
    (run,) = runs_of(write_import(Path(), runs=[{"format": "sb3-monitor", "files": "logs/{arm}_{seed}/monitor.csv"}]))
    logged = pd.read_csv("logs/a2c_0/monitor.csv", skiprows=1)
    assert run.returns.tolist() == logged["r"].tolist() and run.last == logged["l"].sum() <= 300


def train_sb3(kind, arm, seed, steps, eval_freq, **settings) -> None:
    import gymnasium
    from stable_baselines3.common.callbacks import EvalCallback
    from stable_baselines3.common.monitor import Monitor

    folder = Path("logs") / f"{arm}_{seed}"
    folder.mkdir(parents=True)
    environment = Monitor(gymnasium.make("CartPole-v1"), str(folder / "monitor.csv"))
    evaluation = EvalCallback(
        Monitor(gymnasium.make("CartPole-v1")), eval_freq=eval_freq, n_eval_episodes=2, log_path=str(folder), verbose=0, warn=False
    )
    kind("MlpPolicy", environment, seed=seed, device="cpu", **settings).learn(steps, callback=evaluation)
    environment.close()


def test_wandb_exports_with_gaps_companions_and_columns():
    """Layouts as Weights & Biases' chart export writes them (`Step`, `RUN - TAG`, `RUN - TAG__MIN`, `RUN - TAG__MAX`, an empty cell
    where a run logged nothing at a step; `global_step` instead of `Step` where that is the chart's x axis), and as a table of
    `run.history()` rows does (openrlbenchmark: run name, config columns, global_step, metrics; a row without a return logged
    something else). Written by hand: no library writes them without an account."""
    Path("wide.csv").write_text(
        '"global_step","CartPole-v1__ppo__1__17 - charts/episodic_return","CartPole-v1__ppo__1__17 - charts/episodic_return__MIN",'
        '"CartPole-v1__ppo__1__17 - charts/episodic_return__MAX","CartPole-v1__a2c__1__18 - charts/episodic_return"\n'
        '"0","1","0","9",""\n"10","","","","7.5"\n"20","NaN","3","3","8"\n'
    )
    wide = [{"format": "wandb-wide", "files": "wide.csv", "step": "global_step"}]
    ppo, a2c = runs_of(write_import(Path(), runs=wide))
    assert ppo.steps.tolist() == [0, 20] and ppo.returns[0] == 1 and np.isnan(ppo.returns[1])
    assert a2c.steps.tolist() == [10, 20] and a2c.returns.tolist() == [7.5, 8]
    Path("long.csv").write_text(
        f"run,exp_name,env_id,seed,global_step,{TAG},losses/value_loss\n"
        "x,PPO,CartPole,1,5,2.0,\nx,PPO,CartPole,1,6,,0.1\nx,PPO,CartPole,1,6,4.0,\ny,a2c,CartPole,1,6,9.0,\n"
    )
    columns = {"arm": "exp_name", "task": "env_id", "seed": "seed"}
    long = {"format": "wandb-long", "files": "long.csv", "columns": columns, "rename": {"PPO": "ppo", "CartPole": "CartPole-v1"}}
    ppo, a2c = runs_of(write_import(Path(), runs=[long]))
    assert ppo.steps.tolist() == [5, 6] and ppo.returns.tolist() == [2, 4] and a2c.returns.tolist() == [9]


def test_csv_and_parquet_tables_are_read_alike():
    path = table(rows("ppo", 0) + rows("a2c", 0, returns=(4, 5, 6)))
    as_csv = runs_of(path)
    pd.read_csv("table.csv").to_parquet("table.parquet")
    as_parquet = runs_of(write_import(Path(), runs=[{"format": "tidy", "files": "*.parquet"}], smooth=None))
    assert [run.returns.tolist() for run in as_csv] == [run.returns.tolist() for run in as_parquet] == [[1, 2, 3], [4, 5, 6]]


# --- curves ------------------------------------------------------------------------------------------------------------------------


def test_curves_are_interpolated_within_a_runs_range_and_never_beyond():
    logs = rows(seed=0, steps=(0, 4, 14, 20), returns=(0, 8, 28, 10))
    logs += rows(seed=1, steps=(0, 10, 19)) + rows(seed=2, steps=(1, 10, 20)) + rows("a2c", 0, steps=(0, 30), returns=(0, 30))
    path = table(logs)
    whole, early, late, long = runs_of(path)
    config = load_import(path)
    assert importer.curve(whole, config.grid)[0].tolist() == [0, 20, 10]
    assert importer.curve(long, config.grid)[0].tolist() == [0, 10, 20]
    assert early.why == "ends at step 19, before the grid's last, 20"
    assert late.why == "begins at step 1, after the grid's first, 0"
    importer.write(config, runs_of(path), path, Path("results"))
    assert sorted(read_cell(CELL).manifest["members"]["ppo"]) == ["0"]
    (study,) = read_studies(load_suite("cartpole"), Path("results"))
    assert study.holes == ["cartpole on CartPole-v1, arm ppo: seeds 1-2 missing", "cartpole on CartPole-v1, arm a2c: seeds 1-2 missing"]


@pytest.mark.parametrize("lost", ["nan", "inf", "-inf", ""])
def test_a_run_is_diverged_from_its_first_value_that_is_no_finite_number(lost):
    logs = rows(seed=0, steps=(0, 9, 12, 15), returns=(5, 5, lost, 5)) + rows("a2c", 0)
    path = table(logs)
    config = load_import(path)
    run, _ = runs_of(path)
    assert run.why == "", "a diverged run may end early"
    returns, diverged = importer.curve(run, config.grid)
    assert diverged.tolist() == [False, True, True] and returns[0] == 5 and np.isnan(returns[1:]).all()
    importer.write(config, runs_of(path), path, Path("results"))
    assert read_cell(CELL).manifest["members"]["ppo"]["0"]["diverged_at"] == 10
    (study,) = read_studies(load_suite("cartpole"), Path("results"))
    assert study.diverged == ["cartpole on CartPole-v1, arm ppo, seed 0"] and study.matrix("ppo").tolist() == [[0.0]]


def test_smoothing_is_the_mean_of_the_last_values_and_stops_at_a_divergence():
    path = table(rows(steps=(0, 5, 10, 15, 20), returns=(2, 4, 6, np.inf, 8)))
    (run,) = runs_of(path)
    assert run.returns[:3].tolist() == [2, 4, 6]
    (run,) = runs_of(write_import(Path(), smooth=3))
    assert run.returns[:3].tolist() == [2, 3, 4] and np.isnan(run.returns[3:]).all()


# --- what is refused ---------------------------------------------------------------------------------------------------------------

WRONG_TABLES = [
    (rows("dqn"), r"table\.csv: unknown arm 'dqn'.* Known: a2c, ppo"),
    (rows(task="CartPole-v0"), r"table\.csv: unknown task 'CartPole-v0'; did you mean 'CartPole-v1'\?"),
    (rows(seed="one"), r"table\.csv: seed: 'one' is no integer"),
    (rows(seed=-1), r"table\.csv: seed: '-1' is no integer"),
    (rows(seed="1.5"), r"table\.csv: seed: '1\.5' is no integer"),
    (rows(seed=""), r"table\.csv: seed: is empty in a row"),
    (rows(steps=(0, 10, 9)), r"table\.csv: arm ppo, task CartPole-v1, seed 0: step: 9 comes after 10; steps must rise"),
    (rows() + rows(), r"seed 0: step: 0 comes after 20"),
    (rows(steps=(0, 10, 10)), "step: 10 comes after 10"),
    (rows(steps=(0, "x", 10)), r"table\.csv: step: could not convert .* 'x'"),
    (rows(steps=(0, np.inf, 10)), "step: a step is no number from 0"),
    (rows(steps=(-1, 0, 10)), "step: a step is no number from 0"),
    (rows(returns=(1, "much", 2)), r"table\.csv: return: could not convert .* 'much'"),
]


@pytest.mark.parametrize(("logs", "message"), WRONG_TABLES, ids=[message[-30:] for _, message in WRONG_TABLES])
def test_a_wrong_table_gets_one_line(logs, message):
    assert re.search(message, one_line(table(logs)))


def test_the_same_run_in_two_files_is_refused():
    table(rows(), path="b.csv")
    table(rows(), path="a.csv")
    message = one_line(write_import(Path(), runs=[{"format": "tidy", "files": "*.csv"}], smooth=None))
    assert message == "b.csv: arm ppo, task CartPole-v1, seed 0 appears twice; the other is in a.csv"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"arm,task,seed,step\nppo,CartPole-v1,0,1\n", r"table\.csv: column 'return' is missing; it has: arm, task, seed, step"),
        (b"", r"table\.csv: is truncated: its last line has no end"),
        (b"arm,task,seed,step,return\nppo,\xff,0,1,2\n", r"table\.csv: is no CSV file, or damaged: .*UTF8"),
        (b"\n", r"table\.csv: is no CSV file, or damaged: .*Empty CSV"),
        (b"arm,task,seed,step,return\nppo,CartPole-v1,0,1,2\nppo,CartPole-v1,0,2\n", r"table\.csv: .*Row #3: Expected 5 columns, got 4"),
        (b"arm,task,seed,step,return\nppo,CartPole-v1,0,1,2\nppo,CartPole-v1,0,20", r"table\.csv: is truncated: its last line has no end"),
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
        ({"actions": None}, "actions: Field required"),
        ({"runs": [{"format": "sb3", "files": "*"}]}, r"runs\.0: .*'sb3'.*'sb3-monitor'"),
        ({"runs": [{"format": "tidy", "files": "../*.csv"}]}, r"runs\.0\.tidy\.files: must be a path below the folder"),
        ({"runs": [{"format": "tidy", "files": "/etc/passwd"}]}, r"files: must be a path below the folder"),
        ({"runs": [{"format": "tidy", "files": "{arms}.csv"}]}, r"files: \{arms\} is no placeholder; allowed: \{arm\}"),
        ({"runs": [{"format": "tidy", "files": "{arm}{seed}.csv"}]}, "files: placeholders and stars must have something between"),
        ({"runs": [{"format": "tidy", "files": "none.csv"}]}, r"runs\.0\.files: 'none\.csv' matches no file in"),
        ({"runs": [{"format": "tidy", "files": "*", "rename": {"x": "dqn"}}]}, r"runs\.0\.rename\.x: unknown arm or task 'dqn'"),
        ({"runs": [{"format": "sb3-monitor", "files": "*"}], "smooth": None}, r"smooth: is missing: sb3-monitor holds single episodes"),
        ({"grid": {"first": 0, "last": 1, "points": 3}}, r"grid: last must be at least first \+ points - 1 = 2"),
        ({"arms": {"a": {"soft": True}}}, "arms: at least one must be hard"),
        ({"arms": {"a": {"soft": False}, "b": {"soft": True, "hard": "c"}}}, r"arms\.b\.hard: 'c' is no hard arm\. Known: a"),
        ({"arms": {"../a": {"soft": False}}}, r"arms\.\.\./a\.\[key\]: "),
        ({"tasks": {"T": {"low": 1, "high": 1, "source": ""}}}, r"tasks\.T: low and high must differ"),
        (
            {"tasks": {task: {"low": 0, "high": 1, "source": ""} for task in ("A/B", "A_B")}},
            r"tasks\.A/B: another task has the same folder",
        ),
        ({"name": "../x"}, "name: String should match"),
        ({"colour": 1}, "colour: unknown field"),
    ],
)
def test_a_wrong_import_file_gets_one_line(changes, message):
    table(rows())
    said = one_line(write_import(Path(), **changes))
    assert re.search(message, said) and (said.startswith("import.yaml: ") or "matches no file" in said), said


def test_yaml_aliases_are_refused():
    Path("import.yaml").write_text("name: &a x\ntitle: *a\n")
    assert "aliases (*name) are not allowed" in one_line(Path("import.yaml"))


def test_damaged_event_files():
    write_tensorboard(Path("runs/1"), range(0, 100, 10), range(10))
    (path,) = Path("runs/1").iterdir()
    whole = path.read_bytes()
    config = write_import(Path(), arms={"ppo": {"soft": False}}, runs=[{"format": "tensorboard", "files": "runs/{seed}/events*"}])
    assert len(runs_of(config)[0].steps) == 10
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    huge = bytearray(whole)
    huge[:8] = struct.pack("<Q", 2**62)
    for content in (whole[:-1], whole[:-20], bytes(flipped), bytes(huge), b"", b"no events at all, but text"):
        path.write_bytes(content)
        assert re.search(rf"{path.name}: is truncated or damaged after [0-9,]+ of {len(content):,} bytes", one_line(config))
    path.write_bytes(whole)
    other = [{"format": "tensorboard", "files": "runs/{seed}/events*", "tag": "charts/episodic_returns"}]
    message = one_line(write_import(Path(), arms={"ppo": {"soft": False}}, runs=other))
    assert "tag: 'charts/episodic_returns' is missing; did you mean 'charts/episodic_return'?" in message


def test_damaged_monitor_files():
    path = Path("0.monitor.csv")
    write_monitor(path, [10, 10], [1, 2])
    whole = path.read_bytes()
    config = write_import(Path(), arms={"ppo": {"soft": False}}, runs=[{"format": "sb3-monitor", "files": "{seed}.monitor.csv"}])
    assert len(runs_of(config)[0].steps) == 2
    for content, message in [
        (whole[:-3], "is truncated: its last line has no end"),
        (whole.replace(b"#", b""), "line 1 is not Monitor's"),
        (whole.replace(b"r,l,t", b"r,n,t"), "column 'l' is missing; it has: r, n, t"),
        (whole.replace(b",10,", b",-5,"), "l: the length of an episode must be at least 1"),
        (whole.replace(b",10,", b",ten,"), "l: could not convert"),
        (b"", "line 1 is not Monitor's"),
    ]:
        path.write_bytes(content)
        assert f"0.monitor.csv: {message}" in one_line(config)


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
    config = write_import(Path(), arms={"ppo": {"soft": False}}, runs=[{"format": "sb3-evaluations", "files": "{seed}.npz"}])
    good = npz(timesteps=[1, 2], results=[[1.0, 2.0], [3.0, 4.0]])
    lying = io.BytesIO()
    with zipfile.ZipFile(lying, "w") as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
        archive.writestr("timesteps.npy", header.getvalue())
        archive.writestr("results.npy", b"")
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("timesteps.npy", bytes(readers.MOST_BYTES + 1))
    ragged = np.array([[1.0], [1.0, 2.0]], dtype=object)
    for content, message in [
        (npz(timesteps=[1, 2], results=ragged), "results: holds Python objects"),
        (npz(timesteps=np.array([Boom()], dtype=object), results=[[1.0]]), "timesteps: holds Python objects"),
        (npz(timesteps=[1, 2]), "results: is missing"),
        (npz(timesteps=[1, 2], results=[[1.0]]), r"results: has the shape [1, 1], must be [2, episodes]"),
        (npz(timesteps=["a", "b"], results=[[1.0], [2.0]]), "timesteps: holds <U1, must be numbers"),
        (lying.getvalue(), "timesteps: has the shape [1000000000000] and 0 bytes"),
        (bomb.getvalue(), "timesteps: unpacks to 268,435,457 bytes; at most 268,435,456 are read"),
        (good[:-30], "is no .npz file, or damaged: "),
        (b"text", "is no .npz file, or damaged: "),
    ]:
        path.write_bytes(content)
        assert f"0.npz: {message}" in one_line(config)
    assert not Path("executed").exists()
    path.write_bytes(good)
    assert runs_of(config)[0].returns.tolist() == [1.5, 3.5]


def test_big_files_parquet_bombs_and_links_out_of_the_folder():
    path = table(rows())
    with open("table.csv", "r+b") as file:
        file.truncate(readers.MOST_BYTES + 1)
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


# --- the command -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def softbench(monkeypatch, capsys):
    """Run the command line in this process: (exit code, stdout, stderr)."""
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setenv("COLUMNS", "160")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["softbench", *map(str, words)])
        with pytest.raises(SystemExit) as exited:
            cli.main()
        told = capsys.readouterr()
        return exited.value.code, told.out, told.err

    return run


def files_below(*folders: str) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for folder in folders for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def test_check_shows_what_was_understood_and_writes_nothing(softbench):
    table(rows("ppo", 0) + rows("ppo", 1, steps=(0, 5, 10)) + rows("a2c", 0, returns=(1, np.nan, 1)))
    before = files_below(".")
    code, out, errors = softbench("import", "import.yaml", "--check")
    assert (code, errors, files_below(".")) == (0, "", before)
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    assert cells == [
        ["CartPole-v1", "ppo", "hard", "0", "0", "10 to 20", "3", "0", "1"],
        ["CartPole-v1", "a2c", "soft", "0", "0", "20", "3", "1", "0"],
    ]
    assert "left out: ppo on CartPole-v1, seed 1 (table.csv): ends at step 10, before the grid's last, 20\n" in out


def test_an_imported_suite_is_reported_like_our_own_and_not_trained(softbench):
    table(rows("ppo", 0) + rows("ppo", 1) + rows("a2c", 0, returns=(1, 2, 53)) + rows("a2c", 1, returns=(1, 2, 103)))
    code, out, _ = softbench("import", "import.yaml")
    assert code == 0 and out.endswith(f"suites/cartpole/suite.yaml\n{CELL}\n")
    before = files_below("suites", "results")
    assert softbench("import", "import.yaml")[0] == 0 and files_below("suites", "results") == before
    cell = read_cell(CELL)
    assert damages(cell) == [] and cell.manifest["members"]["a2c"]["1"]["imported"]["files"].keys() == {"table.csv"}
    assert cell.curves["return_greedy"].isna().all() and cell.curves["return_sampled"].notna().all()
    assert "cartpole (imported)" in softbench("list")[1]
    code, _, errors = softbench("train", "cartpole")
    assert code == 2 and errors == (
        "softbench: suite 'cartpole' is imported, so nothing can be trained; to read its logs again: softbench import import.yaml\n"
    )
    code, _, errors = softbench("audit", "results/cartpole")
    assert code == 2 and "was computed on another machine (imported)" in errors
    assert softbench("report", "cartpole")[0] == 0
    page = Path("site/cartpole.html").read_text()
    assert "softbench import import.yaml &amp;&amp; softbench report cartpole" in page
    assert "softbench train" not in page and "same code" not in page and "greedy" not in page
    assert Path("site/cartpole/evidence.csv").read_text().splitlines()[1].startswith("a2c,ppo,not separable at n = 2,0.150,")
    origins = pd.read_csv("site/cartpole/cartpole-origins.csv")
    assert len(origins) == 4 and set(origins["file"]) == {"table.csv"} and set(origins["SHA-256"].str.len()) == {64}


def test_greedy_imports_have_no_sampled_returns(softbench):
    table(rows("ppo", 0) + rows("a2c", 0, returns=(1, 2, 53)))
    write_import(Path(), grid={"first": 0, "last": 20, "points": 3}, actions="greedy")
    assert softbench("import", "import.yaml")[0] == 0
    assert read_cell(CELL).curves["return_sampled"].isna().all()
    (study,) = read_studies(load_suite("cartpole"), Path("results"))
    assert list(study.curves["CartPole-v1", "a2c"].returns) == ["greedy"] and study.matrix("a2c").tolist() == [[0.106]]
    assert (CELL / "learning.csv").read_text().splitlines()[-1] == "20,53.0,3.0"


def test_a_task_whose_runs_are_all_short_has_no_results_any_more(softbench):
    two = {task: {"low": 0, "high": 1, "source": ""} for task in ("A", "B")}
    logs = [row for task in two for arm in ARMS for row in rows(arm, task=task)]
    table(logs)
    write_import(Path(), grid={"first": 0, "last": 20, "points": 3}, tasks=two)
    assert softbench("import", "import.yaml")[0] == 0
    table([row for row in logs if row[1] == "A" or row[3] < 20])
    write_import(Path(), grid={"first": 0, "last": 20, "points": 3}, tasks=two)
    assert softbench("import", "import.yaml")[0] == 0
    (study,) = read_studies(load_suite("cartpole"), Path("results"))
    assert study.tasks == ["A"] and study.holes == ["cartpole on B: no results yet"]


def test_no_suite_of_ours_is_overwritten_and_nothing_left_is_said(softbench):
    table(rows())
    write_suite(Path())
    write_import(Path(), name="small", grid={"first": 0, "last": 20, "points": 3})
    before = files_below(".")
    code, _, errors = softbench("import", "import.yaml")
    assert code == 2 and "name: suites/small/suite.yaml is there and was not imported; choose another name" in errors
    assert files_below(".") == before
    write_import(Path(), grid={"first": 0, "last": 21, "points": 3})
    code, _, errors = softbench("import", "import.yaml")
    assert code == 2 and "no run covers the grid's steps 0 to 21: ends at step 20" in errors and not Path("results").exists()


def test_the_pipeline_leaves_imported_suites_alone():
    write_suite(Path())
    before = pipeline.pipelines()
    path = table(rows())
    importer.write(load_import(path), runs_of(path), path, Path("results"))
    assert pipeline.pipelines() == before and before


@pytest.mark.slow
def test_real_training_imported_and_reported():
    """Two arms, three seeds, CartPole, Stable-Baselines3 itself: greedy evaluations and training episodes, each to a page."""
    sb3 = pytest.importorskip("stable_baselines3", reason="Stable-Baselines3 is not installed (extra `sb3`)")
    for seed in range(3):
        train_sb3(sb3.PPO, "ppo", seed, 512, eval_freq=128, n_steps=128, n_epochs=2)
        train_sb3(sb3.A2C, "a2c", seed, 512, eval_freq=128, ent_coef=0.01)
    for name, entry, fields in [
        ("evaluations", {"format": "sb3-evaluations", "files": "logs/{arm}_{seed}/evaluations.npz"}, {"actions": "greedy", "smooth": None}),
        ("episodes", {"format": "sb3-monitor", "files": "logs/{arm}_{seed}/monitor.csv"}, {"smooth": 5}),
    ]:
        path = write_import(Path(), name=name, runs=[entry], grid={"first": 128, "last": 384, "points": 3}, **fields)
        importer.write(load_import(path), runs_of(path), path, Path("results"))
        (study,) = read_studies(load_suite(name), Path("results"))
        assert study.holes == [] and study.seeds == [0, 1, 2] and study.matrix("a2c").shape == (3, 1)
        assert 0 < study.matrix("ppo").mean() < 1
    index, *pages = build([], Path("site"))
    assert "evaluations.html" in index.read_text() and len(pages) == 2
