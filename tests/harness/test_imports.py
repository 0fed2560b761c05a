"""Runs of others: logs as their libraries write them become curves, a suite and results; what is wrong with them is said in one line."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import yaml
from imported_logs import (
    ARMS,
    SEEDS,
    TAG,
    episodes,
    imported,
    rows,
    runs_of,
    table,
    write_all,
    write_import,
    write_monitor,
    write_tensorboard,
)
from small_suite import write_suite

from harness import pipeline
from harness.errors import InputError
from harness.imports.patterns import matching
from harness.imports.schema import Entry, load_import
from harness.schema.results import damages, read_cell
from harness.schema.suite import load_suite
from reports.site.site import build
from reports.statistics.scores import read_studies
from reports.statistics.verdicts import judge

pytestmark = pytest.mark.usefixtures("no_ink")
CELL = Path("results/cartpole/cartpole/CartPole-v1")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# --- the formats -------------------------------------------------------------------------------------------------------------------


DOCUMENT = (Path(__file__).parents[2] / "docs" / "import.md").read_text()


def blocks() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.S)


def examples() -> list[str]:
    """The parts of the document that can be copied, each with its files and its commands."""
    return re.split(r"\n\*\*[0-9]\. ", DOCUMENT.partition("## The import file")[0])[1:]


@pytest.mark.parametrize(
    "number",
    [pytest.param(at, marks=[pytest.mark.slow] if "train.py" in text else []) for at, text in enumerate(examples())],
)
def test_the_examples_can_be_copied(softbench, number):
    for name, content in re.findall(r"```(?:csv|yaml|python) (\S+)\n(.*?)```", examples()[number], re.S):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(content)
    (commands,) = re.findall(r"```sh\n(.*?)```", examples()[number], re.S)
    for line in commands.splitlines():
        program, *words = shlex.split(line, comments=True)
        if program == "python":
            pytest.importorskip("stable_baselines3", reason="Stable-Baselines3 is not installed (extra `sb3`)")
            subprocess.run([sys.executable, *words], check=True)
        else:
            code, told, errors = softbench(*words)
            assert (code, errors) == (0, "") and "left out" not in told.replace("left out ", ""), line
    name = words[-1]
    (row,) = pd.read_csv(f"site/{name}/evidence.csv").to_dict("records")
    assert str(row["seeds"]) in ("3", "2") and row["diverged"] == 0, "all runs of the example are used"


@pytest.mark.parametrize("number", range(len(blocks())))
def test_every_block_of_the_document_reads_the_runs_that_were_logged(number):
    write_all(Path())
    whole, *others = map(yaml.safe_load, blocks())
    content = {**whole, **([{}, *others][number]), "smooth": 1}
    Path("import.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    config, runs = load_import(Path("import.yaml")), runs_of(Path("import.yaml"))
    assert [(run.arm, run.task, run.seed) for run in runs] == [
        (arm, "CartPole-v1", seed) for arm in ARMS for seed in SEEDS
    ]
    for run in runs:
        steps, returns = episodes(run.arm, run.seed)
        np.testing.assert_array_equal(run.curve.steps, steps)
        np.testing.assert_allclose(run.curve.returns, returns, rtol=1e-6)
        assert run.why == "" and len(run.files) == 1
        found, diverged = run.curve.at(config.grid)
        np.testing.assert_allclose(found, (1 + (run.arm == "a2c")) * np.arange(10, 191, 10) + run.seed, rtol=1e-6)
        assert not diverged.any()


def test_the_document_shows_every_format():
    shown = {entry["format"] for block in blocks() for entry in yaml.safe_load(block)["runs"]}
    assert shown == {"tensorboard", "sb3-monitor", "sb3-evaluations", "wandb-long", "wandb-wide", "tidy"}
    told = {format for entry in get_args(Entry) for format in get_args(entry.model_fields["format"].annotation)}
    assert not {format for format in told if f"`{format}`" not in DOCUMENT and format not in shown}


def test_a_restarted_tensorboard_run_with_several_environments():
    """CleanRL logs every environment's episode at the same global_step; a restart adds a file to the folder."""
    folder = Path("runs/CartPole-v1__ppo__1__1700000000")
    write_tensorboard(folder, [10, 10, 20], [1.0, 3.0, 5.0], filename_suffix=".a")
    write_tensorboard(folder, [30, 40], [6.0, 8.0], filename_suffix=".b")
    first, second = sorted(folder.iterdir())
    if first.name.endswith(".b"):  # both began in the same second: the file names' time decides
        first.rename(folder / second.name.replace("events.out.tfevents.", "events.out.tfevents.9"))
    (run,) = runs_of(
        write_import(
            Path(), runs=[{"format": "tensorboard", "files": "runs/{task}__{arm}__{seed}__*/*tfevents*"}], smooth=2
        )
    )
    np.testing.assert_array_equal(run.curve.steps, [10, 20, 30, 40])
    np.testing.assert_array_equal(run.curve.returns, [2.0, 4.0, 5.5, 7.0])
    assert len(run.files) == 2


def test_scalars_of_newer_tensorboard_writers():
    tensorboard = pytest.importorskip(
        "torch.utils.tensorboard", reason="TensorBoard is not installed (extra `imports`)"
    )
    writer = tensorboard.SummaryWriter("runs/1")
    writer.add_scalar(TAG, 2.5, 10, new_style=True)
    writer.close()
    (run,) = runs_of(
        write_import(
            Path(),
            arms={"ppo": {"soft": False}},
            runs=[{"format": "tensorboard", "files": "runs/{seed}/events*"}],
            smooth=1,
        )
    )
    assert (run.arm, run.task, run.seed, run.curve.steps.tolist(), run.curve.returns.tolist()) == (
        "ppo",
        "CartPole-v1",
        1,
        [10],
        [2.5],
    )


def test_monitor_files_of_several_environments_are_merged_as_their_library_does():
    results_plotter = pytest.importorskip(
        "stable_baselines3.common.results_plotter", reason="Stable-Baselines3 is not installed"
    )
    from stable_baselines3.common.monitor import load_results

    folder = Path("logs/ppo/seed0")
    write_monitor(folder / "0.monitor.csv", [10, 20, 30], [1, 2, 3], seconds=[1, 4, 5], start=100.0)
    write_monitor(folder / "1.monitor.csv", [15, 25], [4, 5], seconds=[1, 2], start=103.5)
    (run,) = runs_of(
        write_import(Path(), runs=[{"format": "sb3-monitor", "files": "logs/{arm}/seed{seed}/*.monitor.csv"}])
    )
    steps, returns = results_plotter.ts2xy(load_results(str(folder)), "timesteps")
    np.testing.assert_array_equal(run.curve.steps, steps)
    np.testing.assert_array_equal(run.curve.returns, returns)
    assert run.curve.steps.tolist() == [10, 30, 45, 75, 100]


def test_evaluations_and_monitors_of_real_training():
    """Tiny A2C runs with Monitor and EvalCallback: what is read is what the library says it logged."""
    sb3 = pytest.importorskip("stable_baselines3", reason="Stable-Baselines3 is not installed (extra `sb3`)")
    train_sb3(sb3.A2C, "a2c", 0, 300, eval_freq=100)
    evaluations = [{"format": "sb3-evaluations", "files": "logs/{arm}_{seed}/evaluations.npz"}]
    (run,) = runs_of(
        write_import(
            Path(), runs=evaluations, actions="greedy", smooth=None, grid={"first": 100, "last": 300, "points": 3}
        )
    )
    assert run.curve.steps.tolist() == [100, 200, 300] and run.why == ""
    assert run.curve.returns.tolist() == np.load("logs/a2c_0/evaluations.npz")["results"].mean(axis=1).tolist()
    (run,) = runs_of(write_import(Path(), runs=[{"format": "sb3-monitor", "files": "logs/{arm}_{seed}/monitor.csv"}]))
    logged = pd.read_csv("logs/a2c_0/monitor.csv", skiprows=1)
    assert run.curve.returns.tolist() == logged["r"].tolist() and run.curve.last == logged["l"].sum() <= 300


def train_sb3(kind, arm, seed, steps, eval_freq, **settings) -> None:
    import gymnasium
    from stable_baselines3.common.callbacks import EvalCallback
    from stable_baselines3.common.monitor import Monitor

    folder = Path("logs") / f"{arm}_{seed}"
    folder.mkdir(parents=True)
    environment = Monitor(gymnasium.make("CartPole-v1"), str(folder / "monitor.csv"))
    evaluation = EvalCallback(
        Monitor(gymnasium.make("CartPole-v1")),
        eval_freq=eval_freq,
        n_eval_episodes=2,
        log_path=str(folder),
        verbose=0,
        warn=False,
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
    assert ppo.curve.steps.tolist() == [0] and ppo.curve.returns[0] == 1 and ppo.curve.diverged == 20
    assert a2c.curve.steps.tolist() == [10, 20] and a2c.curve.returns.tolist() == [7.5, 8]
    Path("long.csv").write_text(
        f"run,exp_name,env_id,seed,global_step,{TAG},losses/value_loss\n"
        "x,PPO,CartPole,1,5,2.0,\nx,PPO,CartPole,1,6,,0.1\nx,PPO,CartPole,1,6,4.0,\ny,a2c,CartPole,1,6,9.0,\n"
    )
    columns = {"arm": "exp_name", "task": "env_id", "seed": "seed"}
    long = {
        "format": "wandb-long",
        "files": "long.csv",
        "columns": columns,
        "rename": {"PPO": "ppo", "CartPole": "CartPole-v1"},
    }
    ppo, a2c = runs_of(write_import(Path(), runs=[long]))
    assert (
        ppo.curve.steps.tolist() == [5, 6]
        and ppo.curve.returns.tolist() == [2, 4]
        and a2c.curve.returns.tolist() == [9]
    )


def test_what_a_path_or_a_name_says():
    assert matching("{arm}_{seed}/*.csv", "a_b_3/x.csv") == {"arm": "a_b", "seed": "3"}
    assert matching("{arm}_{seed}/*.csv", "a_b/x.csv") == {"arm": "a", "seed": "b"}
    assert matching("{arm}_{seed}/*.csv", "a_3/b/x.csv") is None
    assert matching("{task}.x/{seed}", "ax.x/1") == {"task": "ax", "seed": "1"}
    assert matching("{task}.x/{seed}", "aax/1") is None


def test_a_table_may_leave_out_what_is_declared_once():
    for write in (pd.DataFrame.to_csv, pd.DataFrame.to_parquet):
        write(
            pd.DataFrame({"seed": [7, 7], "step": [0, 20], "return": [1.0, 3.0]}),
            "table.csv".replace("csv", write.__name__[3:]),
        )
        tidy = [{"format": "tidy", "files": "table." + write.__name__[3:]}]
        (run,) = runs_of(write_import(Path(), arms={"ppo": {"soft": False}}, runs=tidy))
        assert (run.arm, run.task, run.seed, run.curve.returns.tolist()) == ("ppo", "CartPole-v1", 7, [1, 3])
    with pytest.raises(InputError, match="column 'arm' is missing"):
        runs_of(write_import(Path(), runs=tidy))


def test_csv_and_parquet_tables_are_read_alike():
    path = table(rows("ppo", 0) + rows("a2c", 0, returns=(4, 5, 6)))
    as_csv = runs_of(path)
    pd.read_csv("table.csv").to_parquet("table.parquet")
    as_parquet = runs_of(write_import(Path(), runs=[{"format": "tidy", "files": "*.parquet"}], smooth=None))
    assert (
        [run.curve.returns.tolist() for run in as_csv]
        == [run.curve.returns.tolist() for run in as_parquet]
        == [[1, 2, 3], [4, 5, 6]]
    )


# --- curves ------------------------------------------------------------------------------------------------------------------------


def test_curves_are_interpolated_within_a_runs_range_and_never_beyond():
    logs = rows(seed=0, steps=(0, 4, 14, 20), returns=(0, 8, 28, 10))
    logs += (
        rows(seed=1, steps=(0, 10, 19))
        + rows(seed=2, steps=(1, 10, 20))
        + rows("a2c", 0, steps=(0, 30), returns=(0, 30))
    )
    path = table(logs)
    whole, early, late, long = runs_of(path)
    config = load_import(path)
    assert whole.curve.at(config.grid)[0].tolist() == [0, 20, 10]
    assert long.curve.at(config.grid)[0].tolist() == [0, 10, 20]
    assert early.why == "ends at step 19, before the grid's last, 20"
    assert late.why == "begins at step 1, after the grid's first, 0"
    imported(path)
    assert sorted(read_cell(CELL).manifest.members["ppo"]) == ["0"]
    (study,), _ = read_studies(load_suite("cartpole"), Path("results"))
    assert study.holes == ["cartpole on CartPole-v1, arm ppo: seeds 1-2 missing"], "nobody began these seeds of a2c"


@pytest.mark.parametrize("lost", ["nan", "inf", "-inf"])
def test_a_run_has_diverged_where_its_log_is_not_finite_to_its_end(lost):
    path = table(rows(seed=0, steps=(0, 9, 12, 15), returns=(5, 5, lost, lost)) + rows("a2c", 0))
    config = load_import(path)
    run, _ = runs_of(path)
    assert run.why == "", "a diverged run may end early"
    returns, diverged = run.curve.at(config.grid)
    assert diverged.tolist() == [False, True, True] and returns[0] == 5 and np.isnan(returns[1:]).all()
    imported(path)
    assert read_cell(CELL).manifest.members["ppo"]["0"].diverged_at == 10
    (study,), _ = read_studies(load_suite("cartpole"), Path("results"))
    assert study.diverged == ["cartpole on CartPole-v1, arm ppo, seed 0"] and study.matrix("ppo").tolist() == [[0.0]]


def test_smoothing_is_the_mean_of_the_last_finite_values():
    path = table(rows(steps=(0, 5, 10, 15, 20), returns=(2, 4, 6, np.inf, 8)))
    (run,) = runs_of(path)
    assert run.curve.steps.tolist() == [0, 5, 10, 20] and run.curve.returns.tolist() == [2, 4, 6, 8]
    (run,) = runs_of(write_import(Path(), smooth=3))
    assert run.curve.returns.tolist() == [2, 3, 4, 6] and run.curve.diverged is None


def test_the_floor_is_the_lowest_return_in_a_log_and_not_the_lowest_mean():
    table(rows(steps=(0, 5, 10, 15), returns=(10, 10, -500, "nan")) + rows("a2c"))
    imported(write_import(Path(), grid={"first": 0, "last": 20, "points": 3}, smooth=3))
    assert read_cell(CELL).manifest.imported.lowest == -500


# --- the command -------------------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")


def files_below(*folders: str) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() for folder in folders for path in sorted(Path(folder).rglob("*")) if path.is_file()
    }


def test_check_shows_what_was_understood_and_writes_nothing(softbench):
    table(rows("ppo", 0) + rows("ppo", 1, steps=(0, 5, 10)) + rows("a2c", 0, returns=(1, "nan", "inf")))
    write_import(Path(), grid={"first": 0, "last": 20, "points": 3}, title="[/]CartPole[red]")
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
    assert damages(cell) == [] and cell.manifest.members["a2c"]["1"].imported.files.keys() == {"table.csv"}
    assert cell.curves["return_greedy"].isna().all() and cell.curves["return_sampled"].notna().all()
    arms = json.loads((CELL / "manifest.json").read_text())["arms"]
    assert (arms["a2c"]["role"], arms["a2c"]["against"], arms["ppo"]["role"]) == ("soft", "ppo", "hard")
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
    (row,) = pd.read_csv("site/cartpole/evidence.csv").to_dict("records")
    assert (row["soft arm"], row["hard arm"], row["the soft arm is"]) == ("a2c", "ppo", "undecided")
    assert row["difference"] == pytest.approx(0.15, abs=1e-12)
    origins = pd.read_csv("site/cartpole/cartpole-origins.csv")
    assert len(origins) == 4 and set(origins["file"]) == {"table.csv"} and set(origins["SHA-256"].str.len()) == {64}


def test_claims_about_imported_arms_are_judged_and_called_unregistered(softbench):
    table(
        [
            row
            for seed in range(5)
            for row in rows("ppo", seed, returns=(1, 2, 3 + seed)) + rows("a2c", seed, returns=(1, 2, 53 + seed))
        ]
    )
    assert softbench("import", "import.yaml")[0] == 0
    claim = {
        "id": "X1",
        "statement": "A2C beats PPO.",
        "source": "a blog",
        "pair": "cartpole",
        "arm": "a2c",
        "against": "ppo",
    }
    claim |= {"test": "superiority", "margin": 0, "effect": 0.05, "reason": "a twentieth of the range"}
    Path("suites/cartpole/claims.yaml").write_text(yaml.safe_dump({"claims": [claim]}))
    (verdict,) = judge(load_suite("cartpole"), Path("results"))
    assert (
        verdict.verdict == "supported"
        and verdict.outcome is not None
        and verdict.outcome.estimate == pytest.approx(0.1)
    )
    assert verdict.modes == {"sampled": "supported"} and verdict.changed == ("was not registered when the runs began",)


def test_greedy_imports_have_no_sampled_returns(softbench):
    table(rows("ppo", 0) + rows("a2c", 0, returns=(1, 2, 53)))
    write_import(Path(), grid={"first": 0, "last": 20, "points": 3}, actions="greedy")
    assert softbench("import", "import.yaml")[0] == 0
    assert read_cell(CELL).curves["return_sampled"].isna().all()
    (study,), _ = read_studies(load_suite("cartpole"), Path("results"))
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
    (study,), _ = read_studies(load_suite("cartpole"), Path("results"))
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
    assert (
        code == 2
        and "no run covers the grid's steps 0 to 21: ends at step 20" in errors
        and not Path("results").exists()
    )


def test_the_pipeline_leaves_imported_suites_alone():
    write_suite(Path())
    before = pipeline.pipelines()
    path = table(rows())
    imported(path)
    assert pipeline.pipelines() == before and before


@pytest.mark.slow
def test_real_training_imported_and_reported():
    """Two arms, three seeds, CartPole, Stable-Baselines3 itself: greedy evaluations and training episodes, each to a page."""
    sb3 = pytest.importorskip("stable_baselines3", reason="Stable-Baselines3 is not installed (extra `sb3`)")
    for seed in range(3):
        train_sb3(sb3.PPO, "ppo", seed, 512, eval_freq=128, n_steps=128, n_epochs=2)
        train_sb3(sb3.A2C, "a2c", seed, 512, eval_freq=128, ent_coef=0.01)
    for name, entry, fields in [
        (
            "evaluations",
            {"format": "sb3-evaluations", "files": "logs/{arm}_{seed}/evaluations.npz"},
            {"actions": "greedy", "smooth": None},
        ),
        ("episodes", {"format": "sb3-monitor", "files": "logs/{arm}_{seed}/monitor.csv"}, {"smooth": 5}),
    ]:
        path = write_import(Path(), name=name, runs=[entry], grid={"first": 128, "last": 384, "points": 3}, **fields)
        imported(path)
        (study,), _ = read_studies(load_suite(name), Path("results"))
        assert study.holes == [] and study.seeds == [0, 1, 2] and study.matrix("a2c").shape == (3, 1)
        assert 0 < study.matrix("ppo").mean() < 1
    index, *pages = build([], Path("site")).pages
    assert "evaluations.html" in index.read_text() and len(pages) == 2
