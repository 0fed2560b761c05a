"""Every pair that is found keeps every law, and so does one that is invented here; `--pair module:Pair` holds one's own to them."""

from __future__ import annotations

import pytest
from laws import LAWS


@pytest.mark.parametrize("law", LAWS)
def test_a_pair_keeps_the_law(pair, law, place):
    assert LAWS[law](pair) == []
