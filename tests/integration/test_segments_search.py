"""A search through everybody, by column: it writes what the drains wrote, shopper by shopper, both
who is in and when to look again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine.core.segments import judge
from engine.model.event import Event
from engine.runtime.segments import leg, load
from engine.runtime.segments import search as searching
from engine.runtime.segments.batch import Batch
from engine.store import lanes as lanes_store
from engine.store import segment_desk, versions
from engine.store.database import Database
from tests.integration.runtime_kit import Make, Pipeline, module_database, pipelines
from tests.integration.segment_kit import Segments
from tests.unit.core.build import T0, event, view

RULES: dict[str, Any] = {
    "viewed": {"did": "Product Viewed", "within": "7 days"},
    "often": {"did": "Product Viewed", "times": "2 to 3", "longer ago than": "1 day"},
    "dear": {"did": "Product Viewed", "if": "event.price > 15", "within": "5 days"},
    "odd": {"did": "Product Viewed", "if": "event.price > profile.limit"},
    "one": {"did": "Order Completed", "if": '"p7" in event.product_ids'},
    "spent": {"did": "Order Completed", "sum of": "event.revenue", "is": "more than 30"},
    "mean": {"did": "Order Completed", "average of": "event.revenue", "is": "at most 20",
             "within": "6 days"},
    "gone": {"all": [{"did": "Product Viewed"}, {"did not": "Order Completed"}]},
    "last": {"last": "Order Completed", "longer ago than": "2 days"},
    "gold": {"any": [{"if": 'profile.tier == "gold"'}, {"lives in": {"country": ["GB"]}}]},
    "often-two": {"if": 'count("Product Viewed", within="3 days") >= 2'},
    "ends": {"date": "profile.ends", "in the next": "3 days"},
    "yes": {"consent": "email", "topic": "offers"},
    "none": {"consent": "sms", "says": "nothing"},
    "scored": {"rfm": {"recency": "at least 3", "monetary": "at least 2"}},
    "some": {"all": [{"random": "40%"}, {"not": {"in segment": "other"}}]},
    "vip": {"not": {"on list": "vip"}},
}  # fmt: skip
PEOPLE = 60


@pytest.fixture(scope="module")
def database(postgres_url: str, _template: str) -> Iterator[Database]:
    with module_database(postgres_url, _template) as found:
        yield found


@pytest.fixture
def make(database: Database) -> Iterator[Make]:
    with pipelines(database) as found:
        yield found


@pytest.fixture
def shop(make: Make) -> Pipeline:
    return make()


def life(n: int) -> list[Event]:
    """Something of everything, of another kind for each shopper."""
    who = [f"user:{n}"]
    prices = [Decimal(n), str(n), None, "abc", f" {n}.50 ", True, 10**20, Decimal("0.123456789")]
    found = [
        event("Product Viewed", T0 + timedelta(hours=n * k), who=who, price=prices[(n + k) % 8])
        for k in range(n % 5)
    ]
    found += [
        event("Order Completed", T0 + timedelta(hours=7 * n % 90 + k), who=who, currency="USD",
              revenue=Decimal(n) / 3 if n % 7 == 0 else Decimal(10 * k + n),
              products=[{"product_id": f"p{n % 9}"}])
        for k in range(n % 3)
    ]  # fmt: skip
    traits = {"tier": "gold"} if n % 4 == 0 else {"country": "GB", "limit": 5, "tier": None}
    traits |= {"ends": "2026-03-10"} if n % 5 == 0 else {}
    found.append(event("Identify", T0, kind="identify", who=who, **traits))
    if n % 3:
        for k, word in enumerate(["Given", "Withdrawn"][: n % 3]):
            at = T0 + timedelta(hours=k)
            topic = "*" if n % 2 else "offers"
            found.append(event(f"Consent {word}", at, who=who, channel="email", topic=topic))
    return found


def rows(shop: Pipeline) -> list[Any]:
    return shop.rows(
        "select segment, profile_id, member, look_at from segment_member"
        " where member or look_at is not null order by 1, 2"
    )


def search_anew(shop: Pipeline, names: list[str]) -> None:
    with shop.database.connection() as connection:
        segment_desk.search_anew(connection, names, quiet=True)


@pytest.mark.parametrize(("batch", "threads"), [(500, 1), (7, 3), (1, 2)])
def test_a_search_mends_all_that_was_lost(shop: Pipeline, batch: int, threads: int) -> None:
    segments = Segments(shop)
    with shop.database.connection() as connection:
        segment_desk.keep_lists(connection, {"vip": {f"user:{n}" for n in range(0, PEOPLE, 6)}})
    for n in range(PEOPLE):
        shop.drain(*life(n))
    names = [name.replace("_", "-") for name in RULES]
    segments.put(fill=False, **RULES)
    searching.measure(shop.shell)
    segments.fill(batch)
    kept = rows(shop)
    assert {row[0] for row in kept if row[2]} == set(names), "each has a member"
    shop.run_sql("delete from segment_member where profile_id %% 3 = 0")
    shop.run_sql("update segment_member set member = not member where profile_id %% 3 = 1")
    shop.run_sql("update segment_member set look_at = null where profile_id %% 3 = 2")
    search_anew(shop, names)
    done = searching.search(shop.shell, batch, seconds=60, threads=threads)
    assert (done.seen, done.place) == (PEOPLE, None)
    assert rows(shop) == kept
    # And one by one, as the judge says it.
    for name, profile, member, look_at in kept:
        verdict = judged(shop, name, profile)
        assert verdict == (member, look_at), (name, profile)


def judged(shop: Pipeline, name: str, profile: int) -> tuple[bool, Any]:
    with shop.database.connection() as connection:
        book = shop.shell.segments.book(connection)
        mine = versions.profiles(connection, [profile])
        subject = load.subjects(connection, book, [name], mine, shop.clock.now())[profile]
        held = book.held[name]
        verdict = judge(
            held.segment.rule, subject, shop.clock.now(), held.segment.setting, held.scale
        )
    return tuple(verdict)


def test_a_search_begun_anew_meanwhile_is_not_cut_short(shop: Pipeline) -> None:
    segments = Segments(shop)
    shop.drain(*life(1), *life(2))
    segments.put(fill=False, it=RULES["viewed"])
    with shop.database.connection() as one:
        found = segment_desk.take_search(one)
        assert found is not None and found.place == -1
        assert searching.search(shop.shell).busy, "one at a time"
        search_anew(shop, ["it"])
        segment_desk.searched(one, found, found.place, None, shop.clock.now())
    assert shop.rows("select place from segment") == [(-1,)]
    assert segments.fill().seen == 2


def met(shop: Pipeline) -> None:
    """Everybody lived as two, a visitor and an account, who turn out to be one; some are three."""
    for n in range(PEOPLE):
        for place, one in enumerate(life(n)):
            names = (f"user:{n}", f"anonymous:{n}", f"cart:{n}")
            shop.drain(msgspec.structs.replace(one, identifiers=(names[place % 3],)))
    for n in range(PEOPLE):
        names = [f"user:{n}", f"anonymous:{n}", f"cart:{n}"][: 2 + n % 2]
        shop.drain(event("Identify", T0 + timedelta(days=8), kind="identify", who=names))


def put(shop: Pipeline) -> list[str]:
    """Put all rules into force and decide about everybody; gives their names."""
    with shop.database.connection() as connection:
        segment_desk.keep_lists(connection, {"vip": {f"user:{n}" for n in range(0, PEOPLE, 6)}})
    segments = Segments(shop)
    segments.put(fill=False, **RULES)
    searching.measure(shop.shell)
    segments.fill()
    return [name.replace("_", "-") for name in RULES]


def all_as_judged(shop: Pipeline, names: list[str]) -> None:
    standing = {(name, profile): (member, at) for name, profile, member, at in rows(shop)}
    people = [row[0] for row in shop.rows("select id from profile")]
    assert {profile for _, profile in standing} <= set(people), "nobody who is gone"
    for name in names:
        for profile in people:
            told = standing.get((name, profile), (False, None))
            assert told == judged(shop, name, profile), (name, profile)


def test_shoppers_who_were_several_are_decided_as_one(shop: Pipeline) -> None:
    names = put(shop)
    met(shop)
    shoppers = shop.one("select count(*) from profile")
    assert PEOPLE < shoppers < 2 * PEOPLE, "some became one, and some did not"
    while Segments(shop).look().looked:
        pass
    kept = rows(shop)  # as the drains that merged them left it
    search_anew(shop, names)
    assert Segments(shop).fill(7).seen == shoppers
    assert rows(shop) == kept
    all_as_judged(shop, names)


@pytest.mark.parametrize(
    "lost",
    [
        "name = 'Order Completed'",
        "profile_id %% 2 = 0",
        "time > '2026-03-03'",
        "name = 'Product Viewed' and profile_id %% 3 <> 0",
        "true",
    ],
    ids=["a-name", "of-some-all", "the-late", "of-some-a-name", "all"],
)
def test_events_that_were_deleted_count_no_more(shop: Pipeline, lost: str) -> None:
    met(shop)
    names = put(shop)
    before = rows(shop)
    there = shop.one("select count(*) from event")
    shop.run_sql(f"delete from event where {lost}")
    with shop.database.connection() as connection:
        gone = there - shop.one("select count(*) from event")
        lanes_store.count(connection, "test", {"erased": gone})
    search_anew(shop, names)
    Segments(shop).fill(7)
    assert rows(shop) != before
    all_as_judged(shop, names)


class Held:
    """Stops each batch of a search once it has locked its shoppers, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.locked = threading.Semaphore(0)
        self._go = threading.Semaphore(0)
        self.ids: list[list[int]] = []
        held = self

        class Slow(Batch):
            def decide(self, ids: Any, behind: int, wanted: Any) -> None:
                held.ids.append([int(one) for one in ids])
                held.locked.release()
                assert held._go.acquire(timeout=30)
                super().decide(ids, behind, wanted)

        monkeypatch.setattr(leg, "Batch", Slow)

    def next(self) -> None:
        """Let the batch go; the search then stands at the next."""
        self._go.release()
        assert self.locked.acquire(timeout=30)

    def end(self) -> None:
        self._go.release(1000)


def waiting(shop: Pipeline) -> int:
    """How many transactions wait for a lock of another."""
    return int(
        shop.one(
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and wait_event_type = 'Lock'"
        )
    )


def test_an_event_waits_for_one_batch_of_a_search_and_no_longer(
    shop: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments = Segments(shop)
    shop.drain(*(view(T0, who=(f"user:{n}",)) for n in range(PEOPLE)))
    segments.put(fill=False, it={"did": "Product Viewed", "times": "at least 2"})
    batches = Held(monkeypatch)
    names = dict(shop.rows("select profile_id, identifier from identity"))
    later = shop.clock.now() + timedelta(minutes=1)

    def look_again(profile: int) -> None:
        shop.drain(view(later, who=(names[profile],)))

    with ThreadPoolExecutor(2) as pool:
        search = pool.submit(searching.search, shop.shell, 10, seconds=60)
        try:
            assert batches.locked.acquire(timeout=30)
            first = batches.ids[0]
            # Who is in another batch does not wait at all.
            look_again(next(id for id in sorted(names) if id > first[-1]))
            assert not search.done() and len(batches.ids) == 1

            # Who is in this one waits, until it is over: the next stands when they are through.
            drained = pool.submit(look_again, first[0])
            while not waiting(shop):
                assert not drained.done()
            batches.next()
            drained.result(timeout=30)
            assert not search.done() and len(batches.ids) == 2
            # Who has been searched is in as soon as the event is worked.
            assert first[0] in segments.members()
        finally:
            batches.end()
        assert search.result(timeout=30).seen == PEOPLE
    assert len(segments.members()) == 2
