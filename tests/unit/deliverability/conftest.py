"""Records of a domain, written as a zone file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.deliverability.records import FileRecords

DOMAIN = "shop.example"


@pytest.fixture
def zone(tmp_path: Path) -> Callable[[str], FileRecords]:
    def make(text: str) -> FileRecords:
        file = tmp_path / "zone.txt"
        file.write_text(text, "utf-8")
        return FileRecords(file, DOMAIN)

    return make
