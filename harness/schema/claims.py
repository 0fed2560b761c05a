"""The ledger: which claims a suite judges, fixed before it is run. Schema of `suites/<name>/claims.yaml`.

`suites/untestable.yaml` lists the sources' claims that no suite can judge yet, and what they need.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from harness.errors import InputError, suggestion
from harness.schema.documents import first_problem, read_yaml
from harness.schema.fields import MOST_NUMBER, Strict, matching
from harness.schema.suite import CLAIMS, SUITES, UNTESTABLE, Suite

Metric = Literal[
    "final", "area", "last-tenth", "training", "spread", "speed", "entropy", "late-entropy", "goals", "goal-entropy"
]


def _one_line(text: Any) -> Any:
    return " ".join(text.split()) if isinstance(text, str) else text


Text = Annotated[str, BeforeValidator(_one_line), Field(min_length=1, max_length=1000)]


Id = Annotated[
    str,
    matching("[A-Za-z0-9][A-Za-z0-9._-]{0,39}", "1 to 40 letters, digits, ., _ and -, the first a letter or a digit"),
]
"""A claim's name, which is also part of a file's."""


Side = str | Annotated[float, Field(strict=True, ge=-MOST_NUMBER, le=MOST_NUMBER)]
"""An arm, or a number in units of the metric that stands for one."""


class Claim(Strict):
    """One claim: `arm` against `against`, tested once. `estimand` says what is estimated, as a mean over tasks."""

    id: Id
    statement: Text
    source: Text
    """Paper and figure."""
    pair: str
    arm: Side
    against: Side
    of: Literal["arm", "gain", "grid"] = "arm"
    """What of an arm is compared: its own value; its gain over its hard arm; minus the range over the points of its grid."""
    tasks: list[str] = []
    """All tasks of the pair's cells where none is given."""
    metric: Metric = "final"
    test: Literal["superiority", "non-inferiority", "equivalence", "smaller-spread"]
    method: Literal["welch", "paired", "sign-flip", "pitman-morgan"] = "welch"
    margin: float = Field(ge=0, le=MOST_NUMBER)
    effect: float | None = Field(default=None, ge=-MOST_NUMBER, le=MOST_NUMBER)
    """The smallest true difference that must not be missed: what `seeds needed` is computed for. 0 where the test is about a margin."""
    reason: Text
    """Why this margin."""

    @property
    def arms(self) -> list[str]:
        """The arms among its sides."""
        return [side for side in (self.arm, self.against) if isinstance(side, str)]

    @property
    def of_arms(self) -> bool:
        """Whether it is about two arms alone, not about gains, grids or a number."""
        return self.of == "arm" and len(self.arms) == 2

    @property
    def of_means(self) -> bool:
        """Whether it is about the difference of two arms' means."""
        return self.of_arms and self.test != "smaller-spread"

    @property
    def sides(self) -> tuple[str, str]:
        """Both as pages print them: `sppo-38`, `gain of sppo-38`, `steadiness of sppo-38`, `0.1`."""
        word = {"arm": "", "gain": "gain of ", "grid": "steadiness of "}[self.of]
        first, second = (word + side if isinstance(side, str) else f"{side:g}" for side in (self.arm, self.against))
        return first, second

    @property
    def estimand(self) -> str:
        """What is estimated, in words."""
        return "log ratio of deviations" if self.test == "smaller-spread" else "difference"

    @property
    def contrast(self) -> str:
        """The same as a formula: `sppo-38 − ppo`, `log(sd ppo / sd sppo-38)`."""
        first, second = self.sides
        return f"log(sd {second} / sd {first})" if self.test == "smaller-spread" else f"{first} − {second}"

    @property
    def assumed(self) -> float:
        """The true difference that the number of seeds needed is computed for."""
        return self.effect or 0.0


class Ledger(Strict):
    """All claims of one suite: one family for Holm's correction. `level` is one-sided, so 0.025 goes with 95 % intervals."""

    level: float = Field(default=0.025, gt=0, le=0.1)
    uninformative: Literal["keep", "leave-out"] = "keep"
    """What becomes of a task whose floor neither arm of a claim leaves. They are told in any case."""
    tuning: dict[str, dict[str, float]] = {}
    """pair -> task -> mean final return of the hard arm on seeds that are not the suite's: how much room there is above it."""
    claims: list[Claim] = Field(min_length=1)


RULES = ("level", "uninformative")
"""What a ledger fixes for all of its claims before the runs."""


class Untestable(Strict):
    """A published claim that waits for what it `needs`."""

    id: str
    statement: Text
    source: Text
    needs: Text


class UntestableList(Strict):
    claims: list[Untestable]


def load_ledger(suite: Suite) -> Ledger | None:
    """The suite's ledger, None where it has none. Raises InputError naming file and field.

    What only statistics know of a design, `reports.statistics.design.ledger` checks: whether it can reach its level at all, for example.
    """
    path = SUITES / suite.name / CLAIMS
    if not path.exists():
        return None
    try:
        ledger = Ledger.model_validate(read_yaml(path))
    except ValidationError as error:
        raise InputError(f"{path}: {first_problem(error)}") from error
    for pair, tuned in ledger.tuning.items():
        if pair not in suite.cells:
            raise InputError(f"{path}: tuning: {pair!r} is not in suite {suite.name!r}{suggestion(pair, suite.cells)}")
        for task in tuned:
            if task not in suite.cells[pair]:
                known = suggestion(task, suite.cells[pair])
                raise InputError(f"{path}: tuning.{pair}: {task!r} has no cell of {pair}{known}")
    names = [claim.id for claim in ledger.claims]
    for number, claim in enumerate(ledger.claims):
        where = f"{path}: claims.{number} ({claim.id})"
        if names.count(claim.id) > 1:
            raise InputError(f"{where}: the id appears twice; every claim needs its own")
        check(suite, claim, where)
    return ledger


def check(suite: Suite, claim: Claim, where: str) -> None:
    """Raises InputError where a claim does not fit its suite, or its test makes no sense."""
    if claim.pair not in suite.cells:
        raise InputError(
            f"{where}: pair: {claim.pair!r} is not in suite {suite.name!r}{suggestion(claim.pair, suite.cells)}"
        )
    if claim.arm == claim.against:
        raise InputError(f"{where}: against: is {claim.arm!r} as well; a claim compares two arms")
    for task in claim.tasks:
        if task not in suite.cells[claim.pair]:
            raise InputError(
                f"{where}: tasks: {task!r} has no cell of {claim.pair}{suggestion(task, suite.cells[claim.pair])}"
            )
        if claim.tasks.count(task) > 1:
            raise InputError(f"{where}: tasks: {task!r} appears twice")
    one_sided = claim.test in ("superiority", "smaller-spread")
    if not one_sided and claim.margin == 0:
        raise InputError(f"{where}: margin: must be above 0 for {claim.test}")
    if one_sided and (claim.effect is None or claim.effect <= claim.margin):
        raise InputError(f"{where}: effect: must be given and above the margin: the smallest difference worth finding")
    if not one_sided and abs(claim.assumed) >= claim.margin:
        raise InputError(f"{where}: effect: must lie within the margin")
    if (claim.test == "smaller-spread") != (claim.method == "pitman-morgan"):
        raise InputError(f"{where}: method: pitman-morgan goes with smaller-spread, and with no other test")
    if claim.test == "smaller-spread" and len(tasks_of(claim, suite)) > 1:
        raise InputError(f"{where}: tasks: smaller-spread compares seeds on one task; make one claim of each")
    if claim.method == "welch" and claim.of != "arm":
        raise InputError(f"{where}: method: must be paired or sign-flip: a {claim.of} is taken within a seed")
    if len(claim.arms) < 2 and (not claim.arms or claim.of != "arm" or claim.method != "paired"):
        raise InputError(f"{where}: against: an arm is compared with a number by its own values and the method paired")


def tasks_of(claim: Claim, suite: Suite) -> list[str]:
    return claim.tasks or list(suite.cells[claim.pair])


def untestable() -> list[Untestable]:
    """The sources' claims that no suite judges yet. Raises InputError naming file and field; [] where the file is not there."""
    if not UNTESTABLE.exists():
        return []
    try:
        return UntestableList.model_validate(read_yaml(UNTESTABLE)).claims
    except ValidationError as error:
        raise InputError(f"{UNTESTABLE}: {first_problem(error)}") from error


def changes(claim: Claim, ledger: Ledger, registered: dict[str, Any]) -> list[str]:
    """In what a claim, and the rules of its ledger, differ from those registered when these results were begun; [] where in nothing."""
    if claim.id not in registered.get("claims", {}):
        return ["was not registered when the runs began"]
    old = registered["claims"][claim.id]
    try:
        then = Claim.model_validate(old).model_dump()
    except ValidationError:
        return ["was registered in a form that this version does not read"]
    now = claim.model_dump()
    found = [f"{name}: was {then[name]!r}, is now {now[name]!r}" for name in now if then[name] != now[name]]
    for rule in RULES:
        was, its = registered.get(rule, Ledger.model_fields[rule].default), getattr(ledger, rule)
        found += [f"{rule}: was {was!r}, is now {its!r}"] if was != its else []
    return found
