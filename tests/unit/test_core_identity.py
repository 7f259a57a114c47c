"""Who is who: identifiers to profiles."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.identity import Resolution, resolve
from engine.core.ids import profile_id
from engine.model.event import Event, EventKind
from tests.unit.core.build import event

A, B, E = 1, 2, 3


def said(*who: str, kind: EventKind = "track") -> Event:
    return event("Page", who=who, kind=kind)


def found(
    events: list[Event], known: dict[str, int] | None = None, **accounts: set[str]
) -> Resolution:
    """``accounts`` by profile: ``_1={"user:a"}``."""
    return resolve(events, known or {}, {int(name[1:]): users for name, users in accounts.items()})


class TestNewAndKnown:
    def test_new(self) -> None:
        result = found([said("user:a", "anonymous:x")])
        id = profile_id("user:a")
        assert result.profiles == [id]
        assert result.created == {id: "user:a"}
        assert result.assigned == {"user:a": id, "anonymous:x": id}
        assert result.merged == {}

    def test_known(self) -> None:
        result = found([said("user:a", "anonymous:x")], {"anonymous:x": A})
        assert result.profiles == [A]
        assert (result.created, result.assigned) == ({}, {"user:a": A})

    def test_known_by_all_of_them_changes_nothing(self) -> None:
        result = found([said("user:a", "anonymous:x")], {"user:a": A, "anonymous:x": A})
        assert result == Resolution(profiles=[A])

    def test_the_same_newcomer_twice(self) -> None:
        result = found([said("anonymous:x"), said("anonymous:x")])
        assert result.profiles == [profile_id("anonymous:x")] * 2
        assert len(result.created) == 1

    def test_an_id_that_somebody_else_has_is_stepped_past(self) -> None:
        taken = profile_id("user:a")
        result = resolve([said("user:a")], {}, {}, {taken})
        assert result.profiles == [profile_id("user:a", 1)]
        again = resolve([said("user:a")], {}, {}, {taken, profile_id("user:a", 1)})
        assert again.profiles == [profile_id("user:a", 2)]


class TestMerge:
    def test_by_email_phone_and_cart(self) -> None:
        for shared in ("email:a@b.de", "phone:+4930123456", "cart:c1"):
            result = found([said("user:a", shared)], {"user:a": A, shared: B}, _1={"user:a"})
            assert (result.profiles, result.merged) == ([A], {B: A})
            assert result.final(B) == A

    def test_by_cookie(self) -> None:
        result = found([said("user:a", "anonymous:x")], {"user:a": A, "anonymous:x": B})
        assert (result.profiles, result.merged) == ([A], {B: A})

    def test_the_account_is_the_one_that_stays(self) -> None:
        result = found(
            [said("email:a@b.de", "anonymous:x")],
            {"email:a@b.de": A, "anonymous:x": B},
            _2={"user:b"},
        )
        assert result.merged == {A: B}

    def test_two_accounts_with_one_address_are_one_person(self) -> None:
        result = found(
            [said("user:a", "email:x@y.de")],
            {"user:a": A, "email:x@y.de": B},
            _1={"user:a"},
            _2={"user:b"},
        )
        assert result.merged == {B: A}

    def test_three_at_once(self) -> None:
        known = {"user:a": A, "email:a@b.de": B, "cart:c": E}
        result = found([said("user:a", "email:a@b.de", "cart:c")], known, _1={"user:a"})
        assert result.merged == {B: A, E: A}

    def test_alias(self) -> None:
        result = found(
            [said("user:a", "anonymous:x", kind="alias")],
            {"user:a": A, "anonymous:x": B},
            _1={"user:a"},
            _2={"user:b"},
        )
        assert (result.profiles, result.merged) == ([A], {B: A})

    def test_a_newcomer_born_in_the_batch_takes_in_a_known_one(self) -> None:
        new = profile_id("user:a")
        result = found([said("user:a"), said("user:a", "email:a@b.de")], {"email:a@b.de": E})
        assert (result.profiles, result.merged) == ([new, new], {E: new})
        assert result.created == {new: "user:a"}

    def test_one_born_and_merged_in_the_batch_never_was(self) -> None:
        events = [said("anonymous:x"), said("user:a", "anonymous:x")]
        result = found(events, {"user:a": A}, _1={"user:a"})
        assert (result.profiles, result.created) == ([A, A], {})
        assert result.assigned == {"anonymous:x": A}

    def test_a_chain_in_one_batch(self) -> None:
        known = {"anonymous:x": A, "cart:c": B, "email:a@b.de": E}
        events = [
            said("cart:c", "anonymous:x"),
            said("email:a@b.de", "cart:c"),
            said("anonymous:x"),
        ]
        result = found(events, known)
        assert len(set(result.profiles)) == 1
        (kept,) = set(result.profiles)
        gone = {A, B, E} - {kept}
        assert {result.final(id) for id in gone} == {kept}

    def test_early_events_of_the_batch_learn_what_late_ones_say(self) -> None:
        events = [said("anonymous:x"), said("email:a@b.de"), said("email:a@b.de", "anonymous:x")]
        assert len(set(found(events).profiles)) == 1


class TestSharedBrowser:
    def test_a_second_account_takes_the_cookie_and_stays_apart(self) -> None:
        result = found(
            [said("user:b", "anonymous:x"), said("anonymous:x")],
            {"anonymous:x": A},
            _1={"user:a"},
        )
        b = profile_id("user:b")
        assert (result.profiles, result.merged) == ([b, b], {})
        assert result.assigned == {"user:b": b, "anonymous:x": b}

    def test_it_goes_back_with_the_first(self) -> None:
        known = {"user:a": A, "user:b": B, "anonymous:x": B}
        events = [said("user:a", "anonymous:x"), said("anonymous:x")]
        result = found(events, known, _1={"user:a"}, _2={"user:b"})
        assert (result.profiles, result.merged) == ([A, A], {})
        assert result.assigned == {"anonymous:x": A}

    def test_within_one_batch(self) -> None:
        events = [said("user:a", "anonymous:x"), said("user:b", "anonymous:x")]
        result = found(events)
        assert result.profiles == [profile_id("user:a"), profile_id("user:b")]
        assert result.assigned["anonymous:x"] == profile_id("user:b")

    def test_an_address_with_the_second_account_moves_it_too(self) -> None:
        known = {"email:b@b.de": B, "anonymous:x": A}
        result = found([said("user:b", "email:b@b.de", "anonymous:x")], known, _1={"user:a"})
        assert (result.profiles, result.merged) == ([B], {})

    def test_the_same_account_is_no_stranger(self) -> None:
        known = {"user:a": A, "anonymous:x": B}
        result = found([said("user:a", "anonymous:x")], known, _1={"user:a"}, _2={"user:a"})
        assert result.merged == {B: A}


names = st.sampled_from(
    [f"{kind}:{n}" for kind in ("user", "email", "phone", "cart", "anonymous") for n in range(3)]
)
ORDER = ("user", "email", "phone", "cart", "anonymous")


@st.composite
def batches(draw: st.DrawFn) -> list[Event]:
    events = []
    for _ in range(draw(st.integers(1, 12))):
        who = sorted(
            draw(st.lists(names, min_size=1, max_size=4, unique=True)),
            key=lambda name: ORDER.index(name.partition(":")[0]),
        )
        kind: EventKind = draw(st.sampled_from(["track", "track", "alias"]))
        events.append(said(*who, kind=kind))
    return events


def _apply(events: list[Event], cuts: list[int]) -> tuple[dict[str, int], dict[int, str]]:
    """Work ``events`` in batches cut at ``cuts``; gives the identity table and the profiles."""
    where: dict[str, int] = {}
    alive: dict[int, str] = {}
    edges = [0, *sorted(cuts), len(events)]
    for start, end in pairwise(edges):
        batch = events[start:end]
        known = {n: where[n] for e in batch for n in e.identifiers if n in where}
        accounts = {
            id: {n for n, p in where.items() if p == id and n.startswith("user:")}
            for id in set(known.values())
        }
        result = resolve(batch, known, accounts)
        alive.update(result.created)
        where.update(result.assigned)
        for gone in result.merged:
            alive.pop(gone, None)
        for name, id in where.items():
            where[name] = result.final(id)
        assert all(id in alive for id in result.profiles)
        assert not set(result.created) & set(result.merged)
    return where, alive


@given(batches(), st.lists(st.integers(0, 12), max_size=4))
@settings(deadline=None, max_examples=300)
def test_however_it_is_cut_into_batches(events: list[Event], cuts: list[int]) -> None:
    """Every identifier leads to a profile that lives, and the cuts decide nothing about who is
    one with whom."""
    cut, alive = _apply(events, [min(c, len(events)) for c in cuts])
    whole, _ = _apply(events, [])
    assert set(cut) == {name for e in events for name in e.identifiers}
    assert set(cut.values()) <= set(alive)
    assert _groups(cut) == _groups(whole)


def _groups(where: dict[str, int]) -> set[frozenset[str]]:
    found: dict[int, set[str]] = {}
    for name, id in where.items():
        found.setdefault(id, set()).add(name)
    return {frozenset(group) for group in found.values()}
