"""Episodes and paths of a pair's members for its page: what was recorded of the members that the results hold."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import ResultsError
from harness.schema.episodes import Episode, Episodes, read_episodes
from harness.schema.manifest import Manifest
from harness.schema.paths import Moves, Paths, read_paths
from reports.figures.strips import drawable, frames
from reports.statistics.numerals import numeral
from reports.statistics.scores import Study

COLORS = {"hard": "var(--ink)", "soft": "var(--soft)", "control": "var(--control)"}


@dataclass(frozen=True)
class Strip:
    """One episode: the arm, what is said of it, and its drawings."""

    arm: str
    role: str
    words: str
    frames: list[str]


def strips(study: Study) -> tuple[dict[str, list[Strip]], list[str]]:
    """Those of a pair by task, and a line for each task whose record cannot be drawn."""
    found: dict[str, list[Strip]] = {}
    problems = []
    for task, cell in study.cells.items():
        try:
            record = read_episodes(cell.path)
            if record is None or not drawable(task, record):
                continue
            its = [each for each in record.episodes if _of(cell.manifest, each)]
            if len(its) < len(record.episodes):
                problems.append(f"{task}: some recorded episodes are of other results and are not shown")
            curves = cell.curves.sort_values("segment")
            members = zip(curves["arm"], curves["seed"], strict=True)
            finals = dict(zip(members, curves[f"return_{record.mode}"], strict=True))
            drawn = [_strip(study, task, record, each, finals[each.arm, each.seed]) for each in its]
            found |= {task: drawn} if drawn else {}
        except (ResultsError, ValueError, LookupError) as error:
            problems.append(f"{task}: recorded episodes cannot be shown: {error}")
    return found, problems


def planes(study: Study) -> tuple[dict[str, Paths], list[str]]:
    """Recorded paths of a pair by task, and a line for each task whose record cannot be drawn."""
    found: dict[str, Paths] = {}
    problems = []
    for task, cell in study.cells.items():
        try:
            if (record := read_paths(cell.path)) is None:
                continue
        except ResultsError as error:
            problems.append(f"{task}: recorded paths cannot be shown: {error}")
            continue
        its = [each for each in record.members if each.arm in study.roles and _of(cell.manifest, each)]
        if len(its) < len(record.members):
            problems.append(f"{task}: some recorded paths are of other results and are not shown")
        found |= {task: record.model_copy(update={"members": its})} if its else {}
    return found, problems


def _strip(study: Study, task: str, record: Episodes, episode: Episode, mean: float) -> Strip:
    role = study.roles[episode.arm]
    return Strip(episode.arm, role, _words(episode, mean), frames(task, record, episode, COLORS[role]))


def _of(manifest: Manifest, recorded: Episode | Moves) -> bool:
    """Whether what was recorded is of a member of these results."""
    member = manifest.members.get(recorded.arm, {}).get(str(recorded.seed))
    return member is not None and member.chain[-1:] == [recorded.link]


def _words(episode: Episode, mean: float) -> str:
    steps = f"{episode.length:,} step{'s' * (episode.length != 1)}"
    means = f"{episode.rank} seed {episode.seed} (mean return {numeral(mean, ',.4g')})"
    return f"{means}: {numeral(episode.total, ',.4g')} in {steps}"
