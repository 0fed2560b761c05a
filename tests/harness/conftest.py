from __future__ import annotations

import pytest

from harness import results


@pytest.fixture
def no_sync(monkeypatch):
    """Files are written and renamed, and not synced to the disk: for tests that write many."""
    monkeypatch.setattr(results, "_sync", lambda path: None)
