"""Progress of a training run: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from datetime import timedelta
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

LINE_EVERY = 10.0  # seconds between two plain lines


class Display:
    """Receives the events of `harness.training.run`. Plain where `console` is no terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.total, self.done, self.started, self.last_line = 0, 0, time.perf_counter(), 0.0
        self.returns: dict[tuple[str, str], dict[int, float | None]] = {}
        self.live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None

    def __enter__(self) -> Display:
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "start":
            self.total, self.started = event["steps"], time.perf_counter()
            if event["members"]:
                self.say(
                    f"{_count(event['cells'], 'cell')}, {_count(event['members'], 'member')}, {self.total:,} environment steps to go"
                )
        elif kind == "note":
            self.say(f"note   {event['cell']} {event['arm']}: {event['text']}")
        elif kind == "segment":
            self.done += event["steps"]
            latest = self.returns.setdefault((f"{event['pair']}/{event['task']}", event["arm"]), {})
            latest.update(zip(event["seeds"], event["returns"], strict=True))
            self._refresh()
        elif kind == "failed":
            job = event["job"]
            tried = f" (attempt {event['attempts']})" if event.get("attempts", 1) > 1 else ""
            self.say(f"FAILED {job['cell']} {job['spec']['arm']} seeds {job['seeds']}: {event['reason']}{tried}")
        elif kind == "retry":
            job, count = event["job"], event["attempts"]
            what = f"{job['cell']} {job['spec']['arm']} seeds {job['seeds']}"
            self.say(f"RETRY  {what}: {event['reason']}; attempt {count + 1} goes on from the last checkpoint")
        elif kind == "cell":
            self.say(f"done   {event['cell']}: {self._latest(event['cell'])} -> {event['folder']}{_again(event)}")
            self.returns = {key: value for key, value in self.returns.items() if key[0] != event["cell"]}
            if self.live:
                self._refresh()
        elif kind == "partial":
            self.say(
                f"PARTIAL {event['cell']}: what was finished is kept, the rest is missing -> {event['folder']}{_again(event)}"
            )
        elif kind == "certificate":
            for line in (*event["lines"], f"certificate: {event['path']}"):
                self.say(line)
        elif kind == "kept":
            self.say(f"kept   {event['cell']}: complete, nothing to do -> {event['folder']}")

    def say(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _refresh(self) -> None:
        elapsed = time.perf_counter() - self.started
        speed = self.done / elapsed
        left = timedelta(seconds=round((self.total - self.done) / speed)) if self.done else "?"
        status = f"{min(1, self.done / max(1, self.total)):4.0%}  {speed:,.0f} steps/s over all members, {left} left"
        if self.live:
            table = Table.grid(padding=(0, 2))
            for cell, arm in self.returns:
                table.add_row(Text(cell), Text(arm), Text(_mean(self.returns[cell, arm])))
            bar = ProgressBar(total=max(1, self.total), completed=self.done, width=40)
            self.live.update(Group(table, bar, Text(f" {status}")))
        elif time.perf_counter() - self.last_line > LINE_EVERY:
            self.last_line = time.perf_counter()
            cells = sorted({cell for cell, _ in self.returns})
            self.say(f"{status} | " + "; ".join(f"{cell}: {self._latest(cell)}" for cell in cells))

    def _latest(self, cell: str) -> str:
        return (
            ", ".join(f"{arm} {_mean(returns)}" for (name, arm), returns in self.returns.items() if name == cell)
            or "from checkpoints"
        )


def _again(event: dict[str, Any]) -> str:
    """The arms that took more than one attempt."""
    return "".join(f"; {arm} took {count} attempts" for arm, count in event.get("attempts", {}).items())


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _mean(returns: dict[int, float | None]) -> str:
    finite = [value for value in returns.values() if value is not None]
    return f"{sum(finite) / len(finite):.1f}" if finite else "diverged"
