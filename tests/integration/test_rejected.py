"""``winback rejected``: what was set aside is seen, put in again, or dropped, and the sums hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from engine.bootstrap import database as open_database
from engine.cli._masked import masked
from engine.cli.main import group
from engine.core.book import open_book
from engine.intake.segment import parse_event
from engine.intake.wire import MAX_EVENT
from engine.runtime import set_aside
from engine.runtime.audit import audit
from engine.settings import Settings
from engine.store.database import Database
from tests.collector_kit import KEY, accepted, collector
from tests.integration.runtime_kit import LEFT, Make, Pipeline
from tests.unit.core.build import at, order, view

JOURNEY = LEFT
WHEN = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def shop_dir(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("WINBACK_HOME", str(tmp_path / "var"))
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "winback.yaml").write_text("shop: {country: GB}\n")
    yield tmp_path


def run(shop: Path, *words: str, code: int = 0, typed: str | None = None) -> Result:
    result = CliRunner().invoke(
        group, ["--project-dir", str(shop), "rejected", *words], input=typed
    )
    assert result.exit_code == code, (result.output, result.exception)
    return result


def put(url: str, *rows: tuple[str, str, str]) -> list[int]:
    """Set (source, reason, body) aside; gives the ids."""
    with psycopg.connect(url) as connection:
        found = [
            connection.execute(
                "insert into rejected (received_at, source, reason, body) values (%s, %s, %s, %s)"
                " returning id",
                [WHEN, *row],
            ).fetchone()
            for row in rows
        ]
    return [row[0] for row in found if row]


def ask(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def raw(event: str = "Order Completed", **more: Any) -> str:
    return json.dumps({"type": "track", "event": event, "userId": "7", **more})


class TestList:
    def test_nothing(self, shop_dir: Path) -> None:
        assert "Nothing is set aside." in run(shop_dir).stdout

    def test_by_source_and_kind_of_reason_without_anybodys_data(
        self, shop_dir: Path, database_url: str
    ) -> None:
        put(
            database_url,
            ("collector", "40000 bytes; an event has at most 32768", raw()),
            ("collector", "51234 bytes; an event has at most 32768", raw()),
            ("drain", "KeyError: 'anna@example.com'", "{}"),
        )
        found = json.loads(run(shop_dir, "--json", code=1).stdout)["rejected"]
        assert [(g["source"], g["reason"], g["n"]) for g in found] == [
            ("collector", "# bytes; an event has at most #", 2),
            ("drain", "KeyError: …", 1),
        ]
        shown = run(shop_dir, code=1).stdout
        assert "# bytes; an event" in shown and "anna" not in shown

    def test_one_is_shown_without_its_shopper(self, shop_dir: Path, database_url: str) -> None:
        body = raw(properties={"email": "anna@example.com", "currency": "EUR", "revenue": 9.5})
        [id] = put(database_url, ("collector", "bad 'anna'", body))
        shown = run(shop_dir, "--show", str(id)).stdout
        assert "Order Completed" in shown and "EUR" in shown and "9.5" in shown
        assert "anna" not in shown and '"7"' not in shown
        whole = run(shop_dir, "--show", str(id), "--raw").stdout
        assert "anna@example.com" in whole and "bad 'anna'" in whole
        assert "nothing set aside" in run(shop_dir, "--show", "999", code=2).stderr

    @pytest.mark.parametrize(
        "words", [("--retry",), ("--retry", "--drop", "--all"), ("5",), ("--raw",)]
    )
    def test_wrong_usage(self, shop_dir: Path, words: tuple[str, ...]) -> None:
        run(shop_dir, *words, code=2)

    def test_an_id_that_is_not_there(self, shop_dir: Path) -> None:
        assert "with the id 5" in run(shop_dir, "--retry", "5", code=2).stderr


class TestAddresses:
    def test_they_are_counted_by_reason_and_their_events_count(
        self, shop_dir: Path, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop = make()
        monkeypatch.setenv("DATABASE_URL", shop.database.url)
        (shop_dir / "journeys").mkdir()
        for user, email in enumerate(("ann@", "bob@", "c d@example.com", "eve@example.com")):
            body = {"userId": f"u{user}", "traits": {"email": email, "phone": "+441"}}
            shop.accept(*parse_event(json.dumps(body).encode(), "identify", WHEN, "GB").events)
        assert shop.drain().taken == 4
        told = json.loads(run(shop_dir, "--json").stdout)
        assert told["rejected"] == []
        assert [(one["kind"], one["profiles"]) for one in told["addresses"]] == [
            ("phone", 4),
            ("email", 2),
            ("email", 1),
        ]
        assert told["addresses"][1]["reason"] == "There must be something after the @-sign."
        shown = run(shop_dir).stdout
        assert "Nothing is set aside." in shown and "something after the @" in shown
        result = CliRunner().invoke(group, ["--project-dir", str(shop_dir), "explain", "user:u0"])
        assert "email not taken: There must be something after the @-sign." in result.output
        assert "phone not taken: This is not a phone number." in result.output
        assert "ann@" not in result.output


class TestRetry:
    def test_what_the_door_refused_goes_in_as_it_would_at_the_door(
        self, shop_dir: Path, database_url: str
    ) -> None:
        order = raw(messageId="m1", timestamp="2026-03-02T08:00:00Z")
        put(
            database_url,
            ("collector", "40000 bytes", order),
            ("collector", "40000 bytes", raw("Product Viewed", properties={"b": "x" * MAX_EVENT})),
            ("collector", "was wrong", json.dumps({"event": "X", "userId": "8"})),
            ("collector", "was wrong", json.dumps({"traits": {"a": 1}, "userId": "9"})),
            ("collector", "was wrong", json.dumps({"properties": {}, "userId": "9"})),
            ("collector", "was wrong", '{"type": "tra… (700000 bytes)'),
            ("shopify", "was wrong", "{}"),
        )
        result = run(shop_dir, "--retry", "--all", "--json", code=1)
        told = json.loads(result.stdout)
        assert told["accepted"] == 3
        events = accepted(database_url)
        assert [(e.name, e.identifiers) for e in events] == [
            ("Order Completed", ("user:7",)),
            ("X", ("user:8",)),
            ("Identify", ("user:9",)),
        ]
        # By its own time and id, received when it was received.
        assert (events[0].id, events[0].received_at) == ("m1", WHEN)
        assert events[0].time == datetime(2026, 3, 2, 8, tzinfo=UTC)
        assert ask(database_url, "select sum(n)::int from ledger where fact = 'accepted'") == [(3,)]
        reasons = [row[0] for row in ask(database_url, "select reason from rejected order by id")]
        assert [reason[:20] for reason in reasons] == [
            *("32852 bytes; an even", "it does not say of w", "only its beginning w"),
            "only whoever brought",
        ]

    def test_through_the_real_door(self, shop_dir: Path, database_url: str) -> None:
        """A whole batch of which one is wrong still: it stays alone, with today's reason."""
        good = {"type": "track", "event": "X", "userId": "1"}
        with collector(database_url) as app:
            answer = app.test_client().post(
                "/v1/batch", json={"batch": [good, {**good, "type": "x"}]}, auth=(KEY, "")
            )
        assert answer.status_code == 200
        run(shop_dir, "--retry", "--reason", "type must be one of", code=1)
        assert len(ask(database_url, "select 1 from rejected")) == 1
        put(database_url, ("collector", "odd", json.dumps({"batch": [good, {"type": "x"}, good]})))
        run(shop_dir, "--retry", "--reason", "odd", code=1)
        assert len(accepted(database_url)) == 3
        assert len(ask(database_url, "select 1 from rejected")) == 2

    def test_many_in_batches(self, shop_dir: Path, database_url: str) -> None:
        put(database_url, *[("collector", "r", raw(messageId=f"m{n}")) for n in range(450)])
        told: list[int] = []
        with open_database(Settings.from_environment(project_dir=shop_dir)) as database:
            ids = [row[0] for row in ask(database_url, "select id from rejected order by id")]
            done = set_aside.retry(database, ids, "GB", told.append)
            again = set_aside.retry(database, ids, "GB")
        assert (done.accepted, done.gone, told) == (450, 0, [200, 200, 50])
        assert (again.accepted, again.gone) == (0, 450)
        assert len({event.id for event in accepted(database_url)}) == 450

    def test_none_is_in_two_places_or_in_none(
        self, shop_dir: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """P1: it fails in the middle, and all is as before."""
        put(database_url, ("collector", "r", raw()))

        def fails(*_: object) -> int:
            raise RuntimeError("killed")

        monkeypatch.setattr("engine.store.rejected.remove", fails)
        with (
            open_database(Settings.from_environment(project_dir=shop_dir)) as database,
            pytest.raises(RuntimeError),
        ):
            set_aside.retry(database, [1], "GB")
        assert accepted(database_url) == []
        assert ask(database_url, "select count(*) from rejected") == [(1,)]
        assert ask(database_url, "select count(*) from ledger") == [(0,)]


class TestDrop:
    def test_after_a_yes(self, shop_dir: Path, database_url: str) -> None:
        put(database_url, ("collector", "a", "{}"), ("drain", "b", "{}"))
        run(shop_dir, "--drop", "--reason", "a", typed="n\n", code=1)
        assert ask(database_url, "select count(*) from rejected") == [(2,)]
        run(shop_dir, "--drop", "--reason", "a", typed="y\n")
        run(shop_dir, "--drop", "--all", "--yes")
        assert ask(database_url, "select count(*) from rejected") == [(0,)]
        assert ask(database_url, "select n from ledger where fact = 'dropped'") == [(2,)]


class TestLedger:
    """What a drain set aside, seen from the audit: no event is lost, none is counted twice."""

    def sick(self, shop: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patched:

            def raises(*_: object) -> None:
                raise RuntimeError("ours")

            patched.setattr("engine.runtime.drain.on_event", raises)
            shop.drain(order(at(minutes=1), id="o", revenue=5, currency="EUR"))

    def ids(self, shop: Pipeline) -> list[int]:
        return [row[0] for row in shop.rows("select id from rejected")]

    def kept(self, database: Database) -> int:
        report = audit(database, open_book([LEFT]))
        assert report.ok, report.findings
        return report.facts["accepted"]

    def test_the_order_stops_its_run_once_it_is_in_again(
        self, make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("CRITICAL")
        shop = make()
        shop.drain(view(product="p1"))
        self.sick(shop, monkeypatch)
        assert shop.runs() == [("left-behind", "p1", "active")]
        assert self.kept(shop.database) == 2
        done = set_aside.retry(shop.database, self.ids(shop), "GB")
        assert done.accepted == 1
        shop.check()
        assert self.kept(shop.database) == 2  # it is not accepted twice
        assert shop.ledger() == {"accepted": 2, "taken": 1, "duplicate": 0, "refused": 0}
        shop.drain()
        shop.check()
        assert self.kept(shop.database) == 2
        assert shop.runs() == [("left-behind", "p1", "stopped")]
        assert shop.one("select orders from profile") == 1

    def test_what_came_in_meanwhile_counts_once(
        self, make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("CRITICAL")
        shop = make()
        self.sick(shop, monkeypatch)
        shop.drain(order(at(minutes=1), id="o", revenue=5, currency="EUR"))
        set_aside.retry(shop.database, self.ids(shop), "GB")
        assert shop.drain().duplicates == 1
        assert self.kept(shop.database) == 2
        assert shop.rows("select orders, lifetime_value from profile") == [(1, {"EUR": 5})]

    def test_what_the_database_refused_is_mended_as_at_the_door(self, make: Make) -> None:
        shop = make()
        shop.accept(view(product="p7", id="m7"))
        shop.run_sql("update inbox set body = replace(body, 'p7', '\\u0000')")
        shop.drain()
        assert shop.one("select count(*) from rejected") == 1
        set_aside.retry(shop.database, self.ids(shop), "GB")
        assert shop.drain().refused == 0
        assert [key for _, key, _ in shop.runs()] == ["\ufffd"]

    def test_one_that_cannot_be_read_stays(self, make: Make) -> None:
        shop = make()
        shop.accept(view(id="bad"))
        shop.run_sql("update inbox set body = '{\"id\": 5'")
        shop.drain()
        done = set_aside.retry(shop.database, self.ids(shop), "GB")
        assert (done.accepted, sum(done.stayed.values())) == (0, 1)
        shop.check()


def test_what_is_masked() -> None:
    body = {
        "type": "identify",
        "userId": "7",
        "name": "Home",
        "identifiers": ["user:7", "email:a@b.de"],
        "traits": {"name": "Anna", "age": 33, "orders": 3, "vip": True, "zip": 1234},
        "properties": {"products": [{"product_id": "p", "name": "Shoe", "price": 5}]},
        "context": {"ip": "1.2.3.4"},
        "messageId": "m",
    }
    shown = json.loads(masked(json.dumps(body)))
    assert shown["identifiers"] == ["user:…", "email:…"]
    assert (shown["type"], shown["name"], shown["messageId"]) == ("identify", "Home", "m")
    assert shown["traits"] == {
        **{"name": "… (4 characters)", "age": "…", "orders": 3, "vip": True, "zip": "…"}
    }
    assert shown["properties"]["products"][0]["product_id"] == "p"
    assert shown["context"] == {"ip": "… (7 characters)"}
    assert shown["userId"] == "… (1 characters)"
    assert masked("<xml>anna") == "(not JSON, 9 characters)"
