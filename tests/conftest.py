from __future__ import annotations

import signal
import sys

import pytest

from harness import cli


@pytest.fixture
def softbench(monkeypatch, capsys):
    """Run the command line in this process: (exit code, stdout, stderr)."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["softbench", *map(str, words)])
        with pytest.raises(SystemExit) as exited:
            cli.main()
        told = capsys.readouterr()
        return exited.value.code, told.out, told.err

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)
