"""A list that is rebuilt: all who are wanted are on it afterwards, and nobody else; and how many
requests a platform takes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from engine.cli.main import group
from engine.store import replacing
from engine.store.database import Database
from engine.testing.google import GoogleSimulator
from engine.testing.meta import MetaSimulator
from tests.integration.ad_kit import GOOGLE, META, AdShop, google_of, h, meta_of

G, M = GOOGLE.audience, META.audience


@pytest.fixture
def shop(database_url: str) -> Iterator[AdShop]:
    with (
        GoogleSimulator() as google,
        MetaSimulator() as meta,
        Database(database_url) as database,
    ):
        shop = AdShop(database, {"google": google_of(google), "meta": meta_of(meta)})
        google.clock = meta.clock = shop.clock
        shop.__dict__.update(google=google, meta=meta)
        yield shop


def lists(shop: Any, audience: str) -> Any:
    return (shop.google if audience == G else shop.meta).lists


def list_of(audience: str) -> str:
    return GOOGLE.list if audience == G else META.list


def ask(shop: AdShop, audience: str) -> None:
    with shop.database.connection() as connection:
        assert replacing.ask(connection, audience, "asked for", shop.clock.now())


def state(shop: AdShop, audience: str) -> str:
    with shop.database.connection() as connection:
        told = replacing.last(connection, audience)
    assert told is not None
    return str(told["status"])


def addresses(*numbers: int) -> set[str]:
    return {h(f"s{number}@example.com") for number in numbers}


def full(shop: AdShop, audience: str, many: int) -> None:
    """A list of so many, on which a stranger is too, since before."""
    stranger = h("stranger@example.com")
    lists(shop, audience).add(list_of(audience), [stranger], shop.clock.now().timestamp())
    shop.shoppers(many, audience)
    shop.push(4)
    assert lists(shop, audience).on(list_of(audience)) == {
        stranger,
        *addresses(*range(1, many + 1)),
    }
    shop.on(600)


@pytest.mark.parametrize("audience", [G, M])
def test_afterwards_only_who_is_wanted_is_on_it(shop: AdShop, audience: str) -> None:
    for platform in shop.platforms.values():
        platform.batch = 2  # type: ignore[misc]
    full(shop, audience, 5)
    ask(shop, audience)
    with shop.database.connection() as connection:
        assert not replacing.ask(connection, audience, "again", shop.clock.now()), "it is already"
    shop.push(6)
    assert state(shop, audience) == "done"
    assert lists(shop, audience).on(list_of(audience)) == addresses(1, 2, 3, 4, 5)
    assert shop.states(audience) == {"confirmed": 5}
    before = len(lists(shop, audience).changes)
    shop.push(3)
    assert len(lists(shop, audience).changes) == before, "and then there is peace"
    ask(shop, audience)
    shop.push(6)
    assert state(shop, audience) == "done"


@pytest.mark.parametrize("audience", [G, M])
def test_who_buys_meanwhile_is_not_on_it(shop: AdShop, audience: str) -> None:
    for platform in shop.platforms.values():
        platform.batch = 2  # type: ignore[misc]
    full(shop, audience, 7)
    ask(shop, audience)
    order = shop.accept(6)  # accepted and not worked: the fence keeps them out
    shop.push(seconds=0.0)
    shop.push(seconds=0.0)
    [(on_wire,)] = shop.sql(
        """select min(profile_id) from audience_listing where audience = %s
              and status in ('sent', 'confirmed') and off_at is null""",
        audience,
    )
    shop.buys(on_wire)
    shop.push(3, seconds=0.0)
    shop.drain(6, order)
    shop.push(12)
    assert state(shop, audience) == "done"
    wanted = addresses(*({1, 2, 3, 4, 5, 7} - {on_wire}))
    assert lists(shop, audience).on(list_of(audience)) == wanted


@pytest.mark.parametrize("audience", [G, M])
@pytest.mark.parametrize("dies_in", [1, 2, 3, 4])
def test_killed_in_a_call_it_is_carried_on(shop: AdShop, audience: str, dies_in: int) -> None:
    for platform in shop.platforms.values():
        platform.batch = 2  # type: ignore[misc]
    full(shop, audience, 5)
    ask(shop, audience)
    platform = shop.platforms[audience.partition("/")[0]]
    calls = 0

    def dying(call: Any) -> Any:
        def made(*values: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == dies_in:
                call(*values)  # it arrived; nobody here knows
                raise KeyboardInterrupt
            return call(*values)

        return made

    for name in ("add", "replace", "remove_older"):
        if hasattr(platform, name):
            setattr(platform, name, dying(getattr(platform, name)))
    died = False
    for _ in range(30):
        try:
            shop.push()
        except KeyboardInterrupt:
            died = True
        if state(shop, audience) in ("done", "failed"):
            break
        shop.on(120)
    assert died == (calls >= dies_in)
    assert state(shop, audience) == "done"
    assert lists(shop, audience).on(list_of(audience)) == addresses(1, 2, 3, 4, 5)


def test_a_list_that_nobody_is_wanted_on_is_cleared_at_google_and_not_at_meta(
    shop: AdShop,
) -> None:
    for audience in (G, M):
        lists(shop, audience).add(list_of(audience), ["x"], shop.clock.now().timestamp())
    shop.on(600)
    ask(shop, G)
    ask(shop, M)
    shop.push(6)
    assert (state(shop, G), state(shop, M)) == ("done", "failed")
    assert (lists(shop, G).on(GOOGLE.list), lists(shop, M).on(META.list)) == (set(), {"x"})


def test_the_days_requests_are_kept_and_removals_go_first(shop: AdShop) -> None:
    google: Any = shop.platforms["google"]
    google.batch, google.longer = 1, (8, 86_400.0)
    shop.shoppers(10)
    done = shop.push(3)[G]
    assert "google has had 6 of 8 requests in 24 hours: all but removals wait" in done.problem
    on = lists(shop, G).on(GOOGLE.list)
    assert on == addresses(1, 2, 3, 4, 5, 6)
    for buyer in (1, 2, 3):
        shop.buys(buyer)
    shop.push(6)
    assert lists(shop, G).on(GOOGLE.list) == addresses(3, 4, 5, 6), "of 8 requests there are 2 left"
    assert "8 of 8 requests" in shop.push()[G].problem
    # Another process knows it too: it is counted in the database.
    other = AdShop(shop.database, shop.platforms, clock=shop.clock)
    assert "8 of 8 requests" in other.push()[G].problem

    shop.on(timedelta(days=1).total_seconds())
    shop.push(1, seconds=0.0)
    assert lists(shop, G).changes[-2].action == "remove", "the next day begins with removals"
    shop.push(6)
    assert lists(shop, G).on(GOOGLE.list) == addresses(4, 5, 6, 7, 8, 9, 10)


def test_the_command_asks_and_tells(
    shop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "winback.yaml").write_text(
        f"audiences:\n  {M}: {{list: '{META.list}'}}\n  {G}: {{list: '{GOOGLE.list}', "
        f"account: '{GOOGLE.account}'}}\n"
    )
    for name, value in {
        "DATABASE_URL": database_url,
        "META_BASE_URL": shop.meta.url,
        "META_ACCESS_TOKEN": shop.meta.token,
        "META_APP_SECRET": shop.meta.secret,
        "GOOGLE_DATAMANAGER_BASE_URL": shop.google.url,
        "GOOGLE_DATAMANAGER_TOKEN": shop.google.token,
    }.items():
        monkeypatch.setenv(name, value)
    full(shop, M, 3)
    run = CliRunner()
    words = ["--project-dir", str(tmp_path), "audience", "replace", M]
    asked = run.invoke(group, words, input="n\n")
    assert asked.exit_code == 1 and "send 3 anew" in asked.output
    assert run.invoke(group, [*words, "--json"]).exit_code == 2
    done = run.invoke(group, [*words, "--yes", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["status"] == "done"
    assert shop.meta.lists.on(META.list) == addresses(1, 2, 3)
    shown = run.invoke(group, ["--project-dir", str(tmp_path), "audience", "show", M, "--json"])
    assert json.loads(shown.output)["replaced"]["reason"] == "asked for"
    listed = run.invoke(group, ["--project-dir", str(tmp_path), "audience", "list", "--json"])
    requests = {one["platform"]: one for one in json.loads(listed.output)["requests"]}
    assert requests["meta"]["made"] == 1 and requests["meta"]["most"] == 5000
    assert requests["google"]["most"] == 100_000
    assert os.environ["META_APP_SECRET"] not in done.output + shown.output
