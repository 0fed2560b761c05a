"""Fixtures: an empty workspace, and a demo workspace with its site rendered once."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from invented_results import PUBLISHED, Workspace, diverging, without

from reports.site import build


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty workspace that is the current folder."""
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A suite of two pairs with published figures, a missing seed, a diverged seed and a missing cell. Do not change it."""
    made = Workspace(tmp_path_factory.mktemp("demo"))
    made.suite("classic", {"ppo": ["CartPole-v1", "Acrobot-v1"], "a2c": ["CartPole-v1", "Acrobot-v1"]}, published=PUBLISHED)
    made.cell("classic", "ppo", "CartPole-v1")
    made.cell("classic", "ppo", "Acrobot-v1", edit=diverging("sppo-40", 3, 8))
    made.cell("classic", "a2c", "CartPole-v1", edit=without("a2c-naive", 7))
    return made


@pytest.fixture(scope="session")
def site(demo: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's rendered site. Do not change it."""
    out = tmp_path_factory.mktemp("out") / "site"
    with contextlib.chdir(demo.root):
        build(["classic"], out)
    return out
