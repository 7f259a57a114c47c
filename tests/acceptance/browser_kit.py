"""A real browser, as Debian packages it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

_CHROMIUM = Path("/usr/bin/chromium")


@contextmanager
def chromium(*more: str) -> Iterator[Browser]:
    """Without a window. ``more``: arguments of its own. Where there is none it is a skip, and in CI
    a failure."""
    if not _CHROMIUM.exists():
        reason = f"no {_CHROMIUM}: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_CHROMIUM, args=["--no-sandbox", "--disable-gpu", *more]
        )
        yield browser
        browser.close()
