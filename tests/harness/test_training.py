"""What is left to do, how it is divided, and when results of another version are refused."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pandas as pd
import pytest
from small_suite import CELL, SUITE, make_plans, messages, stable_files, train_here, write_suite

from harness.errors import InputError
from harness.plan import work
from harness.plan.identity import capability
from harness.plan.manifest import describe, differing_lines, spec_of
from harness.pool.messages import Failed, Job, Note, Row, Segment
from harness.schema.results import damages, read_cell, seal


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    write_suite(tmp_path)
    monkeypatch.chdir(tmp_path)


def make_jobs(count, members):
    rows = [Row("arm", seed, Path("cohort")) for seed in range(members)]
    return [Job(str(index), None, rows, "cpu") for index in range(count)]


def test_shards_hold_every_member_once_and_keep_every_worker_busy():
    draw = random.Random(2)
    for _ in range(300):
        jobs, workers = make_jobs(draw.randint(1, 20), draw.randint(1, 12)), draw.randint(1, 16)
        shards = work.shards(jobs, workers)
        for job in jobs:
            mine = [shard.rows for shard in shards if shard.cell == job.cell]
            assert all(mine) and sorted(row.seed for rows in mine for row in rows) == job.seeds["arm"]
            assert max(map(len, mine)) - min(map(len, mine)) <= 1
        if all(len(job.rows) >= workers for job in jobs):
            assert len(shards) % workers == 0
        assert len(shards) >= min(workers, sum(len(job.rows) for job in jobs))
    assert work.shards([], 4) == []
    assert work.shards(make_jobs(3, 10), 1) == make_jobs(3, 10)
    assert [len(shard.rows) for shard in work.shards(make_jobs(3, 20), 2)] == [20, 20, 10, 10], (
        "whole where that is as fast"
    )
    assert [len(shard.rows) for shard in work.shards(make_jobs(1, 200), 1)] == [67, 67, 66], (
        "a grid is no cohort without bound"
    )


def test_a_plan_holds_what_was_chosen():
    (plan,) = make_plans()
    assert (plan.name, plan.seeds, plan.arms) == ("a2c/CartPole-v1", [0, 1], ["a2c-naive", "a2c-proper"])
    assert plan.folder == Path("out") / CELL and not Path("out").exists()
    assert plan.wanted("a2c-naive") == [0, 1]
    (plan,) = make_plans(pair="a2c", task="CartPole-v1", arms=["a2c-proper"], seeds=[5], steps=400)
    assert (plan.seeds, plan.arms, plan.specs["a2c-proper"].steps) == ([5], ["a2c-proper"], 400)


def test_the_identity_knows_all_that_determines_the_numbers_and_nothing_else():
    first, other = make_plans()[0], make_plans(steps=400, seeds=[7])[0]
    assert first.cohort_folder("a2c-naive") == make_plans(seeds=[7])[0].cohort_folder("a2c-naive")
    assert first.cohort_folder("a2c-naive").name != other.cohort_folder("a2c-naive").name
    write_suite(
        Path.cwd(), cells={"a2c": {"CartPole-v1": {"environments": 4, "hidden": [32, 32], "temperature": 0.02}}}
    )
    assert first.cohort_folder("a2c-naive").name != make_plans()[0].cohort_folder("a2c-naive").name
    assert not {"host", "time"} & set(first.identity("a2c-naive"))


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"pair": "a2d"}, r"--pair: 'a2d' is not in suite 'small'; did you mean 'a2c'\? Known: a2c"),
        ({"task": "CartPole"}, r"--task: 'CartPole' is not in suite 'small'; did you mean 'CartPole-v1'\?"),
        ({"arms": ["a2c-soft"]}, r"--arms: 'a2c-soft' is no arm of a2c; did you mean 'a2c-proper'\?"),
        ({"arms": ["a2c-naive", "dqn"]}, "--arms: 'dqn' is no arm of a2c. Known: a2c-naive, a2c-proper"),
        ({"arms": ["a2c-naive", "a2c-naive"]}, "--arms: 'a2c-naive' appears twice"),
        ({"steps": 79}, "79 steps are too few: 4 segments of at least one update need 80"),
    ],
)
def test_a_wrong_choice_is_refused(choices, message):
    with pytest.raises(InputError, match=message):
        make_plans(**choices)
    assert not Path("out").exists()


def test_arms_of_two_pairs_can_be_chosen_at_once_and_a_wrong_one_is_still_found():
    small = {"horizon": 5, "environments": 4}
    write_suite(
        Path.cwd(), cells={"a2c": {"CartPole-v1": small}, "dqn": {"CartPole-v1": {"learning_starts": 100}}}, segments=1
    )
    chosen = {plan.pair: plan.arms for plan in make_plans(arms=["dqn", "a2c-proper"])}
    assert chosen == {"a2c": ["a2c-proper"], "dqn": ["dqn"]}
    assert [plan.pair for plan in make_plans(arms=["dqn"])] == ["dqn"]
    with pytest.raises(InputError, match="'typo' is no arm of a2c, dqn"):
        make_plans(arms=["dqn", "a2c-proper", "typo"])


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"a2d": {"CartPole-v1": {}}}, r"unknown pair 'a2d'; did you mean 'a2c'\?"),
        (
            {"a2c": {"CartPole-v1": {"hiden": 32}}},
            r"cells.a2c.CartPole-v1: unknown field 'hiden'; did you mean 'hidden'\? Known: ",
        ),
        (
            {"a2c": {"CartPole-v1": {"learning_rate": -1}}},
            r"cells.a2c.CartPole-v1.learning_rate: must be at least 0 \(got -1\)",
        ),
        ({"a2c": {"CartPole-v1": {"learning_rate": "fast"}}}, r"learning_rate: must be a number \(got 'fast'\)$"),
        ({"a2c": {"CartPole-v1": {"learning_rate": float("inf")}}}, "learning_rate: must be a finite number"),
        ({"a2c": {"CartPole-v1": {"environments": 0}}}, "environments: must be at least 1"),
        ({"a2c": {"CartPole-v1": None}}, r"cells.a2c.CartPole-v1: must be a table \(name: value\)"),
        ({"a2c": {"CartPole-v1": {"environments": 10**9}}}, "320 steps are too few"),
    ],
)
def test_wrong_settings_are_refused_by_field(cells, message):
    write_suite(Path.cwd(), cells=cells)
    with pytest.raises(InputError, match=message):
        make_plans()


@pytest.mark.parametrize(
    ("pair", "task", "message"),
    [
        (
            "dqn",
            "Pendulum-v1",
            "cells.dqn.Pendulum-v1: pair 'dqn' needs discrete actions, Pendulum-v1 has continuous ones",
        ),
        ("a2c", "NoSuchTask-v1", "task 'NoSuchTask-v1': gymnasium cannot make it"),
        ("a2c", "Blackjack-v1", "task 'Blackjack-v1': has observations"),
    ],
)
def test_a_task_that_a_pair_cannot_take_is_refused(pair, task, message):
    reference = {"low": 0, "high": 1, "source": "none"}
    write_suite(Path.cwd(), tasks={task: {"steps": 320}}, references={task: reference}, cells={pair: {task: {}}})
    with pytest.raises(InputError, match=message):
        make_plans()


def test_an_arm_that_holds_for_other_actions_is_no_default_and_refused_when_named():
    (plan,) = ppo_on("CartPole-v1")
    assert "sppo-40" in plan.arms and not {"ppo-s4", "sppo-38-s4"} & set(plan.arms)
    assert {"ppo", "ppo-s4", "sppo-38-s4"} <= set(ppo_on("Pendulum-v1")[0].arms)
    with pytest.raises(
        InputError, match="arms: 'ppo-s4' holds for continuous actions alone, CartPole-v1 has discrete ones"
    ):
        ppo_on("CartPole-v1", ["ppo-s4"])


def ppo_on(task, arms=None):
    choice = {"settings": {"horizon": 16, "minibatches": 2}, **({} if arms is None else {"arms": arms})}
    reference = {"low": -1600, "high": 500, "source": "none"}
    write_suite(Path.cwd(), tasks={task: {"steps": 320}}, references={task: reference}, cells={"ppo": {task: choice}})
    return make_plans()


def test_a_warm_up_longer_than_the_run_is_refused_by_its_setting():
    def starting(steps):
        settings = {"learning_starts": steps, "replay_size": 400, "horizon": 6}
        write_suite(Path.cwd(), cells={"dqn": {"CartPole-v1": settings}})

    starting(319)  # 53 rollouts of 6 steps
    with pytest.raises(
        InputError, match=r"dqn\.CartPole-v1\.learning_starts: must be at most the 318 steps .* \(got 319\)"
    ):
        make_plans()
    starting(318)
    assert len(make_plans()[0].arms) == 10


def test_results_of_another_version_are_refused_by_their_first_difference(tmp_path):
    assert train_here(Path("out"))[0]
    path = Path("out") / CELL / "manifest.json"
    whole = path.read_text()
    before = stable_files(Path("out"))

    def changed(message, *keys, value):
        content = json.loads(whole)
        inner = content
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match=message) as raised:
            train_here(Path("out"), seeds=[5])
        assert "holds results of another version" in str(raised.value) and str(Path("out") / CELL) in str(raised.value)
        assert "\n" not in str(raised.value)

    changed(r"version: versions.torch: was '0.1', is now '\d", "versions", "torch", value="0.1")
    changed("code.files.algorithms/returns.py: was 'x', is now '", "code", "files", "algorithms/returns.py", value="x")
    changed("steps: was 1, is now 320", "steps", value=1)
    changed("device: was 'cuda', is now 'cpu'", "device", value="cuda")
    wider = ("arms", "a2c-naive", "settings", "hidden")
    changed(r"arms.a2c-naive.settings.hidden: was \[64, 64\], is now \[32, 32\]", *wider, value=[64, 64])
    path.write_text(whole)
    write_suite(Path.cwd(), evaluation={**SUITE["evaluation"], "episodes": 2})
    with pytest.raises(InputError, match=r"evaluation\.episodes: was 1, is now 2"):
        train_here(Path("out"))
    assert stable_files(Path("out")) == before
    path.write_text("{")
    with pytest.raises(InputError, match=r"cannot be read.*move the folder away or choose another --out"):
        train_here(Path("out"))


def test_members_are_added_on_another_processor_and_name_it():
    assert train_here(Path("out"))[0]
    path, there = Path("out") / CELL / "manifest.json", capability() | {"capability": "none"}
    content = json.loads(path.read_text())
    content["cpu"] = there
    content["seal"] = seal(content)
    path.write_text(json.dumps(content))
    before = read_cell(path.parent)
    complete, told = train_here(Path("out"), seeds=[5])
    assert complete and [each.text for each in told if isinstance(each, Note)] == [
        "note   a2c/CartPole-v1: members are added on another processor than that of those that are there: "
        f"cpu.capability: was 'none', is now {capability()['capability']!r}"
    ]
    after = read_cell(path.parent)
    assert damages(after) == [] and after.manifest.cpu == there
    assert after.manifest.processors() == [there, capability()]
    for arm, its in after.manifest.members.items():
        assert its["5"].cpu == capability() and after.manifest.processor(arm, 5) == capability()
        for seed in before.manifest.members[arm]:
            assert its[seed] == before.manifest.members[arm][seed]
            assert after.manifest.processor(arm, int(seed)) == there
    told = train_here(Path("out"), seeds=[5])[1]
    assert not [each for each in told if isinstance(each, Note)]


def test_a_cell_that_grows_keeps_the_times_of_the_runs_before():
    for seeds in (None, [5], [6]):
        assert train_here(Path("out"), seeds=seeds)[0]
    path = Path("out") / CELL / "timing.json"
    timing = read_cell(path.parent).timing
    assert timing is not None and [run.earlier for run in timing.earlier] == [[], []]
    for arm, seconds in timing.arm_seconds().items():
        assert seconds == pytest.approx(sum(run.arms[arm].seconds for run in timing.runs()))
    wall, _ = timing.total() or (0, 0)
    assert wall == pytest.approx(sum(run.wall_seconds or 0 for run in timing.runs()))
    before = path.read_bytes()
    assert train_here(Path("out"), seeds=[6])[0] and path.read_bytes() == before, "nothing new, so no run"


def test_no_space_at_the_start_is_refused(monkeypatch, tmp_path):
    class Usage:
        free = 10 * 2**20

    monkeypatch.setattr(work.shutil, "disk_usage", lambda path: Usage)
    with pytest.raises(InputError, match=r"--out: .*only 10 MiB of space left; at least 64 MiB are needed"):
        train_here(Path("out"))


def test_the_manifest_prints_the_lines_in_which_hard_and_soft_differ():
    (line,) = differing_lines("a2c")["lines"]
    assert "tau.unsqueeze(2) * kl if self.kl_in_return else rollout.reward" in line["text"], "not where it is set"
    lines = [line["text"].strip() for line in differing_lines("dqn")["lines"]]
    at = lines.index('if self.backup_form == "max":')
    assert lines[at + 1].startswith("return q.amax(-1)"), "with what depends on it"


def test_a_failed_cohort_is_told_and_the_others_are_written(monkeypatch):
    from harness.pool import worker

    original = worker.train

    def failing(job, tell):
        if "a2c-naive" in job.seeds:
            raise MemoryError("no memory")
        original(job, tell)

    with monkeypatch.context() as patch:
        patch.setattr(worker, "train", failing)
        complete, events = train_here(Path("out"))
    assert not complete and events[-1].how == "partial"
    assert [told.message.reason for told in messages(events, Failed)] == ["MemoryError: no memory"]
    assert list(json.loads((Path("out") / CELL / "manifest.json").read_text())["members"]) == ["a2c-proper"]
    complete, events = train_here(Path("out"))
    assert complete and {arm for told in messages(events, Segment) for arm in told.message.arms} == {"a2c-naive"}
    assert train_here(Path("whole"))[0] and stable_files(Path("out")) == stable_files(Path("whole"))


def test_results_of_another_version_do_not_stop_other_cells():
    tasks = ("CartPole-v1", "Acrobot-v1")
    cells = {task: {"environments": 4, "hidden": [32, 32]} for task in tasks}
    references = {task: {"low": low, "high": 500, "source": "none"} for task, low in zip(tasks, (0, -500), strict=True)}
    write_suite(Path.cwd(), tasks={task: {"steps": 80} for task in tasks}, references=references, cells={"a2c": cells})
    assert train_here(Path("out"), task="CartPole-v1")[0]
    path = Path("out") / CELL / "manifest.json"
    whole = path.read_text()
    path.write_text(whole.replace('"torch": "', '"torch": "0.'))
    complete, events = train_here(Path("out"))
    (note,) = [event for event in events if isinstance(event, Note)]
    assert not complete and note.text.startswith("REFUSED a2c/CartPole-v1: ") and "versions.torch: was '0." in note.text
    assert events[-1].cell == "a2c/Acrobot-v1" and events[-1].how == "complete"
    path.write_text(whole)
    assert train_here(Path("out"))[0]


def test_a_cell_chooses_its_arms_seeds_steps_and_evaluation():
    choice = {
        "settings": {"environments": 4, "hidden": [32, 32]},
        "arms": ["a2c-naive"],
        "seeds": "3,5",
        "steps": 80,
        "evaluation": {"episodes": 2, "primary": "greedy"},
    }
    write_suite(Path.cwd(), cells={"a2c": {"CartPole-v1": choice}})
    (plan,) = make_plans()
    assert (plan.arms, plan.seeds) == (["a2c-naive"], [3, 5])
    assert (plan.specs["a2c-naive"].steps, plan.specs["a2c-naive"].episodes) == (80, 2)
    assert train_here(Path("out"))[0]
    manifest = json.loads((Path("out") / CELL / "manifest.json").read_text())
    assert manifest["evaluation"] == {**choice["evaluation"], "modes": ["sampled", "greedy"]}
    assert sorted(manifest["members"]["a2c-naive"]) == ["3", "5"]
    assert list(manifest["arms"]) == ["a2c-naive"]
    write_suite(Path.cwd(), cells={"a2c": {"CartPole-v1": {**choice, "arms": ["a2c-naive", "a2c-proper"]}}})
    assert train_here(Path("out"))[0], "an arm can be added later"
    after = json.loads((Path("out") / CELL / "manifest.json").read_text())
    assert (
        after["members"]["a2c-naive"] == manifest["members"]["a2c-naive"] and len(after["members"]["a2c-proper"]) == 2
    )


def test_a_mode_that_is_not_evaluated_is_absent_and_changes_nothing_else():
    kept = {}
    for modes in (["sampled", "greedy"], ["greedy"]):
        evaluation = {"episodes": 2, "primary": "greedy", "modes": modes}
        write_suite(Path.cwd(), cells={"a2c": {"CartPole-v1": {"evaluation": evaluation}}})
        out = Path("-".join(modes))
        assert train_here(out)[0]
        kept[len(modes)] = pd.read_parquet(out / CELL / "curves.parquet")
        manifest = read_cell(out / CELL).manifest
        assert manifest.evaluation.modes == modes and make_plans()[0].specs["a2c-naive"] == spec_of(
            manifest, "a2c-naive"
        )
    both, greedy = kept[2], kept[1]
    assert both["return_sampled"].notna().all() and greedy["return_sampled"].isna().all()
    assert greedy["length_sampled"].isna().all() and greedy["return_greedy"].notna().all()
    measured = ["return_sampled", "return_greedy", "length_sampled", "length_greedy"]
    pd.testing.assert_frame_equal(both.drop(columns=measured), greedy.drop(columns=measured))


def test_the_hard_arm_of_a_cell_is_the_first_of_its_pair_in_any_order_of_its_arms():
    arms = ["dqn-5step", "soft-dqn-kl", "dqn"]
    settings = {"learning_starts": 20, "replay_size": 50, "batch": 16}
    write_suite(Path.cwd(), cells={"dqn": {"CartPole-v1": {"settings": settings, "arms": arms}}})
    (plan,) = make_plans()
    assert list(plan.specs) == arms and describe(plan, {}).hard == "dqn"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"arms": ["a2c-nave"]}, r"arms: 'a2c-nave' is no arm of a2c; did you mean 'a2c-naive'"),
        ({"arms": ["a2c-proper"]}, r"arms: 'a2c-proper' is compared with 'a2c-naive', which must be among them"),
        ({"arms": ["a2c-naive"], "hidden": [32, 32]}, r"cells\.a2c\.CartPole-v1: unknown field 'hidden'"),
        ({"seeds": "3-1"}, "must go up"),
        (
            {"grid": {"hidden": [32, 64]}},
            r"grid: 'hidden' may not differ by member.* Of a2c may: learning_rate, temperature",
        ),
        ({"grid": {"temprature": [0.1]}}, r"grid: 'temprature' may not differ by member"),
        ({"grid": {"temperature": []}}, r"grid\.temperature: must not be empty"),
        ({"grid": {"temperature": ["warm"]}}, r"grid\.temperature\.0: must be a number \(got 'warm'\)"),
        ({"grid": {"temperature": [True]}}, r"grid\.temperature\.0: must be a number \(got True\)"),
        ({"grid": {"temperature": [0.1, -1]}}, r"grid\.temperature: must be at least 0 \(got -1"),
        ({"grid": {"temperature": [0.1, 0.10]}}, r"grid\.temperature: a value is given twice"),
        (
            {"grid": {"temperature": [0.1]}, "settings": {"temperature": 0.2}},
            r"temperature: is among the settings as well",
        ),
    ],
)
def test_a_wrong_choice_of_a_cell_is_refused(choice, message):
    write_suite(Path.cwd(), cells={"a2c": {"CartPole-v1": choice}})
    with pytest.raises(InputError, match=message):
        make_plans()
