"""`softbench policy` and `softbench watch`: a member's trained policy, whether or not its checkpoint is left."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from PIL import Image
from small_suite import CELL, Here, folder_of, train_here, write_suite

from harness.files import ROOT
from harness.policy import trained
from harness.policy.episodes import OwnScene, RenderedScene, episode
from harness.policy.policy import Policy, read
from harness.run.environments import spaces
from harness.run.spec import Spec, learner_class, make_learner
from harness.run.streams import Streams

NAME = "small/a2c/CartPole-v1"
MEMBER = ("--arm", "a2c-proper", "--seed", "1")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The small suite, trained into `results`."""
    with folder_of(tmp_path_factory) as folder:
        return folder


@pytest.fixture
def here(finished, tmp_path, monkeypatch):
    """A copy of it as the current folder; what is trained again is trained in this process."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trained, "Pool", Here)
    return tmp_path


def test_a_policy_comes_from_its_checkpoint_or_is_trained_again_with_the_same_bits(here, softbench):
    code, out, _ = softbench("policy", NAME, *MEMBER, "-o", "kept.safetensors")
    assert code == 0 and "from its checkpoint of segment 4\n" in out
    assert "it is the published member, bit for bit (4 links of its hash chain)" in out
    shutil.rmtree("results/.runs")
    for how in ("trained again, alone: 320 steps", "from its checkpoint of segment 4"):
        code, out, _ = softbench("policy", NAME, *MEMBER, "-o", "again.safetensors")
        assert code == 0 and f"{how}\n" in out and "it is the published member, bit for bit" in out
        assert Path("again.safetensors").read_bytes() == Path("kept.safetensors").read_bytes()
    assert (
        read(Path("again.safetensors")).link
        == json.loads(Path("results", CELL, "manifest.json").read_text())["members"]["a2c-proper"]["1"]["chain"][-1]
    )


def test_without_results_it_is_trained_and_nothing_is_compared(here, softbench):
    shutil.rmtree("results")
    code, out, _ = softbench("policy", NAME, *MEMBER, "-o", "p.safetensors")
    assert code == 0 and f"results/{CELL} has no record of this member to compare it with" in out
    assert not Path("results", CELL, "manifest.json").exists(), "a cell is written by training alone"


def test_another_policy_than_the_published_one_is_written_and_said(here, softbench):
    path = Path("results", CELL, "manifest.json")
    content = json.loads(path.read_text())
    chain = content["members"]["a2c-proper"]["1"]["chain"]
    chain[2:] = ["f" * 64, "0" * 64]
    content["cpu"]["vendor"] = "another"
    path.write_text(json.dumps(content))
    code, out, _ = softbench("policy", NAME, *MEMBER, "-o", "p.safetensors")
    assert code == 3 and Path("p.safetensors").exists()
    assert "NOT the published member: it differs from segment 3 on: the state, by its hash" in out
    assert "cpu: vendor: was another, is" in out


def test_a_point_of_a_grid_is_a_member_too(tmp_path, monkeypatch, softbench):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trained, "Pool", Here)
    cell = {"settings": {"environments": 4, "hidden": [8]}, "grid": {"temperature": [0.01, 0.5]}}
    write_suite(tmp_path, cells={"a2c": {"CartPole-v1": cell}})
    assert train_here(Path("results"))[0]
    shutil.rmtree("results/.runs")
    code, out, _ = softbench("policy", NAME, "--arm", "a2c-proper@temperature=0.5", "--seed", 1, "-o", "p.safetensors")
    assert code == 0 and "it is the published member, bit for bit" in out
    code, _, err = softbench("policy", NAME, *MEMBER, "-o", "p.safetensors")
    assert code == 2 and "--arm: 'a2c-proper' is no arm" in err and "a2c-proper@temperature=0.01" in err


def test_a_diverged_member_has_no_policy(tmp_path, monkeypatch, softbench):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trained, "Pool", Here)
    write_suite(tmp_path, cells={"a2c": {"CartPole-v1": {"environments": 4, "hidden": [8], "learning_rate": 1e38}}})
    code, _, err = softbench("policy", NAME, *MEMBER, "-o", "p.safetensors")
    assert code == 2 and re.search(r"--seed: 1 of a2c-proper diverged at step \d+: it has no policy", err)


REFUSED = {
    "cell": (("small/a2c", *MEMBER), r"CELL: 'small/a2c' is not SUITE/PAIR/TASK"),
    "suite": (("smal/a2c/CartPole-v1", *MEMBER), "unknown suite 'smal'; did you mean 'small'"),
    "pair": (("small/a3c/CartPole-v1", *MEMBER), "CELL: pair 'a3c' is not in suite 'small'; did you mean 'a2c'"),
    "task": (
        ("small/a2c/CartPole-v0", *MEMBER),
        "'CartPole-v0' is no task of a2c in small; did you mean 'CartPole-v1'",
    ),
    "arm": ((NAME, "--arm", "a2c-prope", "--seed", "1"), "--arm: 'a2c-prope' is no arm .* did you mean 'a2c-proper'"),
    "seed": ((NAME, "--arm", "a2c-proper", "--seed", "7"), f"--seed: 7 is no seed of {NAME}; there are 0 to 1"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("command", [("policy", "-o", "p.safetensors"), ("watch",)])
def test_what_is_unknown_is_said_in_a_line(here, softbench, name, command):
    words, message = REFUSED[name]
    code, _, err = softbench(command[0], *words, *command[1:])
    assert code == 2 and err.count("\n") == 1 and re.search(message, err)


@pytest.mark.parametrize(
    ("command", "file", "message"),
    [
        (("policy", "-o"), "p.pt", r"-o: 'p\.pt' must end in \.onnx or \.safetensors"),
        (("policy", "-o"), "nowhere/p.onnx", "-o: nowhere: is no folder that can be written"),
        (("policy", "-o"), "folder.onnx", r"-o: folder\.onnx: is a folder"),
        (("watch", "--video"), "v.avi", r"--video: 'v\.avi' must end in \.gif or \.mp4"),
        (("watch", "--video"), "nowhere/v.gif", "--video: nowhere: is no folder that can be written"),
    ],
)
def test_a_file_that_cannot_be_written_is_said_before_anything_is_trained(here, softbench, command, file, message):
    Path("folder.onnx").mkdir()
    shutil.rmtree("results")
    code, _, err = softbench(command[0], NAME, *MEMBER, command[1], file)
    assert code == 2 and err.count("\n") == 1 and re.search(message, err)
    assert not Path("results").exists()


def test_that_nothing_can_be_drawn_is_said_before_anything_is_trained(here, softbench, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("no display")

    monkeypatch.setattr("harness.policy.episodes.gymnasium.make", fail)
    shutil.rmtree("results")
    code, _, err = softbench("watch", NAME, *MEMBER, "--video", "v.gif")
    assert (code, err) == (2, "softbench: --video: CartPole-v1 has no pictures here: RuntimeError: no display\n")
    assert not Path("results").exists()


def test_missing_packages_are_named_with_their_extra(here, softbench, monkeypatch):
    from harness.commands import policy as command

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs the package onnx: pip install -e '\.\[onnx\]'"):
        command.check_file(Path("p.onnx"))


def test_results_that_cannot_be_written_are_named_by_their_flag(here, softbench):
    Path("file").write_text("")
    code, _, err = softbench("policy", NAME, *MEMBER, "-o", "p.safetensors", "--results", "file/below")
    assert code == 2 and "--results: file/below/.runs/small/a2c/CartPole-v1: cannot be written" in err


def test_watching_prints_every_return_and_what_is_recorded(here, softbench):
    code, out, _ = softbench("watch", NAME, *MEMBER, "--episodes", 3)
    returns = [float(each) for each in re.findall(r"^episode \d: return ([\d.]+) in \d+ steps$", out, re.M)]
    assert code == 0 and len(returns) == 3
    assert re.search(
        rf"^mean {np.mean(returns):.2f} of 3, sampled actions; recorded at its end: [\d.]+, mean of 1$", out, re.M
    )
    assert softbench("watch", NAME, *MEMBER, "--episodes", 2)[1].splitlines()[2:4] == out.splitlines()[2:4]


def test_a_video_has_a_picture_a_step_and_the_same_bytes(here, softbench):
    alone = softbench("watch", NAME, *MEMBER, "--episodes", 1)[1]
    for file in ("one.gif", "two.gif"):
        code, out, _ = softbench("watch", NAME, *MEMBER, "--episodes", 1, "--video", file)
        assert code == 0 and out.replace(f"{file}\n", "") == alone, (
            "the environment that is drawn is the one that trained"
        )
    assert Path("one.gif").read_bytes() == Path("two.gif").read_bytes()
    with Image.open("one.gif") as film:
        steps = int(re.search(r"in (\d+) steps", alone)[1])
        lengths = [film.seek(number) or film.info["duration"] for number in range(film.n_frames)]
        assert sum(lengths) == 20 * steps and film.size == (320, 213), "equal pictures are one that stands longer"


VIDEOS = """
import sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from harness.policy import video
from harness.policy.episodes import RenderedScene
spaces = SimpleNamespace(dtype=np.float32, kind="choices")
scene = RenderedScene(SimpleNamespace(task="CartPole-v1"), spaces)
scene.reset(0)
for picture in (scene.picture(), np.zeros((401, 603, 3), np.uint8)):
    video.write(Path(sys.argv[1]), iter([picture] * 3), scene.speed)
"""


@pytest.mark.parametrize("kind", ["gif", "mp4"])
def test_a_video_is_made_without_a_word(tmp_path, kind):
    """Of SDL without a screen, or of ffmpeg about sides that are no multiples of 16."""
    pytest.importorskip("imageio_ffmpeg")
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "SDL_", "DISPLAY"))}
    command = [sys.executable, "-W", "always", "-c", VIDEOS, str(tmp_path / f"v.{kind}")]
    done = subprocess.run(command, env=bare, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_an_mp4_needs_its_extra(here, softbench, monkeypatch):
    pytest.importorskip("imageio_ffmpeg")
    assert softbench("watch", NAME, *MEMBER, "--episodes", 1, "--video", "v.mp4")[0] == 0
    assert b"ftyp" in Path("v.mp4").read_bytes()[:16]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, _, err = softbench("watch", NAME, *MEMBER, "--video", "v.mp4")
    assert code == 2 and "pip install -e '.[video]'" in err


def untrained(task: str, backend: str, pair: str = "a2c") -> Policy:
    offered, kind = spaces(task, backend), learner_class(pair)
    settings = kind.settings_type(**kind.small).model_dump(mode="json")
    spec = Spec(pair, next(iter(kind.arms)), task, backend, settings, 1000, 2, 1, "bootstrap")
    state = make_learner(spec, offered).initial(Streams([3], 0, "cpu"))
    return Policy(spec, offered, spec.arm, 3, "suite", state, "")


@pytest.mark.parametrize(("task", "pair"), [("Acrobot-v1", "a2c"), ("Pendulum-v1", "ppo"), ("MountainCar-v0", "a2c")])
def test_the_environment_that_is_drawn_is_the_one_that_trained(task, pair):
    policy = untrained(task, "batched", pair)
    ours, theirs = (
        list(episode(policy, on(policy.spec, policy.spaces), "sampled", 1)) for on in (OwnScene, RenderedScene)
    )
    assert len(ours) == len(theirs) and all(moment.observation.any() for moment in ours)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.observation, other.observation, atol=1e-5)
        assert one.reward == pytest.approx(other.reward, abs=1e-4)


def test_a_game_of_our_own_is_drawn_from_its_image():
    policy = untrained("MinAtar/Breakout-v1", "minatar")
    on = OwnScene(policy.spec, policy.spaces)
    on.reset(0)
    picture = on.picture()
    assert picture.shape == (160, 160, 3) and picture.dtype == np.uint8
    cells = picture.reshape(10, 16, 10, 16, 3)
    assert (cells == cells[:, :1, :, :1]).all(), "a cell has one colour"
    filled = on.seen[0].any(-1)
    assert (cells[:, 0, :, 0].any(-1) == filled).all() and filled.any()


def test_stacked_frames_show_the_newest():
    policy = untrained("MinAtar/Breakout-v1", "minatar")
    from dataclasses import replace

    from harness.policy.episodes import image_picture

    image = np.zeros((84, 84, 4), np.uint8)
    image[..., 3] = 200
    picture = image_picture(image, replace(policy.spaces, observation=(84, 84, 4), frames=4, scale=255.0))
    assert picture.shape == (168, 168, 3) and (picture == 200).all()


class Plain(gymnasium.Env):
    """A task without pictures."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)
    metadata = {"render_modes": []}

    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 1.0, False, False, {}


def test_a_task_without_pictures_is_refused_in_a_line():
    gymnasium.register("PlainTask-v0", Plain, max_episode_steps=3)
    policy = untrained("PlainTask-v0", "gymnasium")
    assert len(list(episode(policy, OwnScene(policy.spec, policy.spaces), "greedy", 1))) == 3
    with pytest.raises(ValueError, match="--video: PlainTask-v0 has no pictures here"):
        RenderedScene(policy.spec, policy.spaces)


def test_the_documents_commands_are_real(softbench, monkeypatch):
    """Each command of docs/policy.md names an arm and a cell that there are."""
    monkeypatch.chdir(ROOT)
    calls = re.findall(
        r"^softbench (?:policy|watch) (\S+) --arm (\S+) --seed (\d+)", Path("docs/policy.md").read_text(), re.M
    )
    assert len(calls) == 4
    for cell, arm, seed in calls:
        assert trained.plan_of(cell, arm, int(seed), Path("results")).arms == [arm]
