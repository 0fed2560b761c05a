"""The command line as a stranger uses it: wrong input is one line on stderr, exit code 2, and nothing is lost."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from small_suite import CELL, command, make_plans, stable_files, train_here, write_suite

from harness import cli, training
from harness.files import locked
from harness.pool.messages import Failed, Job, Row, Segment, Started, Told, Written
from harness.progress import Display
from harness.run.spec import Spec


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    write_suite(tmp_path)
    monkeypatch.chdir(tmp_path)


WRONG = [
    (["tarin"], "No such command 'tarin'.*train"),
    (["--foo"], "No such option: --foo"),
    (["train"], "Missing argument 'suite'"),
    (["train", "small", "extra"], "unexpected extra argument"),
    (["train", ""], "unknown suite ''. Known: small"),
    (["train", "smal"], r"unknown suite 'smal'; did you mean 'small'\? Known: small"),
    (["train", "small", "--pair", "a2d"], r"--pair: 'a2d' is not in suite 'small'; did you mean 'a2c'\?"),
    (["train", "small", "--pair", ""], "--pair: '' is not in suite"),
    (["train", "small", "--task", "CartPole-v2"], r"--task: .* did you mean 'CartPole-v1'\?"),
    (["train", "small", "--arms", ""], "--arms: '' is no arm of a2c. Known: a2c-naive, a2c-proper"),
    (["train", "small", "--arms", "a2c-niave"], r"--arms: .* did you mean 'a2c-naive'\?"),
    (["train", "small", "--arms", "a2c-naive,a2c-naive"], "--arms: 'a2c-naive' appears twice"),
    (["train", "small", "--seeds", ""], "--seeds: '' is no seed range; write for example 0-9 or 0,3,7"),
    (["train", "small", "--seeds", "0-x"], "--seeds: '0-x' is no seed range"),
    (["train", "small", "--seeds=-1"], "--seeds: '-1' is no seed range"),
    (["train", "small", "--seeds", "9-0"], "--seeds: the range '9-0' must go up"),
    (["train", "small", "--seeds", "0-3,2"], "--seeds: seed 2 appears twice"),
    (["train", "small", "--seeds", "0-999999999"], "--seeds: at most 10,000 seeds"),
    (["train", "small", "--steps", "79"], "79 steps are too few: 4 segments of at least one update need 80"),
    (["train", "small", "--steps", "0"], "--steps: '0' is not from 1 to 1,000,000,000,000 steps"),
    (
        ["train", "small", "--steps", "many"],
        "--steps: 'many' is no number of steps; write for example 20000, 20k, 1.5M or 1e5",
    ),
    (["train", "small", "--steps", "9" * 30], "--steps: '9+' is not from 1 to 1,000,000,000,000 steps"),
    (["train", "small", "--workers", "0"], "'--workers': must be at least 1 \\("),
    (["train", "small", "--workers", "99999"], "'--workers': must be at most 1,024"),
    (["train", "small", "--steps", "1.5"], "--steps: '1.5' is no whole number of steps"),
    (["train", "small", "--workers", "two"], r"'--workers': must be a whole number \(see"),
    (["bench", "--seconds", "long"], r"'--seconds': must be a number \(see"),
    (["train", "my suite"], "unknown suite 'my suite'"),
    (["train", "small", "--wrokers", "1"], "No such option: --wrokers .*--workers"),
    (["train", "small", "--device", "tpu"], "--device: 'tpu' is unknown; allowed: auto, cpu, cuda"),
    (["train", "small", "--out", ""], "--out: .* write for example --out results"),
    (["train", "small", "--out", ".."], "--out: .* write for example --out results"),
    (["train", "small", "--out", "file"], "--out: file/.*: cannot be written: Not a directory"),
    (["train", "small", "--out", "/proc/results"], "/proc/results/.*: cannot be written: "),
    (["report", "smal"], r"unknown suite 'smal'; did you mean 'small'\?"),
    (["report", "small"], "no results for suite 'small'.* softbench train small"),
    (["report"], "no results for any suite in results"),
    (["report", "--results", "file"], "no results for any suite in file"),
    (["bench", "--pair", "pppo"], r"unknown pair 'pppo'; did you mean 'ppo'\?"),
    (["bench", "--members", "0"], "'--members': must be at least 1"),
    (["bench", "--peer", "other"], "unknown peer 'other'"),
]


@pytest.mark.parametrize(
    ("words", "message"), WRONG, ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else ""
)
def test_wrong_input_gets_one_line_and_code_2(softbench, words, message):
    Path("file").write_text("mine")
    before = sorted(Path.cwd().rglob("*"))
    code, out, errors = softbench(*words)
    assert code == 2 and out == ""
    assert re.search(message, errors), errors
    assert re.fullmatch(r"softbench: [^\n]+\n", errors) and len(errors) < 300
    assert sorted(Path.cwd().rglob("*")) == before and Path("file").read_text() == "mine"


def test_a_suite_with_a_mistake_gets_one_line(softbench):
    path = Path("suites/small/suite.yaml")
    for content, message in [
        (b"name: small\ntitle: [\n", r"suites/small/suite\.yaml, line 3, column 1: not valid YAML"),
        (b"\xff\x00", r"suites/small/suite\.yaml: cannot be read"),
        (b"name: small\n\x01", r"suites/small/suite\.yaml"),
        (b"- a\n", r"suites/small/suite\.yaml: the file: must be a table \(name: value\)"),
    ]:
        path.write_bytes(content)
        for words in (["train", "small"], ["list"]):
            code, _, errors = softbench(*words)
            assert code == 2 and re.search(message, errors) and errors.count("\n") == 1, errors


def test_outside_of_a_checkout_the_way_to_suites_is_told(softbench, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    code, _, errors = softbench("train", "smoke")
    assert code == 2 and "this folder has no suites/<name>/suite.yaml" in errors and errors.count("\n") == 1
    code, out, _ = softbench("list")
    assert code == 0 and "no suites" in out and "a2c-proper" in out


def test_no_word_at_all_shows_the_help(softbench):
    code, out, errors = softbench()
    assert code == 0 and errors == "" and "Usage: softbench" in out and "train" in out


@pytest.mark.parametrize("name", [None, "list", "train", "import", "report", "bench"])
def test_every_help_has_an_example(softbench, name):
    code, out, _ = softbench(*filter(None, [name]), "--help")
    assert code == 0
    examples = out.split("Example")[1]
    assert re.search(rf"^\s+softbench {name or 'train'}", examples, re.MULTILINE), out


def test_results_of_another_version_or_damaged_are_told_and_kept(softbench):
    assert train_here(Path("results"))[0]
    before = stable_files(Path("results"))
    folder = Path("results") / CELL
    for name, content, message in [
        (
            "manifest.json",
            before["manifest.json"].replace(b'"steps": 320', b'"steps": 32'),
            "another version: steps: was 32, is now 320",
        ),
        ("manifest.json", b"{", "manifest|cannot be read"),
        ("manifest.json", b'{"format": 0}', "format 0; this version reads format 2"),
        ("curves.parquet", before["curves.parquet"][:-9], "cannot be read"),
    ]:
        (folder / name).write_bytes(content)
        code, _, errors = softbench("train", "small")
        assert (
            code == 2 and re.search(message, errors) and "choose another --out" in errors and errors.count("\n") == 1
        ), errors
        if "another version" not in message:
            code, _, errors = softbench("report", "small")
            assert code == 1 and errors.count("\n") == 1 and "a2c on CartPole-v1: " in errors, errors
        assert (folder / name).read_bytes() == content
        (folder / name).write_bytes(before[name])
    code, out, _ = softbench("train", "small")
    assert code == 0 and "kept   a2c/CartPole-v1: complete, nothing to do -> results/" in out


def test_a_second_run_in_the_same_folder_is_refused(softbench):
    (plan,) = make_plans(Path("results"))
    with locked(plan.runs):
        code, _, errors = softbench("train", "small")
    assert code == 2 and "another process is training here; wait for it, or choose another --out" in errors


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (
            OSError(28, "No space left on device", "x.json"),
            1,
            "No space left on device.*goes on from the last checkpoints",
        ),
        (cli.Terminated(signal.SIGINT), 130, "stopped; the same command goes on from the last checkpoints"),
        (cli.Terminated(signal.SIGTERM), 143, "terminated; the same command goes on"),
    ],
)
def test_what_stops_a_run_is_one_line_that_says_how_to_go_on(softbench, monkeypatch, raised, code, message):
    def stopping(*_):
        raise raised

    monkeypatch.setattr(training, "run", stopping)
    found, _, errors = softbench("train", "small")
    assert found == code and re.search(message, errors) and errors.count("\n") == 1


def test_a_failed_cohort_is_exit_code_1(softbench, monkeypatch):
    monkeypatch.setattr(training, "run", lambda *_: False)
    code, _, errors = softbench("train", "small")
    assert code == 1 and "incomplete" in errors and "the same command tries them again" in errors


def test_a_bug_of_ours_is_a_traceback_not_a_riddle(monkeypatch):
    def buggy(*_):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(training, "run", buggy)
    monkeypatch.setattr(sys, "argv", ["softbench", "train", "small"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def segment(arm, seeds, steps, value):
    return Told(job(arm, seeds), 1, Segment([arm] * len(seeds), seeds, 1, steps, 0.5, value))


def job(arm, seeds):
    spec = Spec("a2c", arm, "T", "batched", {}, 1000, 2, 1, "bootstrap")
    return Job("a2c/T", spec, [Row(spec.arm, seed, Path("cohort")) for seed in seeds], "cpu")


def test_plain_progress_is_lines_with_share_speed_and_returns(capsys, monkeypatch):
    monkeypatch.setattr("harness.progress.LINE_EVERY", 0.0)
    with Display(Console(width=40)) as display:
        display(Started(1000, 1, 2, 1))
        display(segment("x", [0, 1], 500, [10.0, 20.0]))
        display(segment("y", [0, 1], 250, [None, None]))
        display(Told(job("y", [0]), 1, Failed("no memory")))
        display(Written("a2c/T", Path("results/[small]"), "complete"))
        display(Written("a2c/U", Path("out"), "partial"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 cell, 2 members, 1,000 environment steps to go"
    assert re.fullmatch(r" 50%  [\d,]+ steps/s over all members, \d+:\d\d:\d\d left \| a2c/T: x 15\.0", lines[1])
    assert lines[2].startswith(" 75%") and lines[2].endswith("a2c/T: x 15.0, y diverged")
    partial = "PARTIAL a2c/U: what was finished is kept, the rest is missing -> out"
    assert lines[3:] == [
        "FAILED a2c/T y seeds [0]: no memory",
        "done   a2c/T: x 15.0, y diverged -> results/[small]",
        partial,
    ]


def test_the_time_left_counts_no_start_of_workers_and_no_worker_that_has_not_yet_told(capsys, monkeypatch):
    """8 workers, 16 segments of 100 steps in 50 seconds each, after 1000 seconds of start-up: 16 steps a second from the first on."""
    monkeypatch.setattr("harness.progress.LINE_EVERY", 0.0)
    clock = iter(range(1000, 10_000, 7))
    monkeypatch.setattr("harness.progress.time.perf_counter", lambda: next(clock))
    with Display(Console(width=40)) as display:
        display(Started(1600, 1, 16, 8))
        for seed in range(8):
            display(Told(job("x", [seed]), 1, Segment(["x"], [seed], 1, 100, 50.0, [0.0])))
        display(Told(job("x", [0]), 1, Segment(["x"], [0], 2, 100, 150.0, [0.0])))
    _, *lines = capsys.readouterr().out.splitlines()
    shown = [
        re.match(r" *(\d+)%  (\d+) steps/s over all members, (\d+:\d\d:\d\d) left", line).groups() for line in lines
    ]
    assert shown[0] == ("6", "16", "0:01:34") and shown[7] == ("50", "16", "0:00:50")
    assert shown[8] == ("56", "13", "0:00:53")  # a slow segment: 900 steps in 550 seconds of a worker's


def test_the_command_works_in_a_folder_of_the_users_own_with_modules_of_any_name(tmp_path):
    """On a terminal: the live display is drawn, and the last line stays. A `random.py` of the user's is not imported."""
    import pty

    (tmp_path / "random.py").write_text("raise SystemExit('the module of the user')")
    (tmp_path / "suites" / "__init__.py").write_text("raise SystemExit('the module of the user')")
    script = Path(sys.executable).with_name("softbench")
    if not script.exists():
        pytest.skip("softbench is not installed as a command")
    master, terminal = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    words = [script, "train", "small", "--workers", "1", "--seeds", "0", "--out", "out"]
    process = subprocess.Popen(
        words, cwd=tmp_path, stdin=terminal, stdout=terminal, stderr=terminal, env=environment, close_fds=True
    )
    os.close(terminal)
    shown = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:
            break
        if not data:
            break
        shown += data
    assert process.wait() == 0, shown.decode()
    text = shown.decode()
    assert "steps/s over all members" in text and "100%" in text and "a2c-proper" in text
    assert "done   a2c/CartPole-v1: a2c-naive" in text and "Traceback" not in text


def test_a_closed_pipe_is_no_error_message():
    shell = f"{' '.join(command('list'))} | true; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, env=os.environ)
    assert ended.returncode in (0, 1, 141) and ended.stderr == ""
