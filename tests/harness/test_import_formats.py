"""Formats of one table, list or tree a run, each written by its own tool, or read from a file that it wrote (tests/harness/logs)."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import shutil
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from imported_logs import TAG, curves, one_line, rows, table, write_all, write_import

LOGS = Path(__file__).parent / "logs"
GRID = {"first": 1000, "last": 3000, "points": 3}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def one(entry: dict, **changes) -> Path:
    return write_import(
        Path(), **{"arms": {"ppo": {"soft": False}}, "grid": GRID, "smooth": None, "runs": [entry], **changes}
    )


def test_spinups_progress():
    Path("ppo_s7").mkdir()
    shutil.copy(LOGS / "spinup_progress.txt", "ppo_s7/progress.txt")
    path = one({"format": "spinup", "files": "{arm}_s{seed}/progress.txt"})
    assert curves(path) == {("ppo", "CartPole-v1", 7): ([1000, 2000, 3000], [-430734.12, 935035.3, -3220184.5], None)}
    path = one({"format": "spinup", "files": "{arm}_s{seed}/progress.txt", "tag": "AverageTestEpRet"})
    assert "column 'AverageTestEpRet' is missing; it has: Epoch, AverageEpRet, StdEpRet" in one_line(path)


def test_stable_baselines_progress_has_gaps():
    logger = pytest.importorskip(
        "stable_baselines3.common.logger", reason="Stable-Baselines3 is not installed (extra `sb3`)"
    )
    its = logger.configure("ppo_3", ["csv"])
    for step in (1000, 2000, 3000):
        its.record("rollout/ep_rew_mean", step / 100)
        its.record("time/total_timesteps", step)
        its.dump(step)
        its.record("eval/mean_reward", step / 50)  # of an evaluation, in a row of its own
        its.record("time/total_timesteps", step)
        its.dump(step)
    its.close()
    entry = {"format": "sb3-progress", "files": "{arm}_{seed}/progress.csv"}
    assert curves(one(entry)) == {("ppo", "CartPole-v1", 3): ([1000, 2000, 3000], [10, 20, 30], None)}
    assert curves(one({**entry, "tag": "eval/mean_reward"})) == {
        ("ppo", "CartPole-v1", 3): ([1000, 2000, 3000], [20, 40, 60], None)
    }


class Trial:
    """What Ray's loggers use of a trial."""

    def __init__(self, config: dict, folder: Path) -> None:
        self.config, self.evaluated_params, self.local_path = config, config, str(folder)
        self.checkpoint, self.trial_id = None, "x"

    def init_local_path(self) -> None:
        Path(self.local_path).mkdir(exist_ok=True)


@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
def test_rllibs_results(old):
    """Written by Ray's own loggers. No episode has ended in the first iteration."""
    logger = pytest.importorskip("ray.tune.logger", reason="Ray is not installed (extra `ray`)")
    config = {"env": "CartPole-v1", "seed": 3}
    trial = Trial(config, Path("ppo").resolve())
    trial.init_local_path()
    writers = [logger.JsonLoggerCallback(), logger.CSVLoggerCallback()]
    for step, value in ((500, float("nan")), (1000, 10.0), (2000, 20.0), (3000, 30.0)):
        values = {"timesteps_total": step, "episode_reward_mean": value}
        if not old:
            values = {"num_env_steps_sampled_lifetime": step, "env_runners": {"episode_return_mean": value}}
        for writer in writers:
            writer.log_trial_result(1, trial, {**values, "config": config})
    for writer in writers:
        writer.log_trial_end(trial)
    expected = {("ppo", "CartPole-v1", 3): ([1000, 2000, 3000], [10, 20, 30], None)}
    assert curves(one({"format": "rllib-result", "files": "{arm}/result.json"})) == expected
    shutil.copy("ppo/progress.csv", "3.csv")
    assert curves(one({"format": "rllib-progress", "files": "{seed}.csv"})) == expected
    result = Path("ppo/result.json")
    result.write_text(result.read_text() + '{"timesteps_total": 40')  # killed while it wrote
    assert curves(one({"format": "rllib-result", "files": "{arm}/result.json"})) == expected


def test_rllibs_columns_are_chosen_by_all_rows():
    """An iteration in which no episode has ended may be null."""
    values = ((1000, 10.0), (2000, 20.0), (3000, 30.0), (4000, None))
    lines = [json.dumps({"timesteps_total": step, "episode_reward_mean": value}) for step, value in values]
    Path("3.json").write_text("\n".join(lines) + "\n")
    expected = {("ppo", "CartPole-v1", 3): ([1000, 2000, 3000], [10, 20, 30], None)}
    assert curves(one({"format": "rllib-result", "files": "{seed}.json"})) == expected


def test_marl_evals_json():
    shutil.copy(LOGS / "marl_eval_0.0.4.json", "metrics.json")
    arms = {"IPPO": {"soft": False}, "MAPPO": {"soft": True}}
    entry = {"format": "marl-eval", "files": "metrics.json", "metric": "mean_episode_return"}
    path = one(entry, arms=arms, tasks={"3s5z": {"low": 0, "high": 30, "source": ""}})
    assert curves(path)["MAPPO", "3s5z", 43] == ([1000, 2000, 3000], [6, 16, 26], None) and len(curves(path)) == 4
    wrong = one({**entry, "metric": "return"}, arms=arms, tasks={"3s5z": {"low": 0, "high": 30, "source": ""}})
    assert "metric: 'return' is missing; it has: step_count, elapsed_time" in one_line(wrong)


def test_benchmarls_json_has_all_episodes_of_an_evaluation():
    for arm in ("mappo", "masac"):
        shutil.copy(LOGS / f"benchmarl_1.5.2_{arm}.json", f"{arm}.json")
    path = one(
        {"format": "marl-eval", "files": "*.json"},
        arms={"mappo": {"soft": False}, "masac": {"soft": True}},
        tasks={"vmas/balance": {"low": 0, "high": 30, "source": ""}},
        grid={"first": 6000, "last": 18000, "points": 3},
    )
    assert curves(path) == {
        ("mappo", "vmas/balance", 1): ([6000, 12000, 18000], [2, 12, 22], None),
        ("masac", "vmas/balance", 1): ([6000, 12000, 18000], [6, 16, 26], None),
    }


def test_dopamines_runs_have_no_numbers():
    shutil.copy(LOGS / "dopamine_airraid.json", "airraid.json")
    entry = {
        "format": "dopamine",
        "files": "{task}.json",
        "iteration": 1000,
        "unit": "frames",
        "rename": {"DQN": "ppo"},
    }
    found = curves(one(entry, tasks={"airraid": {"low": 0, "high": 900, "source": ""}}))
    assert found["ppo", "airraid", 0] == (
        [1000, 2000, 3000],
        [514.9805447470817, 367.6892950391645, 553.5181236673774],
        None,
    )
    assert found["ppo", "airraid", 1][1][2] == 849.9223602484471 and len(found) == 2


def test_openrlbenchmarks_downloads():
    """As its cache keeps a run: pandas writes the history, JSON the run's attributes. (The tool itself needs an account.)"""
    for number, seed in enumerate((1, 2)):
        folder = Path(f"openrlbenchmark/cleanrl/{number}abc")
        folder.mkdir(parents=True)
        history = [{"global_step": 1000 * step, TAG: 10.0 * step + seed, "_step": step} for step in (1, 2, 3)]
        history.insert(1, {"global_step": 1000, "losses/value_loss": 0.5, "_step": 9})
        pd.DataFrame(history).to_csv(folder / "run_df.csv")
        config = {"env_id": "CartPole-v1", "exp_name": "ppo", "seed": seed}
        facts = {"id": f"{number}abc", "name": f"CartPole-v1__ppo__{seed}__1666", "state": "finished", "config": config}
        (folder / "run.json").write_text(json.dumps(facts))
    entry = {"format": "openrlbenchmark", "files": "openrlbenchmark/*/*/run_df.csv"}
    expected = {
        ("ppo", "CartPole-v1", seed): ([1000, 2000, 3000], [10 + seed, 20 + seed, 30 + seed], None) for seed in (1, 2)
    }
    assert curves(one(entry, smooth=1)) == expected
    assert "smooth: is missing: openrlbenchmark holds single episodes" in one_line(one(entry))


def test_openrlbenchmarks_table_of_means_is_told_for_what_it_is():
    Path("table.csv").write_text(",CleanRL PPO,openai/baselines PPO2\nHopper-v2,2311.49 ± 440.99,2158.65 ± 302.33\n")
    for entry in ({"format": "tidy", "files": "table.csv"}, {"format": "scores", "files": "table.csv"}):
        grid = None if entry["format"] == "scores" else GRID
        assert "holds means over runs (mean ± spread), not the runs" in one_line(one(entry, grid=grid))
    Path("table.csv").write_text("a,b\n" + 1992 * "x" + ",±é\n")  # byte 2000 is within a letter
    assert "column 'seed' is missing; it has: a, b" in one_line(one({"format": "tidy", "files": "table.csv"}))


def scores_of(lines: str, **changes) -> Path:
    Path("table.csv").write_text("arm,task,seed,return\n" + lines)
    return one({"format": "scores", "files": "table.csv"}, grid=None, **changes)


@pytest.mark.usefixtures("no_ink")
def test_final_scores_have_no_steps(softbench):
    arms = {"ppo": {"soft": False}, "a2c": {"soft": True}}
    lines = "".join(
        f"{arm},CartPole-v1,{seed},{50 + seed + 100 * (arm == 'a2c')}\n" for arm in arms for seed in range(4)
    )
    scores_of(lines, arms=arms)
    assert softbench("import", "import.yaml")[0] == 0 and softbench("report", "cartpole")[0] == 0
    page = Path("site/cartpole.html").read_text()
    assert "8 training runs: 2 arms" in page and "environment steps" not in page
    (row,) = pd.read_csv("site/cartpole/evidence.csv").to_dict("records")
    assert row["difference"] == pytest.approx(0.2) and row["the soft arm is"] == "better"
    assert "has 2 final scores, must have one" in one_line(scores_of(2 * "ppo,CartPole-v1,0,1\n"))
    path = scores_of(lines)
    both = [{"format": "scores", "files": "table.csv"}, {"format": "tidy", "files": "table.csv"}]
    assert "runs.1.format: final scores have no steps" in one_line(write_import(Path(), runs=both))
    assert "grid: final scores have no steps, so there is none" in one_line(write_import(Path(), runs=both[:1]))
    assert path.exists()


# --- packed, and what steps count ------------------------------------------------------------------------------------------------

PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
ENTRIES = [
    {"format": "tensorboard", "files": "runs/{task}__{arm}__{seed}__*/events*"},
    {"format": "sb3-monitor", "files": "logs/{arm}/{task}/seed{seed}/monitor.csv"},
    {"format": "sb3-evaluations", "files": "logs/{arm}/{task}/seed{seed}/evaluations.npz"},
    {"format": "wandb-long", "files": "exports/long.csv", "columns": {"run": "name"}},
    {"format": "wandb-wide", "files": "exports/wide.csv"},
    {"format": "tidy", "files": "table.csv", "columns": {"arm": "algo", "task": "env_id"}},
    {"format": "tidy", "files": "table.parquet", "columns": {"arm": "algo", "task": "env_id"}},
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["files"][-8:])
@pytest.mark.parametrize("packer", PACKERS)
def test_every_format_is_read_packed(entry, packer):
    write_all(Path())
    pd.read_csv("table.csv").to_parquet("table.parquet")
    plain = curves(write_import(Path(), runs=[entry]))
    for path in [path for path in Path().rglob("*") if path.is_file() and path.suffix != ".yaml"]:
        path.with_name(f"{path.name}.{packer}").write_bytes(PACKERS[packer](path.read_bytes()))
        path.unlink()
    files = entry["files"] if entry["files"].endswith("*") else f"{entry['files']}.{packer}"
    assert curves(write_import(Path(), runs=[{**entry, "files": files}])) == plain and plain


def test_a_file_alone_in_a_zip_archive_and_an_archive_of_several():
    path = table(rows())
    with zipfile.ZipFile("table.zip", "w") as archive:
        archive.write("table.csv")
        archive.writestr("__MACOSX/._table.csv", "x")
    grid = {"first": 0, "last": 20, "points": 3}
    packed = write_import(Path(), runs=[{"format": "tidy", "files": "table.zip"}], smooth=None, grid=grid)
    assert curves(packed) == {("ppo", "CartPole-v1", 0): ([0, 10, 20], [1, 2, 3], None)} and path.exists()
    with zipfile.ZipFile("table.zip", "a") as archive:
        archive.writestr("other.csv", "x")
    assert one_line(packed) == "table.zip: is a zip archive of 2 files; unpack it"


def test_frames_and_steps_are_not_mixed(softbench):
    table(rows("ppo", 0) + rows("ppo", 1))
    frames = {"format": "tidy", "files": "table.csv", "unit": "frames"}
    grid = {"first": 0, "last": 20, "points": 3}
    path = write_import(Path(), runs=[frames, {"format": "tidy", "files": "table.csv"}], grid=grid)
    assert one_line(path) == (
        "import.yaml: runs.1.unit: is steps, runs.0 has frames: they cannot be compared; write all steps in one unit"
    )
    write_import(Path(), runs=[frames], grid=grid)
    assert softbench("import", "import.yaml")[0] == 0 and softbench("report", "cartpole")[0] == 0
    page = Path("site/cartpole.html").read_text()
    assert "40 environment frames" in page and ">environment frames<" in page and "environment steps<" not in page


@pytest.mark.usefixtures("no_ink")
def test_tasks_may_have_grids_of_their_own(softbench):
    lines = [row for arm in ("ppo", "a2c") for seed in range(2) for row in rows(arm, seed, task="A")]
    lines += [
        row
        for arm in ("ppo", "a2c")
        for seed in range(2)
        for row in rows(arm, seed, (0, 50, 100, 200), (1, 2, 3, 4), "B")
    ]
    table(lines)
    tasks = {
        "A": {"low": 0, "high": 10, "source": ""},
        "B": {"low": 0, "high": 10, "source": "", "grid": {"first": 100, "last": 200, "points": 2}},
    }
    write_import(Path(), tasks=tasks, grid={"first": 0, "last": 20, "points": 3})
    assert softbench("import", "import.yaml")[0] == 0 and softbench("report", "cartpole")[0] == 0
    learned = {task: pd.read_csv(f"results/cartpole/cartpole/{task}/learning.csv") for task in tasks}
    assert learned["A"]["step"].tolist() == [0, 10, 20] and learned["B"]["step"].tolist() == [100, 200]
    (row,) = pd.read_csv("site/cartpole/evidence.csv").to_dict("records")
    assert (str(row["seeds"]), str(row["tasks"])) == ("2", "2")
    told = one_line(write_import(Path(), tasks=tasks, grid=None))
    assert told == "import.yaml: grid: is missing, and tasks.A has none of its own"
