"""`manifest.json`: what was run, typed. Its form (format 2) is known here and nowhere else; of our runs and of imported ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from harness.files import digest
from harness.schema.fields import MOST_STEPS, matching

FORMAT = 2

Role = Literal["hard", "soft", "control"]
Seed = Annotated[str, matching("[0-9]{1,10}", "a seed: 1 to 10 digits")]


class Part(BaseModel):
    """A part of a manifest. Anyone may have written it, so types are strict; what a later version adds is let through."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")


class TrainedArm(Part):
    """One arm as it was trained."""

    title: str = ""
    role: Literal["hard", "soft", "control"]
    against: str | None = None
    """The hard arm that it is compared with; None for a hard one."""
    switches: dict[str, Any] = {}
    settings: dict[str, Any] = {}

    @model_validator(mode="after")
    def _compared(self) -> TrainedArm:
        if (self.role == "hard") != (self.against is None):
            raise ValueError("against: a soft arm and a control have one, a hard arm has none")
        return self


class Environment(Part):
    backend: str
    time_limit: str
    clip_rewards: bool = False
    environments: int


class Evaluation(Part):
    episodes: int = Field(ge=1, le=1000)
    primary: str
    modes: list[str] = ["sampled", "greedy"]


class Code(Part):
    """Digests of the files that determined the numbers, `by` what they say or by their bytes (results of earlier versions)."""

    by: Literal["bytes", "syntax"] = "bytes"
    hash: str
    files: dict[str, str]
    module: dict[str, str] = {}
    """The same of a user's own modules."""

    @property
    def all_files(self) -> dict[str, str]:
        return self.files | self.module


class Line(Part):
    line: int
    text: str


class Difference(Part):
    """The lines of a pair's file that read a switch of its arms."""

    file: str
    lines: list[Line]


class Origin(Part):
    """Where an imported member comes from: its log files with their SHA-256, and the steps that they hold."""

    format: str
    files: dict[str, str]
    first: int
    last: int
    points: int


class Member(Part):
    """One seed: a link of the hash chain a segment, the step of divergence, the digest of its rows in the curves.

    `cpu`: the processor that trained it, where it is another than the cell's.
    """

    chain: list[str] = []
    diverged_at: int | None = None
    records: str = ""
    imported: Origin | None = None
    cpu: dict[str, str] | None = None


class LeftOut(Part):
    arm: str
    seed: int
    """Negative: what says it cannot be read."""
    files: dict[str, str]
    why: str


class Suspected(Part):
    """Why some seeds of an arm may be parts or copies of one run."""

    arm: str
    why: str


class Imported(Part):
    importer: int
    file: str
    sha256: str
    smooth: int
    left_out: list[LeftOut]
    unit: str | None = "steps"
    """What a step counts: `steps` or `frames`; None: there are final scores alone."""
    seeds: list[int] | None = None
    """The seeds that every arm was begun with, where that was declared."""
    lowest: float | None = None
    """The lowest return in any log of the task."""
    suspected: list[Suspected] = []
    unread: list[str] = []
    """Files and runs without a place in the import, one line each."""


class Manifest(Part):
    """One cell: pair x task. What runs of others cannot have (code, versions, processor) is absent there."""

    format: Literal[2]
    suite: str
    pair: str
    task: str
    source: str
    hard: str
    """The first hard arm."""
    arms: dict[str, TrainedArm] = Field(min_length=1)
    steps: int = Field(ge=1, le=MOST_STEPS)
    segments: int = Field(ge=1, le=10_000)
    evaluation: Evaluation
    members: dict[str, dict[Seed, Member]]
    device: str
    environment: Environment | None = None
    difference: Difference | None = None
    code: Code | None = None
    versions: dict[str, str] = {}
    cpu: dict[str, str] = {}
    """The processor of its first members; those that were added on another one name theirs."""
    claims: dict[str, Any] = {}
    """The ledger's level and the claims about this pair, as registered when the first member started."""
    imported: Imported | None = None
    seal: str | None = None

    @field_validator("claims")
    @classmethod
    def _registered(cls, claims: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(claims.get("claims", {}), dict):
            raise ValueError("claims: must be a table")
        return claims

    @model_validator(mode="before")
    @classmethod
    def _earlier(cls, content: Any) -> Any:
        """Earlier versions wrote `soft: true` or `false`, and as `hard` the arm to compare with, where it is not the manifest's `hard`."""
        if not (isinstance(content, dict) and isinstance(content.get("arms"), dict)):
            return content
        return {
            **content,
            "arms": {name: _with_role(arm, content.get("hard")) for name, arm in content["arms"].items()},
        }

    def against(self, arm: str) -> str | None:
        """The hard arm that a soft arm is compared with; None for the others."""
        return self.arms[arm].against if self.arms[arm].role == "soft" else None

    def role(self, arm: str) -> Role:
        """What an arm is for; a control is also what earlier versions called hard though nothing is compared with it."""
        compared = {self.hard, *(its.against for its in self.arms.values())}
        return "control" if self.arms[arm].role == "hard" and arm not in compared else self.arms[arm].role

    def processor(self, arm: str, seed: int) -> dict[str, str]:
        """What decided the last bits of a member's numbers."""
        return self.members[arm][str(seed)].cpu or self.cpu

    def processors(self) -> list[dict[str, str]]:
        """All that trained its members, the cell's own first."""
        found = [self.cpu]
        for its in self.members.values():
            found += [member.cpu for member in its.values() if member.cpu and member.cpu not in found]
        return found

    def content(self) -> dict[str, Any]:
        """What was given, JSON-able, in the present form."""
        return self.model_dump(mode="json", exclude_unset=True)


def _with_role(arm: Any, hard: Any) -> Any:
    if not (isinstance(arm, dict) and "role" not in arm and isinstance(arm.get("soft"), bool)):
        return arm
    kept = {name: value for name, value in arm.items() if name not in ("soft", "hard")}
    return {**kept, "role": "soft", "against": arm.get("hard") or hard} if arm["soft"] else {**kept, "role": "hard"}


def seal(content: Mapping[str, Any]) -> str:
    """SHA-256 over everything else in a manifest."""
    return digest({name: value for name, value in content.items() if name != "seal"})
