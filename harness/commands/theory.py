"""`softbench theory`: run the exact statements, with their planted errors, and write what was found."""

from __future__ import annotations

import functools
import json
import multiprocessing
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

from harness.commands.shared import CORES, Json, new_app
from harness.errors import Incomplete, InputError
from harness.exits import Exit, legend

FILE = "theory.json"

app = new_app()

Records = list[dict[str, Any]]


def run(statement: int | None, cases: int, seed: int) -> tuple[Records, list[float]]:
    """Records of one statement, or of all, and the wall time of each in seconds. Raises InputError for an unknown statement.

    Each in one thread, so that equal input gives equal numbers; all of them on all processors.
    """
    from suites.theory import STATEMENTS

    if statement is not None and statement not in STATEMENTS:
        raise InputError(f"--statement: {statement} is unknown; must be {min(STATEMENTS)} to {max(STATEMENTS)}")
    # The last ones take longest: they begin.
    todo = sorted(STATEMENTS, reverse=True) if statement is None else [statement]
    processes, context = min(len(todo), CORES), multiprocessing.get_context("fork")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ProcessPoolExecutor(processes, context, _end_at_once) as pool:
            try:
                found = [*pool.map(functools.partial(_run, cases=cases, seed=seed), todo)][::-1]
            except BaseException:
                for process in multiprocessing.active_children():
                    process.terminate()  # else the pool would wait for the statements that have begun
                raise
    except BrokenProcessPool as error:
        raise Incomplete("a process that checked a statement was ended from outside") from error
    finally:
        torch.set_num_threads(threads)
    return [record for record, _ in found], [seconds for _, seconds in found]


def _end_at_once() -> None:
    """By signals as they are of themselves: the handlers are the parent's, and would raise in the midst of a statement."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _run(statement: int, cases: int, seed: int) -> tuple[dict[str, Any], float]:
    from suites.theory import STATEMENTS
    from suites.theory.statement import run as run_statement

    return run_statement(STATEMENTS[statement], cases, seed)


def summary(records: Records) -> Records:
    """The records without their figures' points."""
    return [{name: value for name, value in record.items() if name != "figure"} for record in records]


def write(records: Records, seconds: list[float], out: Path) -> Path:
    """`out/theory.json`, which holds no times; those go to `.runs/theory.json` beside `out`, which is no result."""
    sidecar = out.parent / ".runs" / FILE
    try:
        for path in (out / FILE, sidecar):
            path.parent.mkdir(parents=True, exist_ok=True)
        (out / FILE).write_text(json.dumps(_rounded(records), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        times = {str(record["statement"]): round(each, 3) for record, each in zip(records, seconds, strict=True)}
        sidecar.write_text(json.dumps({"seconds": times}) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written: {error.strerror or error}") from error
    return out / FILE


def table(records: Records, seconds: list[float]) -> Table:
    shown = Table("", "statement", "error", "tolerance", "verdict", "caught", "s")
    shown.caption = (
        f"error: the worst of {records[0]['cases']} random problems each; caught: of the errors planted in the code"
    )
    for record, each in zip(records, seconds, strict=True):
        shown.add_row(
            str(record["statement"]),
            record["name"],
            f"{record['worst_error']:.1e}",
            f"{record['tolerance']:.1e}",
            "holds" if record["holds"] else "[bold red]FAILS[/bold red]",
            f"{record['mutants_caught']} of {record['mutants']}",
            f"{each:.1f}",
        )
    return shown


def complaints(records: Records) -> list[str]:
    """A line for each part of a statement that fails, and each planted error that passes."""
    lines = []
    for record in records:
        about = f"statement {record['statement']}"
        failed = {name: error for name, error in record["parts"].items() if error > record["tolerance"]}
        lines += [
            f"{about} fails: {name}: error {error:.1e}, tolerance {record['tolerance']:.1e}"
            for name, error in failed.items()
        ]
        lines += [
            f"{about} passes its planted error: {each['name']} ({each['where']})"
            for each in record["planted"]
            if not each["caught"]
        ]
    return lines


def _rounded(value: Any) -> Any:
    """Floats to six digits: the rest is noise, and a figure's points take much room."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return {name: _rounded(each) for name, each in value.items()} if isinstance(value, dict) else value


@app.command(
    "theory",
    epilog="\b\nExamples:\n  softbench theory\n  softbench theory --statement 8 --cases 500 --seed 3\n  softbench theory --json"
    + legend(Exit.INCOMPLETE, Exit.INPUT),
)
def theory(
    statement: Annotated[int | None, typer.Option(help="only this statement, 1 to 18")] = None,
    cases: Annotated[int, typer.Option(min=1, max=10_000, help="random problems for each statement")] = 120,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="seed of the random problems")] = 0,
    as_json: Json = False,
    out: Annotated[Path | None, typer.Option(help="folder to write theory.json to, for the report's page")] = None,
) -> None:
    """Check the sources' exact statements with the code that trains, and that errors planted in it are caught."""
    records, seconds = run(statement, cases, seed)
    if as_json:
        print(json.dumps(summary(records), ensure_ascii=False, indent=1))
    else:
        Console().print(table(records, seconds))
    if out is not None:
        write(records, seconds, out)
    wrong = complaints(records)
    if wrong:
        print("\n".join(f"softbench: {line}" for line in wrong), file=sys.stderr)
        raise typer.Exit(Exit.INCOMPLETE)
