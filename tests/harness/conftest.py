from __future__ import annotations

import pytest

from harness import files


@pytest.fixture
def no_sync(monkeypatch):
    """Files are written and renamed, and not synced to the disk: for tests that write many."""
    monkeypatch.setattr(files, "_sync", lambda path: None)
