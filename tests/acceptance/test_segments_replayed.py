"""Journeys that begin with a shipped segment, replayed in event time on the real recordings, and
worked out here in plain Python from the lines of the recording: message for message and run for
run they are the same."""

from __future__ import annotations

import dataclasses
import gzip
import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.intake.recordings import events
from engine.language import load_journey, load_segments
from engine.model.policy import Policy, Shop
from engine.runtime.replay import Replay
from engine.store.database import Database
from tests.shared_data import ROOT, shared

VIEWS = "retailrocket_sample/views.segment.jsonl.gz"
ORDERS = "online_retail_uci/orders.segment.jsonl.gz"
POLICY = Policy(shop=Shop(currency="GBP"))
BEYOND = timedelta(days=60)
DAY, TICK = timedelta(days=1), timedelta(microseconds=1)

#: Of those who looked and have not been seen for seven days: two mails, unless they come back.
GONE = """
journey: gone
trigger: {segment: {left: looked-not-bought}, again: always}
stop: [{event: Product Viewed, goal: true}]
steps:
  - wait: 1 day
  - send: email
    template: first
    name: first
  - wait: 20 days
  - send: email
    template: second
    name: second
"""
#: Of those who have not bought for half a year.
LAPSED = """
journey: lapsed
trigger: {segment: {entered: lapsed}, again: always}
stop: [{event: Order Completed, goal: true}]
steps:
  - wait: 3 days
  - send: email
    template: first
    name: first
  - wait: 14 days
  - send: email
    template: second
    name: second
"""

Sent = tuple[str, str, datetime]
Run = tuple[str, datetime, datetime | None, str]


class Found(NamedTuple):
    messages: Counter[Sent]
    runs: Counter[Run]


def said(file: Path, name: str) -> tuple[dict[str, list[datetime]], datetime]:
    """Shopper -> when they did it, in order; and the end of the recording."""
    found: defaultdict[str, list[datetime]] = defaultdict(list)
    last = datetime.min.replace(tzinfo=UTC)
    with gzip.open(file, "rt") as lines:
        for line in lines:
            event = json.loads(line)
            at = datetime.fromisoformat(event["timestamp"])
            last = max(last, at)
            if event["event"] == name:
                found[event.get("userId") or event["anonymousId"]].append(at)
    return {shopper: sorted(times) for shopper, times in found.items()}, last


def a_week_gone(times: list[datetime]) -> Iterator[datetime]:
    """A tick after the seventh day that nothing was looked at."""
    for at, following in zip(times, [*times[1:], None], strict=True):
        if following is None or following > at + 7 * DAY:
            yield at + 7 * DAY + TICK


def half_a_year_gone(times: list[datetime]) -> Iterator[datetime]:
    """Of two orders half a year apart to the second, the second comes first."""
    for at, following in zip(times, [*times[1:], None], strict=True):
        if following is None or following > at + 180 * DAY:
            yield at + 180 * DAY


#: Journey -> its text, segment, recording, the event that keeps out of it, when it begins, after
#: how long each mail goes, how many mails and stops there are at least.
CASES = {
    "gone": (GONE, "looked-not-bought", VIEWS, "Product Viewed", a_week_gone, (1, 20), 5000, 60),
    "lapsed": (LAPSED, "lapsed", ORDERS, "Order Completed", half_a_year_gone, (3, 14), 1000, 20),
}  # fmt: skip


def worked_out(name: str) -> Found:
    _, _, recording, event, begins, waits, _, _ = CASES[name]
    lives, last = said(shared(recording), event)
    end = last + BEYOND
    found = Found(Counter(), Counter())
    for shopper, times in lives.items():
        for began in begins(times):
            if began > end:
                continue
            later = bisect_right(times, began)
            stopped = times[later] if later < len(times) else None
            at = began
            for word, days in zip(("first", "second"), waits, strict=True):
                at += days * DAY
                # Who comes at the very end of a wait is in time.
                if at <= end and (stopped is None or at < stopped):
                    found.messages[shopper, word, at] += 1
            if stopped is not None and stopped <= at:
                found.runs[shopper, began, stopped, "goal"] += 1
            elif at <= end:
                found.runs[shopper, began, at, "finished"] += 1
            else:
                found.runs[shopper, began, None, "active"] += 1
    return found


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url) as opened:
        yield opened


def replayed(database: Database, folder: Path, name: str) -> Found:
    text, segment, recording, *_ = CASES[name]
    (folder / f"{name}.yaml").write_text(text)
    journey, findings = load_journey(folder / f"{name}.yaml")
    assert journey is not None, findings
    shipped = load_segments(ROOT / "config" / "segments", policy=POLICY)
    only = dataclasses.replace(shipped, segments={segment: shipped.segments[segment]})
    replay = Replay(database, [journey], POLICY, segments=only, bare=True)
    replay.run(events([shared(recording)], datetime.now(UTC), "GB", []), BEYOND)
    assert replay.refused == 0
    names = {path: name for name, path in journey.names.items()}
    with database.connection() as connection:
        who = dict(
            connection.execute(
                "select profile_id, split_part(identifier, ':', 2) from identity"
            ).fetchall()
        )
        runs = connection.execute(
            "select profile_id, entered_at, ended_at, case when goal then 'goal' else status end"
            " from enrollment"
        ).fetchall()
        messages = connection.execute(
            "select profile_id, step, claimed_at from message where status = 'sent'"
        ).fetchall()
    return Found(
        Counter((who[profile], names[step], at) for profile, step, at in messages),
        Counter((who[profile], *rest) for profile, *rest in runs),
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", CASES)
def test_a_replay_is_what_arithmetic_says(database: Database, tmp_path: Path, name: str) -> None:
    expected, found = worked_out(name), replayed(database, tmp_path, name)
    assert (found.messages - expected.messages, expected.messages - found.messages) == ({}, {})
    assert (found.runs - expected.runs, expected.runs - found.runs) == ({}, {})
    *_, mails, stops = CASES[name]
    assert sum(expected.messages.values()) >= mails
    assert sum(n for run, n in expected.runs.items() if run[3] == "goal") >= stops
