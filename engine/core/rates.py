"""How fast messages may go to a provider or from a sender. Pure.

A limit is kept by time slots, so far apart that no span of its length holds too many. They are
leased in bunches: workers share one row of the database, and none asks for each message. A slot
may be used from its moment on and for a little while after; who is late has lost it.

Why no span can hold more than L: its calls used slots of a span longer by that little while, and
slots are so far apart that this holds L at most (the property in tests/property/test_rates.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from math import floor, inf

from engine.model.sending import Rate, WarmUp

#: The share of a limit that promotion leaves to receipts and the like.
RESERVE = 0.1
#: A slot is good for so much of the limit's span, and at most so many seconds.
_VALID, _VALID_AT_MOST = 0.1, 1.0
#: What a computer's arithmetic may get wrong.
_SLACK = 1e-6
#: A sender that is allowed so many a day is warm.
_WARM = 50_000_000


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: between two slots, for which a slot is good, and how far ahead slots are leased."""

    spacing: float
    valid: float
    ahead: float

    @property
    def at_once(self) -> int:
        """The most slots that one lease gives."""
        return floor(2 * self.ahead / self.spacing) + 1


def pace(rate: Rate) -> Pace:
    span = rate.per.total_seconds()
    valid = min(span * _VALID, _VALID_AT_MOST)
    return Pace((span + valid) / rate.messages * (1 + _SLACK) + _SLACK, valid, valid)


@dataclass(frozen=True, slots=True)
class Book:
    """What was leased, of one provider or sender: when the next slot begins (seconds, of the
    database's clock), for all and for promotion, and how many messages the ``day`` has had."""

    next_all: float = 0.0
    next_promotion: float = 0.0
    day: date = date.min
    taken: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """``count`` slots, the first beginning at ``first``, ``spacing`` seconds apart, each good for
    ``valid`` seconds. With fewer than were wanted, there is more from ``more_at`` on; where that
    is infinite, tomorrow."""

    count: int
    first: float
    spacing: float
    valid: float
    more_at: float


def quota(warm_up: WarmUp, today: date) -> int | None:
    """How many messages ``today`` may have; None when the sender is warm."""
    doublings = max(0, (today - warm_up.since).days) // max(1, warm_up.doubling.days)
    if doublings >= 40:
        return None
    allowed: int = warm_up.first_day * 2**doublings
    return allowed if allowed < _WARM else None


def lease(
    book: Book,
    limit: Pace | None,
    allowed: int | None,
    wanted: int,
    now: float,
    today: date,
    *,
    promotion: bool,
    unused: int = 0,
) -> tuple[Book, Lease]:
    """Up to ``wanted`` messages of today's ``allowed`` within ``limit`` (None: without end).

    Receipts and the like (not ``promotion``) may look further ahead and have a share of each
    limit to themselves; a day that is full does not hold them, though they count for it.
    ``unused`` gives back so many of today's.
    """
    if book.day != today:
        book, unused = replace(book, day=today, taken=0), 0
    taken = max(0, book.taken - unused)
    count, full = wanted, False
    if promotion and allowed is not None and taken + count > allowed:
        count, full = max(0, allowed - taken), True
    if limit is None:
        given = Lease(count, now, 0.0, inf, inf if full else now)
        return replace(book, taken=taken + count), given
    start = max(book.next_all, now)
    horizon = now + limit.ahead * (1 if promotion else 2)
    free = _slots(start, limit.spacing, horizon)
    calm = limit.spacing / (1 - RESERVE)
    if promotion:
        free = min(free, _slots(max(book.next_promotion, now), calm, horizon))
    more_at = inf if full and count <= free else now
    if count > free:
        count = free
        more_at = start + count * limit.spacing - limit.ahead * (1 if promotion else 2)
        if promotion:
            slow = max(book.next_promotion, now) + count * calm - limit.ahead
            more_at = max(more_at, slow)
    if count:
        book = replace(book, next_all=start + count * limit.spacing)
        if promotion:
            slow = max(book.next_promotion, now) + count * calm
            book = replace(book, next_promotion=slow)
    given = Lease(count, start, limit.spacing, limit.valid, more_at)
    return replace(book, taken=taken + count), given


def _slots(start: float, spacing: float, horizon: float) -> int:
    """How many slots begin from ``start`` to ``horizon``."""
    return floor((horizon - start) / spacing) + 1 if start <= horizon else 0
