"""Three journeys with keys, waits for events and branches on the past, on the real recordings,
three ways: simulated, replayed in event time through the real pipeline, and worked out in plain
Python that knows nothing of Winback. Message for message and run for run they are the same.

Of the orders every third shopper is taken; with ``EVERY_SHOPPER=1`` all (a minute each)."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.core.decision import Outcome
from engine.core.gate import Verdict
from engine.core.shopper import Shopper
from engine.intake.recordings import events
from engine.language import load_journey
from engine.model.enrollment import Enrollment
from engine.model.event import Event
from engine.model.journey import Journey
from engine.model.message import Message
from engine.model.policy import Policy, Shop
from engine.runtime.audit import audit
from engine.runtime.replay import Replay
from engine.runtime.simulate import Observer, Simulation, Tally
from engine.store.database import Database
from tests.acceptance.agree.arithmetic import Found, Run, Sent, worked_out
from tests.shared_data import shared

ORDERS = "online_retail_uci/orders.segment.jsonl.gz"
VIEWS = "retailrocket_sample/views.segment.jsonl.gz"
FOLDER = Path(__file__).parent / "agree"
POLICY = Policy(shop=Shop(currency="GBP"))
BEYOND = timedelta(days=60)

#: Journey -> recording, how many messages there are at least, and of each name.
CASES = {
    "reorder": (ORDERS, 8000, 500),
    "order-care": (ORDERS, 6000, 25),
    "undecided": (VIEWS, 2500, 30),
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def chosen(shopper: str) -> bool:
    """Whether this shopper of the orders takes part: always the same third."""
    return bool(os.environ.get("EVERY_SHOPPER")) or zlib.crc32(shopper.encode()) % 3 == 0


def everybody(shopper: str) -> bool:
    return True


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url) as opened:
        yield opened


class Kept(Observer):
    """The last that the simulation said of each run, and the messages that passed the gate."""

    def __init__(self) -> None:
        self.runs: dict[str, Enrollment] = {}
        self.sent: list[Message] = []

    def decided(self, shopper: Shopper, outcome: Outcome) -> None:
        self.runs.update(outcome.enrollments)

    def judged(self, message: Message, verdict: Verdict) -> None:
        assert verdict.action == "send"
        self.sent.append(message)


def simulated(journey: Journey, recorded: list[Event]) -> tuple[Found, Tally]:
    kept = Kept()
    simulation = Simulation([journey], POLICY, bare=True, observer=kept)
    tally = simulation.run(recorded, BEYOND)[journey.name]
    names = {path: name for name, path in journey.names.items()}

    def called(profile: int) -> str:
        return simulation.called(profile).partition(":")[2]

    messages = [
        Sent(called(m.profile_id), kept.runs[m.enrollment_id].key, names[m.step], m.due_at)
        for m in kept.sent
    ]
    runs = [
        Run(
            called(run.profile_id),
            run.key,
            run.entered_at,
            run.ended_at,
            "goal" if run.goal else run.status,
        )
        for run in kept.runs.values()
    ]
    return Found(messages, runs), tally


def replayed(database: Database, journey: Journey, recorded: list[Event]) -> tuple[Found, Tally]:
    replay = Replay(database, [journey], POLICY, bare=True)
    tally = replay.run(recorded, BEYOND)[journey.name]
    assert replay.refused == 0
    names = {path: name for name, path in journey.names.items()}
    with database.connection() as connection:
        shoppers = dict(
            connection.execute(
                "select profile_id, split_part(identifier, ':', 2) from identity"
            ).fetchall()
        )
        runs = connection.execute(
            "select profile_id, key, entered_at, ended_at,"
            " case when goal then 'goal' else status end from enrollment"
        ).fetchall()
        messages = connection.execute(
            "select r.profile_id, r.key, m.step, m.claimed_at from message m join enrollment r"
            " on r.profile_id = m.profile_id and r.id = m.enrollment_id where m.status = 'sent'"
        ).fetchall()
    return (
        Found(
            [Sent(shoppers[who], key, names[step], at) for who, key, step, at in messages],
            [Run(shoppers[who], *rest) for who, *rest in runs],
        ),
        tally,
    )


@pytest.mark.parametrize("name", CASES)
def test_all_three_say_the_same(database: Database, name: str) -> None:
    recording, at_least, of_each = CASES[name]
    file = shared(recording)
    journey, findings = load_journey(FOLDER / f"{name}.yaml")
    assert journey is not None, findings
    takes_part = chosen if recording == ORDERS else everybody
    recorded = sorted(
        (
            event
            for event in events([file], datetime.now(UTC), "GB", [])
            if takes_part(event.sender.partition(":")[2])
        ),
        key=lambda event: event.order_key,
    )
    arithmetic = worked_out(name, file, BEYOND, takes_part)
    in_memory, counted = simulated(journey, recorded)
    in_store, tally = replayed(database, journey, recorded)

    assert differ(in_memory, arithmetic) == []
    assert differ(in_store, arithmetic) == []
    how = Counter(run.how for run in arithmetic.runs)
    assert tally == counted
    assert tally == Tally(
        enrolled=len(arithmetic.runs),
        messages=len(arithmetic.messages),
        stopped=how["stopped"] + how["goal"],
        goals=how["goal"],
    )
    # Every way through the journey is gone by many: else the agreement would say little.
    by_name = Counter(message.name for message in arithmetic.messages)
    assert by_name.keys() == journey.names.keys()
    assert len(arithmetic.messages) >= at_least
    assert min(by_name.values()) >= of_each, by_name
    assert audit(database, Simulation([journey], POLICY, bare=True).book).ok


def differ(one: Found, other: Found) -> list[Sent | Run]:
    """What only one of them says; said twice, it counts twice."""
    mine: Counter[Sent | Run] = Counter([*one.runs, *one.messages])
    theirs: Counter[Sent | Run] = Counter([*other.runs, *other.messages])
    return [*(mine - theirs), *(theirs - mine)][:20]
