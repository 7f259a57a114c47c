"""What must hold of the core whatever happens: ids, replays, order of arrival, doubles, stops."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from random import Random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.ids import derive, percentile, profile_id
from engine.model.event import Event
from engine.model.journey import Again, Journey
from tests.unit.core.build import (
    CLICK,
    ORDER,
    VIEW,
    Play,
    at,
    audience,
    branch,
    event,
    journey,
    leave,
    play,
    send,
    split,
    stop,
    update,
    wait,
    wait_for,
)

PRODUCTS = ["p1", "p2"]

JOURNEYS: list[Journey] = [
    journey(
        wait(hours=2),
        send(template="left-1"),
        wait_for(CLICK, days=1, then=[leave("came back")]),
        branch(
            ('count("Product Viewed", within="2 days") >= 3', [send("sms", "left-busy")]),
            (None, [split((50, "a", [send(template="left-a")]), (50, "b", []))]),
        ),
        update(left="= profile.orders"),
        audience("add"),
        name="left",
        key="event.product_id",
        again=Again("after", timedelta(days=3)),
        stops=[stop(if_="key in event.product_ids", goal=True), stop("Unsubscribed")],
    ),
    journey(
        wait(days=1),
        send(template="back"),
        name="back",
        trigger=ORDER,
        again=Again("always"),
        stops=[stop()],
    ),
    journey(
        send(template="once"),
        wait_for(ORDER, hours=30, otherwise=[send(template="nothing")]),
        name="once",
        if_="not bought(event.product_id)",
        stops=[stop("Unsubscribed")],
    ),
]


@st.composite
def histories(draw: st.DrawFn, hours: int = 24 * 8, size: int = 14) -> list[Event]:
    """Events of one shopper in order of their own time, some at the same time."""
    made = []
    for number in range(draw(st.integers(1, size))):
        name = draw(st.sampled_from([VIEW, VIEW, VIEW, ORDER, ORDER, CLICK, "Unsubscribed"]))
        time = at(minutes=30 * draw(st.integers(0, 2 * hours)))
        product = draw(st.sampled_from(PRODUCTS))
        more = {"products": [{"product_id": product}]} if name == ORDER else {"product_id": product}
        id = f"{draw(st.integers(0, 9))}-{number}"
        made.append(msgspec.structs.replace(event(name, time, id=id), properties=more))
    return sorted(made, key=lambda e: e.order_key)


Summary = dict[str, object]


def summary(seen: Play) -> Summary:
    """All that was decided, with the reasons."""
    return {
        "runs": sorted(seen.runs, key=lambda r: r.id),
        "messages": sorted(seen.messages, key=lambda m: m.id),
        "profile": seen.shopper.profile,
        "traces": seen.shopper.outcome.traces,
    }


def live(events: list[Event], bites: list[int], slow: timedelta = timedelta(0)) -> Play:
    """Work ``events`` as the pipeline does: in batches of the given sizes, each when its last
    event has come, and timers when the clock gets to them."""
    seen = play(*JOURNEYS)
    rest = list(events)
    sizes = iter(bites)
    while rest:
        size = next(sizes, len(rest))
        batch, rest = rest[:size], rest[size:]
        seen.batch(*batch, now=batch[-1].time + slow)
    return seen


def run_on(seen: Play, days: int = 30) -> Play:
    """Fire what timers are left, each on time."""
    while times := [r.wake_at for r in seen.shopper.live.values() if r.wake_at]:
        if min(times) > at(days=days):
            break
        seen.wake(min(times))
    return seen


def on_time(events: list[Event]) -> Play:
    """One event a batch, and every timer at its own moment: nothing is ever late."""
    seen = play(*JOURNEYS)
    for one in events:
        while times := [w for r in seen.shopper.live.values() if (w := r.wake_at)]:
            if min(times) >= one.time:
                break
            seen.wake(min(times))
        seen.batch(one)
    return run_on(seen)


@given(histories())
@settings(deadline=None, max_examples=150)
def test_the_same_input_gives_the_same_decision(events: list[Event]) -> None:
    """P8, down to every line of the trace."""
    assert summary(on_time(events)) == summary(on_time(events))


@given(histories(), st.lists(st.integers(1, 5), max_size=14), st.integers(0, 59))
@settings(deadline=None, max_examples=150)
def test_the_clock_of_the_pipeline_decides_nothing_while_it_keeps_up(
    events: list[Event], seconds: list[int], slow: int
) -> None:
    """Working each event, and waking, up to a minute late changes nothing of what is decided."""
    late = play(*JOURNEYS)
    for one in events:
        while times := [w for r in late.shopper.live.values() if (w := r.wake_at)]:
            if min(times) >= one.time:
                break
            late.wake(min(times) + timedelta(seconds=slow))
        late.batch(one, now=one.time + timedelta(seconds=slow))
    while times := [w for r in late.shopper.live.values() if (w := r.wake_at)]:
        late.wake(min(times) + timedelta(seconds=slow))
    expected = on_time(events)
    assert [(m.id, m.created_at) for m in late.messages] == [
        (m.id, m.created_at) for m in expected.messages
    ]
    assert {r.id: (r.status, r.reason) for r in late.runs} == {
        r.id: (r.status, r.reason) for r in expected.runs
    }


@given(histories(hours=1), st.lists(st.integers(1, 4), max_size=14))
@settings(deadline=None, max_examples=200)
def test_batches_decide_nothing(events: list[Event], bites: list[int]) -> None:
    """Where no timer comes between, one event a batch or all at once is the same (P8)."""
    whole = run_on(live(events, []))
    cut = run_on(live(events, bites))
    assert summary(cut) == summary(whole)


@given(histories(hours=1), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=200)
def test_order_of_arrival_within_a_batch_decides_nothing(
    events: list[Event], chance: Random
) -> None:
    """P6."""
    shuffled = list(events)
    chance.shuffle(shuffled)
    now = events[-1].time
    assert summary(play(*JOURNEYS).batch(*shuffled, now=now)) == summary(
        play(*JOURNEYS).batch(*events, now=now)
    )


#: What a run does here hangs on its trigger and its stops alone, so that arrival one by one, in
#: any order, must come to the same.
PLAIN = [
    journey(
        wait(hours=2),
        send(template="left"),
        name="left",
        key="event.product_id",
        stops=[stop(if_="key in event.product_ids", goal=True), stop("Unsubscribed")],
    )
]


@given(histories(hours=1), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=300)
def test_order_of_arrival_over_batches_decides_nothing(events: list[Event], chance: Random) -> None:
    """P6: one view for each product, and orders before, after and at the same moment."""
    views = {e.properties["product_id"]: e for e in events if e.name == VIEW}
    events = [e for e in events if e.name != VIEW or views[e.properties["product_id"]] is e]
    shuffled = list(events)
    chance.shuffle(shuffled)
    now = at(hours=1, minutes=30)
    straight = play(*PLAIN).each(events, now)
    crooked = play(*PLAIN).each(shuffled, now)

    def ends(seen: Play) -> dict[str, str]:
        return {r.id: r.status for r in run_on(seen).runs}

    assert ends(crooked) == ends(straight)
    assert {m.id for m in crooked.messages} == {m.id for m in straight.messages}


@given(histories())
@settings(deadline=None, max_examples=200)
def test_nothing_is_said_after_a_stop(events: list[Event]) -> None:
    """P3 in the core, judged here from the events alone."""
    seen = on_time(events)
    for message in seen.written:
        run = next(r for r in seen.runs if r.id == message.enrollment_id)
        for one in events:
            if one.order_key <= (run.entered_at, run.event_id):
                continue
            same_product = run.key in [p["product_id"] for p in one.properties.get("products", ())]
            ends = {
                "left": one.name == "Unsubscribed" or same_product,
                "back": one.name == ORDER,
                "once": one.name == "Unsubscribed",
            }[run.journey]
            assert not (ends and one.time < message.created_at)
            # At the same moment either may be first; what was written then is cancelled.
            assert not (ends and one.time == message.created_at and message in seen.messages)


@given(histories())
@settings(deadline=None, max_examples=100)
def test_one_active_run_for_a_key_and_one_message_for_a_step(events: list[Event]) -> None:
    seen = play(*JOURNEYS)
    for one in events:
        seen.batch(one)
        active = Counter((r.journey, r.key) for r in seen.runs if r.status == "active")
        assert not active or max(active.values()) == 1
        assert set(seen.shopper.live) == {r.id for r in seen.runs if r.live}
    run_on(seen)
    assert max(Counter(m.id for m in seen.written).values(), default=1) == 1


@given(histories(), st.integers(0, 13), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=150)
def test_one_active_run_for_a_key_however_late_a_trigger_is(
    events: list[Event], hold: int, chance: Random
) -> None:
    shuffled = list(events)
    chance.shuffle(shuffled)
    seen = play(*JOURNEYS)
    for number, one in enumerate(shuffled):
        seen.batch(one, now=at(days=9))
        active = Counter((r.journey, r.key) for r in seen.runs if r.status == "active")
        assert not active or max(active.values()) == 1
        for place, known in seen.shopper.runs.items():
            mine = [r for r in seen.runs if (r.journey, r.key) == place]
            assert known.active == any(r.status == "active" for r in mine)
            assert known.started_at == max(r.entered_at for r in mine)
        if number == hold:
            seen.wake(at(days=9))


@given(
    st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1)
)
@settings(deadline=None, max_examples=200)
def test_ids_follow_from_what_they_stand_for(parts: list[str]) -> None:
    assert derive(*parts) == derive(*parts)
    assert derive(*parts) != derive(*parts, "")
    assert [len(piece) for piece in derive(*parts).split("-")] == [8, 4, 4, 4, 12]
    assert 0 <= percentile(*parts) < 100
    assert 0 <= profile_id(parts[0]) < 2**63
    assert profile_id(parts[0], 1) != profile_id(parts[0])


def test_ids_are_what_they_were_yesterday() -> None:
    """Stored rows hang on them: they may never change."""
    assert derive("left-behind", 1, "p1", "m1") == derive("left-behind", "1", "p1", "m1")
    assert derive("a", "b") != derive("ab")
    assert derive("left-behind", 7, "", "m1") == "e045aaa7-fcb6-e2c3-516d-56d25e2de818"
    assert profile_id("user:1") == 7655483225267375369
    assert round(percentile("holdout", "left-behind", 7), 9) == 72.223567351


def test_percentiles_are_even() -> None:
    places = [percentile("left-behind", "steps/0", profile_id(f"user:{n}")) for n in range(20_000)]
    tenths = Counter(int(place // 10) for place in places)
    assert sorted(tenths) == list(range(10))
    # A thousandth of fair draws would be further off than 4 standard deviations (42.4 each).
    assert all(abs(count - 2000) < 170 for count in tenths.values())


def test_split_and_holdout_draw_independently() -> None:
    both = Counter(
        (percentile("holdout", "j", n) < 50, percentile("j", "steps/0", n) < 50)
        for n in range(10_000)
    )
    assert all(abs(count - 2500) < 175 for count in both.values())


def test_the_longest_of_these_journeys_is_walked_to_its_end() -> None:
    """So that the properties above speak of something."""
    views = [event(VIEW, at(hours=n), product_id="p1") for n in (0, 24, 25)]
    seen = on_time(views)
    templates = Counter(seen.templates)
    assert templates["left-1"] == 1
    assert templates["left-busy"] == 1
    assert templates["nothing"] == 1
    assert {r.status for r in seen.runs} == {"finished"}
