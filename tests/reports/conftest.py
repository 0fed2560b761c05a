"""Fixtures: an empty workspace, and a demo workspace with its site rendered once."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from invented_results import CLAIMS, PUBLISHED, Workspace, diverging, without

from reports.site.site import build


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty workspace that is the current folder."""
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A suite of two pairs with published figures, a missing seed, a diverged seed and a missing cell. Do not change it."""
    made = Workspace(tmp_path_factory.mktemp("demo"))
    made.suite(
        "classic", {"ppo": ["CartPole-v1", "Acrobot-v1"], "a2c": ["CartPole-v1", "Acrobot-v1"]}, published=PUBLISHED
    )
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


UNTESTABLE = "claims:\n  - {id: X1, statement: It flies., source: a paper, needs: wings}\n"


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of a suite with a supported, a refuted and an inconclusive claim, one that was changed, and a suite without results."""
    made = Workspace(tmp_path_factory.mktemp("judged"))
    made.suite("classic", {"a2c": ["CartPole-v1", "Acrobot-v1"], "ppo": ["CartPole-v1"], "dqn": ["CartPole-v1"]})
    made.claims("classic", CLAIMS)
    made.cell("classic", "a2c", "CartPole-v1")
    made.cell("classic", "a2c", "Acrobot-v1")
    made.cell("classic", "ppo", "CartPole-v1", edit=without("sppo-40", 3))
    place = "classic/a2c/CartPole-v1"
    made.record(place, made.episode(place, "a2c-naive"), made.episode(place, "a2c-proper", rank="worst"))
    waiting = {**CLAIMS[2], "id": "waits", "pair": "dqn", "arm": "dqn", "against": "soft-dqn-kl"}
    made.claims("classic", [*CLAIMS[:1], {**CLAIMS[1], "margin": 0.01}, CLAIMS[2], waiting])
    made.suite("later", {"a2c": ["CartPole-v1"]})
    made.claims("later", [CLAIMS[0], {**CLAIMS[0], "id": "too", "metric": "area"}])
    (made.root / "suites" / "untestable.yaml").write_text(UNTESTABLE)
    with contextlib.chdir(made.root):
        build([], made.root / "site")
    return made.root / "site"
