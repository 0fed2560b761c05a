"""Processes of ours that are asked: what they know, and what is said of one that fails."""

import json
import subprocess
import sys

import pytest

from harness.files import ROOT
from harness.plan.tasks import BACKENDS
from harness.pool import process

ASKED = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "harness").rglob("*.py")
    if 'if __name__ == "__main__":' in path.read_text() and path.name != "__main__.py"
)


@pytest.mark.parametrize("module", ASKED)
def test_a_process_that_is_given_a_task_knows_the_backend_of_every_task(module):
    script = f"import json, {module}\nfrom harness.run.environments import BACKENDS\nprint(json.dumps(BACKENDS))"
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout) == BACKENDS


def test_what_failed_in_a_process_is_told_in_its_last_words():
    with pytest.raises(process.Unanswered) as told:
        process.ask("harness.bench.shares", {"spec": {"pair": "ppo"}, "members": 1}, 60)
    line = str(told.value)
    assert line.startswith("the process that tried ended with code 1: TypeError: ") and "'arm'" in line
    assert "\n" not in line
