"""Invented results in the real format: a workspace with suites and cells, written by harness.schema.results itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from harness.schema.manifest import Manifest
from harness.schema.results import write_cell

TASKS = {"CartPole-v1": (0.0, 500.0), "Acrobot-v1": (-500.0, 0.0), "MountainCar-v0": (-200.0, 0.0)}
ARMS: dict[str, dict[str, str | None]] = {
    "ppo": {"ppo": None, "ppo-bonus": None, "sppo-38": "ppo", "sppo-40": "ppo"},
    "a2c": {"a2c-naive": None, "a2c-proper": "a2c-naive"},
    "dqn": {
        "dqn": None,
        "dqn-5step": None,
        "soft-dqn-kl": "dqn",
        "soft-dqn-entropy": "dqn",
        "soft-dqn-kl-5step": "dqn-5step",
        "soft-dqn-entropy-5step": "dqn-5step",
    },
}
PUBLISHED = [
    {"task": "CartPole-v1", "arm": "ppo", "mean": 490.0, "spread": 6.1, "seeds": 3, "source": "CleanRL, ppo.py"},
    {"task": "Acrobot-v1", "arm": "dqn", "mean": -91.5, "spread": 7.2, "seeds": 3, "source": "CleanRL, dqn.py"},
]
CLAIMS = [
    {
        "id": "better",
        "statement": "Proper A2C is better than naive.",
        "source": "Schulman, Chen, Abbeel 2017, Fig. 1",
        "pair": "a2c",
        "arm": "a2c-proper",
        "against": "a2c-naive",
        "test": "superiority",
        "margin": 0.0,
        "effect": 0.05,
        "reason": "A twentieth of the scale.",
    },
    {
        "id": "worse",
        "statement": "Naive A2C is better than proper.",
        "source": "nobody",
        "pair": "a2c",
        "arm": "a2c-naive",
        "against": "a2c-proper",
        "test": "superiority",
        "margin": 0.0,
        "effect": 0.05,
        "reason": "The contrary.",
    },
    {
        "id": "same",
        "statement": "SPPO-38 is as good as SPPO-40.",
        "source": "Liu, Gu, Liu 2020",
        "pair": "ppo",
        "arm": "sppo-38",
        "against": "sppo-40",
        "metric": "area",
        "test": "equivalence",
        "method": "paired",
        "margin": 0.03,
        "reason": "Nobody sees less.",
    },
]
SEGMENTS = 20
STEPS = 500_000


def invent(arms: list[str], task: str, seeds: list[int]) -> pd.DataFrame:
    """Learning curves `[arm, seed, segment]` that rise with the arm's own speed and level; equal names give equal curves."""
    low, high = TASKS[task]
    rows = []
    for arm in arms:
        key = int.from_bytes(hashlib.sha256(f"{arm} {task}".encode()).digest()[:4], "big")
        draw = np.random.default_rng(key)
        speed, level = draw.uniform(3, 9), draw.uniform(0.7, 0.97)
        for seed in seeds:
            own = np.random.default_rng([key, seed])
            rise = 1 - np.exp(-speed * own.uniform(0.6, 1.3) * np.arange(1, SEGMENTS + 1) / SEGMENTS)
            score = np.clip(level * rise + own.normal(0, 0.03, SEGMENTS) - own.exponential(0.04), 0, 1)
            returns = low + (high - low) * score
            rows.append(
                pd.DataFrame(
                    {
                        "arm": arm,
                        "seed": seed,
                        "segment": np.arange(1, SEGMENTS + 1),
                        "step": np.arange(1, SEGMENTS + 1) * STEPS // SEGMENTS,
                        "return_sampled": returns,
                        "return_greedy": returns + 0.02 * (high - returns),
                        "length_sampled": np.abs(returns),
                        "length_greedy": np.abs(returns),
                        "train_return": returns - 0.01 * (high - low),
                        "train_episodes": 50,
                        "entropy": 0.6 - 0.5 * rise,
                        "diverged": False,
                        "loss_value": own.exponential(1.0, SEGMENTS),
                    }
                )
            )
    return pd.concat(rows)


def describe(suite: str, pair: str, task: str, arms: dict[str, str | None], seeds: list[int]) -> dict[str, Any]:
    """A manifest as the harness writes it."""
    hard = next(arm for arm, its in arms.items() if its is None)
    return {
        "format": 2,
        "suite": suite,
        "pair": pair,
        "task": task,
        "arms": {
            arm: {
                "soft": its is not None,
                **({} if its is None else {"hard": its}),
                "title": f"{arm}, as in the paper",
                "switches": {"entropy_in_return": its is not None},
                "settings": {"learning_rate": 0.00025, "temperature": 0.01 if its else 0.0, "environments": 4},
            }
            for arm, its in arms.items()
        },
        "hard": hard,
        "source": "Liu, Gu, Liu 2020, Eq. 33-41, Alg. 1" if pair == "ppo" else "Schulman, Chen, Abbeel 2017, Eq. 79-83",
        "difference": {
            "file": f"algorithms/pairs/{pair}.py",
            "lines": [
                {
                    "line": 83,
                    "text": "        reward = rollout.reward + self.entropy_in_return * self.temperature * entropy",
                }
            ],
        },
        "environment": {"id": task, "backend": "batched", "time_limit": "bootstrap", "environments": 4},
        "steps": STEPS,
        "segments": SEGMENTS,
        "evaluation": {"episodes": 20, "primary": "sampled"},
        "device": "cpu",
        "code": {"hash": hashlib.sha256(pair.encode()).hexdigest(), "files": {}},
        "versions": {
            "python": "3.11.2",
            "torch": "2.13.0",
            "numpy": "2.4.0",
            "gymnasium": "1.4.0",
            "softbench": "0.1.0",
        },
        "cpu": {"capability": "AVX512", "architecture": "x86_64"},
        "members": {
            arm: {
                str(s): {"chain": [hashlib.sha256(f"{pair}{task}{arm}{s}".encode()).hexdigest()], "diverged_at": None}
                for s in seeds
            }
            for arm in arms
        },
    }


SEEN = {
    "CartPole-v1": [0.5, 0.1, -0.05, 0.2],
    "Acrobot-v1": [1.0, 0.0, 1.0, 0.0, 0.1, 0.2],
    "MountainCar-v0": [-0.5, 0.0],
    "Pendulum-v1": [1.0, 0.0, 0.5],
    "LunarLander-v3": [0.0, 1.4, 0.0, 0.0, 0.1, 0.0, 0.0, 0.0],
}
"""Task -> an observation."""

Edit = Callable[[pd.DataFrame, dict[str, Any]], pd.DataFrame]


class Workspace:
    """A folder with `suites/` and `results/` that tests fill as they need."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.results = root / "results"
        self.ledgers: dict[str, dict[str, Any]] = {}

    def suite(
        self, name: str, pairs: dict[str, list[str]], seeds: str = "0-9", published: list[dict[str, Any]] | None = None
    ) -> None:
        """Register a suite: pair -> tasks."""
        tasks = sorted({task for each in pairs.values() for task in each})
        content = {
            "name": name,
            "title": name.capitalize(),
            "seeds": seeds,
            "segments": SEGMENTS,
            "evaluation": {"episodes": 20, "primary": "sampled"},
            "tasks": {task: {"steps": STEPS} for task in tasks},
            "references": {
                task: {"low": TASKS[task][0], "high": TASKS[task][1], "source": "range of the return"} for task in tasks
            },
            "cells": {pair: {task: {} for task in each} for pair, each in pairs.items()},
            "published": published or [],
        }
        path = self.root / "suites" / name / "suite.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content))

    def claims(self, name: str, claims: list[dict[str, Any]], level: float = 0.025) -> None:
        """Write a suite's ledger; cells written from now on register it, as runs do when they begin."""
        (self.root / "suites" / name / "claims.yaml").write_text(yaml.safe_dump({"level": level, "claims": claims}))
        self.ledgers[name] = {"level": level, "claims": claims}

    def cell(
        self,
        suite: str,
        pair: str,
        task: str,
        arms: dict[str, str | None] | None = None,
        seeds: int = 10,
        edit: Edit | None = None,
    ) -> None:
        """Write one finished cell; `edit(curves, manifest)` may change both before they are written."""
        arms, numbers = arms or ARMS[pair], list(range(seeds))
        curves, manifest = invent(list(arms), task, numbers), describe(suite, pair, task, arms, numbers)
        if suite in self.ledgers:
            ledger = self.ledgers[suite]
            manifest["claims"] = {
                **ledger,
                "claims": {claim["id"]: claim for claim in ledger["claims"] if claim["pair"] == pair},
            }
        if edit is not None:
            curves = edit(curves.reset_index(drop=True), manifest)
        timing = {
            "arms": {arm: {"seconds": 20.0 + 4 * len(arm)} for arm in arms},
            "cpu": "A processor",
            "cores": 2,
            "gpu": None,
            "workers": 2,
            "wall_seconds": 12.3,
            "steps_per_second": 71000.0,
        }
        folder, units = self.results / suite / pair / task, {"loss_value": "squared return"}
        write_cell(folder, curves, Manifest.model_validate(manifest), units, timing)

    def episode(self, place: str, arm: str, seed: int = 1, **changes: Any) -> dict[str, Any]:
        """A recorded episode of a member of the cell `suite/pair/task`, as `episodes.json` holds it."""
        manifest = json.loads((self.results / place / "manifest.json").read_text())
        made = {"arm": arm, "seed": seed, "rank": "median", "link": manifest["members"][arm][str(seed)]["chain"][-1]}
        seen = [SEEN[Path(place).name]] * 3
        return {**made, "total": -87.5, "length": 88, "steps": [0, 50, 87], "seen": seen, **changes}

    def record(self, place: str, *episodes: dict[str, Any]) -> Path:
        """Write the episodes of a cell `suite/pair/task`."""
        path = self.results / place / "episodes.json"
        content = {"format": 1, "mode": "sampled", "shape": [len(SEEN[Path(place).name])], "episodes": [*episodes]}
        path.write_text(json.dumps(content))
        return path


def without(arm: str, seed: int) -> Edit:
    """An edit that takes one member away."""

    def edit(curves: pd.DataFrame, manifest: dict[str, Any]) -> pd.DataFrame:
        del manifest["members"][arm][str(seed)]
        return curves[(curves["arm"] != arm) | (curves["seed"] != seed)]

    return edit


def diverging(arm: str, seed: int, segment: int) -> Edit:
    """An edit that lets one member diverge in a segment."""

    def edit(curves: pd.DataFrame, manifest: dict[str, Any]) -> pd.DataFrame:
        lost = (curves["arm"] == arm) & (curves["seed"] == seed) & (curves["segment"] >= segment)
        curves.loc[lost, ["return_sampled", "return_greedy", "train_return"]] = np.nan
        curves.loc[lost, "diverged"] = True
        manifest["members"][arm][str(seed)]["diverged_at"] = segment * STEPS // SEGMENTS
        return curves

    return edit


def theory_record(number: int = 8, **changes: object) -> dict[str, object]:
    """One statement of theory.json, with one planted error caught and one missed."""
    planted = {
        "name": "wrong sign",
        "where": "maxent.kl",
        "printed": "Some print, Eq. 1: a",
        "corrected": "-a",
        "worst_error": 1e9,
        "caught": True,
    }
    missed = {
        "name": "other",
        "where": "maxent.kl",
        "printed": "",
        "corrected": "",
        "worst_error": 0.0,
        "caught": False,
    }
    figure = {
        "title": "A figure",
        "caption": "How to read it.",
        "x": "x",
        "y": "y",
        "series": [
            {"label": "a", "x": [1, 2], "y": [1, 10], "line": True},
            {"label": "b", "x": [1], "y": [5], "line": False},
        ],
        "log_x": False,
        "log_y": True,
    }
    made = {
        "statement": number,
        "name": "soft Q <b>",
        "title": "One sentence.",
        "formula": r"V_\lambda^* \le \frac{a}{b}",
        "source": "Some paper",
        "computed": "Something.",
        "cases": 120,
        "seed": 0,
        "worst_error": 3e-14,
        "tolerance": 1e-11,
        "reason": "rounding",
        "holds": True,
        "parts": {"first part": 3e-14, "second part": 0.0},
        "mutants": 2,
        "mutants_caught": 1,
        "planted": [planted, missed],
        "code": "suites/theory/s08_soft_q_gradient.py:90",
        "figure": figure,
    }
    return {**made, **changes}
