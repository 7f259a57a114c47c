"""Caps per topic and channel under many workers, and every refusal written down and counted."""

from __future__ import annotations

import dataclasses
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import time, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from engine.cli.main import group
from engine.language import load_policy
from engine.model.journey import Again, Overdue
from engine.model.policy import Cap, Policy, QuietHours, Shop, Topic
from engine.runtime.deliver import Deliverer
from engine.runtime.shell import SHARDS
from engine.store import refusals as refusals_store
from tests.integration.runtime_kit import NOW, Make, Pipeline
from tests.unit.core.build import T0, at, event, journey, send, view, wait

JOURNEY = NOW
DAY = timedelta(days=1)
TOPICS = {
    "offers": Topic("offers", consent="opt-out"),
    "news": Topic("news", consent="opt-out"),
    "orders": Topic("orders", consent="none"),
}
CAPS = (Cap(4, DAY), Cap(2, DAY, "sms"), Cap(1, DAY, topic="news"), Cap(2, DAY, "email", "offers"))
FRENCH = "+33612345678"
FRANCE = tuple(
    rule
    for rule in load_policy(Path(__file__).parents[2] / "config" / "winback.yaml")[0].rules
    if rule.country == "FR"
)

OFTEN = journey(
    send("email", "offer"),
    {**send("email", "news"), "topic": "news"},
    send("sms", "offer"),
    {**send("sms", "news"), "topic": "news"},
    {**send("email", "receipt"), "topic": "orders"},
    key="event.product_id",
    again=Again("always"),
    name="often",
)


def who(number: int) -> tuple[str, ...]:
    return (f"user:{number}", f"email:{number}@example.org", f"phone:+4930123450{number:02}")


def counted(shop: Pipeline, **more: Any) -> dict[tuple[str, bool], int]:
    """(code, waits) -> refusals"""
    found: dict[tuple[str, bool], int] = {}
    with shop.database.connection() as connection:
        for count in refusals_store.counts(connection, at(days=-30), "UTC", **more):
            place = (count.code, count.waits)
            found[place] = found.get(place, 0) + count.refusals
    return found


def went(shop: Pipeline, cap: Cap) -> int:
    """The most messages that any shopper got of those that ``cap`` is for."""
    return int(
        shop.one(
            """
            select coalesce(max(n), 0) from (
                select count(*) as n from message
                 where status in ('claimed', 'sent', 'unknown') and topic <> 'orders'
                   and (%s = '*' or channel = %s) and (%s = '*' or topic = %s)
                 group by profile_id) counted
            """,
            *(cap.channel, cap.channel, cap.topic, cap.topic),
        )
    )


class TestCaps:
    def test_eight_workers_never_exceed_one_by_one(self, make: Make) -> None:
        """Everything is due to a few shoppers at once, and all workers look at all of it (P5)."""
        shop = make(OFTEN, policy=Policy(topics=TOPICS, caps=CAPS))
        shoppers, views = 6, 5
        for number in range(shoppers):
            shop.drain(*[view(product=f"p{n}", who=who(number)) for n in range(views)])
        workers = [Deliverer(shop.shell, 4) for _ in range(8)]
        together = threading.Barrier(len(workers))

        def work(number: int) -> int:
            together.wait()
            sent = 0
            for turn in range(3 * SHARDS):
                sent += workers[number].deliver((number + turn) % SHARDS).sent
            return sent

        try:
            with ThreadPoolExecutor(len(workers)) as pool:
                sent = sum(pool.map(work, range(len(workers))))
        finally:
            for worker in workers:
                worker.close()
        sent += shop.deliver().sent  # what all of them had left to another
        for cap in CAPS:
            assert went(shop, cap) == cap.messages, cap
        # Receipts are not counted, and not held back.
        assert shop.one("select count(*) from message where topic = 'orders'") == shoppers * views
        assert sent == shoppers * (4 + views)
        assert len(shop.email.handed) + len(shop.sms.handed) == sent
        assert shop.one("select count(*) from message where status = 'due'") == 0
        refused = counted(shop)
        assert {code for code, _ in refused} <= {"cap.all", "cap.channel", "cap.topic"}
        # Each message that did not go was counted once.
        assert sum(refused.values()) == shoppers * (5 * views) - sent

    def test_the_window_of_a_topic_rolls(self, make: Make) -> None:
        policy = Policy(topics=TOPICS, caps=(Cap(1, DAY, topic="news"),))
        news = journey(
            {**send(template="news"), "topic": "news"}, name="news", key="event.product_id",
            again=Again("always"),
        )  # fmt: skip
        shop = make(news, NOW, policy=policy)
        shop.drain(view(product="p1", who=who(1)))
        assert shop.deliver().sent == 2  # news and an offer
        shop.drain(view(at(hours=23.99), product="p2", who=who(1)))
        assert shop.deliver().sent == 1  # the offer
        shop.drain(view(at(hours=24), product="p3", who=who(1)))
        assert shop.deliver().sent == 2
        assert counted(shop) == {("cap.topic", False): 1}

    def test_the_last_slot_of_a_topic_is_for_the_higher_priority(self, make: Make) -> None:
        low = journey({**send(template="low"), "topic": "news"}, name="low")
        high = dataclasses.replace(
            journey({**send(template="high"), "topic": "news"}, name="high"), priority=10
        )
        shop = make(low, high, policy=Policy(topics=TOPICS, caps=(Cap(1, DAY, topic="news"),)))
        shop.drain(view(who=who(1)))
        assert shop.deliver().sent == 1
        assert [(t, s) for t, s, _ in shop.messages()] == [("high", "sent"), ("low", "skipped")]
        assert counted(shop, journey="low") == {("cap.topic", False): 1}
        assert counted(shop, journey="high") == {}

    def test_none_means_none(self, make: Make) -> None:
        shop = make(NOW, policy=Policy(topics=TOPICS, caps=(Cap(0, DAY, topic="offers"),)))
        shop.drain(view(who=who(1)))
        assert shop.deliver().sent == 0
        assert counted(shop) == {("cap.topic", False): 1}


class TestRefusals:
    def sunday(self, make: Make, *journeys: Any) -> Pipeline:
        """A French shopper is due a text message on a Sunday at noon."""
        policy = Policy(topics=TOPICS, rules=FRANCE)
        shop = make(*(journeys or (journey(send("sms", "offer")),)), policy=policy)
        shop.drain(view(at(days=6), who=("user:1", f"phone:{FRENCH}")))  # T0 is a Monday at nine
        return shop

    def test_a_message_that_waited_was_counted_although_it_went(self, make: Make) -> None:
        shop = self.sunday(make)
        assert shop.deliver().sent == 0
        (row,) = shop.rows("select status, reason, due_at from message")
        monday = T0 + timedelta(days=7, hours=-2)  # eight in Paris
        assert row == ("due", "quiet hours of France", monday)
        assert shop.at(monday - timedelta(seconds=1)).deliver().seen == 0
        assert shop.at(monday).deliver().sent == 1
        assert shop.messages() == [("offer", "sent", "")]
        assert counted(shop) == {("quiet.law.fr", True): 1}

    def test_one_that_its_step_gives_up(self, make: Make) -> None:
        shop = self.sunday(make, journey({**send("sms", "offer"), "when_quiet": "skip"}))
        assert shop.deliver().sent == 0
        assert counted(shop) == {("quiet.law.fr", False): 1}

    def test_without_an_address_or_a_provider(self, make: Make) -> None:
        shop = make(journey(send("sms", "offer"), send("email", "offer")))
        shop.shell.channels = {"email": shop.email}
        shop.drain(view(who=("user:1", "anonymous:a")))
        assert shop.deliver().failed == 2
        assert counted(shop) == {("address.missing", False): 1, ("provider.missing", False): 1}

    @pytest.mark.parametrize(
        "rule, code, waits",
        [("skip", "overdue", False), ("next window", "overdue.window", True)],
    )
    def test_a_step_that_comes_too_late_counts_too(
        self, make: Make, rule: Any, code: str, waits: bool
    ) -> None:
        """Winback was down, so the step is not even come to in time: the gate sees nothing."""
        late = {**send("sms", "offer"), "overdue": Overdue(rule, timedelta(hours=1))}
        shop = make(journey(wait(hours=2), late))
        shop.drain(view(who=who(1)))
        shop.at(at(days=1)).wake()
        assert counted(shop) == {(code, waits): 1}
        with shop.database.connection() as connection:
            (count,) = refusals_store.counts(connection, T0, "UTC")
        assert count[1:4] == ("left-behind", "steps/1", "sms")

    def test_by_day_of_the_shop_and_step(self, make: Make) -> None:
        quiet = {"email": QuietHours(time(8), time(12))}
        shop = make(NOW, policy=Policy(topics=TOPICS, quiet_hours=quiet))
        shop.drain(*[view(product=f"p{n}", who=who(n)) for n in range(3)])
        assert shop.deliver().sent == 0
        with shop.database.connection() as connection:
            for zone, day in (("UTC", "2026-03-02"), ("Pacific/Honolulu", "2026-03-01")):
                (count,) = refusals_store.counts(connection, T0, zone)
                assert count.day.isoformat() == day
                assert count[1:] == ("left-behind", "steps/0", "email", "quiet.shop", True, 3, 3)
            assert refusals_store.counts(connection, at(seconds=1), "UTC") == []

    def test_they_go_along_when_profiles_merge(self, make: Make) -> None:
        shop = self.sunday(make)
        assert shop.deliver().sent == 0
        shop.drain(view(at(days=6), product="x", who=("user:2",)))
        shop.drain(event("Page", at(days=6), who=("user:2", f"phone:{FRENCH}")))
        (profile,) = {row[0] for row in shop.rows("select profile_id from message")}
        with shop.database.connection() as connection:
            found = refusals_store.of_profile(connection, profile)
        assert [(each.code, each.waits) for each in found] == [("quiet.law.fr", True)]

    def test_what_the_fence_holds_is_not_counted(self, make: Make) -> None:
        shop = self.sunday(make)
        shop.accept(event("Page", at(days=6), who=("user:1",)))
        assert shop.deliver().sent == 0
        assert counted(shop) == {}


class TestCommand:
    @pytest.fixture
    def run(self, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        shop = make(
            journey(send("sms", "offer"), name="often"),
            policy=Policy(shop=Shop(timezone="Asia/Karachi"), topics=TOPICS, rules=FRANCE),
        )
        shop.drain(view(at(days=6), who=("user:1", f"phone:{FRENCH}")))
        shop.deliver()
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "winback.yaml").write_text("shop: {timezone: Asia/Karachi}")
        (tmp_path / "journeys").mkdir()
        monkeypatch.setenv("DATABASE_URL", shop.database.url)
        monkeypatch.setenv("WINBACK_HOME", str(tmp_path / "var"))
        monkeypatch.setenv("COLUMNS", "200")
        return lambda *words: CliRunner().invoke(
            group, ["--project-dir", str(tmp_path), *words], catch_exceptions=False
        )

    def test_for_a_program(self, run: Any) -> None:
        told = run("refusals", "--since", "2026-03-01", "--json")
        assert told.exit_code == 0, told.output
        found = json.loads(told.stdout)
        assert found["timezone"] == "Asia/Karachi"
        assert found["refusals"] == [
            {
                "day": "2026-03-08",
                "journey": "often",
                "step": "steps/0",
                "channel": "sms",
                "code": "quiet.law.fr",
                "waits": True,
                "refusals": 1,
                "messages": 1,
                "meaning": "quiet hours of FR",
            }
        ]

    def test_for_a_person(self, run: Any) -> None:
        told = run("refusals", "--since", "2026-03-01", "--journey", "often")
        assert "quiet.law.fr" in told.stdout and "waits" in told.stdout
        assert run("refusals", "--since", "2026-03-09").stdout == "Nothing was refused.\n"
        assert "Nothing" in run("refusals", "--since", "2026-03-01", "--journey", "x").stdout

    def test_a_time_that_is_none_is_wrong_usage(self, run: Any) -> None:
        told = run("refusals", "--since", "yesterday")
        assert told.exit_code == 2
        assert "--since" in told.output

    def test_explain_tells_it_in_the_same_words(self, run: Any) -> None:
        told = run("explain", FRENCH)
        assert "clocks: Europe/Paris, by the phone number" in told.stdout
        assert "2026-03-08 09:00:00  waits: quiet hours of FR [quiet.law.fr]" in told.stdout
        found = json.loads(run("explain", FRENCH, "--json").stdout)
        assert found["clocks"] == {"zones": ["Europe/Paris"], "by": "phone"}
        refusals = found["runs"][0]["messages"][0]["refusals"]
        assert [(each["code"], each["waits"]) for each in refusals] == [("quiet.law.fr", True)]
