"""``winback import coupons`` and ``winback coupons``; what plan, apply, audit and explain tell."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from engine.cli.main import group
from engine.runtime import shelf as shelf_module
from engine.store import coupons
from engine.store.database import Database
from tests.integration.versions_kit import World, event, new_project

T0 = datetime(2026, 11, 20, tzinfo=UTC)

BACK = """
journey: back
trigger: {event: Product Viewed, key: event.product_id}
stop: {event: Order Completed, goal: true}
steps:
  - wait: 1 hour
  - send: email
    template: hello
    topic: orders
    offer: {coupon: pool winter, valid: 3 days}
"""

Run = Callable[..., Result]


@pytest.fixture
def world(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(shelf_module, "EVERY", 0.0)
    with Database(database_url) as database:
        yield World(database, new_project(tmp_path / "shop", back=BACK), T0)


@pytest.fixture
def winback(world: World, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("WINBACK_HOME", str(world.project / "var"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str, input: str | None = None) -> Result:
        # Commands of the group exit by what they return.
        found = CliRunner().invoke(
            group, ["--project-dir", str(world.project), *words], input=input, standalone_mode=False
        )
        if isinstance(found.return_value, int):
            found.exit_code = found.return_value
        elif isinstance(found.exception, Exception):
            raise found.exception
        return found

    return run


def stock(world: World, *codes: str) -> None:
    with world.database.connection() as connection:
        coupons.add(connection, "winter", codes)


def views(world: World, people: int) -> None:
    world.accept(
        *(event("Product Viewed", n, world.clock.now(), product_id="p") for n in range(people))
    )


class TestImport:
    def test_twice_does_no_harm(self, winback: Run, world: World, tmp_path: Path) -> None:
        file = tmp_path / "codes.csv"
        file.write_text("Code,Value\n" + "".join(f"W{n},10\n" for n in range(12_000)) + "W5,10\n")
        first = winback("import", "coupons", "winter", str(file))
        assert first.exit_code == 0, first.output
        assert "12,000 new codes in pool winter, 1 were there already." in first.output
        again = winback("import", "coupons", "winter", str(file), "--json")
        assert json.loads(again.output) | {"reasons": []} == {
            **{"pool": "winter", "new": 0, "known": 12_001, "elsewhere": 0, "refused": 0},
            "reasons": [],
        }
        rows = world.rows("select code from coupon order by place limit 3")
        assert rows == [("W0",), ("W1",), ("W2",)]

    def test_refused_lines_are_named(self, winback: Run, world: World, tmp_path: Path) -> None:
        stock(world, "W1")
        file = tmp_path / "spring.txt"
        file.write_bytes(b"S1\nS 2\nW1\n\xff\xfe\nS3\n")
        told = winback("import", "coupons", "spring", str(file))
        assert told.exit_code == 1
        for line in ("2: a space in the code", "4: characters that cannot be printed"):
            assert f"{file}:{line}" in told.output
        assert f"{file}:3: in pool winter already" in told.output
        assert "2 new codes in pool spring, 3 lines refused." in told.output

    def test_standard_input(self, winback: Run, world: World) -> None:
        assert winback("import", "coupons", "winter", "-", input="A\nB\n").exit_code == 0
        assert world.rows("select count(*) from coupon where pool = 'winter'") == [(2,)]

    @pytest.mark.parametrize("words", [("Winter Codes", "-"), ("winter",), ("winter", "/no/such")])
    def test_wrong_usage(self, words: tuple[str, ...]) -> None:
        assert CliRunner().invoke(group, ["import", "coupons", *words]).exit_code == 2


class TestPools:
    def test_left_claimed_and_when_they_run_dry(self, winback: Run, world: World) -> None:
        stock(world, *(f"W{n}" for n in range(100)))
        now = datetime.now(UTC)
        with world.database.connection() as connection:
            for n in range(20):  # ten days ago 6, in the last seven 14
                ago = timedelta(days=10) if n < 6 else timedelta(days=n % 7)
                id = str(UUID(int=n))
                asked = [coupons.Asked(id, "winter", id)]
                coupons.claim(connection, asked, now - ago)
            missed = coupons.Asked(str(UUID(int=99)), "spring", id)
            coupons.note_missed(connection, [missed], now - timedelta(days=1))
        told = winback("coupons", "--json")
        assert told.exit_code == 0
        spring, winter = json.loads(told.output)["pools"]
        assert (winter["left"], winter["claimed"], winter["a_day"]) == (80, 20, 2.0)
        dry = datetime.fromisoformat(winter["runs_dry"])
        assert abs(dry - now - timedelta(days=40)) < timedelta(minutes=1)
        assert (spring["left"], spring["missed"], spring["runs_dry"]) == (0, 1, None)
        shown = winback("coupons").output
        assert f"{dry:%Y-%m-%d}" in shown and "not to be had" in shown

    def test_a_live_journey_with_an_empty_pool_is_a_finding(
        self, winback: Run, world: World
    ) -> None:
        told = winback("coupons")
        assert told.exit_code == 1
        assert "pool winter is empty: winback import coupons winter FILE" in told.output
        stock(world, "W1")
        told = winback("coupons", "winter")
        assert told.exit_code == 0 and "back" in told.output

    def test_an_unknown_pool_is_wrong_usage(self, winback: Run) -> None:
        with pytest.raises(Exception, match="no pool 'wintr'"):
            winback("coupons", "wintr")


class TestPlan:
    def test_of_a_pool_that_is_not_there(self, winback: Run) -> None:
        told = winback("plan")
        assert "Warning: pool winter does not exist; back may ask for its codes" in told.output
        assert json.loads(winback("plan", "--json").output)["coupons"] == [
            {"pool": "winter", "left": None, "need": 0, "journeys": ["back"]}
        ]

    def test_of_fewer_codes_than_the_first_day_may_need(self, winback: Run, world: World) -> None:
        world.apply()
        stock(world, *(f"W{n}" for n in range(10)))
        world.clock.move_to(datetime.now(UTC) - timedelta(minutes=30))
        views(world, 6)
        world.work(world.clock.now())
        # 6 in flight, and as many may come as on the busiest day.
        told = winback("plan")
        assert (
            "pool winter has 10 codes left; back may need up to 12 in the first day" in told.output
        )
        stock(world, "W10", "W11")
        assert "Warning" not in winback("plan").output
        world.write("back", BACK.replace("1 hour", "2 days"))
        assert winback("apply", "--json").exit_code == 0


class TestTold:
    def test_explain_and_audit(self, winback: Run, world: World) -> None:
        world.apply()
        stock(world, "W1")
        world.clock.move_to(T0 + timedelta(minutes=1))
        views(world, 2)
        world.work(T0 + timedelta(hours=3))
        told = [winback("explain", f"user:{n}", "--verify").output for n in (0, 1)]
        assert all("to the letter" in one for one in told)
        assert sum("offers  W1" in one for one in told) == 1
        assert sum("skips  no code left in pool winter" in one for one in told) == 1
        audit = winback("audit", "--json")
        found = json.loads(audit.output)
        assert found["ok"] and found["facts"]["coupons_claimed"] == 1
        assert found["facts"]["coupons_missed"] == 1
        with world.database.connection() as connection:
            connection.execute("update coupon set code = 'W9' where claim is not null")
        audit = winback("audit", "--json")
        assert audit.exit_code == 1 and json.loads(audit.output)["promises"]["P2"] == 1
        told = [winback("explain", f"user:{n}", "--verify") for n in (0, 1)]
        assert sorted(one.exit_code for one in told) == [0, 1]
