"""When the reports of one message are made: in time, twice, out of order, late."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from engine.testing.chance import chance
from engine.testing.stories import Callbacks


class Due(NamedTuple):
    """One report. ``after`` and ``happens`` are seconds from now: when it is sent, and when
    what it reports happens. ``again`` marks the second copy of one."""

    word: str
    number: int
    after: float
    happens: float
    again: bool = False


def timetable(callbacks: Callbacks, key: str, story: list[str]) -> Iterator[Due]:
    """The reports of a story, each with its copies. Depends on the seed and ``key`` only."""
    for number, word in enumerate(story):
        happens = callbacks.delay * (number + 1)
        after = happens
        if number and _comes(callbacks, callbacks.shuffle, "shuffle", key, number):
            after = max(0.0, happens - 1.5 * callbacks.delay)
        if _comes(callbacks, callbacks.late, "late", key, number):
            after += callbacks.late_by * chance(callbacks.seed, "late by", key, number)
        yield Due(word, number, after, happens)
        if _comes(callbacks, callbacks.twice, "twice", key, number):
            more = callbacks.late_by * chance(callbacks.seed, "again after", key, number)
            yield Due(word, number, after + more, happens, again=True)


def _comes(callbacks: Callbacks, share: float, what: str, key: str, number: int) -> bool:
    return bool(share) and chance(callbacks.seed, what, key, number) < share
