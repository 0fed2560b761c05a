"""A user's own pair (`module:pair` along PYTHONPATH) is checked before anything is trained, each fault in one line with its place."""

from __future__ import annotations

import importlib.util
import inspect
import math
import re
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
from pydantic import ValidationError

from algorithms.learner import Arm, Learner, Settings
from harness.errors import InputError, suggestion
from harness.plan import tasks  # noqa: F401 - names every backend
from harness.pool.process import Unanswered, answer, ask
from harness.run.cohort import Cohort
from harness.run.spec import Spec, learner_class, pair_module
from harness.run.streams import Streams
from harness.schema.documents import first_problem

LIMIT = 120.0
"""Seconds in which one update of every arm must end, imports included."""
NEEDED = ("entropy",)
"""Metrics that every update must return."""
NAME = r"[\w.-]+"
"""Of an arm: results name its folders so, and its points of a grid `NAME@setting=value`."""


def find_pair(pair: str) -> type[Learner]:
    """The learner of a pair, with arms that can be compared. Raises InputError: what is wrong, and where."""
    module = pair_module(pair)
    if importlib.util.find_spec(module.split(".")[0]) is None:
        raise InputError(f"pair {pair!r}: there is no module {module.split('.')[0]!r} along PYTHONPATH")
    try:
        kind = learner_class(pair)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # the user's own code
        raise InputError(f"pair {pair!r} cannot be imported: {told(error)}") from error
    if ":" in pair:
        try:
            _check(pair, kind)
        except InputError:
            raise
        except Exception as error:  # what it says of itself may be anything
            raise InputError(f"pair {pair!r}: {_place(kind)}: {told(error)}") from error
    return kind


def _check(pair: str, kind: type[Learner]) -> None:
    missing = sorted(getattr(kind, "__abstractmethods__", ())) or [
        name for name in ("source", "arms", "settings_type", "metrics", "small") if not hasattr(kind, name)
    ]
    if missing:
        raise InputError(f"pair {pair!r}: {_place(kind)}: {kind.__name__} lacks {', '.join(missing)}")
    if found := next(_problems(kind), None):
        raise InputError(f"pair {pair!r}: {_place(kind)}: {found}")


def _problems(kind: type[Learner]) -> Iterator[str]:
    """What is wrong with what a pair says of itself."""
    if not (isinstance(kind.arms, Mapping) and all(isinstance(arm, Arm) for arm in kind.arms.values())):
        yield "arms: must be a table, name -> Arm(...)"
    if not (isinstance(kind.settings_type, type) and issubclass(kind.settings_type, Settings)):
        yield "settings_type: must be a class made of Settings"
    for name in ("metrics", "small"):
        if not isinstance(getattr(kind, name), Mapping):
            yield f"{name}: must be a table"
    hard = [name for name, arm in kind.arms.items() if arm.role == "hard"]
    if not hard:
        yield 'arms: none is hard (role="hard"); a soft arm is compared with a hard one'
    for name, arm in kind.arms.items():
        if not re.fullmatch(NAME, name):
            yield f"arms: {name!r}: must be letters, digits, ., _ and -"
        if arm.role not in get_args(get_type_hints(Arm)["role"]):
            yield f"arms: {name}: role: {arm.role!r} is none of hard, soft and control"
        if arm.role == "hard" and arm.against is not None:
            yield f"arms: {name}: against: a hard arm is compared with none"
        if arm.role != "hard" and arm.against is None:
            yield f"arms: {name}: against: is missing; it names the hard arm that this one is compared with"
        elif arm.role != "hard" and arm.against not in hard:
            yield f"arms: {name}: against: {arm.against!r} is no hard arm{suggestion(str(arm.against), hard)}"
        if arm.at_zero is not None and arm.at_zero not in kind.arms:
            yield f"arms: {name}: at_zero: {arm.at_zero!r} is no arm{suggestion(str(arm.at_zero), kind.arms)}"
    for name in NEEDED:
        if name not in kind.metrics:
            yield f"metrics: {name!r} is missing; `update` must return it for every arm"
    try:
        kind.settings_type(**kind.small)
    except ValidationError as error:
        yield f"small: {first_problem(error)}"


def try_pair(pair: str, specs: list[Spec]) -> None:
    """One update of every arm in a process of its own. Raises InputError: which arm failed in what, and where."""
    try:
        error = ask("harness.plan.pairs", [spec.to_json() for spec in specs], LIMIT)
    except Unanswered as unanswered:
        raise InputError(f"pair {pair!r}: one update of every arm: {unanswered}") from unanswered
    if error:
        raise InputError(f"pair {pair!r}: {error}")


def _attempt(spec: Spec) -> str | None:
    """What is wrong with one update of an arm; None where nothing is."""
    try:
        cohort, iterations = Cohort(spec, [0]), 1
        if cohort.replay is not None:  # learn as soon as the replay has what an update needs
            least = cohort.quantum + cohort.replay.replay.window * cohort.learner.settings.environments
            cohort.replay.replay = replace(cohort.replay.replay, starts=least)
            iterations = math.ceil(least / cohort.quantum)
        records = cohort.train(cohort.initial(), Streams([0], 1, cohort.device), 0, iterations)
    except Exception as error:  # the user's own code
        return f"arm {spec.arm!r}: {told(error)}"
    absent = [name for name in NEEDED if np.isnan(records[name]).any()]
    return f"arm {spec.arm!r}: `update` returns no {absent[0]!r}" if absent else None


def told(error: BaseException, through: str = "") -> str:
    """An exception of the user's code in one line, with its place: there, not in a package that it called, nor in our file `through`."""
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    if isinstance(error, SyntaxError):
        return f"{Path(error.filename or '').name}, line {error.lineno}: {text.split(' (')[0]}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    own = [frame for frame in frames if "site-packages" not in frame.filename and frame.filename != through]
    frames = own or frames
    return f"{text} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else text


def _place(kind: type[Learner]) -> str:
    return f"{Path(inspect.getfile(kind)).name}, line {inspect.getsourcelines(kind)[1]}"


def _first_error(given: list[dict[str, Any]]) -> str | None:
    return next((error for spec in given if (error := _attempt(Spec(**spec)))), None)


if __name__ == "__main__":
    answer(_first_error)
