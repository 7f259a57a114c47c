"""Event-time replay on a real PostgreSQL: every timer and every message at its own time."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from psycopg.conninfo import conninfo_to_dict

from engine.cli.main import group
from engine.clock import ManualClock
from engine.intake.recordings import events as read_events
from engine.model.event import Event
from engine.model.journey import Again, Journey
from engine.model.policy import Cap, Policy, QuietHours, Topic
from engine.runtime.replay import NotEmpty, Replay
from engine.store.database import Database
from tests.shared_data import shared
from tests.unit.core.build import (
    CLICK,
    ORDER,
    T0,
    at,
    event,
    journey,
    order,
    send,
    stop,
    view,
    wait,
    wait_for,
)

LEFT = journey(
    wait(hours=2), send(template="left"), key="event.product_id", stops=[stop(goal=True)]
)
TICK = timedelta(microseconds=1)
NO_CONSENT = Policy(topics={"offers": Topic("offers", consent="opt-out")})

Sent = list[tuple[str, datetime]]


class Strict(Replay):
    """One event after another, with everybody's timers in between: what rounds must equal."""

    def run(
        self,
        events: Iterable[Event],
        until: timedelta,
        progress: Callable[[int], None] = lambda worked: None,
    ) -> dict[str, Any]:
        ordered = sorted(events, key=lambda e: e.order_key)
        self._shell.clock = ManualClock(ordered[0].time)
        for one in ordered:
            self._move_to(one.time)
            self._passing.run_on(one.time - TICK)
            self._work([one])
        self._move_to(ordered[-1].time + until + TICK)
        return super().run([], until)

    def _move_to(self, moment: datetime) -> None:
        assert isinstance(self._shell.clock, ManualClock)
        self._shell.clock.move_to(moment)
        self._passing.run_on(moment - TICK)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url) as opened:
        yield opened


@pytest.fixture
def second_database(postgres_url: str, _template: str) -> Iterator[Database]:
    socket = conninfo_to_dict(postgres_url)["host"]
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"create database second template {_template}".encode())
        with Database(f"postgresql://postgres:@/second?host={socket}") as opened:
            yield opened
        connection.execute("drop database second with (force)")


def sent(database: Database) -> Sent:
    """(template, time it was claimed) of all messages that were handed over."""
    with database.connection() as connection:
        return connection.execute(
            "select template, claimed_at from message where status = 'sent' order by claimed_at, id"
        ).fetchall()


def replay(
    database: Database,
    events: Iterable[Event],
    *journeys: Journey,
    policy: Policy = NO_CONSENT,
    bare: bool = True,
    days: int = 60,
) -> Sent:
    done = Replay(database, journeys or (LEFT,), policy, bare=bare)
    done.run(events, timedelta(days=days))
    assert done.refused == 0
    return sent(database)


def known(who: str = "user:1", **more: Any) -> Event:
    """The shopper tells us their address, and that we may write."""
    traits = {"email": "a@example.org", "consent": {"email": True}, **more}
    return event(
        "Identify", at(days=-1), who=(who, "email:a@example.org"), kind="identify", **traits
    )


@pytest.mark.parametrize(
    ("bought", "mails"),
    [
        (at(hours=1, minutes=59), []),
        (at(hours=2), []),  # at the very end of the wait is in time
        (at(hours=2) + TICK, [("left", at(hours=2))]),
        (at(hours=9), [("left", at(hours=2))]),
    ],
)
def test_a_timer_due_between_two_events_fires_between_them(
    database: Database, bought: datetime, mails: Sent
) -> None:
    assert replay(database, [view(), order(bought, "p1")]) == mails


def test_a_message_due_at_once_goes_before_the_next_event_of_the_same_instant(
    database: Database,
) -> None:
    at_once = journey(send(template="now"), stops=[stop()])
    events = [view(id="a"), order(T0, "p1", id="b")]
    assert replay(database, events, at_once) == [("now", T0)]


def test_a_stop_of_the_same_instant_comes_before_a_wait_is_over(database: Database) -> None:
    waits = journey(wait(seconds=1), send(template="later"), stops=[stop()])
    events = [view(id="a"), order(T0, "p1", id="b")]
    assert replay(database, events, waits) == []


def test_chains_of_timers_fire_each_at_its_own_time(database: Database) -> None:
    chain = journey(
        wait(hours=1),
        send(template="one"),
        wait_for(CLICK, days=1, otherwise=[send(template="two")]),
        wait(days=3),
        send(template="three"),
    )
    # The second shopper keeps the clock and the stretch going while the first one's timers run.
    others = [view(at(hours=h), who=("user:2",)) for h in range(100)]
    replay(database, [view(), *others], chain)
    mine = Counter(sent(database))
    assert mine[("one", at(hours=1))] == 2
    assert mine[("two", at(hours=25))] == 2
    assert mine[("three", at(hours=97))] == 2


def test_the_clock_runs_on_for_until_and_no_longer(database: Database) -> None:
    two = journey(wait(days=2), send(template="two"), wait(days=2), send(template="four"))
    assert replay(database, [view()], two, days=4) == [("two", at(days=2)), ("four", at(days=4))]


def test_what_falls_due_after_until_stays_undone(database: Database) -> None:
    two = journey(wait(days=2), send(template="two"), wait(days=2), send(template="four"))
    assert replay(database, [view()], two, days=3) == [("two", at(days=2))]


def test_identities_that_merge_later_keep_one_order(database: Database) -> None:
    """The order is placed under the account; that it is the visitor's, a sign-in says first."""
    events = [
        view(who=("anonymous:x",)),
        event("Identify", at(minutes=30), who=("user:1", "anonymous:x"), kind="identify"),
        order(at(hours=1), "p1", who=("user:1",)),
        view(at(hours=1), "p2", who=("anonymous:y",)),
        order(at(hours=4), "p2", who=("user:2",)),
        event("Identify", at(hours=5), who=("user:2", "anonymous:y"), kind="identify"),
    ]
    random.Random(7).shuffle(events)
    assert replay(database, events) == [("left", at(hours=3))]


def test_quiet_hours_hold_a_message_until_they_end(database: Database) -> None:
    policy = Policy(
        topics={"offers": Topic("offers")}, quiet_hours={"email": QuietHours(time(10), time(20))}
    )
    mails = replay(database, [known(), view()], policy=policy, bare=False)
    assert mails == [("left", T0.replace(hour=20))]


def test_a_purchase_in_the_quiet_hours_still_stops_it(database: Database) -> None:
    policy = Policy(
        topics={"offers": Topic("offers")}, quiet_hours={"email": QuietHours(time(10), time(20))}
    )
    events = [known(), view(), order(T0.replace(hour=19), "p1")]
    assert replay(database, events, policy=policy, bare=False) == []


def test_caps_count_by_the_time_of_each_message(database: Database) -> None:
    policy = Policy(topics={"offers": Topic("offers")}, caps=(Cap(2, timedelta(days=1)),))
    events = [known(), *(view(at(hours=h), f"p{h}") for h in (0, 1, 2, 3, 23, 24, 25, 26))]
    hours = [
        (m[1] - T0) / timedelta(hours=1)
        for m in replay(database, events, policy=policy, bare=False)
    ]
    assert hours == [2, 3, 26, 27]


def test_without_consent_or_address_nothing_goes_unless_bare(database: Database) -> None:
    policy = Policy(topics={"offers": Topic("offers")})
    assert replay(database, [view()], policy=policy, bare=False) == []


def test_a_shop_in_use_is_not_mixed_with_a_recording(database: Database) -> None:
    replay(database, [view()])
    with pytest.raises(NotEmpty, match="unset DATABASE_URL"):
        Replay(database, [LEFT], NO_CONSENT)


def test_progress_is_told_and_ends_with_all(database: Database) -> None:
    told: list[int] = []
    events = [view(at(hours=h), who=(f"user:{h % 3}",)) for h in range(30)]
    Replay(database, [LEFT], NO_CONSENT).run(events, timedelta(0), told.append)
    assert told == sorted(told)
    assert told[-1] == 30


def test_rounds_equal_one_event_after_another_on_real_events(
    database: Database, second_database: Database
) -> None:
    path = shared("online_retail_uci/orders.segment.jsonl.gz")
    recorded = list(read_events([path], datetime.now(UTC), "GB", []))
    busiest = Counter(e.sender for e in recorded).most_common(14)
    senders = {sender for sender, _ in busiest[4:]}
    events = [e for e in recorded if e.sender in senders][:500]
    win_back = journey(
        wait(days=3),
        send(template="first"),
        wait_for(ORDER, days=2, otherwise=[send(template="second")]),
        trigger=ORDER,
        again=Again("always"),
        stops=[stop("Order Refunded"), stop(ORDER, "event.revenue > trigger.revenue", goal=True)],
    )
    strict = Strict(second_database, [win_back], NO_CONSENT, bare=True)
    expected = strict.run(events, timedelta(days=60))
    rounds = Replay(database, [win_back], NO_CONSENT, bare=True).run(events, timedelta(days=60))
    assert rounds == expected
    assert sent(database) == sent(second_database)
    assert len(sent(database)) > 100


JOURNEY = """
journey: left
trigger: {event: Product Viewed, key: event.product_id}
steps: [{wait: 2 hours}, {send: email, template: left}]
"""


def line(number: int, **more: Any) -> str:
    moment = (T0 + timedelta(hours=number)).isoformat()
    properties = {"product_id": f"p{number}"}
    event = {"type": "track", "event": "Product Viewed", "userId": "u", "messageId": f"m{number}"}
    return json.dumps({**event, "timestamp": moment, "properties": properties, **more})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "journeys").mkdir()
    (tmp_path / "journeys" / "left.yaml").write_text(JOURNEY, "utf-8")
    return tmp_path


def run(project: Path, *words: str, **environment: str) -> Any:
    return CliRunner().invoke(
        group, ["--project-dir", str(project), "replay", *words], env=environment
    )


def test_the_command_replays_files_in_any_order_and_names_bad_lines(
    project: Path, database_url: str
) -> None:
    late, early = project / "late.jsonl", project / "early.jsonl.gz"
    late.write_text(f"{line(5)}\nnot json\n{line(6)}\n", "utf-8")
    # A recording's own time stands, whatever clock sent it.
    early.write_bytes(gzip.compress(line(1, sentAt="2001-01-01T00:00:00Z").encode()))
    done = run(
        project,
        str(late),
        str(early),
        "--event-time",
        "--bare",
        "--json",
        DATABASE_URL=database_url,
    )
    assert done.exit_code == 1
    assert f"{late}:2:" in done.stderr
    assert json.loads(done.stdout)["journeys"]["left"]["messages"] == 3
    with Database(database_url) as database:
        assert [m[1] for m in sent(database)] == [at(hours=h) for h in (3, 7, 8)]


def test_the_command_keeps_the_segments_of_the_project(project: Path) -> None:
    folder = project / "config" / "segments"
    folder.mkdir(parents=True)
    (folder / "lookers.yaml").write_text(
        "segment: lookers\nwho: {did: Product Viewed, within: 2 days}\n", "utf-8"
    )
    (project / "journeys" / "gone.yaml").write_text(
        "journey: gone\ntrigger: {segment: {left: lookers}, again: always}\n"
        "steps: [{wait: 1 hour}, {send: email, template: gone}]\n",
        "utf-8",
    )
    recording = project / "views.jsonl"
    recording.write_text("\n".join(line(hour) for hour in (0, 30, 90)), "utf-8")
    done = run(project, str(recording), "--event-time", "--bare", "--json", "--until", "2d")
    assert done.exit_code == 0, done.stderr
    # Forgotten 48 hours after the second view; after the third the recording ends too soon.
    tallies = json.loads(done.stdout)["journeys"]
    assert (tallies["gone"]["enrolled"], tallies["gone"]["messages"]) == (1, 1)
    assert tallies["left"]["messages"] == 3


def test_the_command_refuses_a_shop_in_use(project: Path, database_url: str) -> None:
    recording = project / "views.jsonl"
    recording.write_text(line(1), "utf-8")
    words = (str(recording), "--event-time", "--bare", "--database", database_url)
    assert run(project, *words).exit_code == 0
    again = run(project, *words)
    assert isinstance(again.exception, NotEmpty)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--event-time", "--url", "http://127.0.0.1:1"], "--event-time works here"),
        (["--url", "http://127.0.0.1:1", "--bare", "--key", "k"], "belong to --event-time"),
        (["--key", "k"], "Give --url"),
        (["--url", "http://127.0.0.1:1"], "WINBACK_WRITE_KEY"),
        (["--event-time", "--until", "soon"], "--until"),
        (["--url", "http://127.0.0.1:1", "--key", "k", "--batch", "0"], "--batch"),
    ],
)
def test_wrong_usage_says_what_is_wrong(project: Path, words: list[str], says: str) -> None:
    recording = project / "views.jsonl"
    recording.write_text(line(1), "utf-8")
    done = run(project, str(recording), *words)
    assert done.exit_code == 2
    assert says in done.stderr
