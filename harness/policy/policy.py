"""A frozen policy of one member: our own code acts by it, in the task's own units and within its bounds."""

from __future__ import annotations

import json
from collections import UserDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from algorithms.learner import Draw, Learner, Now, Spaces, State, Use
from harness.errors import InputError
from harness.files import replacing
from harness.run.cohort import fix_arithmetic
from harness.run.spec import Spec, make_learner

NAME = "softbench"
"""Of the metadata of a file."""


@dataclass(frozen=True)
class Policy:
    """One member's, as it acts at the end of its budget. `state`: rows [1, ...]; `link`: the last one of its hash chain."""

    spec: Spec
    spaces: Spaces
    arm: str
    seed: int
    suite: str
    state: State
    link: str

    @cached_property
    def learner(self) -> Learner:
        fix_arithmetic()
        return make_learner(self.spec, self.spaces)

    @property
    def now(self) -> Now:
        """What the pair is told at the end of the budget."""
        settings = self.learner.settings
        rows = {name: torch.tensor([getattr(settings, name)], dtype=torch.float32) for name in settings.rows()}
        return Now(torch.tensor(self.spec.steps), torch.tensor(1.0), rows, {})

    @property
    def noise(self) -> Draw:
        """Of one action."""
        return self.learner.exploration

    @torch.no_grad()
    def act(self, observation: np.ndarray, noise: np.ndarray | None = None) -> np.ndarray:
        """Actions [N] or [N, A] at observations [N, *shape]: greedy ones, or samples where noise [N, *exploration] is given."""
        use: Use = "greedy" if noise is None else "sample"
        given = self.silence(len(observation)) if noise is None else torch.from_numpy(noise)
        seen = torch.from_numpy(np.ascontiguousarray(observation)).unsqueeze(0)
        action = self.learner.behaviour(self.state, use, self.now)(seen, given.unsqueeze(0))[0].numpy()
        return action if self.spaces.bounds is None else np.clip(action, *np.array(self.spaces.bounds, np.float32))

    def silence(self, count: int) -> Tensor:
        """Noise [N, *exploration] of an action that needs none."""
        kind = {"uniform": torch.float64, "permutation": torch.int64}.get(self.noise.kind, torch.float32)
        return torch.zeros(count, *self.noise.shape, dtype=kind)

    @property
    def read(self) -> State:
        """The part of the state that greedy acting reads."""
        noted = Noted(self.state)
        kind = torch.uint8 if self.spaces.dtype == "uint8" else torch.float32
        seen = torch.zeros(1, 1, *self.spaces.observation, dtype=kind)
        act = self.learner.behaviour(noted, "greedy", self.now)  # type: ignore[arg-type]  # it has all that a dict has
        act(seen, self.silence(1).unsqueeze(0))
        return {name: each for name, each in self.state.items() if name in noted.names}

    @property
    def facts(self) -> dict[str, str]:
        """What a file says of where it comes from."""
        bounds = None if self.spaces.bounds is None else [list(each) for each in self.spaces.bounds]
        spaces = asdict(self.spaces) | {"bounds": bounds, "observation": list(self.spaces.observation)}
        content = {"spec": self.spec.to_json(), "spaces": spaces, "arm": self.arm, "seed": self.seed, "link": self.link}
        return {NAME: json.dumps({"suite": self.suite, **content}, sort_keys=True)}

    def write(self, path: Path) -> None:
        """The tensors that acting reads, as safetensors. Raises OSError where they cannot be written."""
        blob = save({name: each[0].contiguous() for name, each in self.read.items()}, self.facts)
        with replacing(path) as temporary:
            temporary.write_bytes(blob)


class Noted(UserDict[str, Tensor]):
    """A state that notes which of its tensors are read, in whatever way."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.names: set[str] = set()
        super().__init__(state)

    def __getitem__(self, name: str) -> Tensor:
        self.names.add(name)
        return super().__getitem__(name)


def read(path: Path) -> Policy:
    """A policy that `Policy.write` has written. Raises InputError for any other file."""
    try:
        with safe_open(path, "pt") as file:
            content: dict[str, Any] = json.loads(file.metadata()[NAME])
            state = {name: file.get_tensor(name).unsqueeze(0) for name in file.keys()}  # noqa: SIM118  # it is no dict
        spaces = content["spaces"] | {"observation": tuple(content["spaces"]["observation"])}
        if spaces["bounds"] is not None:
            spaces["bounds"] = tuple(map(tuple, spaces["bounds"]))
        facts = {name: content[name] for name in ("arm", "seed", "suite", "link")}
        return Policy(Spec(**content["spec"]), Spaces(**spaces), state=state, **facts)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no policy that `softbench policy` has written: {error}") from error
