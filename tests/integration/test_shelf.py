"""Journeys and rules as they change under a running process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.clock import ManualClock
from engine.errors import ConfigError
from engine.intake.lanes import lane_of
from engine.model.event import Event
from engine.runtime import shelf as shelf_module
from engine.runtime.drain import drain
from engine.runtime.shelf import Shelf
from engine.runtime.shell import Shell
from engine.store.database import Database, to_json

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
JOURNEY = """
journey: {name}
trigger: {{event: Product Viewed}}
stop: {{event: Order Completed, goal: true}}
steps:
  - wait: {wait}
  - send: email
    template: hello
"""
RULES = "caps: [{messages: 2, within: 7 days}]\n"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url) as opened:
        yield opened


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shelf_module, "EVERY", 0.0)
    (tmp_path / "journeys").mkdir()
    (tmp_path / "config").mkdir()
    (tmp_path / "templates/hello").mkdir(parents=True)
    (tmp_path / "templates/hello/email.en.html").write_text("---\nsubject: x\n---\nx")
    (tmp_path / "config/winback.yaml").write_text(RULES)
    write(tmp_path, "one", "1 hour")
    write(tmp_path, "two", "1 hour")
    return tmp_path


def write(project: Path, name: str, wait: str) -> None:
    (project / f"journeys/{name}.yaml").write_text(JOURNEY.format(name=name, wait=wait))


def accept(database: Database, id: str, name: str) -> int:
    event = Event(id, "track", name, NOW, NOW, ("user:1",), {})
    lane = lane_of("user:1")
    with database.connection() as connection:
        connection.execute(
            """
            insert into inbox (lane, sender, links, name, identifiers, id, time, received_at, body)
            values (%s, 'user:1', false, %s, '{user:1}', %s, %s, %s, %s)
            """,
            [lane, name, id, NOW, NOW, to_json(event)],
        )
    return lane


def test_an_edited_journey_is_picked_up(database: Database, project: Path) -> None:
    shelf = Shelf(database, ManualClock(NOW), project)
    before = shelf.book().current["one"].version
    assert set(shelf.book().current) == {"one", "two"}
    write(project, "one", "2 hours")
    write(project, "three", "1 hour")
    book = shelf.book()
    assert set(book.current) == {"one", "two", "three"}
    assert book.current["one"].version != before


def test_one_bad_file_disables_only_itself(
    database: Database, project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf(database, ManualClock(NOW), project)
    shelf.book()
    write(project, "one", "2 moons")
    with caplog.at_level(logging.ERROR):
        assert set(shelf.book().current) == {"two"}
    assert "one.yaml:6:" in caplog.text


def test_a_mistyped_cap_leaves_the_last_good_rules(database: Database, project: Path) -> None:
    shelf = Shelf(database, ManualClock(NOW), project)
    assert shelf.policy().caps[0].messages == 2
    (project / "config/winback.yaml").write_text("caps: [{messages: two, within: 7 days}]\n")
    assert shelf.policy().caps[0].messages == 2


def test_an_edited_rule_of_a_country_is_picked_up(database: Database, project: Path) -> None:
    rule = "country: FR\ntitle: France\nrules:\n  - {channels: [sms], topics: all, source: x, "
    (project / "config/rules").mkdir()
    file = project / "config/rules/fr.yaml"
    shelf = Shelf(database, ManualClock(NOW), project)
    assert shelf.policy().rules == ()
    file.write_text(rule + "allowed: never}\n")
    assert [each.hours.days[0] for each in shelf.policy().rules] == [()]
    file.write_text(rule + "allowed: sometimes}\n")  # a slip lifts no rule
    assert [each.hours.days[0] for each in shelf.policy().rules] == [()]
    file.unlink()
    assert shelf.policy().rules == ()


def test_nothing_is_sent_by_rules_that_never_loaded(database: Database, project: Path) -> None:
    (project / "config/winback.yaml").write_text("capps: []\n")
    shelf = Shelf(database, ManualClock(NOW), project)
    with pytest.raises(ConfigError, match="capps"):
        shelf.policy()
    assert set(shelf.book().current) == {"one", "two"}  # events are worked all the same


def test_a_worker_that_has_not_seen_the_edit_still_stops_the_new_version(
    database: Database, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a purchase in the second after an edit would stop nothing (P3)."""
    clock = ManualClock(NOW)
    stale, fresh = (Shelf(database, clock, project) for _ in range(2))
    stale.book()
    write(project, "one", "3 hours")
    lane = accept(database, "view", "Product Viewed")
    drain(Shell(database, clock, fresh.book, fresh.policy), lane)
    entered = fresh.book().current["one"].version

    monkeypatch.setattr(shelf_module, "EVERY", 3600.0)
    assert stale.book().current["one"].version != entered
    accept(database, "zz-order", "Order Completed")  # of the same instant, so after by its id
    drain(Shell(database, clock, stale.book, stale.policy), lane)
    with database.connection() as connection:
        rows = connection.execute("select version, status from enrollment where journey = 'one'")
        assert rows.fetchall() == [(entered, "stopped")]


def test_runs_end_on_the_version_they_entered(database: Database, project: Path) -> None:
    clock = ManualClock(NOW)
    shelf = Shelf(database, clock, project)
    lane = accept(database, "view", "Product Viewed")
    drain(Shell(database, clock, shelf.book, shelf.policy), lane)
    entered = shelf.book().current["one"].version
    write(project, "one", "9 hours")
    (project / "journeys/two.yaml").unlink()
    restarted = Shelf(database, clock, project).book()
    assert set(restarted.current) == {"one"}
    assert restarted.of("one", entered) is not None
    assert len([name for name, _ in restarted.versions if name == "two"]) == 1
