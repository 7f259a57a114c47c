"""When calendars are reached."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.book import open_book
from engine.core.calendar import may_be_reached, next_reached, occurrences
from engine.core.shopper import Shopper
from engine.model.journey import CALENDAR_REACHED, Calendar, Journey
from engine.model.profile import Profile
from tests.unit.core.build import condition, journey, send

UTC_ZONE = ZoneInfo("UTC")
NEW_YORK = ZoneInfo("America/New_York")
BIRTHDAY = condition("profile.birthday")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def reached(
    calendar: Calendar,
    after: str,
    until: str,
    zone: ZoneInfo = UTC_ZONE,
    birthday: Any = None,
) -> list[str]:
    facts = {"profile": {"birthday": birthday} if birthday is not None else {}}
    found = occurrences(calendar, facts, zone, moment(after), moment(until))
    return [f"{o.moment:%Y-%m-%dT%H:%M}" for o in found]


def test_a_birthday_every_year() -> None:
    yearly = Calendar(BIRTHDAY, yearly=True)
    assert reached(yearly, "2026-01-01", "2028-12-31", birthday="1990-03-24") == [
        "2026-03-24T09:00",
        "2027-03-24T09:00",
        "2028-03-24T09:00",
    ]


def test_the_29th_of_february_is_the_28th_in_other_years() -> None:
    yearly = Calendar(BIRTHDAY, yearly=True)
    assert reached(yearly, "2026-01-01", "2028-12-31", birthday="1996-02-29") == [
        "2026-02-28T09:00",
        "2027-02-28T09:00",
        "2028-02-29T09:00",
    ]


def test_days_before_it_across_the_turn_of_the_year() -> None:
    before = Calendar(BIRTHDAY, yearly=True, shift=timedelta(days=-3))
    found = reached(before, "2025-12-01", "2026-12-31", birthday="1990-01-02")
    assert found == ["2025-12-30T09:00", "2026-12-30T09:00"]
    facts = {"profile": {"birthday": "1990-01-02"}}
    (one,) = occurrences(before, facts, UTC_ZONE, moment("2025-12-01"), moment("2026-01-05"))
    assert one.day.isoformat() == "2026-01-02"  # the day that it is about


def test_a_date_that_comes_once_and_not_before_it_was_there() -> None:
    once = Calendar(BIRTHDAY)
    assert reached(once, "2026-01-01", "2030-01-01", birthday="2027-05-05") == ["2027-05-05T09:00"]
    assert reached(once, "2028-01-01", "2030-01-01", birthday="2027-05-05") == []
    yearly = Calendar(BIRTHDAY, yearly=True)
    assert reached(yearly, "2020-01-01", "2025-01-01", birthday="2023-05-05") == [
        "2023-05-05T09:00",
        "2024-05-05T09:00",
    ]


@pytest.mark.parametrize("birthday", [None, "", "today", 10**40, "9999-12-31", "0001-01-01"])
def test_what_is_no_date_or_far_away_is_never_reached(birthday: Any) -> None:
    later = Calendar(BIRTHDAY, shift=timedelta(days=3))
    assert reached(later, "2026-01-01", "2027-01-01", birthday=birthday) == []


def test_by_the_shoppers_clock_right_through_clock_changes() -> None:
    yearly = Calendar(BIRTHDAY, yearly=True, at=time(2, 30))
    # in 2026 the clocks skip 02:30 on the 8th of March
    assert reached(yearly, "2025-01-01", "2027-12-31", NEW_YORK, "1990-03-08") == [
        "2025-03-08T07:30",
        "2026-03-08T07:00",
        "2027-03-08T07:30",
    ]
    # a moment late in the evening in UTC is the day before in New York
    assert reached(yearly, "2025-01-01", "2025-12-31", NEW_YORK, "1990-06-10T02:00:00Z") == [
        "2025-06-09T06:30"
    ]


def test_schedules() -> None:
    weekly = Calendar(every=("monday", "thursday"), at=time(10))
    assert reached(weekly, "2026-03-02T10:00", "2026-03-09T10:00") == [
        "2026-03-05T10:00",
        "2026-03-09T10:00",  # the end counts, the beginning has been looked at
    ]
    monthly = Calendar(every=("month",), at=time(8))
    assert reached(monthly, "2026-01-15", "2026-03-15") == ["2026-02-01T08:00", "2026-03-01T08:00"]
    daily = Calendar(every=("day",), at=time(9))
    # 09:00 in New York is 14:00 UTC, and 13:00 after the 8th
    assert reached(daily, "2026-03-07", "2026-03-09", NEW_YORK) == [
        "2026-03-07T14:00",
        "2026-03-08T13:00",
    ]
    assert len(reached(daily, "2026-01-01", "2027-01-01")) == 365
    assert reached(daily, "2026-03-09", "2026-03-09") == []


@given(
    st.sampled_from(
        [
            Calendar(every=("day",), at=time(2, 30)),
            Calendar(every=("sunday", "tuesday"), at=time(23, 59)),
            Calendar(every=("month",)),
            Calendar(BIRTHDAY, yearly=True, shift=timedelta(days=-40)),
            Calendar(BIRTHDAY, yearly=True, at=time(0, 7), shift=timedelta(hours=30)),
            Calendar(BIRTHDAY, at=time(5, 45)),
        ]
    ),
    st.sampled_from(["UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]),
    st.dates(datetime(2024, 1, 1).date(), datetime(2026, 12, 31).date()),
    st.lists(st.integers(0, 800 * 96), min_size=2, max_size=8),
)
def test_however_often_one_looks_everything_is_reached_once(
    calendar: Calendar, name: str, birthday: Any, looks: list[int]
) -> None:
    zone, facts = ZoneInfo(name), {"profile": {"birthday": birthday}}
    start = datetime(2024, 10, 1, 0, 3, tzinfo=UTC)
    times = [start + look * timedelta(minutes=15) for look in sorted(set(looks))]
    pieces = [
        occurrence
        for after, until in pairwise(times)
        for occurrence in occurrences(calendar, facts, zone, after, until)
    ]
    assert pieces == occurrences(calendar, facts, zone, times[0], times[-1])
    for occurrence in pieces:
        tick = timedelta(microseconds=1)
        assert may_be_reached(calendar, zone, occurrence.moment - tick, occurrence.moment)


def test_most_minutes_need_no_look_at_the_shoppers() -> None:
    yearly = Calendar(BIRTHDAY, yearly=True, at=time(9, 20))
    start = moment("2026-03-02T00:00")
    looks = [
        minute
        for minute in range(24 * 60)
        if may_be_reached(
            yearly,
            UTC_ZONE,
            start + timedelta(minutes=minute),
            start + timedelta(minutes=minute + 1),
        )
    ]
    assert looks == [minute for minute in range(24 * 60) if (minute + 1) % 15 == 5]


def calendar_journey(name: str, calendar: Calendar, timezone: str = "") -> Journey:
    made = journey(send(), name=name, trigger=CALENDAR_REACHED)
    trigger = dataclasses.replace(made.trigger, calendar=calendar)
    return dataclasses.replace(made, trigger=trigger, timezone=timezone)


class TestNext:
    def shopper(self, **traits: Any) -> Shopper:
        return Shopper(Profile(7, traits))

    def test_the_first_moment_with_all_that_begins_then(self) -> None:
        book = open_book(
            [
                calendar_journey("weekly", Calendar(every=("monday",))),
                calendar_journey("birthday", Calendar(BIRTHDAY, yearly=True)),
                calendar_journey("later", Calendar(every=("day",), at=time(10))),
            ]
        )
        shopper = self.shopper(birthday="1990-03-09")
        found = next_reached(
            book, shopper, moment("2026-03-08T11:00"), moment("2026-03-20"), ("user:7",)
        )
        assert [event.id for event in found] == [
            "calendar:birthday:7:2026-03-09T09:00:00+00:00",
            "calendar:weekly:7:2026-03-09T09:00:00+00:00",
        ]
        assert found[0].properties == {"journey": "birthday", "date": "2026-03-09"}
        assert found[0].identifiers == ("user:7",)
        assert not next_reached(
            book, shopper, moment("2026-03-08T11:00"), moment("2026-03-09T08:59"), ()
        )

    @pytest.mark.parametrize(
        ("calendar", "expected"),
        [
            (Calendar(BIRTHDAY, yearly=True), "2026-03-09T13:00"),
            (Calendar(every=("day",)), "2026-03-09T03:30"),
        ],
    )
    def test_a_date_goes_by_the_shoppers_clock_a_schedule_by_the_journeys(
        self, calendar: Calendar, expected: str
    ) -> None:
        book = open_book([calendar_journey("j", calendar, "Asia/Kolkata")])
        shopper = self.shopper(birthday="1990-03-09", timezone="America/New_York")
        (found,) = next_reached(book, shopper, moment("2026-03-09T00:00"), moment("2026-03-10"), ())
        assert found.time == moment(expected)

    def test_the_shops_clock_where_nobody_says(self) -> None:
        calendars = [
            calendar_journey("a", Calendar(BIRTHDAY, yearly=True)),
            calendar_journey("b", Calendar(every=("day",))),
        ]
        book = open_book(calendars, timezone="Asia/Kolkata")
        shopper = self.shopper(birthday="1990-03-09")
        found = next_reached(book, shopper, moment("2026-03-09T00:00"), moment("2026-03-10"), ())
        assert [event.time for event in found] == [moment("2026-03-09T03:30")] * 2
