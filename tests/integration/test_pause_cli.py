"""``winback pause`` and ``winback resume``, and what the doctor says of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine.cli._checks import examine
from engine.cli.main import group
from engine.store import senders
from engine.store.database import Database
from engine.store.senders import Pause, State

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
JOURNEY = """
journey: hello
trigger: {event: Product Viewed}
stop: {event: Order Completed}
steps: [{send: email, template: hello}]
"""
Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str) -> Run:
    (tmp_path / "journeys").mkdir()
    (tmp_path / "journeys/hello.yaml").write_text(JOURNEY)
    (tmp_path / "templates/hello").mkdir(parents=True)
    (tmp_path / "templates/hello/email.en.html").write_text("---\nsubject: Hi\n---\n<p>Hi</p>")
    (tmp_path / "config").mkdir()
    (tmp_path / "config/winback.yaml").write_text(
        "providers: {email: [smtp, file]}\nshop: {email from: offers@shop.example}\n"
    )
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("WINBACK_HOME", str(tmp_path / "var"))
    return lambda *words: CliRunner().invoke(group, ["--project-dir", str(tmp_path), *words])


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url, connections=1) as database:
        yield database


def listed(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("pause", "--json").output)
    return found


def test_a_journey_is_paused_shown_and_resumed_and_both_are_kept(run: Run) -> None:
    assert run("pause").output == "Nothing is paused.\n"
    told = run("pause", "hello", "--reason", "wrong price", "--by", "ann")
    assert (told.exit_code, told.output) == (0, "journey:hello is paused.\n")
    assert "already" in run("pause", "hello").output
    assert "wrong price" in run("pause").output
    (paused,) = listed(run)["paused"]
    assert (paused["subject"], paused["by"]) == ("journey:hello", "ann")
    assert run("resume", "hello", "--by", "bob").exit_code == 0
    found = listed(run)
    assert found["paused"] == []
    assert [(p["by"], p["resumed_by"]) for p in found["resumed"]] == [("ann", "bob")]


def test_who_does_it_is_kept_without_being_told(run: Run) -> None:
    run("pause", "provider:file")  # one that stands in
    assert listed(run)["paused"][0]["by"]


@pytest.mark.parametrize("words", ["sender offers@shop.example", "sender:offers@shop.example"])
def test_a_sender_is_paused_and_resumed(run: Run, words: str) -> None:
    told = run("pause", *words.split(), "--by", "ann")
    assert told.output == "sender:offers@shop.example is paused.\n"
    assert "sender:offers@shop.example" in run("pause").output
    assert run("resume", *words.split()).exit_code == 0
    assert listed(run)["paused"] == []


@pytest.mark.parametrize(
    "what", ["nobody", "provider:pigeon", "shop:hello", "provider:sendgrid", "sender:no@x.de"]
)
def test_what_there_is_not_cannot_be_paused(run: Run, what: str) -> None:
    told = run("pause", what)
    assert told.exit_code == 2
    assert listed(run)["paused"] == []


def test_to_resume_what_is_not_paused_is_a_finding(run: Run) -> None:
    told = run("resume", "hello")
    assert told.exit_code == 1
    assert "not paused" in told.output


def test_a_provider_in_trouble_is_shown_and_tried_at_once(run: Run, database: Database) -> None:
    with database.connection() as connection:
        state = State("smtp", "account", "it refuses our password", NOW, NOW, 2)
        senders.set_state(connection, state)
    assert "it refuses our password" in run("pause").output
    assert run("resume", "provider:smtp").exit_code == 0
    assert listed(run)["in_trouble"] == []


def test_the_doctor_tells(run: Run, database: Database, database_url: str, tmp_path: Path) -> None:
    with database.connection() as connection:
        senders.set_state(connection, State("smtp", "away", "cannot be reached", NOW, NOW, 0))
        senders.pause(connection, Pause("journey:hello", NOW, senders.WINBACK, "spam", {}))
        senders.pause(connection, Pause("provider:file", NOW, "ann", "to look", {}))
    env = {"DATABASE_URL": database_url, "PATH": "/usr/bin", "WINBACK_SMTP_URL": "smtp://x.de"}
    checks = {check.name: check for check in examine(env, tmp_path)}
    assert checks["provider smtp"].state == checks["journey hello"].state == "finding"
    assert checks["provider file"].state == "note"
    assert "cannot be reached" in checks["provider smtp"].says
    assert checks["journey hello"].mend == "winback resume journey:hello"
