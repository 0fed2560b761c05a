from __future__ import annotations

import compileall
import signal
import sys

import pytest

from harness import cli
from harness.files import ROOT


def pytest_configure(config):
    """Compiled once: hundreds of processes that start here would else each compile our modules where no bytecode may be written."""
    if not hasattr(config, "workerinput"):  # of xdist
        for name in ("algorithms", "harness", "reports", "suites"):
            compileall.compile_dir(ROOT / name, quiet=2)


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
