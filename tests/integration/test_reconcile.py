"""The daily look at ad platforms' lists, the audit of them, and ``winback audience``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from engine.audiences.google import Google
from engine.cli.main import group
from engine.core.book import JourneyBook
from engine.model.audience import Size
from engine.runtime.audit import AuditReport, audit
from engine.runtime.reconcile import beyond, fell, lists_due, reconcile
from engine.store.database import Database
from engine.store.listing_views import Day
from engine.testing.google import GoogleSimulator
from engine.testing.meta import MetaSimulator
from tests.integration.ad_kit import GOOGLE, META, NOW, AdShop, google_of, h, meta_of

G, M = GOOGLE.audience, META.audience


@pytest.fixture
def google() -> Iterator[GoogleSimulator]:
    with GoogleSimulator() as simulator:
        yield simulator


@pytest.fixture
def meta() -> Iterator[MetaSimulator]:
    with MetaSimulator() as simulator:
        yield simulator


@pytest.fixture
def shop(database_url: str, google: GoogleSimulator, meta: MetaSimulator) -> Iterator[AdShop]:
    with Database(database_url) as database:
        yield AdShop(database, {"google": google_of(google), "meta": meta_of(meta)})


def look(shop: AdShop) -> Day:
    [day] = reconcile(shop.pusher, [G])
    return day


def test_a_new_address_takes_the_old_ones_place(shop: AdShop, google: GoogleSimulator) -> None:
    shop.shopper(1, email="old@example.com", phone="+923001234567")
    shop.run(1)
    shop.push(2)
    assert look(shop).mended == 0
    shop.sql("""update profile set traits = traits || '{"email": "new@example.com"}'""")
    assert look(shop).mended == 1
    shop.push(4)
    assert google.lists.on(GOOGLE.list) == {h("new@example.com"), h("+923001234567")}
    assert shop.states() == {"confirmed": 1, "removed": 1}
    assert look(shop).mended == 0


def test_an_erased_shopper_leaves_though_nothing_is_known_of_them(
    shop: AdShop, google: GoogleSimulator
) -> None:
    shop.shoppers(3)
    shop.push(2)
    for table in ("profile where id", "audience_member where profile_id"):
        shop.sql(f"delete from {table} = 2")
    assert look(shop).mended == 1
    shop.push(2)
    assert google.lists.on(GOOGLE.list) == {h("s1@example.com"), h("s3@example.com")}
    for _ in range(20):
        shop.push()
    assert not shop.sql("select 1 from audience_listing where profile_id = 2"), "nor is a hash kept"


def test_members_that_the_platform_lost_are_sent_again(
    shop: AdShop, google: GoogleSimulator
) -> None:
    shop.shoppers(100)
    shop.push(2)
    assert (look(shop).high, look(shop).mended) == (100, 0)
    google.lists.remove(GOOGLE.list, [h(f"s{n}@example.com") for n in range(1, 51)], 0.0)
    shop.on(90000)
    day = look(shop)
    assert (day.high, day.mended) == (50, 100) and "lost" in day.note
    shop.push(3)
    assert google.lists.size(GOOGLE.list) == 100
    assert shop.states() == {"confirmed": 100}
    shop.on(90000)
    assert look(shop).mended == 0


def test_what_was_a_file_until_now_is_sent(shop: AdShop, google: GoogleSimulator) -> None:
    shop.shoppers(3)
    shop.sql("update audience_member set listed = true, synced_at = changed_at")
    shop.push()
    assert google.count == 0
    look(shop)
    shop.push()
    assert google.lists.size(GOOGLE.list) == 3


def test_it_is_due_once_a_day(shop: AdShop) -> None:
    shell = shop.pusher.shell
    assert lists_due(shell)
    reconcile(shop.pusher)
    assert not lists_due(shell)
    shop.on(86401)
    assert lists_due(shell)


def test_a_platform_that_does_not_answer_is_said(shop: AdShop) -> None:
    shop.platforms["google"] = Google("http://127.0.0.1:1", lambda: "")
    day = look(shop)
    assert "cannot be reached" in day.note and day.high is None


@pytest.mark.parametrize(
    ("before", "confirmed", "high", "lost"),
    [
        ((1000, 600), 1000, 600, False),
        ((1000, 600), 1000, 490, False),
        ((1000, 600), 1000, 470, True),
        ((1000, 600), 500, 300, False),  # ours has fallen as well
        ((1000, 600), 1000, None, False),
        ((0, 600), 1000, 10, False),
        (None, 1000, 10, False),
    ],
)
def test_fallen_is_judged_beside_our_own_figure(
    before: tuple[int, int] | None, confirmed: int, high: int | None, lost: bool
) -> None:
    day = None if before is None else Day(G, NOW, before[0], before[1], before[1], 0, "")
    assert fell(day, confirmed, Size(high, high)) is lost


def test_more_than_ours_is_judged_with_the_platforms_rounding() -> None:
    assert beyond(1000, Size(5000, 6000))
    assert not beyond(1000, Size(2000, 2000))
    assert not beyond(0, Size(None, None))


def audited(shop: AdShop) -> AuditReport:
    return audit(shop.database, JourneyBook())


def broken(report: AuditReport) -> dict[str, int]:
    return {f.words: f.count for f in report.findings if f.promise == "P3"}


def test_the_audit_tells_who_bought_and_is_still_listed(shop: AdShop) -> None:
    shop.shoppers(3)
    shop.push(2)
    shop.buys(1)
    shop.buys(2)
    report = audited(shop)
    assert (report.ads.members, report.ads.still) == (3, 2)
    shop.push(2)
    report = audited(shop)
    assert (report.ads.members, report.ads.still, report.ads.let_go) == (1, 0, 2)
    assert report.ads.delay_p99 is not None and 0 < report.ads.delay_p99 < 10
    assert not broken(report)


def test_the_audit_finds_an_addition_behind_an_accepted_stop(shop: AdShop) -> None:
    words = "shoppers handed to an ad platform after their stop was accepted"
    for profile in (1, 2):
        shop.shopper(profile, email=f"{profile}@example.com")
        shop.run(profile)
        shop.sql(
            """insert into event (profile_id, id, kind, name, time, received_at, processed_at,
               properties, context, accept_xid, identifiers) values
               (%s, %s, 'track', 'Product Viewed', %s, %s, %s, '{}', '{}',
                pg_current_xact_id(), %s)""",
            *(profile, f"view-{profile}", NOW, NOW, NOW, [f"user:{profile}"]),
        )
        shop.sql("update enrollment set event_id = %s where profile_id = %s",
                 f"view-{profile}", profile)  # fmt: skip
    order = shop.accept(1)
    shop.push()  # the fence holds 1 back; 2 goes
    shop.drain(1, order)
    shop.sql("update event set identifiers = '{user:1}' where id = %s", order)
    shop.push()
    assert words not in broken(audited(shop))
    # As if the fence had not held: the addition was claimed by what could see the order.
    shop.sql(
        """update audience_listing set add_request = (select id from audience_request limit 1)
            where profile_id = 1"""
    )
    shop.sql("update audience_request set gate_snapshot = pg_current_snapshot()")
    assert broken(audited(shop)) == {words: 1}


class TestCommand:
    @pytest.fixture
    def run(
        self,
        shop: AdShop,
        google: GoogleSimulator,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Any:
        config = f'audiences: {{{G}: {{list: "{GOOGLE.list}", account: "123-456-7890"}}}}'
        for folder in ("config", "journeys", "templates"):
            (tmp_path / folder).mkdir()
        (tmp_path / "config" / "winback.yaml").write_text(config)
        for name, value in {
            "DATABASE_URL": shop.database.url,
            "WINBACK_HOME": str(tmp_path / "var"),
            "GOOGLE_DATAMANAGER_BASE_URL": google.url,
            "GOOGLE_DATAMANAGER_TOKEN": google.token,
            "COLUMNS": "200",
        }.items():
            monkeypatch.setenv(name, value)
        return lambda *words: CliRunner().invoke(
            group, ["--project-dir", str(tmp_path), "audience", *words], catch_exceptions=False
        )

    def test_sync_list_and_show(
        self, run: Any, shop: AdShop, google: GoogleSimulator, tmp_path: Path
    ) -> None:
        shop.shoppers(3)
        shop.shopper(9, email="9@example.com")
        shop.run(9, M)
        told = run("sync", "--json")
        assert told.exit_code == 0, told.output
        found = json.loads(told.stdout)
        assert [(one["audience"], one["added"]) for one in found["lists"]] == [(G, 3)]
        assert [(one["audience"], one["added"]) for one in found["files"]] == [(M, 1)]
        assert (tmp_path / "var" / "audiences" / M / "members.csv").exists()
        assert not (tmp_path / "var" / "audiences" / G).exists(), "what goes by API is no file"
        rows = {r["audience"]: r for r in json.loads(run("list", "--json").stdout)["audiences"]}
        assert (rows[G]["provider"], rows[G]["wanted"], rows[G]["sent"]) == ("api", 3, 3)
        assert (rows[M]["provider"], rows[M]["listed"]) == ("file", 1)
        shown = json.loads(run("show", G, "--json").stdout)
        assert [(call["action"], call["members"]) for call in shown["calls"]] == [("add", 3)]
        for words in (("list",), ("show", G), ("sync",), ("reconcile",)):
            told = run(*words)
            assert told.exit_code == 0 and G in told.stdout, told.output
        assert google.lists.size(GOOGLE.list) == 3

    def test_a_refusal_is_told(self, run: Any, shop: AdShop, google: GoogleSimulator) -> None:
        shop.shoppers(1)
        google.token = "another"
        told = run("sync")
        assert told.exit_code == 1 and "GOOGLE_APPLICATION_CREDENTIALS" in told.stdout
        told = run("list")
        assert told.exit_code == 1 and "waits" in told.stdout

    def test_an_unknown_name_is_wrong_usage(self, run: Any) -> None:
        for words in (("show", "meta/x"), ("sync", "meta/x"), ("reconcile", "meta/x")):
            told = run(*words)
            assert told.exit_code == 2 and "There is no audience" in told.output

    def test_nobody_yet(self, run: Any) -> None:
        assert run("list").exit_code == 0
        assert lists_of(run) == [G], "one with a list is told, though nobody is on it"


def lists_of(run: Any) -> list[str]:
    return [one["audience"] for one in json.loads(run("list", "--json").stdout)["audiences"]]
