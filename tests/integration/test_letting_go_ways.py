"""Every way off the lists, and back: through the real drains and workers, at two platforms."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.runtime import shelf
from engine.runtime.segments.files import SegmentFiles
from engine.store import outcomes as outcomes_store
from tests.integration.ad_kit import h
from tests.integration.bench_kit import work
from tests.integration.two_lists_kit import LISTS, MAIL, World, two_lists
from workers import jobs
from workers.clock import Ticker

BACK = """
journey: come-again
trigger: {event: Order Refunded}
stop: {event: Order Completed}
steps:
  - audience: {add: google/left-behind}
  - wait: 30 days
"""
LOOKERS = """
segment: lookers
who:
  - did: Product Viewed
    within: 7 days
  - any: [{did not: Order Completed}, {did: Order Refunded}]
"""


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    with two_lists(tmp_path, database_url, redis_url) as made:
        yield made


@pytest.fixture
def listed(world: World) -> World:
    """The shopper left a product behind and is on both lists."""
    world.happens("Identify", email=MAIL)
    world.happens("Product Viewed")
    world.look()
    assert world.lists == ({h(MAIL)}, {h(MAIL)})
    return world


def fed_by_segment(world: World) -> World:
    (world.project / "journeys/left-behind.yaml").unlink()
    (world.project / "config/segments/lookers.yaml").write_text(LOOKERS)
    (world.project / "config/winback.yaml").write_text(LISTS % {"segment": ", segment: lookers"})
    jobs.bench.cache_clear()
    bench = jobs.bench()
    shell = bench.shell
    SegmentFiles(shell.database, shell.clock, shell.policy, world.project).look()
    world.bench = bench
    for _ in range(3):
        bench.queue.segments()
        world.look()
    return world


def test_the_purchase_takes_off_every_list_at_once(listed: World) -> None:
    listed.happens("Order Completed")
    assert listed.lists == (set(), set())
    assert {why for _, why in listed.reasons} == {"stopped"}


def test_a_refund_puts_nobody_back_unless_something_says_so(listed: World) -> None:
    listed.happens("Order Completed")
    listed.happens("Order Refunded")
    listed.look()
    assert listed.lists == (set(), set())


def test_a_refund_puts_back_where_a_journey_begins_with_it(
    listed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "EVERY", 0.0)
    (listed.project / "journeys/come-again.yaml").write_text(BACK)
    listed.happens("Order Completed")
    listed.happens("Order Refunded")
    deadline = datetime.now(UTC) + timedelta(seconds=20)
    while listed.lists[0] != {h(MAIL)} and datetime.now(UTC) < deadline:
        listed.look()  # Google says a second later that it is done with the removal
    assert listed.lists == ({h(MAIL)}, set()), "on the list that the journey names"
    listed.happens("Order Completed")
    assert listed.lists == (set(), set())


def test_a_refund_puts_back_where_the_segment_s_rule_lets_it(world: World) -> None:
    fed_by_segment(world)
    world.happens("Identify", email=MAIL)
    world.happens("Product Viewed")
    world.look()
    assert world.lists[0] == {h(MAIL)}
    world.happens("Order Completed")
    assert world.lists[0] == set()
    world.happens("Order Refunded")
    deadline = datetime.now(UTC) + timedelta(seconds=20)
    while world.lists[0] != {h(MAIL)} and datetime.now(UTC) < deadline:
        world.look()
    assert world.lists[0] == {h(MAIL)}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Consent Withdrawn", {"channel": "ads"}),
        ("Consent Withdrawn", {"channel": "ads", "topic": "ad_user_data"}),
        ("Consent Withdrawn", {"channel": "ads", "topic": "ad_personalization"}),
        ("Identify", {"consent": {"ads": False}}),
        ("Identify", {"consent": {"ads": {"ad_personalization": False}}}),
    ],
    ids=["all of it", "user data", "personalization", "identify", "identify, personalization"],
)
def test_who_takes_back_consent_to_ads_is_off_every_list_at_once(
    listed: World, name: str, said: dict[str, Any]
) -> None:
    listed.happens(name, **said)  # no clock, no look
    assert listed.lists == (set(), set())
    assert {why for _, why in listed.reasons} == {"consent"}
    assert not listed.bench.pusher.letting_go(), "nobody asks for ever"


def test_a_yes_that_follows_puts_back(listed: World) -> None:
    listed.happens("Consent Withdrawn", channel="ads")
    listed.happens("Consent Given", channel="ads")
    deadline = datetime.now(UTC) + timedelta(seconds=20)
    while listed.lists != ({h(MAIL)}, {h(MAIL)}) and datetime.now(UTC) < deadline:
        listed.look()
    assert listed.lists == ({h(MAIL)}, {h(MAIL)})


def test_no_to_mails_is_no_word_about_ads(listed: World) -> None:
    listed.happens("Consent Withdrawn", channel="email")
    listed.look()
    assert listed.lists == ({h(MAIL)}, {h(MAIL)})


def test_whose_address_is_suppressed_is_off_with_the_next_tick(listed: World) -> None:
    with listed.bench.shell.database.connection() as connection:
        now = datetime.now(UTC)
        outcomes_store.suppress(connection, [(f"email:{MAIL}", "email", "complained")], now)
    assert Ticker(listed.bench.shell, listed.bench.queue).tick()
    assert listed.bench.queue.queue.job_ids[0] == "removals"
    work(listed.bench)
    assert listed.lists == (set(), set())
    assert {why for _, why in listed.reasons} == {"suppressed"}


def test_two_who_turn_out_to_be_one_stay_once_and_go_together(world: World) -> None:
    """On a list that a segment feeds, known by a cookie's cart and by the account."""
    fed_by_segment(world)
    one, other = ("user:1", "email:a@shop.example.org"), ("email:b@shop.example.org", "cart:9")
    for who, mail in ((one, "a@shop.example.org"), (other, "b@shop.example.org")):
        world.happens("Identify", who, email=mail)
        world.happens("Product Viewed", who)
    world.look()
    both = {h("a@shop.example.org"), h("b@shop.example.org")}
    assert world.lists[0] == both
    # One event ties them, through a whole drain.
    world.happens("Product Viewed", ("user:1", "cart:9"))
    world.look()
    assert world.sql("select count(*) from profile") == [(1,)]
    assert world.sql("select count(*), bool_and(wanted) from audience_member") == [(1, True)]
    assert world.lists[0] <= both and world.lists[0], "one of them at least stays known"
    world.happens("Order Completed", ("cart:9",))
    assert world.lists[0] == set(), "bought as one: nothing of the other is left"
    assert not world.bench.pusher.letting_go()


def test_a_list_that_no_rule_has_fed_any_longer_is_fed_no_longer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed_by_segment(world)
    world.happens("Identify", email=MAIL)
    world.happens("Product Viewed")
    world.look()
    assert world.lists[0] == {h(MAIL)}
    monkeypatch.setattr(shelf, "EVERY", 0.0)
    ticker = Ticker(world.bench.shell, world.bench.queue)
    assert ticker.tick()
    ticker.audiences()
    ticker.audiences()
    assert world.sql("select audience from audience_feed") == [("google/left-behind",)]
    (world.project / "config/winback.yaml").write_text(LISTS % {"segment": ""})
    ticker.audiences()
    assert world.sql("select count(*) from audience_feed") == [(1,)], "it may have read too early"
    ticker.audiences()
    assert world.sql("select count(*) from audience_feed") == [(0,)]
    work(world.bench)
    world.look()
    assert world.lists[0] == set(), "the segment's members come off"
    world.happens("Product Viewed", ("user:5", "email:five@shop.example.org"))
    assert world.sql("select count(*) from audience_moved") == [(0,)], "nobody would read it"
