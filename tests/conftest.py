from __future__ import annotations

import compileall
import os
import signal
import sys
from functools import cache, partial

import jinja2
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


class InMemory(jinja2.BytecodeCache):
    """Compiled templates, by their source."""

    def __init__(self):
        self.compiled = {}

    def load_bytecode(self, bucket):
        if found := self.compiled.get((bucket.key, bucket.checksum)):
            bucket.bytecode_from_string(found)

    def dump_bytecode(self, bucket):
        self.compiled[bucket.key, bucket.checksum] = bucket.bytecode_to_string()


@pytest.fixture(scope="session", autouse=True)
def _no_test_waits_for_a_disk():
    """What a killed process has written is in the system's memory; tests/faults/disk.py loses what was not synced."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # which refuses what is no open file
        yield


@pytest.fixture(scope="session", autouse=True)
def _templates_are_compiled_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jinja2, "Environment", partial(jinja2.Environment, bytecode_cache=InMemory()))
        yield


@pytest.fixture(scope="session")
def onnx():
    """ONNX files can be written; torch's list of operations is then made once, not for every file. Skips where a package is absent."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from torch.onnx._internal.exporter import _registration

    with pytest.MonkeyPatch.context() as patch:
        make = _registration.ONNXRegistry.from_torchlib
        patch.setattr(_registration.ONNXRegistry, "from_torchlib", staticmethod(cache(make)))
        yield


@pytest.fixture
def no_ink(monkeypatch):
    """Figures are drawn and their files left empty: for tests that read the words and tables of pages."""
    from reports.figures import picture

    empty = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"/>'
    monkeypatch.setattr(picture, "drawn", lambda figure: (empty, b""))
