"""Segments, dates and calendars in an event-time replay: as the live pipeline does it, which is
driven here from moment to moment by a clock that is told."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.intake.lanes import LANES
from engine.language import SegmentSet, load_journeys, load_segments
from engine.model.event import Event
from engine.model.journey import Journey
from engine.model.policy import Cap, Policy, QuietHours
from engine.runtime.calendar import calendars_due
from engine.runtime.drain import drain
from engine.runtime.replay import Replay
from engine.runtime.segments import search as searching
from engine.runtime.segments.files import put_into_force
from engine.runtime.segments.look import look
from engine.runtime.shell import SHARDS
from engine.store import clock, lanes, messages
from engine.store import segments as segments_store
from engine.store.database import Connection, Database
from tests.integration.runtime_kit import LEFT, TOPICS, Make, Pipeline
from tests.unit.core.build import T0, event, order, view

JOURNEY = LEFT
TICK = timedelta(microseconds=1)
AFTER = timedelta(days=8)
POLICY = Policy(
    topics=TOPICS,
    caps=(Cap(3, timedelta(days=1)),),
    quiet_hours={"email": QuietHours(time(22), time(7))},
)

SEGMENTS = {
    "keen": "{did: Product Viewed, within: 3 days, times: at least 2}",
    "warm": "[{did: Product Viewed, within: 5 days}, {did not: Order Completed, within: 5 days}]",
    "gold": "{if: profile.tier == 'gold'}",
    "greeted": "{in journey: birthday}",
    "top": "{rfm: {recency: at least 4}}",
}
KEEN = """
journey: keen
trigger: {segment: {entered: keen}, again: always}
stop: [{event: Order Completed, goal: true}]
steps: [{send: email, template: keen}, {wait: 5 hours}, {send: email, template: keener}]
"""
COLD = """
journey: cold
trigger: {segment: {left: warm}, again: always}
stop: [{event: Segment Entered, if: event.segment == 'keen'}]
steps:
  - wait: 26 hours
  - branch:
      - if: did("Order Completed", within="3 days")
        steps: [{send: email, template: thanks}]
      - else: [{send: email, template: come-back}]
"""
BIRTHDAY = """
journey: birthday
trigger: {date: profile.birthday, yearly: true, at: "08:30", again: always}
steps: [{send: email, template: happy}, {wait: 31 hours}, {send: email, template: happier}]
"""
DAILY = """
journey: daily
trigger:
  every: day
  at: "10:00"
  if: did("Product Viewed", within="36 hours") and profile.tier != 'gold'
  again: always
stop: [{event: Order Completed}]
steps: [{wait: 90 minutes}, {send: email, template: seen}]
"""
#: Its steps change what calendars and segments look at.
TURNS_GOLD = """
journey: turns-gold
trigger: {event: Order Completed, again: always}
steps:
  - wait: 7 hours
  - update: {tier: gold, birthday: "1990-03-20"}
  - wait: 3 days
  - update: {tier: none}
  - emit: {event: Gold Over}
"""
GOLD = """
journey: gold
trigger: {segment: {entered: gold}, again: always}
stop: [{event: Segment Left, if: event.segment == 'gold'}]
steps: [{send: email, template: gold}, {wait: 80 hours}, {send: email, template: never}]
"""
GREETED = """
journey: greeted
trigger: {segment: {left: greeted}, again: always}
steps: [{send: email, template: over}]
"""
#: Who is among the best fifth changes with what others buy, once a day.
TOP = """
journey: top
trigger: {segment: {entered: top}, again: always}
steps: [{wait: 30 minutes}, {send: email, template: top}]
"""
NO_TOP = """
journey: no-top
trigger: {segment: {left: top}, again: always}
steps: [{wait: 30 minutes}, {send: email, template: no-top}]
"""
THREE = (KEEN, COLD, BIRTHDAY)


def written(folder: Path, journeys: Iterable[str], segments: Mapping[str, str]) -> Any:
    """The journeys and segments of these texts, as a project has them."""
    for kind in ("journeys", "segments"):
        (folder / kind).mkdir(parents=True)
    for text in journeys:
        name = text.split()[1]
        (folder / "journeys" / f"{name}.yaml").write_text(text)
    for name, rule in segments.items():
        (folder / "segments" / f"{name}.yaml").write_text(f"segment: {name}\nwho: {rule}\n")
    found, kept = load_journeys(folder / "journeys"), load_segments(folder / "segments")
    assert not [d for d in (*found.diagnostics, *kept.diagnostics) if d.severity == "error"]
    return list(found.journeys.values()), kept


def stream(shoppers: int, seed: int) -> list[Event]:
    """What some shoppers do in two weeks: they look, buy, become known, move their birthday."""
    draw = random.Random(seed)
    events = []

    def moment() -> datetime:
        return T0 + timedelta(microseconds=draw.randrange(14 * 24 * 3600 * 10**6))

    for number in range(shoppers):
        visitor, user = f"anonymous:{number}", f"user:{number}"
        known = moment()
        for _ in range(draw.randrange(9)):
            when = moment()
            who = (user,) if when > known else (visitor,)
            events.append(view(when, draw.choice("pqr"), who=who))
            if draw.random() < 0.7:  # they seldom look once
                more = when + timedelta(minutes=draw.uniform(1, 900))
                events.append(view(more, "s", who=(user,) if more > known else (visitor,)))
        for _ in range(draw.choice((0, 0, 1, 2))):
            when = moment()
            events.append(order(when, "p", who=(user,) if when > known else (visitor,)))
        for when in (known, known + timedelta(days=draw.uniform(1, 5))):
            traits: dict[str, Any] = {
                "email": f"{number}@example.org",
                "birthday": f"1990-03-{draw.randrange(3, 24):02}",
                "timezone": draw.choice(("UTC", "Asia/Kolkata", "America/New_York")),
            }
            events.append(event("Identify", when, who=(user, visitor), kind="identify", **traits))
    return sorted(events, key=lambda e: e.order_key)


def lived(shop: Pipeline, segments: SegmentSet, events: list[Event]) -> None:
    """Let the live pipeline work ``events`` as they come, with a clock that goes to whatever is
    next and misses nothing: the jobs are those of the workers."""
    shop.clock.move_to(events[0].time)
    put_into_force(shop.database, shop.clock, segments)
    calendars_due(shop.shell)
    search_all(shop)
    end = events[-1].time + AFTER
    grid = events[0].time.replace(minute=0, second=0, microsecond=0)
    coming = list(reversed(events))
    while True:
        while grid <= shop.clock.now():
            grid += timedelta(minutes=30)
        due = shop.one(
            "select least((select min(wake_at) from enrollment where status = 'active'),"
            " (select min(look_at) from segment_member),"
            " (select min(due_at) from message where status = 'due'),"
            " (select min(scaled_at) + interval '1 day 1 microsecond' from segment where scored))"
        )
        now = min(m for m in (due, grid, coming[-1].time if coming else None) if m is not None)
        if now > end:
            return
        shop.at(max(now, shop.clock.now()))
        while coming and coming[-1].time <= now:
            shop.accept(coming.pop())
        if now == grid:
            calendars_due(shop.shell)
        settle(shop)
        if searching.to_do(shop.shell):
            search_all(shop)
            settle(shop)


def search_all(shop: Pipeline) -> None:
    searching.measure(shop.shell)
    while searching.search(shop.shell).place is not None:
        pass


def settle(shop: Pipeline) -> None:
    """Do what the clock finds to do, until it finds nothing."""
    while True:
        with shop.database.connection() as connection:
            now = shop.clock.now()
            coming = lanes.with_work(connection)
            looks = segments_store.looks_due(connection, now)
            timers = clock.timers_due(connection, now)
            mails = messages.due_shards(connection, now, SHARDS)
        if coming:
            drain(shop.shell, coming[0], lanes=LANES)
        elif looks:
            look(shop.shell)
        elif timers:
            shop.wake()
        elif mails:
            shop.deliver()
        else:
            return


#: What must be equal, by name; a profile's id comes from the first name it was seen with.
_QUESTIONS = {
    "runs": "select profile_id, journey, key, entered_at, status, goal, ended_at, at, wake_at"
    " from enrollment",
    "messages": "select m.profile_id, m.journey, m.step, m.status, m.due_at, m.claimed_at,"
    " r.entered_at from message m join enrollment r"
    " on r.profile_id = m.profile_id and r.id = m.enrollment_id",
    "told": "select profile_id, name, time, properties::text from event",
    "standing": "select profile_id, segment, member, since, look_at from segment_member",
    "days": 'select segment, day, sum(entered), sum("left"), sum(other) from segment_day'
    " group by 1, 2",
    "profiles": "select id, traits::text, orders, first_seen, last_seen from profile",
}


def all_of(connection: Connection) -> dict[str, Counter[Any]]:
    return {
        name: Counter(connection.execute(query.encode()).fetchall())
        for name, query in _QUESTIONS.items()
    }


def differ(one: Mapping[str, Counter[Any]], other: Mapping[str, Counter[Any]]) -> list[Any]:
    return [
        (name, word, row)
        for name, mine in one.items()
        for word, rows in (("first", mine - other[name]), ("second", other[name] - mine))
        for row in rows
    ][:20]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url) as opened:
        yield opened


def both(
    make: Make,
    database: Database,
    journeys: list[Journey],
    segments: SegmentSet,
    events: list[Event],
) -> dict[str, Counter[Any]]:
    """What came of it, after it has been seen that live and replayed it is the same."""
    shop = make(*journeys, policy=POLICY)
    lived(shop, segments, events)
    replay = Replay(database, journeys, POLICY, segments=segments)
    replay.run(events, AFTER)
    assert replay.refused == 0
    with shop.database.connection() as one, database.connection() as other:
        live, replayed = all_of(one), all_of(other)
    assert differ(live, replayed) == []
    return live


@pytest.mark.parametrize(
    "journeys",
    [THREE, (*THREE, DAILY), (*THREE, DAILY, TURNS_GOLD, GOLD, GREETED), (TOP, NO_TOP)],
    ids=["three", "and-daily", "and-updates", "scored"],
)
def test_a_replay_does_what_the_live_pipeline_did(
    make: Make, database: Database, tmp_path: Path, journeys: tuple[str, ...]
) -> None:
    heard = {name: r for name, r in SEGMENTS.items() if f": {name}}}" in "".join(journeys)}
    chosen, segments = written(tmp_path, journeys, heard)
    found = both(make, database, chosen, segments, stream(16, seed=5))
    # Every journey has begun, for several shoppers: else the agreement would say little.
    begun = Counter(run[1] for run in found["runs"])
    assert min(begun[journey.name] for journey in chosen) >= 5, begun
    by_time = [row for row in found["told"] if row[1] == "Segment Left"]
    assert len(by_time) >= 20
