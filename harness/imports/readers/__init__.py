"""One reader a format: log files in, logs of runs out, as they were written."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from harness.imports.readers import monitor, nested, progress, rows, tensorboard
from harness.imports.readers.content import content
from harness.imports.readers.evaluations import evaluations
from harness.imports.readers.log import Log
from harness.imports.schema import (
    Dopamine,
    Entry,
    Evaluations,
    MarlEval,
    Monitor,
    OpenRlBenchmark,
    Progress,
    Scores,
    TensorBoard,
    Tidy,
    WandbLong,
    WandbWide,
)

TOGETHER = ("tensorboard", "sb3-monitor")
"""Formats in which the files of one folder are one run."""


def read(entry: Entry, paths: list[Path], known: set[str], only: set[str], tasks: Collection[str]) -> list[Log]:
    """The logs in `paths`: the files of one run (`TOGETHER`), or one file of one or more runs.

    `known`: what of arm, task and seed the paths say; `only`: of what a single one is declared, so that the files may leave it out;
    `tasks`: the declared ones. Raises Unusable, in words that follow the file's name, where nothing of it can be read.
    """
    path = paths[0]
    match entry:
        case TensorBoard():
            return tensorboard.tensorboard(entry, paths)
        case Monitor():
            return [monitor.monitor(paths)]
        case Evaluations():
            return [evaluations(content(path))]
        case Tidy():
            return list(rows.tidy(entry, content(path), known, only))
        case Scores():
            return list(rows.scores(entry, content(path), known, only))
        case WandbLong():
            return list(rows.wandb_long(entry, content(path), {*known, *only}))
        case WandbWide():
            return list(rows.wandb_wide(entry, content(path)))
        case OpenRlBenchmark():
            return [progress.open_rl_benchmark(entry, path)]
        case Progress(format="rllib-result"):
            return [progress.rllib_result(entry, content(path))]
        case Progress():
            return [progress.progress(entry, content(path))]
        case MarlEval():
            return list(nested.marl_eval(entry, content(path), tasks))
        case Dopamine():
            return list(nested.dopamine(entry, content(path)))
