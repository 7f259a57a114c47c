"""Slots, reserves and warm-up."""

from __future__ import annotations

from datetime import date, timedelta
from math import inf

import pytest

from engine.core.rates import Book, lease, pace, quota
from engine.model.sending import Rate, WarmUp

TODAY = date(2026, 12, 1)
FAST = pace(Rate(100, timedelta(seconds=1)))
SLOW = pace(Rate(1, timedelta(seconds=1)))


def take(book: Book, wanted: int, *, at: float = 1000.0, **more: object) -> tuple[Book, object]:
    values = {"limit": FAST, "allowed": None, "today": TODAY, "promotion": True, **more}
    limit, allowed, today = values.pop("limit"), values.pop("allowed"), values.pop("today")
    return lease(book, limit, allowed, wanted, at, today, **values)  # type: ignore[arg-type]


def test_slots_come_in_bunches_and_the_next_bunch_a_little_later() -> None:
    book, first = take(Book(), 64)
    assert 8 <= first.count <= 10 and first.first == 1000.0
    assert 1000.0 < first.more_at < 1000.1
    _, none = take(book, 64)
    assert none.count == 0
    _, more = take(book, 64, at=first.more_at + 0.05)
    assert more.count >= 4 and more.first >= 1000.0 + first.count * first.spacing


def test_one_a_second_is_one_at_a_time() -> None:
    book, first = take(Book(), 5, limit=SLOW, promotion=False)
    assert first.count == 1
    _, none = take(book, 5, limit=SLOW, at=1000.8, promotion=False)
    assert (none.count, none.more_at) == (0, pytest.approx(1000.9, abs=0.01))
    _, next_ = take(book, 5, limit=SLOW, at=1000.95, promotion=False)
    assert (next_.count, next_.first) == (1, pytest.approx(1001.1, abs=0.01))


def test_without_a_limit_all_at_once_for_ever() -> None:
    _, all_ = take(Book(), 5000, limit=None)
    assert (all_.count, all_.valid) == (5000, inf)


def test_a_full_day_holds_promotion_and_not_receipts() -> None:
    book, first = take(Book(), 150, limit=None, allowed=100)
    assert (first.count, first.more_at) == (100, inf)
    book, none = take(book, 10, limit=None, allowed=100)
    assert (none.count, none.more_at) == (0, inf)
    book, receipts = take(book, 10, limit=None, allowed=100, promotion=False)
    assert receipts.count == 10
    _, tomorrow = take(book, 10, limit=None, allowed=200, today=TODAY + timedelta(days=1))
    assert tomorrow.count == 10


def test_what_was_not_used_goes_back_but_not_into_another_day() -> None:
    book, _ = take(Book(), 100, limit=None, allowed=100)
    book, some = take(book, 50, limit=None, allowed=100, unused=30)
    assert some.count == 30
    later, _ = take(book, 1, limit=None, allowed=100, today=TODAY + timedelta(days=1), unused=30)
    assert later.taken == 1


@pytest.mark.parametrize(
    "day, allowed",
    [(-3, 200), (0, 200), (1, 400), (2, 800), (9, 102_400), (30, None), (4000, None)],
)
def test_a_warm_up_doubles(day: int, allowed: int | None) -> None:
    warm_up = WarmUp(TODAY, 200)
    assert quota(warm_up, TODAY + timedelta(days=day)) == allowed
    slow = WarmUp(TODAY, 200, timedelta(days=3))
    assert quota(slow, TODAY + timedelta(days=5)) == 400
