"""Progress of a training run: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from datetime import timedelta
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.pool.messages import Event, Failed, Note, Retry, Segment, Started, Told, Written

LINE_EVERY = 10.0  # seconds between two plain lines


class Display:
    """Receives the events of `harness.training.run` and of an audit. Plain where `console` is no terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.total, self.done, self.workers, self.seconds, self.last_line = 0, 0, 1, 0.0, 0.0
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

    def __call__(self, event: Event) -> None:
        if isinstance(event, Told):
            self._told(event)
        elif isinstance(event, Started):
            self.total, self.workers = event.steps, event.workers
            if event.members:
                cells, members = _count(event.cells, "cell"), _count(event.members, "member")
                self.say(f"{cells}, {members}, {event.steps:,} environment steps to go")
        elif isinstance(event, Note):
            self.say(event.text)
        else:
            self._written(event)

    def _told(self, told: Told) -> None:
        job, message = told.job, told.message
        if isinstance(message, Segment):
            self.done += message.steps
            self.seconds += message.seconds
            for arm, seed, value in zip(message.arms, message.seeds, message.returns, strict=True):
                self.returns.setdefault((job.cell, arm), {})[seed] = value
            self._refresh()
        elif isinstance(message, Failed):
            tried = f" (attempt {told.attempts})" if told.attempts > 1 else ""
            self.say(f"FAILED {job}: {message.reason}{tried}")
        elif isinstance(message, Retry):
            attempt = f"attempt {told.attempts + 1} goes on from the last checkpoint"
            self.say(f"RETRY  {job}: {message.reason}; {attempt}")

    def _written(self, event: Written) -> None:
        again = "".join(f"; {arm} took {count} attempts" for arm, count in event.attempts.items())
        if event.how == "kept":
            self.say(f"kept   {event.cell}: complete, nothing to do -> {event.folder}")
        elif event.how == "partial":
            self.say(f"PARTIAL {event.cell}: what was finished is kept, the rest is missing -> {event.folder}{again}")
        else:
            self.say(f"done   {event.cell}: {self._latest(event.cell)} -> {event.folder}{again}")
            self.returns = {key: value for key, value in self.returns.items() if key[0] != event.cell}
            if self.live:
                self._refresh()

    def say(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _refresh(self) -> None:
        # Of finished segments alone: neither the start of workers counts, nor how many of them have not yet told of one.
        speed = self.workers * self.done / self.seconds if self.seconds else 0.0
        left = timedelta(seconds=round(max(0, self.total - self.done) / speed)) if speed else "?"
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


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _mean(returns: dict[int, float | None]) -> str:
    finite = [value for value in returns.values() if value is not None]
    return f"{sum(finite) / len(finite):.1f}" if finite else "diverged"
