"""``winback simulate`` as people and programs meet it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine.cli.main import group
from engine.intake.segment import read_recorded
from engine.language import load_journeys
from engine.model.event import Event
from engine.model.policy import Policy
from engine.runtime.replay import Replay
from engine.store import journeys as journeys_store
from engine.store.database import Database

LEFT = """\
journey: left
trigger: {event: Product Viewed, key: event.product_id, again: after 30 days}
stop: {event: Order Completed, goal: true}
steps:
  - wait: 2 hours
  - send: email
    template: t
    offer: {coupon: BACK, percent: 10, valid: 3 days}
"""
SOON = LEFT.replace("2 hours", "10 minutes")
BEGIN = datetime(2026, 1, 5, 9, tzinfo=UTC)


def lines(count: int = 60) -> list[str]:
    """Views, and of every third shopper an order an hour later."""
    found = []
    for number in range(count):
        at = BEGIN + timedelta(hours=3 * number)
        who = {"userId": f"u{number % 20}", "type": "track"}
        product = str(number % 20)
        view = {"event": "Product Viewed", "properties": {"product_id": product, "price": 20}}
        found.append(who | view | {"messageId": f"v{number}", "timestamp": at.isoformat()})
        if number % 3 == 0:
            money = {"revenue": 40, "currency": "USD", "products": [{"product_id": product}]}
            order = {"event": "Order Completed", "properties": money, "messageId": f"o{number}"}
            found.append(who | order | {"timestamp": (at + timedelta(hours=1)).isoformat()})
    return [json.dumps(one) for one in found]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in (("journeys", SOON), ("old", LEFT)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "left.yaml").write_text(text)
    (tmp_path / "events.jsonl").write_text("\n".join(lines()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def simulate(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(group, ["simulate", *words])
    assert result.exit_code == code, result.output
    return result


def test_what_a_step_raises_is_named_and_no_run_takes_others_along(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(*_: object) -> bool:
        raise RuntimeError("ours")

    monkeypatch.setattr("engine.core.advance.say", raises)
    result = simulate("--events", "events.jsonl", "--bare", "--json", code=1)
    assert "left fails at steps/1: RuntimeError: ours (" in result.stderr
    found = json.loads(result.stdout)["journeys"]["left"]
    assert found["enrolled"] > 0 and found["messages"] == 0 and found["goals"] > 0


def document(*words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(simulate(*words, "--bare", "--json").stdout)
    return found


def test_the_contract_is_five_numbers_a_journey_and_no_more(shop: Path) -> None:
    found = document("--journeys", "old", "--events", "events.jsonl", "--until", "60d")
    assert list(found) == ["journeys"]
    [(name, tally)] = found["journeys"].items()
    assert name == "left"
    assert list(tally) == ["enrolled", "held_out", "messages", "stopped", "goals"]


def test_against_a_folder_shows_the_difference(shop: Path) -> None:
    found = document("--events", "events.jsonl", "--against", "old")
    after, before = found["journeys"]["left"], found["against"]["journeys"]["left"]
    assert after["messages"] == 20 and before["messages"] < 20
    assert before["goals"] > after["goals"] == 0
    detail = found["details"]["left"]
    assert detail["used"] > 0 and float(detail["cost"]) == detail["used"] * 4
    assert found["against"]["details"]["left"]["used"] < detail["used"]
    assert sum(detail["by_day"].values()) == sum(detail["by_hour"].values()) == 20
    assert found["shoppers"]["more"] == 20 - before["messages"]
    assert "shopper" not in found["shoppers"]["largest"][0]
    alone = document("--journeys", "old", "--events", "events.jsonl", "--details")
    assert alone["details"] == found["against"]["details"]


def test_a_person_sees_tables_and_names_shoppers_only_when_asked(shop: Path) -> None:
    words = ("--events", "events.jsonl", "--against", "old", "--bare")
    shown = simulate(*words).output
    assert "before" in shown and "difference" in shown and "steps/1" in shown
    assert "coupon cost, USD" in shown
    assert "get more" in shown and "user:u" not in shown
    assert "user:u" in simulate(*words, "--shoppers").output


def test_pictures_are_written(shop: Path) -> None:
    simulate("--events", "events.jsonl", "--against", "old", "--bare", "--pictures", "out")
    for name in ("all-journeys", "left"):
        data = (shop / "out" / f"{name}.png").read_bytes()
        assert data.startswith(b"\x89PNG") and len(data) > 5000
    (shop / "none.jsonl").write_text("")
    simulate("--events", "none.jsonl", "--pictures", "empty")
    assert (shop / "empty" / "left.png").exists()


def test_csv_in_any_order_gives_the_same_numbers(shop: Path) -> None:
    rows = ["Name,Who,When,messageId,properties"]
    for text in reversed(lines()):
        one = json.loads(text)
        properties = json.dumps(one["properties"]).replace('"', '""')
        values = (one["event"], one["userId"], one["timestamp"], one["messageId"])
        rows.append(",".join(values) + f',"{properties}"')
    (shop / "events.csv").write_text("\n".join(rows))
    words = ("--map", "event=Name", "--map", "userId=Who", "--map", "timestamp=When")
    straight = document("--events", "events.jsonl", "--details")
    assert document("--events", "events.csv", *words, "--details") == straight


def test_bad_lines_are_findings(shop: Path) -> None:
    (shop / "bad.jsonl").write_text("{no\n" + lines()[0])
    told = simulate("--events", "bad.jsonl", "--bare", code=1)
    assert "bad.jsonl:1:" in told.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "Say what to run on"),
        (["--events", "events.jsonl", "--from-database"], "Say what to run on"),
        (["--events", "events.jsonl", "--days", "3"], "--days is for --from-database"),
        (["--events", "events.jsonl", "--against", "nowhere"], "there is no folder 'nowhere'"),
        (["--events", "events.jsonl", "--map", "event"], "is not FIELD="),
    ],
)
def test_wrong_usage(shop: Path, words: list[str], says: str) -> None:
    assert says in simulate(*words, code=2).output


@pytest.fixture
def lived(shop: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shop whose database has lived through the recording, under the old journey."""
    events: list[Event] = [
        read_recorded(text.encode(), datetime.now(UTC), "US") for text in lines()
    ]
    old = load_journeys(shop / "old").journeys.values()
    with Database(database_url) as database:
        Replay(database, old, Policy(), bare=True).run(events, timedelta(days=1))
        with database.connection() as connection:
            journeys_store.keep(
                connection, [(j.name, j.version, j.source) for j in old], datetime.now(UTC)
            )
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("WINBACK_HOME", str(shop / "var"))
    return shop


def test_the_live_database_is_a_recording_too(lived: Path) -> None:
    from_file = document("--events", "events.jsonl", "--against", "old")
    from_database = document("--from-database", "--against", "live")
    assert from_database == from_file


def test_of_the_live_database_only_the_last_days_start_runs(lived: Path) -> None:
    days = (datetime.now(UTC) - BEGIN).days
    some = document("--from-database", "--days", str(days - 6))["journeys"]["left"]
    whole = document("--from-database")["journeys"]["left"]
    assert 0 < some["enrolled"] < whole["enrolled"]
