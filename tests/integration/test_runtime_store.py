"""The small change of the store: numbers, arrays, connections, migrations and the clock's lease."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.store import clock as clock_store
from engine.store.database import Database, from_json, ids, migrate, texts, to_json
from tests.integration.runtime_kit import Pipeline, module_database, pipelines
from tests.unit.core.build import at, journey, order, stop, view, wait


@pytest.fixture(scope="module")
def database(postgres_url: str, _template: str) -> Iterator[Database]:
    with module_database(postgres_url, _template) as database:
        yield database


#: What can be in a text of PostgreSQL: anything but NUL and half a surrogate pair.
plain = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


class TestValues:
    @given(st.lists(plain, max_size=6))
    @settings(
        deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    def test_texts_arrive_as_they_were(self, database: Database, values: list[str]) -> None:
        with database.connection() as connection:
            row = connection.execute("select %s::text[]", [texts(values)]).fetchone()
        assert row == (values,)

    @pytest.mark.parametrize(
        "values", [[], [""], ["NULL", "null"], ["{}", "a,b", '"', "\\", "'", " "], ["a\nb\tc"]]
    )
    def test_awkward_texts(self, database: Database, values: list[str]) -> None:
        with database.connection() as connection:
            row = connection.execute("select %s::text[]", [texts(values)]).fetchone()
        assert row == (values,)

    def test_ids(self, database: Database) -> None:
        numbers = [0, 1, 2**63 - 1]
        with database.connection() as connection:
            row = connection.execute(
                "select %s::bigint[], %s::bigint[]", [ids(numbers), ids([])]
            ).fetchone()
        assert row == (numbers, [])

    @given(
        st.decimals(
            allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12
        )
    )
    @settings(deadline=None, max_examples=100)
    def test_decimals_stay_exact(self, amount: Decimal) -> None:
        back = from_json(to_json({"amount": amount}))["amount"]
        assert back == amount
        assert not isinstance(back, float)

    def test_and_through_jsonb(self, database: Database) -> None:
        value = {"price": Decimal("19.90"), "n": 3, "deep": [{"x": Decimal("0.1")}], "none": None}
        with database.connection() as connection:
            row = connection.execute("select %s::jsonb", [to_json(value)]).fetchone()
        assert row is not None
        assert row[0] == value
        assert str(row[0]["price"]) == "19.90"


class TestConnections:
    def test_an_exception_undoes_everything(self, database: Database) -> None:
        with pytest.raises(RuntimeError), database.connection() as connection:
            connection.execute("insert into ledger values ('x', 'y', 1)")
            raise RuntimeError
        with database.connection() as connection:
            assert connection.execute("select * from ledger").fetchall() == []

    def test_one_that_was_killed_is_replaced(self, database: Database) -> None:
        with database.connection() as connection:
            pid = connection.info.backend_pid
        with psycopg.connect(database.url, autocommit=True) as other:
            other.execute("select pg_terminate_backend(%s, 5000)", [pid])
        with database.connection() as connection:
            assert connection.execute("select 1").fetchone() == (1,)
            assert connection.info.backend_pid != pid

    def test_many_at_once_wait_for_their_turn(self, database: Database) -> None:
        def work(number: int) -> int:
            with database.connection() as connection:
                row = connection.execute("select %s::int from pg_sleep(0.01)", [number]).fetchone()
            assert row is not None
            return int(row[0])

        with ThreadPoolExecutor(24) as pool:
            assert list(pool.map(work, range(60))) == list(range(60))


class TestMigrations:
    def test_once_however_many_ask(self, postgres_url: str, database: Database) -> None:
        assert migrate(database.url) == 0
        name = "runtime_migrations"
        with psycopg.connect(postgres_url, autocommit=True) as server:
            server.execute(f"create database {name}".encode())
            try:
                url = database.url.replace(database.url.split("/")[3].split("?")[0], name)
                with ThreadPoolExecutor(3) as pool:
                    done = list(pool.map(lambda _: migrate(url), range(3)))
                assert sorted(done)[:2] == [0, 0]
                assert max(done) >= 1
                with psycopg.connect(url) as connection:
                    assert connection.execute("select count(*) from lane").fetchone() == (16,)
            finally:
                server.execute(f"drop database {name} with (force)".encode())

    def test_an_address_that_is_none(self) -> None:
        with pytest.raises(ValueError, match="must begin with postgresql://, not mysql://"):
            migrate("mysql://localhost/x")


class TestLease:
    def hold(self, database: Database, who: str, seconds: float = 30) -> bool:
        with database.connection() as connection:
            return clock_store.hold_lease(connection, "clock", who, seconds)

    def give_up(self, database: Database, who: str) -> None:
        with database.connection() as connection:
            clock_store.give_up_lease(connection, "clock", who)

    @pytest.fixture(autouse=True)
    def free(self, database: Database) -> None:
        with database.connection() as connection:
            connection.execute("delete from lease")

    def test_one_leads(self, database: Database) -> None:
        assert self.hold(database, "a")
        assert not self.hold(database, "b")
        assert self.hold(database, "a")  # renewed
        with database.connection() as connection:
            assert clock_store.holds_lease(connection, "clock", "a")
            assert not clock_store.holds_lease(connection, "clock", "b")

    def test_when_it_runs_out_the_next_leads(self, database: Database) -> None:
        assert self.hold(database, "a", seconds=-1)
        assert self.hold(database, "b")
        assert not self.hold(database, "a")

    def test_given_up(self, database: Database) -> None:
        assert self.hold(database, "a")
        self.give_up(database, "b")
        assert not self.hold(database, "b")
        self.give_up(database, "a")
        assert self.hold(database, "b")

    def test_many_want_it_at_once(self, database: Database) -> None:
        with ThreadPoolExecutor(8) as pool:
            held = list(pool.map(lambda n: self.hold(database, f"c{n}"), range(8)))
        assert sum(held) == 1


def test_timers_due(database: Database) -> None:
    def asked(shop: Pipeline) -> bool:
        with database.connection() as connection:
            return clock_store.timers_due(connection, shop.clock.now())

    with pipelines(database) as make:
        shop: Pipeline = make(journey(wait(hours=1), wait(hours=1), stops=[stop()]))
        assert not asked(shop)
        shop.drain(view())
        assert not asked(shop)
        assert asked(shop.at(at(hours=1)))
        shop.wake()
        assert not asked(shop)
        shop.drain(order(at(hours=1, minutes=1)))
        assert not asked(shop.at(at(hours=2)))


def test_every_large_table_names_its_profile(database: Database) -> None:
    """The way to a cluster that is distributed by profile (DESIGN 7)."""
    with database.connection() as connection:
        rows: list[tuple[Any, ...]] = connection.execute(
            "select table_name from information_schema.columns where column_name = 'profile_id'"
        ).fetchall()
    assert {
        "identity",
        "event",
        "consent",
        "enrollment",
        "message",
        "delivery",
        "audience_member",
    } <= {name for (name,) in rows}
