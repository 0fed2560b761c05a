"""An environment that raises, hangs, crashes, or returns NaN or the wrong shape: its cohort fails in one line, the others finish."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest
from small_suite import alive, children, make_plans, start, wait_until, write_suite

from harness.errors import InputError
from harness.plan import tasks as probe
from harness.plan.work import jobs_of
from harness.pool.local import Pool
from harness.pool.messages import Done, Failed, Segment
from harness.schema.results import read_cell

REFERENCE = {"low": 0, "high": 10, "source": "range of the return"}
HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ["PYTHONPATH"]]))
    monkeypatch.syspath_prepend(HERE)


def suite_of(*kinds, steps=80, segments=2):
    tasks = [f"broken_envs:{kind}-v0" for kind in kinds]
    write_suite(
        Path.cwd(),
        segments=segments,
        tasks={task: {"steps": steps} for task in tasks},
        references={task: dict(REFERENCE) for task in tasks},
        cells={"a2c": {task: {"environments": 4, "hidden": [32, 32]} for task in tasks}},
    )


def softbench(*words):
    process = start(Path.cwd(), *words)
    told, errors = process.communicate(timeout=400)
    return subprocess.CompletedProcess(words, process.returncode, told, errors)


def job_of(kind, **choices):
    suite_of(kind, **choices)
    (plan,) = make_plans(arms=["a2c-naive"])
    ((job,), _) = jobs_of(plan)
    return job


def test_every_broken_environment_fails_alone_in_one_line_and_the_report_shows_the_hole(fault):
    suite_of("Raises", "Crashes", "WrongShape", "NotANumber", "Sound")
    ran = softbench("train", "small", "--out", "out", "--workers", 2, "--arms", "a2c-naive")
    assert ran.returncode == 1 and "softbench: incomplete: some cohorts failed" in ran.stderr, ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    failed = {
        match[1]: match[0]
        for match in re.finditer(r"^FAILED a2c/broken_envs:(\w+)-v0 a2c-naive seeds \[[01, ]+\]: .*$", ran.stdout, re.M)
    }
    assert set(failed) == {"Raises", "Crashes", "WrongShape"}
    assert re.search(
        r"RuntimeError: the simulator is out of fuel; its traceback is in .*workers\.log$", failed["Raises"]
    )
    assert "and says so in two lines" not in ran.stdout
    assert re.search(r"its worker was killed by SIGSEGV; see .*workers.log \(attempt 3\)$", failed["Crashes"])
    assert "ValueError" in failed["WrongShape"]
    assert (
        len(
            re.findall(
                r"^RETRY  a2c/broken_envs:Crashes-v0 .* attempt [23] goes on from the last checkpoint$",
                ran.stdout,
                re.M,
            )
        )
        == 2
    )
    assert "broken_envs.py" in Path("out/.runs/small/workers.log").read_text()  # where it crashed
    assert sorted(path.parent.name for path in Path("out/small/a2c").rglob("manifest.json")) == [
        "broken_envs_NotANumber-v0",
        "broken_envs_Sound-v0",
    ]
    sound = read_cell(Path("out/small/a2c/broken_envs_Sound-v0"))
    assert not sound.curves["diverged"].any() and sound.timing is not None and sound.timing.attempts == {"a2c-naive": 1}
    broken = read_cell(Path("out/small/a2c/broken_envs_NotANumber-v0"))
    assert broken.curves["diverged"].all()
    steps = {member.diverged_at for member in broken.manifest.members["a2c-naive"].values()}
    assert steps == {20}  # the update with step 5
    reported = softbench("report", "small", "--results", "out", "--out", "site")
    assert reported.returncode == 0, reported.stderr
    page = "".join(path.read_text() for path in Path("site").rglob("*.html"))
    for kind in failed:
        assert re.search(rf"broken_envs:{kind}-v0: no results yet", page), kind
    assert re.search(r"broken_envs:Sound-v0, arm a2c-proper: all seeds missing", page)
    for kind in ("raises", "crashes (SIGSEGV, 3 attempts)", "returns the wrong shape"):
        fault(
            "environment",
            kind,
            "its cohort fails in one line, the others finish, exit code 1, the report names what is missing",
        )
    fault("environment", "returns NaN", "both members diverged, kept in the tables, the others finish")


def test_an_environment_that_hangs_is_killed_at_the_time_limit(fault):
    job = job_of("HangsNatively")
    with Pool(1, Path("log"), timeout=4, attempts=1) as pool:
        events = list(pool.run([job]))
    assert [type(told.message) for told in events] == [Failed]
    assert events[0].message.reason == "its worker took no environment step for 4 s (--timeout) and was killed; see log"
    fault(
        "environment",
        "hangs with Python's lock held, time limit 4 s",
        "the worker is killed, the job fails in one line",
    )


@pytest.mark.slow
def test_a_hanging_environment_takes_three_attempts_and_the_others_finish(fault):
    suite_of("Hangs", "Sound")
    ran = softbench("train", "small", "--out", "out", "--workers", 2, "--arms", "a2c-naive", "--timeout", 20)
    assert ran.returncode == 1
    assert ran.stdout.count("RETRY  a2c/broken_envs:Hangs-v0") == 2 == ran.stdout.count("RETRY")
    assert ran.stdout.count("FAILED a2c/broken_envs:Hangs-v0") == 1 == ran.stdout.count("FAILED")
    assert "took no environment step for 20 s (--timeout) and was killed" in ran.stdout
    assert "done   a2c/broken_envs:Sound-v0" in ran.stdout
    fault("environment", "hangs, --timeout 20", "3 attempts, then failed in one line; the others finish, exit code 1")


@pytest.mark.slow
def test_a_slow_environment_is_no_hang(fault):
    """30 steps of 0.6 s, then the evaluation: longer than the limit of 15 s without a single step."""
    job = job_of("Slow", steps=120, segments=1)
    with Pool(1, Path("log"), timeout=15, attempts=1) as pool:
        events = list(pool.run([job]))
    assert [type(told.message) for told in events] == [Segment, Done]
    assert events[0].message.seconds > 17
    fault("environment", "slow: a segment longer than the time limit", "not taken for a hang")


def test_a_hanging_worker_does_not_outlive_its_killed_parent(fault):
    suite_of("HangsNatively")
    process = start(Path.cwd(), "train", "small", "--out", "out", "--workers", "1")
    try:
        (helper,) = wait_until(lambda: children(process.pid) if list(Path("out").rglob("identity.json")) else None)
        wait_until(lambda: asleep_in_native_code(helper), 120)
        process.kill()
        wait_until(lambda: not alive(helper), 15)
    finally:
        process.kill()
        process.wait()
    fault("environment", "hangs with Python's lock held, parent killed -9", "the worker is gone within seconds")


def asleep_in_native_code(pid):
    """No processor time within a second, after everything has been imported."""

    def spent():
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    before = spent()
    time.sleep(1)
    return before > 50 and spent() == before


WHEN_MADE = {
    "Unmakeable": ("raises", "RuntimeError: no licence"),
    "CrashesWhenMade": ("crashes", "the process that tried was killed by SIGSEGV"),
    "ExitsWhenMade": ("ends the process", "the process that tried ended with code 0"),
}


@pytest.mark.parametrize("kind", WHEN_MADE)
def test_an_environment_that_cannot_be_made_is_refused_before_anything_is_trained(fault, kind):
    what, message = WHEN_MADE[kind]
    suite_of("Sound", kind)
    ran = softbench("train", "small", "--out", "out")
    assert ran.returncode == 2 and len(ran.stderr.splitlines()) == 1
    assert f"task 'broken_envs:{kind}-v0' cannot be made: {message}" in ran.stderr
    assert not Path("out").exists()
    fault("environment", f"{what} when it is made", "refused in one line before anything is trained, exit code 2")


def test_an_environment_that_hangs_when_it_is_made_is_refused(monkeypatch, fault):
    monkeypatch.setattr(probe, "LIMIT", 6.0)
    suite_of("HangsWhenMade")
    with pytest.raises(InputError, match="task 'broken_envs:HangsWhenMade-v0' cannot be made: it took longer than 6 s"):
        make_plans()
    assert children(os.getpid()) == []
    fault(
        "environment",
        "hangs when it is made, with Python's lock held",
        "killed at a time limit, refused in one line, exit code 2",
    )


def test_a_module_that_is_not_along_pythonpath_is_said():
    write_suite(
        Path.cwd(),
        tasks={"nowhere:A-v0": {"steps": 80}},
        references={"nowhere:A-v0": REFERENCE},
        cells={"a2c": {"nowhere:A-v0": {}}},
    )
    with pytest.raises(InputError, match="task 'nowhere:A-v0': there is no module 'nowhere' along PYTHONPATH"):
        make_plans()


@pytest.mark.parametrize("task", ["Pendulum-v1", "CartPole-v1"])
def test_what_a_task_offers_comes_back_whole_from_the_process_that_made_it(task):
    own = f"gymnasium.envs.classic_control:{task}"  # a task of a module, as a user's own is
    found = probe.offered(own, "gymnasium")
    assert found == probe.look(own, "gymnasium") and hash(found) is not None
    assert found.kind == ("numbers" if task == "Pendulum-v1" else "choices")
