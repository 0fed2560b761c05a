"""The command line: `softbench` or `python -m harness`."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from harness.commands import COMMANDS
from harness.errors import Incomplete, SoftbenchError
from harness.exits import Exit
from harness.schema.documents import in_words

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
GO_ON = "the same command goes on from the last checkpoints"


class Commands(TyperGroup):
    """Imports a command's module where the command is run: help, completion and `list` need no torch."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMMANDS:
            gc.disable()  # modules stay: looking for garbage among them takes a quarter of their import
            command = typer.main.get_command(import_module(f"harness.commands.{COMMANDS[name][0]}").app)
            gc.freeze()
            gc.enable()
        return name, command, rest


app = typer.Typer(
    cls=Commands,
    help="Does the soft version of a reinforcement learning algorithm beat its hard version? Train pairs over seeds, report the evidence.",
    epilog="\b\nExamples:\n  softbench list\n  softbench train smoke\n  softbench report smoke\n  softbench bench --pair ppo",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for _name, (_, _line) in COMMANDS.items():
    app.command(_name, help=_line)(lambda: None)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"softbench {importlib.metadata.version('softbench')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of no command."""


def main() -> None:
    """Run the command line. What softbench raises on purpose is one line on stderr; `harness.exits` has the codes."""
    for number in SIGNALS:
        signal.signal(number, _terminate)
    try:
        result = app(sys.argv[1:] or ["--help"], prog_name="softbench", standalone_mode=False)
        code = result if isinstance(result, int) else Exit.DONE
    except Terminated as error:
        code = _say(f"{'stopped' if error.name == 'SIGINT' else 'terminated'}; {GO_ON}", Exit[error.name])
    except Incomplete as error:
        code = _say(f"incomplete: {error}", Exit.INCOMPLETE)
    except SoftbenchError as error:
        code = _say(str(error), Exit.INPUT)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.PIPE
    except OSError as error:  # no space, a damaged disk, all checkpoints of a member damaged
        code = _say(f"{error}; nothing that was finished is lost: {GO_ON}", Exit.INCOMPLETE)
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer's usage errors have it; their class moved between its versions
            raise
        code = _say(f"{_usage(error)} (see `softbench --help`)", Exit.INPUT)
    sys.exit(code)


def _usage(error: Any) -> str:
    """A usage error of typer's, without the words of pydantic, by which it reads values."""
    message, cause = str(error.format_message()), error.__cause__
    return message.replace(cause.errors()[0]["msg"], in_words(cause)) if isinstance(cause, ValidationError) else message


def _say(message: str, code: Exit) -> Exit:
    print(f"softbench: {' '.join(message.split())}", file=sys.stderr)
    return code


class Terminated(Exception):
    """A signal asked the process to end."""

    def __init__(self, number: int) -> None:
        self.name = signal.Signals(number).name


def _terminate(number: int, frame: FrameType | None) -> None:
    # of several one is enough, and ending takes a second (SIG_IGN would complain of one on its way)
    for other in SIGNALS:
        signal.signal(other, lambda *_: None)
    raise Terminated(number)
