"""Quiet hours on the wall clock of the shopper, clock changes included."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.timing import ON_TIME, local_to_utc, next_open, outside, parse_clock, step_time
from engine.model.policy import QuietHours

NIGHT = QuietHours(time(21), time(9))
LUNCH = QuietHours(time(12), time(13, 30))

ZONES = [
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",  # its winter is the exception, by law
    "America/New_York",
    "America/St_Johns",
    "Asia/Karachi",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # its summer is half an hour
    "Pacific/Chatham",
    "Africa/Cairo",  # changes at midnight
    "America/Asuncion",
]
#: Days with a clock change in most of the zones.
CHANGES = ["2024-03-10", "2024-03-31", "2024-04-07", "2024-04-26", "2024-10-06", "2024-10-27"]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(text: str, zone: str, fold: int = 0) -> datetime:
    """UTC of a wall-clock time that exists."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


def quiet_until(now: datetime, quiet: QuietHours, zone: ZoneInfo) -> datetime | None:
    """The end of the quiet hours that ``now`` falls in; None outside them."""
    opens = next_open(outside(quiet), zone, now)
    return None if opens == now else opens


class TestQuietUntil:
    @pytest.mark.parametrize(
        "now, expected",
        [
            ("2026-06-01T20:59:59", None),
            ("2026-06-01T21:00", "2026-06-02T09:00"),
            ("2026-06-01T23:59:59.999999", "2026-06-02T09:00"),
            ("2026-06-02T00:00", "2026-06-02T09:00"),
            ("2026-06-02T08:59:59.999999", "2026-06-02T09:00"),
            ("2026-06-02T09:00", None),
            ("2026-12-31T22:00", "2027-01-01T09:00"),
        ],
    )
    @pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kolkata", "America/New_York"])
    def test_over_midnight(self, now: str, expected: str | None, zone: str) -> None:
        until = quiet_until(local(now, zone), NIGHT, ZoneInfo(zone))
        assert until == (local(expected, zone) if expected else None)

    @pytest.mark.parametrize(
        "now, expected",
        [
            ("2026-06-01T11:59:59", None),
            ("2026-06-01T12:00", "2026-06-01T13:30"),
            ("2026-06-01T13:29:59", "2026-06-01T13:30"),
            ("2026-06-01T13:30", None),
        ],
    )
    def test_within_a_day(self, now: str, expected: str | None) -> None:
        until = quiet_until(utc(now), LUNCH, ZoneInfo("UTC"))
        assert until == (utc(expected) if expected else None)

    def test_no_hours_at_all(self) -> None:
        assert (
            quiet_until(utc("2026-06-01T09:00"), QuietHours(time(9), time(9)), ZoneInfo("UTC"))
            is None
        )

    def test_the_zone_decides_at_one_and_the_same_moment(self) -> None:
        now = utc("2026-06-01T16:00")  # 21:00 in Karachi, 21:30 in Kolkata, 18:00 in Berlin
        assert quiet_until(now, NIGHT, ZoneInfo("Asia/Karachi")) == utc("2026-06-02T04:00")
        assert quiet_until(now, NIGHT, ZoneInfo("Asia/Kolkata")) == utc("2026-06-02T03:30")
        assert quiet_until(now, NIGHT, ZoneInfo("Europe/Berlin")) is None

    def test_a_night_with_a_clock_change_is_an_hour_shorter_or_longer(self) -> None:
        berlin = ZoneInfo("Europe/Berlin")
        assert quiet_until(utc("2026-03-28T20:00"), NIGHT, berlin) == utc("2026-03-29T07:00")
        assert quiet_until(utc("2026-10-24T19:00"), NIGHT, berlin) == utc("2026-10-25T08:00")

    @pytest.mark.parametrize(
        "zone, start, gap_end",
        [
            ("Europe/Berlin", "2026-03-28T22:00", "2026-03-29T01:00"),
            ("America/New_York", "2026-03-07T22:00", "2026-03-08T07:00"),
            ("Australia/Lord_Howe", "2026-10-03T22:00", "2026-10-03T15:30"),
        ],
    )
    def test_an_end_that_the_clock_skips_is_just_after_the_gap(
        self, zone: str, start: str, gap_end: str
    ) -> None:
        quiet = QuietHours(time(21), time(2, 15))
        assert quiet_until(local(start, zone), quiet, ZoneInfo(zone)) == utc(gap_end)

    @pytest.mark.parametrize(
        "zone, day",
        [("Europe/Berlin", "2026-10-25"), ("America/New_York", "2026-11-01")],
    )
    def test_an_end_that_comes_twice(self, zone: str, day: str) -> None:
        end = "02:30" if zone == "Europe/Berlin" else "01:30"
        inside = "02:10" if zone == "Europe/Berlin" else "01:10"
        quiet = QuietHours(time(21), time.fromisoformat(end))
        first, second = (local(f"{day}T{end}", zone, fold) for fold in (0, 1))
        assert quiet_until(local(f"{day}T00:30", zone), quiet, ZoneInfo(zone)) == first
        assert quiet_until(local(f"{day}T{inside}", zone, 0), quiet, ZoneInfo(zone)) == first
        assert quiet_until(first, quiet, ZoneInfo(zone)) is None
        # The clock goes back into the quiet hours: what comes then waits for their second end.
        assert quiet_until(local(f"{day}T{inside}", zone, 1), quiet, ZoneInfo(zone)) == second
        assert quiet_until(second, quiet, ZoneInfo(zone)) is None

    @given(
        zone=st.sampled_from(ZONES),
        day=st.sampled_from(CHANGES),
        minutes=st.integers(-36 * 60, 36 * 60),
        start=st.times(),
        end=st.one_of(st.times(), st.times(max_value=time(4))),
    )
    @settings(deadline=None, max_examples=1500)
    def test_it_ends_later_and_then_it_has_ended(
        self, zone: str, day: str, minutes: int, start: time, end: time
    ) -> None:
        now = utc(day) + timedelta(minutes=minutes)
        quiet = QuietHours(start.replace(microsecond=0), end.replace(microsecond=0))
        until = quiet_until(now, quiet, ZoneInfo(zone))
        if until is None:
            return
        assert now < until <= now + timedelta(days=2, hours=3)
        wall = until.astimezone(ZoneInfo(zone)).time()
        assert wall >= quiet.end
        assert quiet_until(until, quiet, ZoneInfo(zone)) is None


class TestLocalToUtc:
    @given(
        zone=st.sampled_from(ZONES),
        day=st.sampled_from(CHANGES),
        seconds=st.integers(-36 * 3600, 36 * 3600),
    )
    @settings(deadline=None, max_examples=1500)
    def test_the_same_on_the_wall_or_just_after_the_gap(
        self, zone: str, day: str, seconds: int
    ) -> None:
        wall = datetime.fromisoformat(day) + timedelta(seconds=seconds)
        tz = ZoneInfo(zone)
        found = local_to_utc(wall, tz)
        shown = found.astimezone(tz).replace(tzinfo=None)
        assert shown >= wall
        if shown != wall:
            before = (found - timedelta(seconds=1)).astimezone(tz).replace(tzinfo=None)
            assert before < wall, "a moment earlier is before the gap"

    @pytest.mark.parametrize(
        "zone, wall, expected",
        [
            ("Europe/Berlin", "2026-03-29T01:59:59", "2026-03-29T00:59:59"),
            ("Europe/Berlin", "2026-03-29T02:00", "2026-03-29T01:00"),
            ("Europe/Berlin", "2026-03-29T02:59:59", "2026-03-29T01:00"),
            ("Europe/Berlin", "2026-03-29T03:00", "2026-03-29T01:00"),
            ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30"),
            ("America/New_York", "2026-03-08T02:30", "2026-03-08T07:00"),
            ("America/New_York", "2026-11-01T01:30", "2026-11-01T05:30"),
            ("Australia/Lord_Howe", "2026-10-04T02:10", "2026-10-03T15:30"),
            ("Asia/Karachi", "2026-03-29T02:30", "2026-03-28T21:30"),
            ("Asia/Kolkata", "2026-03-29T02:30", "2026-03-28T21:00"),
            ("Pacific/Apia", "2011-12-30T12:00", "2011-12-30T10:00"),
        ],
    )
    def test_known_ones(self, zone: str, wall: str, expected: str) -> None:
        assert local_to_utc(datetime.fromisoformat(wall), ZoneInfo(zone)) == utc(expected)


def test_step_time() -> None:
    due = utc("2026-01-01T00:00")
    assert step_time(due, due) == due
    assert step_time(due, due + ON_TIME) == due
    late = due + ON_TIME + timedelta(microseconds=1)
    assert step_time(due, late) == late


def test_parse_clock() -> None:
    assert parse_clock("21:00") == time(21)
    with pytest.raises(ValueError, match=r".+"):
        parse_clock("nine")
