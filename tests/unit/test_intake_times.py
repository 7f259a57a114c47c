"""When an event happened, whatever its sender's clock says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from engine.intake.times import time_of

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def test_without_a_time_it_is_the_receipt() -> None:
    assert time_of(None, None, NOW) == (NOW, None)
    assert time_of(None, "2026-11-24T11:00:00Z", NOW) == (NOW, None)


def test_a_time_without_sent_at_stands() -> None:
    assert time_of("2010-12-01T08:26:00.000Z", None, NOW) == (
        datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        None,
    )


def test_the_senders_clock_is_taken_out() -> None:
    """A clock three years behind: sent ten minutes after it happened is all that counts."""
    time, doubted = time_of("2023-01-01T00:00:00Z", "2023-01-01T00:10:00Z", NOW)
    assert (time, doubted) == (NOW - timedelta(minutes=10), None)


def test_a_clock_ahead_is_taken_out_too() -> None:
    time, doubted = time_of("2031-01-01T00:00:00Z", "2031-01-01T00:00:02Z", NOW)
    assert (time, doubted) == (NOW - timedelta(seconds=2), None)


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-24T13:00:00+05:30",
        "2026-11-24T07:30:00",
        "2026-11-24T07:30:00.000000Z",
        " 2026-11-24 07:30:00Z ",
        1795505400,
        1795505400000,
        Decimal("1795505400.0"),
    ],
)
def test_ways_to_write_a_time(written: object) -> None:
    time, doubted = time_of(written, None, NOW)
    assert (time, time.utcoffset(), doubted) == (
        datetime(2026, 11, 24, 7, 30, tzinfo=UTC),
        timedelta(0),
        None,
    )


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("2031-01-01T00:00:00Z", "2031-01-01T00:00:00Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        (0, "0"),
        (-1, "-1"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
        ("9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59-14:00"),
        ("yesterday", "yesterday"),
        ("", ""),
        (10**40, str(10**40)),
        (Decimal("1e300"), "1E+300"),
        (True, "True"),
        ({}, "{}"),
        ("x" * 500, "x" * 100),
    ],
)
def test_a_time_that_cannot_be_believed_is_the_receipt_and_kept(written: object, kept: str) -> None:
    assert time_of(written, None, NOW) == (NOW, kept)


def test_a_sent_at_that_cannot_be_read_is_left_out() -> None:
    happened = datetime(2026, 11, 24, 11, 0, tzinfo=UTC)
    assert time_of("2026-11-24T11:00:00Z", "soon", NOW) == (happened, None)


def test_sent_before_it_happened_is_the_receipt() -> None:
    assert time_of("2026-11-24T11:00:01Z", "2026-11-24T11:00:00Z", NOW) == (
        NOW,
        "2026-11-24T11:00:01Z",
    )
