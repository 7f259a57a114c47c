"""The real pipeline in event time against the arithmetic, on the real recordings: the same
mails, to the message. ``test_simulate.py`` holds the simulation to the same answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli.main import group
from engine.intake.recordings import events
from engine.language import load_journey
from engine.model.policy import Policy
from engine.runtime.audit import audit
from engine.runtime.replay import Replay
from engine.runtime.simulate import Simulation, Tally
from engine.store.database import Database
from tests.journeys import arithmetic
from tests.shared_data import shared

ORDERS = "online_retail_uci/orders.segment.jsonl.gz"
VIEWS = "retailrocket_sample/views.segment.jsonl.gz"
ANSWERS = Path(__file__).parent / "answers"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url) as opened:
        yield opened


def replayed(database: Database, name: str, old: str, new: str, recording: Path) -> Tally:
    """The journey with other words through the pipeline; that the simulation says the same and
    that every promise was kept on the way is checked here, for every answer."""
    text = (ANSWERS / f"{name}.yaml").read_text("utf-8")
    assert old in text
    journey, diagnostics = load_journey(text.replace(old, new))
    assert journey is not None, diagnostics
    recorded = list(events([recording], datetime.now(UTC), "GB", []))
    replay = Replay(database, [journey], Policy(), bare=True)
    tally = replay.run(recorded, timedelta(days=60))[name]
    assert replay.refused == 0

    simulation = Simulation([journey], Policy(), bare=True)
    for event in sorted(recorded, key=lambda event: event.order_key):
        simulation.feed(event)
    assert simulation.finish(timedelta(days=60))[name] == tally
    report = audit(database, simulation.book)
    assert report.ok, report.findings
    assert report.facts["worked"] == len(recorded)
    return tally


def handed(database: Database, kind: str) -> arithmetic.Due:
    """(shopper, or shopper and key, time) of what went through the gate."""
    with database.connection() as connection:
        rows = connection.execute(
            """
            select rtrim(substr(i.identifier, length(%(kind)s) + 1) || ' ' || r.key), m.claimed_at
              from message m
              join enrollment r on r.profile_id = m.profile_id and r.id = m.enrollment_id
              join identity i on i.profile_id = m.profile_id and i.identifier like %(kind)s || '%%'
             where m.status = 'sent'
            """,
            {"kind": kind},
        ).fetchall()
    assert len(set(rows)) == len(rows)
    return set(rows)


@pytest.mark.parametrize("days", [30, 10])
def test_win_back_is_the_arithmetic_to_the_message(database: Database, days: int) -> None:
    recording = shared(ORDERS)
    tally = replayed(database, "win-back", "30 days", f"{days} days", recording)
    due = arithmetic.win_back(
        arithmetic.recorded(recording), timedelta(days=days), timedelta(days=60)
    )
    assert tally.messages == len(due)
    assert handed(database, "user:") == due


@pytest.mark.parametrize(("again", "hours"), [(30, 2), (1, 24)])
def test_left_behind_is_the_arithmetic_to_the_message(
    database: Database, again: int, hours: int
) -> None:
    recording = shared(VIEWS)
    wait = f"wait: {hours} hours"
    text = (ANSWERS / "left-behind.yaml").read_text("utf-8")
    old = text[text.index("after 30 days") :]
    new = old.replace("after 30 days", f"after {again} days").replace("wait: 2 hours", wait)
    tally = replayed(database, "left-behind", old, new, recording)
    due = arithmetic.left_behind(
        arithmetic.recorded(recording),
        timedelta(hours=hours),
        timedelta(days=again),
        timedelta(days=60),
    )
    assert tally.messages == len(due)
    assert handed(database, "anonymous:") == due


def test_both_commands_print_the_same(tmp_path: Path) -> None:
    """As somebody types them, on a temporary database."""
    recording, answers = str(shared(VIEWS)), str(ANSWERS)
    options = ["--journeys", answers, "--until", "60d", "--bare", "--json"]
    printed = [
        CliRunner().invoke(group, words)
        for words in (
            ["replay", recording, "--event-time", *options],
            ["simulate", "--events", recording, *options],
        )
    ]
    assert [p.exit_code for p in printed] == [0, 0], [p.output for p in printed]
    replay, simulate = (json.loads(p.stdout)["journeys"] for p in printed)
    assert replay == simulate
    assert replay["left-behind"]["messages"] == 6736
