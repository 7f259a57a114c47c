"""Real data that lies beside the project, used where it is present."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"


def shared(name: str) -> Path:
    """Path of a file under ``../shared/data``; skips the test without it, fails in CI."""
    path = DATA / name
    if not path.exists():
        reason = f"no {path}: real data is laid beside the project, not in it"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path
