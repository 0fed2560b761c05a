"""`softbench theory` as a stranger uses it."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time

import pytest
import torch
from small_suite import alive, children, start, wait_until

from algorithms import maxent
from harness import cli


@pytest.fixture
def softbench(monkeypatch, capsys, tmp_path):
    """Run the command line in this process: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["softbench", "theory", *map(str, words)])
        with pytest.raises(SystemExit) as exited:
            cli.main()
        told = capsys.readouterr()
        return exited.value.code, told.out, told.err

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


FIELDS = {"statement", "source", "cases", "worst_error", "tolerance", "holds", "mutants", "mutants_caught"}


def test_json_is_a_list_with_the_promised_fields(softbench):
    code, out, err = softbench("--statement", 12, "--cases", 30, "--seed", 3, "--json")
    assert (code, err) == (0, "")
    (found,) = json.loads(out)
    assert found.keys() >= FIELDS and "figure" not in found
    assert (found["statement"], found["cases"], found["seed"], found["holds"]) == (12, 30, 3, True)
    assert found["mutants_caught"] == found["mutants"] == len(found["planted"])


def test_the_table_names_the_verdict(softbench):
    code, out, _ = softbench("--statement", 1, "--cases", 20)
    assert (
        code == 0
        and "holds" in out
        and "7 of 7" in out
        and "the worst of 20 random problems" in re.sub(r"\s+", " ", out)
    )


def test_the_file_holds_no_times_and_is_equal_for_equal_input(softbench, tmp_path):
    for folder in ("a", "b"):
        assert softbench("--statement", 13, "--cases", 20, "--out", tmp_path / folder / "theory")[0] == 0
    first, second = ((tmp_path / folder / "theory/theory.json").read_bytes() for folder in ("a", "b"))
    assert first == second and b"seconds" not in first
    assert json.loads((tmp_path / "a/.runs/theory.json").read_text())["seconds"].keys() == {"13"}


def test_a_wrong_sign_fails_with_exit_code_1_and_says_where(softbench, monkeypatch):
    right = maxent.kl
    monkeypatch.setattr(maxent, "kl", lambda log_policy, reference: -right(log_policy, reference))
    code, out, err = softbench("--statement", 7, "--cases", 20)
    assert code == 1 and "FAILS" in out
    assert "softbench: statement 7 fails: Eq. 6: error" in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--statement", "19"], "--statement: 19 is unknown; must be 1 to 18"),
        (["--statement", "0"], "--statement: 0 is unknown; must be 1 to 18"),
        (["--statement", "x"], "'--statement': must be a whole number"),
        (["--cases", "0"], "'--cases': must be at least 1 "),
        (["--cases", "10001"], "'--cases': must be at most 10,000 "),
        (["--seed", "-1"], "'--seed': must be at least 0 "),
        (["--seed", "1.5"], "'--seed': must be a whole number"),
        (["--temperature", "0"], "No such option: --temperature"),
        (["extra"], "unexpected extra argument"),
    ],
)
def test_wrong_input_is_one_line(softbench, words, message):
    code, out, err = softbench(*words)
    assert (code, out) == (2, "")
    assert message in err and err.count("\n") == 1 and err.startswith("softbench: ")


def test_a_folder_that_cannot_be_written_is_one_line(softbench, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = softbench("--statement", 13, "--cases", 5, "--out", tmp_path / "file" / "theory")
    assert code == 2 and "cannot be written" in err and err.strip().count("\n") == 0


def test_threads_are_as_before(softbench):
    torch.set_num_threads(2)
    softbench("--statement", 13, "--cases", 5)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("number", "to_worker", "code", "said"),
    [
        (signal.SIGINT, False, 130, "stopped"),
        (signal.SIGTERM, False, 143, "terminated"),
        (signal.SIGKILL, True, 1, "incomplete: a process that checked a statement was ended from outside"),
    ],
)
def test_it_ends_in_a_line_when_it_or_a_process_of_its_is_stopped(tmp_path, number, to_worker, code, said):
    process = start(tmp_path, "theory", "--cases", 120)
    workers = wait_until(lambda: len(found := children(process.pid)) == min(os.cpu_count(), 18) and found)
    time.sleep(0.5)  # they are at work
    assert process.poll() is None, process.communicate()
    os.kill(workers[0] if to_worker else process.pid, number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "") and err.startswith(f"softbench: {said}") and err.count("\n") == 1
    assert not any(map(alive, workers))
