"""Pictures of pages, made by a Chromium that is installed here."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageChops

from engine.errors import WinbackError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: Taller than any mail; what is empty below is cut off.
_TALL = 6_000
_SECONDS = 60
_MARGIN = 12


def find_browser() -> str:
    """The path of a Chromium. Raises ``WinbackError`` with what to install."""
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return found
    raise WinbackError(
        "Pictures need Chromium, which is not here: apt-get install chromium (or leave --png out "
        "and open the pages in your own browser)."
    )


def picture(browser: str, page: Path, into: Path, *, width: int, dark: bool) -> None:
    """Write ``page``, as wide as ``width`` CSS pixels and as high as it is, to ``into`` (PNG).
    ``dark``: as a reader who prefers dark screens sees it. Raises ``WinbackError``."""
    with tempfile.TemporaryDirectory(prefix="winback-browser-") as profile:
        command: Sequence[str] = (
            browser,
            "--headless",
            "--no-sandbox",  # as root there is none; the page is one of our own
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
            f"--user-data-dir={profile}",
            f"--window-size={width},{_TALL}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            "--virtual-time-budget=3000",
            f"--screenshot={into}",
            page.absolute().as_uri(),
        )
        try:
            done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise WinbackError(f"Chromium did not finish within {_SECONDS} seconds.") from None
    if not into.exists():
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
        raise WinbackError(f"Chromium made no picture: {last[0]}")
    _cut(into)


def _cut(file: Path) -> None:
    """Take off what is one colour at the bottom."""
    with Image.open(file) as opened:
        image = opened.convert("RGB")
    below = Image.new("RGB", image.size, image.getpixel((0, image.height - 1)))
    box = ImageChops.difference(image, below).getbbox()
    bottom = min(image.height, (box[3] if box else 0) + _MARGIN)
    image.crop((0, 0, image.width, max(bottom, 1))).save(file)
