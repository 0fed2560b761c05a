"""A user's own pair (`module:pair` along PYTHONPATH) is checked before anything is trained, each fault in one line with its place."""

from __future__ import annotations

import importlib.util
import inspect
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from algorithms.learner import Learner
from harness.errors import InputError, suggestion
from harness.pool.process import Unanswered, answer, ask
from harness.run.cohort import Cohort
from harness.run.spec import Spec, learner_class, pair_module
from harness.run.streams import Streams

LIMIT = 120.0
"""Seconds in which one update of every arm must end, imports included."""
NEEDED = ("entropy",)
"""Metrics that every update must return."""


def find_pair(pair: str) -> type[Learner]:
    """The learner of a pair, with arms that can be compared. Raises InputError: what is wrong, and where."""
    module = pair_module(pair)
    if importlib.util.find_spec(module.split(".")[0]) is None:
        raise InputError(f"pair {pair!r}: there is no module {module.split('.')[0]!r} along PYTHONPATH")
    try:
        kind = learner_class(pair)
    except InputError:
        raise
    except Exception as error:  # the user's own code
        raise InputError(f"pair {pair!r} cannot be imported: {told(error)}") from error
    if ":" in pair:
        _check(pair, kind)
    return kind


def _check(pair: str, kind: type[Learner]) -> None:
    missing = sorted(getattr(kind, "__abstractmethods__", ())) or [
        name for name in ("source", "arms", "settings_type", "metrics") if not hasattr(kind, name)
    ]
    if missing:
        raise InputError(f"pair {pair!r}: {_place(kind)}: {kind.__name__} lacks {', '.join(missing)}")
    hard = [name for name, arm in kind.arms.items() if not arm.soft]
    if not hard:
        raise InputError(
            f"pair {pair!r}: {_place(kind)}: arms: none is hard (soft=False); a soft arm is compared with a hard one"
        )
    for name, arm in kind.arms.items():
        if arm.hard is not None and arm.hard not in hard:
            raise InputError(
                f"pair {pair!r}: {_place(kind)}: arms: {name}: {arm.hard!r} is no hard arm{suggestion(arm.hard, hard)}"
            )
    for name in NEEDED:
        if name not in kind.metrics:
            raise InputError(
                f"pair {pair!r}: {_place(kind)}: metrics: {name!r} is missing; `update` must return it for every arm"
            )


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
        cohort = Cohort(spec, [0])
        records = cohort.train(cohort.initial(), Streams([0], 1, cohort.device), 0, 1)
    except Exception as error:  # the user's own code
        return f"arm {spec.arm!r}: {told(error)}"
    absent = [name for name in NEEDED if np.isnan(records[name]).any()]
    return f"arm {spec.arm!r}: `update` returns no {absent[0]!r}" if absent else None


def told(error: Exception) -> str:
    """An exception of the user's code in one line, with its place."""
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    if isinstance(error, SyntaxError):
        return f"{Path(error.filename or '').name}, line {error.lineno}: {text.split(' (')[0]}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    return f"{text} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else text


def _place(kind: type[Learner]) -> str:
    return f"{Path(inspect.getfile(kind)).name}, line {inspect.getsourcelines(kind)[1]}"


def _first_error(given: list[dict[str, Any]]) -> str | None:
    return next((error for spec in given if (error := _attempt(Spec(**spec)))), None)


if __name__ == "__main__":
    answer(_first_error)
