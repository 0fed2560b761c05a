"""A user's own pair (`module:pair` along PYTHONPATH) trains, is reported and audited; what is wrong with it is said before training."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from small_suite import make_plans, train_here, write_suite

from harness.audit import certificate as auditing
from harness.errors import InputError
from harness.plan import pairs
from harness.policy.recording import record
from harness.schema.episodes import read_episodes
from harness.schema.results import read_cell

PAIR = '''
"""A pair of a user's own."""
from algorithms.learner import Arm
from algorithms.pairs.a2c import A2C

class Mine(A2C):
    source = "a paper of mine"
    arms = {
        "mine": Arm("the hard one", {"kl_in_return": False}),
        "mine-soft": Arm("the soft one", {"kl_in_return": True}, "soft", against="mine", at_zero="mine"),
    }
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write a module with this source along PYTHONPATH, and a suite that uses the pair `name:Mine`."""
    place = tmp_path / "mine"
    place.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(place), os.environ.get("PYTHONPATH")])))
    monkeypatch.syspath_prepend(place)

    def write(name, source, pair="Mine"):
        (place / f"{name}.py").write_text(source)
        cells = {f"{name}:{pair}": {"CartPole-v1": {"environments": 4, "hidden": [32, 32]}}}
        write_suite(tmp_path, segments=2, tasks={"CartPole-v1": {"steps": 80}}, cells=cells)
        return place / f"{name}.py"

    return write


def test_episodes_are_recorded_by_a_process_of_their_own(own):
    own("own_recorded", PAIR)
    (plan,) = make_plans()
    assert train_here(Path("out"))[0]
    record(plan)
    found = read_episodes(plan.folder)
    assert found is not None and {each.arm for each in found.episodes} == {"mine", "mine-soft"}


def test_it_trains_is_audited_and_its_module_belongs_to_the_code(own, tmp_path):
    path = own("own_sound", PAIR)
    assert train_here(Path("out"))[0]
    cell = read_cell(Path("out/small/own_sound_Mine/CartPole-v1"))
    assert (cell.pair, sorted(cell.manifest.members)) == ("own_sound:Mine", ["mine", "mine-soft"])
    assert list(cell.manifest.code.module) == ["own_sound.py"]
    assert "algorithms/pairs/a2c.py" in cell.manifest.code.files and cell.manifest.difference.file == "own_sound.py"
    told = []
    assert auditing.audit(Path("out/small"), 1, None, 0, 1, told.append) == auditing.EQUAL
    path.write_text(PAIR + "\n# A comment.\n")
    assert auditing.differences_here(cell) == []
    path.write_text(PAIR + "\nCHANGED = True\n")
    assert [line.split(":")[1] for line in auditing.differences_here(cell)] == [" own_sound.py"]


FAULTS = {
    "syntax": ("class Mine(A2C):", "class Mine(A2C)", r"own_syntax\.py, line 6: SyntaxError: expected ':'"),
    "import": ('"""A pair', 'import nowhere\n"""A pair', r"No module named 'nowhere' \(own_import\.py, line 2\)"),
    "name": ("class Mine(", "class Other(", "own_name has no learner 'Mine'"),
    "hard": ("False})", 'False}, "soft", "mine")', r"own_hard\.py, line 6: arms: none is hard"),
    "against": (
        'against="mine"',
        'against="mime"',
        "arms: mine-soft: against: 'mime' is no hard arm; did you mean 'mine'",
    ),
    "nothing": ('against="mine", ', "", "arms: mine-soft: against: is missing; it names the hard arm"),
    "hardness": ("False})", 'False}, against="mine")', "arms: mine: against: a hard arm is compared with none"),
    "role": (
        '"soft", against',
        '"softer", against',
        "arms: mine-soft: role: 'softer' is none of hard, soft and control",
    ),
    "zero": ('at_zero="mine"', 'at_zero="mime"', "arms: mine-soft: at_zero: 'mime' is no arm; did you mean 'mine'"),
    "arm": ('"mine-soft"', '"mine@soft"', r"arms: 'mine@soft': must be letters, digits, \., _ and -"),
    "small": ("    arms =", "    small = {'hidden': 32}\n    arms =", r"small: hidden: must be a list \(got 32\)"),
    "metric": ("    arms =", '    metrics = {"loss": "none"}\n    arms =', "metrics: 'entropy' is missing"),
    "method": (
        "    arms =",
        "    more = __import__('abc').abstractmethod(lambda self: 0)\n    arms =",
        "Mine lacks more",
    ),
    "no-table": ("    arms =", "    small = [1]\n    arms =", "small: must be a table"),
    "no-settings": (
        "    arms =",
        "    settings_type = int\n    arms =",
        "settings_type: must be a class made of Settings",
    ),
    "leaving": (
        "class Mine",
        "raise SystemExit(3)\nclass Mine",
        r"cannot be imported: SystemExit: 3 \(own_leaving\.py",
    ),
    "number": ('at_zero="mine"', "at_zero=5", "arms: mine-soft: at_zero: 5 is no arm"),
    "no-arm": ('"mine-soft": Arm', '"mine-soft": 5 or Arm', r"arms: must be a table, name -> Arm"),
    "switch": ('{"kl_in_return": True}', "{}", r"'mine-soft': KeyError: 'kl_in_return' \(a2c\.py, line"),
}
FAULTS_OF_AN_UPDATE = {
    "update": ("return 1 / 0", r"'mine': ZeroDivisionError: division by zero \(own_update\.py, line 15\)"),
    "entropy": ("return {}", "`update` returns no 'entropy'"),
    "crash": ("__import__('os').abort()", "was killed by SIGABRT"),
}


@pytest.fixture
def tried_here(monkeypatch):
    """Updates are tried in this process: only a crash needs one of its own."""
    monkeypatch.setattr(
        pairs, "ask", lambda module, question, limit: pairs._first_error(json.loads(json.dumps(question)))
    )


def refused(name, message):
    with pytest.raises(InputError, match=message) as raised:
        make_plans()
    assert f"'own_{name}:Mine'" in str(raised.value) and "\n" not in str(raised.value)
    assert not Path("out").exists()


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_wrong_is_said_in_a_line_with_its_place(own, name):
    old, new, message = FAULTS[name]
    assert old in PAIR
    own(f"own_{name}", PAIR.replace(old, new))
    refused(name, message)


def test_one_update_is_tried_in_a_process_of_its_own_before_anything_is_trained(own):
    refuse_an_update(own, "crash")


@pytest.mark.parametrize("name", ["update", "entropy"])
def test_what_is_wrong_with_an_update_is_said_with_its_place(own, name, tried_here):
    refuse_an_update(own, name)


def refuse_an_update(own, name):
    line, message = FAULTS_OF_AN_UPDATE[name]
    own(f"own_{name}", f"{PAIR}\n    metrics = dict(A2C.metrics)\n    def update(self, *_):\n        {line}\n")
    refused(name, message)


LATE = """
from algorithms.pairs.dqn import DQN

class Mine(DQN):
    arms = {name: DQN.arms[name] for name in ("dqn-5step", "soft-dqn-kl-5step")}
    def update(self, state, batch, now):
        if batch.reward.shape[2] != 5 or not batch.reward.any():
            raise ValueError("no windows of 5 steps")
        return super().update(state, batch, now)%s
"""


@pytest.mark.parametrize(
    ("change", "message"), [("", None), (' | {"entropy": None}', "AttributeError"), (" if 0 else {}", "no 'entropy'")]
)
def test_an_update_of_a_pair_with_a_replay_is_tried_without_its_warm_up(own, change, message, tried_here):
    own("own_late" + str(len(change)), LATE % change)
    settings = {"learning_starts": 10**7, "replay_size": 10**4, "hidden": [8]}
    name = f"own_late{len(change)}:Mine"
    write_suite(Path.cwd(), tasks={"CartPole-v1": {"steps": 10**7}}, cells={name: {"CartPole-v1": settings}})
    if message is None:
        assert make_plans()[0].arms == ["dqn-5step", "soft-dqn-kl-5step"]
    else:
        with pytest.raises(InputError, match=message):
            make_plans()


def test_a_module_that_is_not_there_is_said(own, tmp_path):
    own("own_gone", PAIR).unlink()
    with pytest.raises(InputError, match=r"cells\.own_gone:Mine\.CartPole-v1: pair .*there is no module 'own_gone'"):
        make_plans()
