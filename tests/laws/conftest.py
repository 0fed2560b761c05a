from __future__ import annotations

import os

import pytest
import torch
from laws import INVENTED

from harness import files
from harness.run import streams
from harness.run.environments import BACKENDS
from harness.run.spec import pair_names


def pytest_addoption(parser):
    parser.addoption(
        "--pair", action="append", default=[], help="a pair (module:pair along PYTHONPATH) to hold to the laws"
    )


def pytest_generate_tests(metafunc):
    if "pair" in metafunc.fixturenames:
        found = [*pair_names(), "invented:Invented"]
        metafunc.parametrize("pair", metafunc.config.getoption("--pair", default=[]) or found)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setitem(BACKENDS, "tiny", "tiny_tasks")
    monkeypatch.setattr(files, "_sync", lambda path: None)
    monkeypatch.setattr(streams, "BLOCK", 2**9)  # changes no number, and few are read here


@pytest.fixture
def needed(law, request):
    """What a law needs."""
    for name in {"page": ["no_ink"], "policy": ["onnx"]}.get(law, []):
        request.getfixturevalue(name)


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder along PYTHONPATH with the invented pair in it."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "invented.py").write_text(INVENTED.read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])))
        yield folder
