"""What passes between training, its pool, workers and the screen: dataclasses here, JSON lines on the wire, nothing pickled."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.run.spec import Spec


@dataclass(frozen=True)
class Row:
    """A member: its arm as results name it (`ARM@name=value` of a grid), its seed, and the folder of its arm's checkpoints."""

    arm: str
    seed: int
    folder: Path
    point: dict[str, float] = field(default_factory=dict)
    """Its own settings; the others are those of its job."""


@dataclass(frozen=True)
class Job:
    """Members to be trained together, from their checkpoints to the end of segment `until` (None: to the last)."""

    cell: str
    spec: Spec
    rows: list[Row]
    device: str
    identity: dict[str, Any] = field(default_factory=dict)
    """What the worker must be like: code, versions, processor."""
    until: int | None = None

    @property
    def seeds(self) -> dict[str, list[int]]:
        """arm -> its seeds."""
        found: dict[str, list[int]] = {}
        for row in self.rows:
            found.setdefault(row.arm, []).append(row.seed)
        return found

    def to_line(self) -> str:
        return json.dumps(asdict(self), default=str)

    @staticmethod
    def from_line(line: str) -> Job:
        content = json.loads(line)
        rows = [Row(**row | {"folder": Path(row["folder"])}) for row in content["rows"]]
        return Job(**content | {"spec": Spec(**content["spec"]), "rows": rows})

    def __str__(self) -> str:
        return f"{self.cell} " + "; ".join(f"{arm} seeds {seeds}" for arm, seeds in self.seeds.items())


@dataclass(frozen=True)
class Alive:
    """A worker's sign of life."""


@dataclass(frozen=True)
class Segment:
    """A segment was trained: environment steps of all its members, seconds, and each member's return (None: diverged)."""

    arms: list[str]
    """Of each member, and its seed."""
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
