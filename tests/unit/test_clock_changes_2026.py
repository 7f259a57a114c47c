"""Quiet hours through every clock change of 2026, in fourteen zones.

The expected moments are written in UTC, worked out by hand from the published changes. Of each
change there are rows for quiet hours that span it, that end in the hour that is skipped or comes
twice, and that begin in it.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest

from engine.core.timing import next_open, outside
from engine.model.policy import QuietHours

#: zone, then its changes of 2026 in UTC.
CHANGES = {
    "America/New_York": ["03-08 07:00", "11-01 06:00"],
    "America/Santiago": ["04-05 03:00", "09-06 04:00"],
    "America/Sao_Paulo": [],
    "Africa/Cairo": ["04-23 22:00", "10-29 21:00"],
    "Africa/Casablanca": ["02-15 02:00", "03-22 02:00"],  # for Ramadan
    "Asia/Beirut": ["03-28 22:00", "10-24 21:00"],
    "Asia/Karachi": [],
    "Asia/Kolkata": [],
    "Australia/Lord_Howe": ["04-04 15:00", "10-03 15:30"],  # by half an hour
    "Australia/Sydney": ["04-04 16:00", "10-03 16:00"],
    "Europe/Berlin": ["03-29 01:00", "10-25 01:00"],
    "Europe/Dublin": ["03-29 01:00", "10-25 01:00"],  # its winter time is the exception
    "Europe/London": ["03-29 01:00", "10-25 01:00"],
    "Pacific/Auckland": ["04-04 14:00", "09-26 14:00"],
}

#: zone | quiet hours | at this moment (UTC) | they end (UTC); - where it is not quiet
TABLE = """
America/New_York    | 21:00-09:00 | 03-08 03:00 | 03-08 13:00
America/New_York    | 21:00-02:30 | 03-08 05:00 | 03-08 07:00
America/New_York    | 02:30-09:00 | 03-08 06:59 | -
America/New_York    | 02:30-09:00 | 03-08 07:00 | 03-08 13:00
America/New_York    | 21:00-09:00 | 11-01 02:00 | 11-01 14:00
America/New_York    | 21:00-01:30 | 11-01 05:10 | 11-01 05:30
America/New_York    | 21:00-01:30 | 11-01 05:30 | -
America/New_York    | 21:00-01:30 | 11-01 06:10 | 11-01 06:30
America/New_York    | 01:30-09:00 | 11-01 05:29 | -
America/New_York    | 01:30-09:00 | 11-01 05:30 | 11-01 06:00
America/New_York    | 01:30-09:00 | 11-01 06:29 | -
America/New_York    | 01:30-09:00 | 11-01 06:30 | 11-01 14:00

America/Santiago    | 21:00-09:00 | 04-05 01:00 | 04-05 13:00
America/Santiago    | 21:00-23:30 | 04-05 02:10 | 04-05 02:30
America/Santiago    | 21:00-23:30 | 04-05 02:30 | -
America/Santiago    | 21:00-23:30 | 04-05 03:10 | 04-05 03:30
America/Santiago    | 23:30-09:00 | 04-05 02:30 | 04-05 03:00
America/Santiago    | 23:30-09:00 | 04-05 03:00 | -
America/Santiago    | 23:30-09:00 | 04-05 03:30 | 04-05 13:00
America/Santiago    | 21:00-00:00 | 04-05 02:00 | 04-05 04:00
America/Santiago    | 21:00-09:00 | 09-06 02:00 | 09-06 12:00
America/Santiago    | 21:00-00:30 | 09-06 03:00 | 09-06 04:00
America/Santiago    | 21:00-00:00 | 09-06 03:00 | 09-06 04:00
America/Santiago    | 00:30-09:00 | 09-06 03:59 | -
America/Santiago    | 00:30-09:00 | 09-06 04:00 | 09-06 12:00

America/Sao_Paulo   | 21:00-09:00 | 02-15 01:00 | 02-15 12:00
America/Sao_Paulo   | 21:00-09:00 | 10-18 01:00 | 10-18 12:00

Africa/Cairo        | 21:00-09:00 | 04-23 20:00 | 04-24 06:00
Africa/Cairo        | 21:00-00:30 | 04-23 21:00 | 04-23 22:00
Africa/Cairo        | 00:30-09:00 | 04-23 21:59 | -
Africa/Cairo        | 00:30-09:00 | 04-23 22:00 | 04-24 06:00
Africa/Cairo        | 21:00-09:00 | 10-29 19:00 | 10-30 07:00
Africa/Cairo        | 21:00-23:30 | 10-29 20:10 | 10-29 20:30
Africa/Cairo        | 21:00-23:30 | 10-29 21:10 | 10-29 21:30
Africa/Cairo        | 23:30-09:00 | 10-29 20:30 | 10-29 21:00
Africa/Cairo        | 23:30-09:00 | 10-29 21:30 | 10-30 07:00

Africa/Casablanca   | 21:00-09:00 | 02-14 21:00 | 02-15 09:00
Africa/Casablanca   | 21:00-02:30 | 02-15 01:10 | 02-15 01:30
Africa/Casablanca   | 21:00-02:30 | 02-15 02:10 | 02-15 02:30
Africa/Casablanca   | 02:30-09:00 | 02-15 01:30 | 02-15 02:00
Africa/Casablanca   | 02:30-09:00 | 02-15 02:30 | 02-15 09:00
Africa/Casablanca   | 21:00-09:00 | 03-21 22:00 | 03-22 08:00
Africa/Casablanca   | 21:00-02:30 | 03-22 01:00 | 03-22 02:00
Africa/Casablanca   | 02:30-09:00 | 03-22 01:59 | -
Africa/Casablanca   | 02:30-09:00 | 03-22 02:00 | 03-22 08:00

Asia/Beirut         | 21:00-09:00 | 03-28 20:00 | 03-29 06:00
Asia/Beirut         | 21:00-00:30 | 03-28 21:00 | 03-28 22:00
Asia/Beirut         | 00:30-09:00 | 03-28 21:59 | -
Asia/Beirut         | 00:30-09:00 | 03-28 22:00 | 03-29 06:00
Asia/Beirut         | 21:00-09:00 | 10-24 19:00 | 10-25 07:00
Asia/Beirut         | 21:00-23:30 | 10-24 20:10 | 10-24 20:30
Asia/Beirut         | 21:00-23:30 | 10-24 21:10 | 10-24 21:30
Asia/Beirut         | 23:30-09:00 | 10-24 20:30 | 10-24 21:00
Asia/Beirut         | 23:30-09:00 | 10-24 21:30 | 10-25 07:00

Asia/Karachi        | 21:00-09:00 | 03-29 17:00 | 03-30 04:00
Asia/Karachi        | 21:00-09:00 | 10-25 17:00 | 10-26 04:00

Asia/Kolkata        | 21:00-09:00 | 03-29 16:30 | 03-30 03:30
Asia/Kolkata        | 21:00-09:00 | 11-01 16:30 | 11-02 03:30

Australia/Lord_Howe | 21:00-09:00 | 04-04 11:00 | 04-04 22:30
Australia/Lord_Howe | 21:00-01:45 | 04-04 14:40 | 04-04 14:45
Australia/Lord_Howe | 21:00-01:45 | 04-04 15:05 | 04-04 15:15
Australia/Lord_Howe | 01:45-09:00 | 04-04 14:45 | 04-04 15:00
Australia/Lord_Howe | 01:45-09:00 | 04-04 15:15 | 04-04 22:30
Australia/Lord_Howe | 21:00-09:00 | 10-03 11:30 | 10-03 22:00
Australia/Lord_Howe | 21:00-02:15 | 10-03 15:00 | 10-03 15:30
Australia/Lord_Howe | 02:15-09:00 | 10-03 15:29 | -
Australia/Lord_Howe | 02:15-09:00 | 10-03 15:30 | 10-03 22:00

Australia/Sydney    | 21:00-09:00 | 04-04 11:00 | 04-04 23:00
Australia/Sydney    | 21:00-02:30 | 04-04 15:10 | 04-04 15:30
Australia/Sydney    | 21:00-02:30 | 04-04 16:10 | 04-04 16:30
Australia/Sydney    | 02:30-09:00 | 04-04 15:30 | 04-04 16:00
Australia/Sydney    | 02:30-09:00 | 04-04 16:30 | 04-04 23:00
Australia/Sydney    | 21:00-09:00 | 10-03 12:00 | 10-03 22:00
Australia/Sydney    | 21:00-02:30 | 10-03 15:00 | 10-03 16:00
Australia/Sydney    | 02:30-09:00 | 10-03 15:59 | -
Australia/Sydney    | 02:30-09:00 | 10-03 16:00 | 10-03 22:00

Europe/Berlin       | 21:00-09:00 | 03-28 21:00 | 03-29 07:00
Europe/Berlin       | 21:00-02:30 | 03-29 00:30 | 03-29 01:00
Europe/Berlin       | 02:30-09:00 | 03-29 00:59 | -
Europe/Berlin       | 02:30-09:00 | 03-29 01:00 | 03-29 07:00
Europe/Berlin       | 21:00-09:00 | 10-24 20:00 | 10-25 08:00
Europe/Berlin       | 21:00-02:30 | 10-25 00:10 | 10-25 00:30
Europe/Berlin       | 21:00-02:30 | 10-25 00:45 | -
Europe/Berlin       | 21:00-02:30 | 10-25 01:10 | 10-25 01:30
Europe/Berlin       | 02:30-09:00 | 10-25 00:30 | 10-25 01:00
Europe/Berlin       | 02:30-09:00 | 10-25 01:00 | -
Europe/Berlin       | 02:30-09:00 | 10-25 01:30 | 10-25 08:00

Europe/Dublin       | 21:00-09:00 | 03-28 22:00 | 03-29 08:00
Europe/Dublin       | 21:00-01:30 | 03-29 00:30 | 03-29 01:00
Europe/Dublin       | 01:30-09:00 | 03-29 01:00 | 03-29 08:00
Europe/Dublin       | 21:00-09:00 | 10-24 21:00 | 10-25 09:00
Europe/Dublin       | 21:00-01:30 | 10-25 01:10 | 10-25 01:30
Europe/Dublin       | 01:30-09:00 | 10-25 00:30 | 10-25 01:00

Europe/London       | 21:00-09:00 | 03-28 22:00 | 03-29 08:00
Europe/London       | 21:00-01:30 | 03-29 00:30 | 03-29 01:00
Europe/London       | 01:30-09:00 | 03-29 00:59 | -
Europe/London       | 01:30-09:00 | 03-29 01:00 | 03-29 08:00
Europe/London       | 21:00-09:00 | 10-24 21:00 | 10-25 09:00
Europe/London       | 21:00-01:30 | 10-25 00:10 | 10-25 00:30
Europe/London       | 21:00-01:30 | 10-25 00:30 | -
Europe/London       | 21:00-01:30 | 10-25 01:10 | 10-25 01:30
Europe/London       | 01:30-09:00 | 10-25 00:30 | 10-25 01:00
Europe/London       | 01:30-09:00 | 10-25 01:15 | -
Europe/London       | 01:30-09:00 | 10-25 01:30 | 10-25 09:00

Pacific/Auckland    | 21:00-09:00 | 04-04 09:00 | 04-04 21:00
Pacific/Auckland    | 21:00-02:30 | 04-04 13:10 | 04-04 13:30
Pacific/Auckland    | 21:00-02:30 | 04-04 14:10 | 04-04 14:30
Pacific/Auckland    | 02:30-09:00 | 04-04 13:30 | 04-04 14:00
Pacific/Auckland    | 02:30-09:00 | 04-04 14:30 | 04-04 21:00
Pacific/Auckland    | 21:00-09:00 | 09-26 10:00 | 09-26 20:00
Pacific/Auckland    | 21:00-02:30 | 09-26 13:00 | 09-26 14:00
Pacific/Auckland    | 02:30-09:00 | 09-26 13:59 | -
Pacific/Auckland    | 02:30-09:00 | 09-26 14:00 | 09-26 20:00
"""


class Row(NamedTuple):
    zone: str
    quiet: str
    now: str
    ends: str


ROWS = [Row(*(cell.strip() for cell in line.split("|"))) for line in TABLE.split("\n") if line]


def utc(text: str) -> datetime:
    return datetime.strptime(f"2026-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


def hours(text: str) -> QuietHours:
    start, end = text.split("-")
    return QuietHours(time.fromisoformat(start), time.fromisoformat(end))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.zone} {row.quiet} at {row.now}")
def test_they_end_to_the_minute(row: Row) -> None:
    now = utc(row.now)
    expected = now if row.ends == "-" else utc(row.ends)
    assert next_open(outside(hours(row.quiet)), ZoneInfo(row.zone), now) == expected
    # One look later nothing else comes out: a message that waited until then goes.
    assert next_open(outside(hours(row.quiet)), ZoneInfo(row.zone), expected) == expected


@pytest.mark.parametrize("zone", CHANGES)
def test_the_table_knows_every_change_of_the_year(zone: str) -> None:
    tz, at, found = ZoneInfo(zone), utc("01-01 00:00"), []
    step = timedelta(minutes=15)
    while at.year == 2026:
        if (at + step).astimezone(tz).utcoffset() != at.astimezone(tz).utcoffset():
            found.append(f"{at + step:%m-%d %H:%M}")
        at += step
    assert found == CHANGES[zone]
    for change in map(utc, found):
        near = [
            row
            for row in ROWS
            if row.zone == zone and abs(utc(row.now) - change) < timedelta(hours=6)
        ]
        spanning = [r for r in near if r.quiet == "21:00-09:00"]
        ending = [r for r in near if r.quiet.startswith("21:00") and r not in spanning]
        beginning = [r for r in near if r.quiet.endswith("-09:00") and r not in spanning]
        assert spanning and ending and beginning, change


@pytest.mark.parametrize("zone", CHANGES)
@pytest.mark.parametrize("quiet", ["21:00-09:00", "23:30-00:30", "01:15-02:45", "02:00-03:00"])
def test_every_minute_around_a_change_agrees_with_the_clock_on_the_wall(
    zone: str, quiet: str
) -> None:
    """Against the plainest reading of the rule: look at the clock each minute until it is over."""
    silent, tz = hours(quiet), ZoneInfo(zone)

    def is_quiet(at: datetime) -> bool:
        wall = at.astimezone(tz).time()
        if silent.start < silent.end:
            return silent.start <= wall < silent.end
        return wall >= silent.start or wall < silent.end

    minute = timedelta(minutes=1)
    for change in map(utc, CHANGES[zone] or ["03-29 01:00"]):
        at, opens = change + timedelta(hours=14), None
        while at > change - timedelta(hours=14):
            opens = opens if is_quiet(at) else at
            if opens is not None:
                assert next_open(outside(silent), tz, at) == opens
            at -= minute
