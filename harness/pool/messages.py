"""What passes between training, its pool, workers and the screen: dataclasses here, JSON lines on the wire, nothing pickled."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.run.spec import Spec


@dataclass(frozen=True)
class Job:
    """Seeds of one cohort, to be trained from their checkpoints in `folder` to the end of segment `until` (None: to the last)."""

    cell: str
    spec: Spec
    seeds: list[int]
    folder: Path
    device: str
    identity: dict[str, Any] = field(default_factory=dict)
    """What the worker must be like: code, versions, processor."""
    until: int | None = None

    def to_line(self) -> str:
        return json.dumps(asdict(self) | {"folder": str(self.folder)})

    @staticmethod
    def from_line(line: str) -> Job:
        content = json.loads(line)
        return Job(**content | {"spec": Spec(**content["spec"]), "folder": Path(content["folder"])})

    def __str__(self) -> str:
        return f"{self.cell} {self.spec.arm} seeds {self.seeds}"


@dataclass(frozen=True)
class Alive:
    """A worker's sign of life."""


@dataclass(frozen=True)
class Segment:
    """A segment was trained: environment steps of all its members, seconds, and each member's return (None: diverged)."""

    seeds: list[int]
    segment: int
    steps: int
    seconds: float
    returns: list[float | None]


@dataclass(frozen=True)
class Retry:
    """A worker was lost; the job goes on in another."""

    reason: str


@dataclass(frozen=True)
class Failed:
    reason: str


@dataclass(frozen=True)
class Done:
    pass


Message = Alive | Segment | Retry | Failed | Done
KINDS: dict[str, type[Message]] = {kind.__name__: kind for kind in (Alive, Segment, Retry, Failed, Done)}


def to_line(message: Message) -> str:
    return json.dumps({"kind": type(message).__name__, **asdict(message)})


def from_line(line: str) -> Message:
    """Raises ValueError, LookupError or TypeError where a line is no message."""
    content = json.loads(line)
    return KINDS[content.pop("kind")](**content)


@dataclass(frozen=True)
class Told:
    """A message about a job that has been given to so many workers."""

    job: Job
    attempts: int
    message: Message

    @property
    def ends(self) -> bool:
        return isinstance(self.message, Done | Failed)


@dataclass(frozen=True)
class Started:
    """What is about to be trained: environment steps, cells, members; by so many workers at once."""

    steps: int
    cells: int
    members: int
    workers: int


@dataclass(frozen=True)
class Note:
    text: str


@dataclass(frozen=True)
class Written:
    """A cell's files are there: `kept` as they were, `complete`, or `partial` where a cohort failed."""

    cell: str
    folder: Path
    how: str
    attempts: dict[str, int] = field(default_factory=dict)
    """The arms that took more than one worker."""


Event = Told | Started | Note | Written
