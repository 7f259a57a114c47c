"""Ctrl-C and SIGTERM for commands that have something to clean up."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def one_interrupt() -> Iterator[None]:
    """Within the block, the first Ctrl-C or SIGTERM raises ``KeyboardInterrupt`` and all further
    ones are ignored, so that an impatient second Ctrl-C cannot break the cleaning up."""
    told = False

    def tell(number: int, frame: FrameType | None) -> None:
        nonlocal told
        if not told:
            told = True
            raise KeyboardInterrupt

    before = {number: signal.signal(number, tell) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
