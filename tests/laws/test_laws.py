"""Every pair that is found keeps every law, and so does one that is invented here; `--pair module:Pair` holds one's own to them."""

from __future__ import annotations

import pytest
from laws import INVENTED, LAWS

from harness.run.spec import pair_names
from harness.selfcheck.experience import Task, small_specs


@pytest.mark.parametrize("law", LAWS)
def test_a_pair_keeps_the_law(pair, law, place):
    assert LAWS[law](pair) == []


def test_the_pairs_here_learn_from_images():
    for pair in pair_names():
        assert small_specs(pair, {"choices": [Task("images", "tiny")]}, 1, 1)


def test_a_pair_that_gives_numbers_beside_an_image_is_left_out(place):
    source = INVENTED.read_text().replace(
        "spaces.bounds is None or len(spaces.observation) != 1", "spaces.bounds is None"
    )
    (place / "careless.py").write_text(source)
    assert small_specs("careless:Invented", {"numbers": [Task("numbers", "tiny")]}, 1, 1)
    assert small_specs("careless:Invented", {"numbers": [Task("pushed images", "tiny")]}, 1, 1) == []
