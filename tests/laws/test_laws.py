"""Every pair that is found keeps every law, and so does one that is invented here; `--pair module:Pair` holds one's own to them."""

from __future__ import annotations

import re

import pytest
import torch
from laws import INVENTED, LAWS, ROOT

from algorithms.learner import Replay, Rollout, Spaces
from algorithms.replay import Ring
from harness.run.spec import learner_class, pair_names
from harness.selfcheck.experience import Task, small_specs


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.usefixtures("needed")
def test_a_pair_keeps_the_law(pair, law, place):
    assert LAWS[law](pair) == []


def test_the_documented_pair_keeps_laws(place):
    example = re.search(r"```python\n(.*?)```", (ROOT / "docs/own.md").read_text(), re.S)[1]
    (place / "documented.py").write_text(example)
    assert [LAWS[law]("documented:Own") for law in ("documents", "at_zero")] == [[], []]


def test_the_pairs_here_learn_from_images():
    for pair in pair_names():
        if learner_class(pair).actions == "numbers":  # beside an image there is no place for an action
            continue
        assert small_specs(pair, {"choices": [Task("images", "tiny")]}, 1, 1)


def test_a_pair_that_gives_numbers_beside_an_image_is_left_out(place):
    source = INVENTED.read_text().replace(
        "spaces.bounds is None or len(spaces.observation) != 1", "spaces.bounds is None"
    )
    (place / "careless.py").write_text(source)
    assert small_specs("careless:Invented", {"numbers": [Task("numbers", "tiny")]}, 1, 1)
    assert small_specs("careless:Invented", {"numbers": [Task("pushed images", "tiny")]}, 1, 1) == []


@pytest.mark.parametrize("frames", [1, 2])
def test_a_replay_asks_the_host_for_nothing(frames):
    image, meta = (4, 4, 2 * frames), torch.device("meta")
    ring = Ring(Replay(48, 8, 24, window=2), Spaces(image, 3, dtype="uint8", frames=frames, limit=7), 2)

    def zeros(*shape, dtype=torch.float32):
        return torch.zeros(3, *shape, dtype=dtype, device=meta)

    seen, final = (zeros(count, 2, *image, dtype=torch.uint8) for count in (5, 2))
    ends = [zeros(4, 2, dtype=torch.bool)] * 2
    state = ring.empty(3, meta)
    ring.remember(state, Rollout(seen, final, zeros(4, 2, dtype=torch.int64), zeros(4, 2), *ends), 16)
    window = ring.recall(state, zeros(8, dtype=torch.float64), 24)
    assert window.next_observation.shape == (3, 8, 2, *image)
