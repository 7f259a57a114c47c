"""The worst case, against journeys worked out by hand and by trying everything."""

from __future__ import annotations

import dataclasses
import re
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.together import WorstCase, worst_case
from engine.core.worstcase import heaviest, most
from engine.language import load_files, load_journey, load_policy
from engine.model.diagnostic import Diagnostic
from engine.model.journey import Journey, Send
from engine.model.policy import Hours, Policy, Rule

WEEK = timedelta(days=7)
HOUR = timedelta(hours=1)
#: How the tests write a message.
SENDS = {"mail": "email", "sms": "sms"}
SHORT = re.compile(r"(?<!: )\b(mail|sms)\b")
RULES = "caps: [{messages: 4, within: 7 days}, {messages: 1, within: 1 day, channel: sms}]"


def journey(steps: str, head: str = "trigger: {event: X}") -> Journey:
    text = f"journey: a\n{head}\nsteps:\n" + "".join(f"  - {step}\n" for step in steps.split("; "))
    text = SHORT.sub(lambda found: f"{{send: {SENDS[found[1]]}, template: t}}", text)
    found, diagnostics = load_journey(text)
    assert found is not None, [str(each) for each in diagnostics]
    return found


def bound(steps: str, head: str = "trigger: {event: X}", within: timedelta = WEEK) -> int | None:
    return most(journey(steps, head), within, lambda _: True)


# One journey


@pytest.mark.parametrize(
    "steps, figure",
    [
        ("wait: 1 day", 0),
        ("mail", 1),
        ("mail; wait: 3 days; mail; wait: 3 days; mail; wait: 3 days; mail", 3),
        ("mail; wait: 7 days; mail", 1),  # 7 days apart is not within 7 days, as for the caps
        ("mail; wait: 6 days 23 hours; mail", 2),
        ("wait: 60 days; mail; mail", 2),  # the window may begin anywhere
        ("mail; wait for: {event: Y, at most: 30 days}; mail", 2),  # it may come at once
        ("{wait for: {event: Y, at most: 30 days}, then: [{exit: no}]}; mail", 1),
        ("mail; {wait for: {event: Y, at most: 30 days}, then: [{exit: no}]}; mail", 1),
        ("mail; wait: {until: '10:00', on: monday}; mail", 2),  # which may be now
        ("branch: [{if: key, steps: [mail, mail]}, {else: [mail, mail, mail]}]; mail", 4),
        ("branch: [{if: key, steps: [mail, mail, {exit: no}]}]; mail", 2),
        ("split: {50% a: [mail], 50% b: [{exit: no}]}; mail", 2),
    ],
)
def test_a_single_run(steps: str, figure: int) -> None:
    assert bound(steps) == figure


SAME = "trigger: {event: X, again: %s}\nstop: {event: Z}"


@pytest.mark.parametrize(
    "steps, head, figure",
    [
        ("mail", SAME % "never", 1),
        ("mail", SAME % "always", None),
        ("wait: 1 day; mail", SAME % "always", 7),  # stopped and begun anew each day
        ("mail; wait: 1 day", SAME % "always", None),  # a stop ends the wait
        ("mail; wait: 1 day", "trigger: {event: X, again: always}", 7),  # nothing does
        ("mail; wait: 2 days; mail", SAME % "after 5 days", 3),
        ("mail; wait: 1 hour; mail", SAME % "after 30 days", 2),
        ("wait: 30 days; mail", SAME % "after 30 days", 1),
        # The second run begins 10 days after the first, which has gone on for 9 days by then.
        ("wait: 9 days; mail", SAME % "after 10 days", 1),
        # The first may have waited for ever, and the second does not.
        ("wait for: {event: Y, at most: 60 days}; mail", SAME % "after 10 days", 2),
        ("wait: {until: profile.ends}; mail", SAME % "after 10 days", 2),
        ("wait: 1 second; mail", SAME % "always", None),  # as good as no bound
        ("mail", "trigger: {date: profile.birthday, yearly: true, again: always}", 1),
        ("mail", "trigger: {every: day, again: always}", 7),
        ("mail", "trigger: {every: [monday, thursday], again: always}", 3),
        ("mail", "trigger: {every: sunday, again: always}", 1),
        ("mail; mail", "trigger: {every: month, again: always}", 2),
        ("mail", "trigger: {every: day, again: after 3 days}", 3),
    ],
)
def test_many_runs(steps: str, head: str, figure: int | None) -> None:
    assert bound(steps, head) == figure


def test_a_journey_of_thousands_of_steps() -> None:
    assert bound("; ".join(["mail; wait: 1 day"] * 2_000)) == 7
    assert bound("; ".join(["mail"] * 200)) == 200
    assert bound("; ".join(["mail"] * 300)) is None  # as good as no bound


def test_only_what_counts() -> None:
    found = journey("mail; sms; wait: 1 day; sms")
    assert most(found, WEEK, lambda step: step.channel == "sms") == 2
    assert heaviest(found, lambda step: isinstance(step, Send) and step.channel == "email") == 1


def everything(plan: list[int], again: int | None, stops: bool, window: int) -> int:
    """The most messages by trying all times at which runs can begin and end. ``plan``: hours to
    wait, 0 for a message; ``again``: hours from beginning to beginning, None for never."""
    offsets, passed = [], 0
    for hours in plan:
        passed += hours
        if not hours:
            offsets.append(passed)
    ends = sorted({0, passed, *offsets}) if stops else [passed]

    def after(start: int, first: int) -> int:
        """Messages from ``start`` on in the window that begins at ``first``."""
        if start >= first + window:
            return 0
        return max(run(start, end, first) for end in ends)

    def run(start: int, end: int, first: int) -> int:
        times = [start + each for each in offsets if each <= end]
        sent = sum(first <= time < first + window for time in times)
        return sent + (0 if again is None else after(start + max(end, again), first))

    return max(run(0, end, first) for end in ends for first in offsets if first <= end)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([0, 0, 1, 2, 3]), min_size=1, max_size=5).filter(
        lambda plan: 0 in plan
    ),
    st.sampled_from([None, 2, 3, 5]),
    st.booleans(),
    st.integers(1, 8),
)
def test_trying_everything_finds_the_same(
    plan: list[int], again: int | None, stops: bool, window: int
) -> None:
    steps = "; ".join("mail" if not hours else f"wait: {hours} hours" for hours in plan)
    rule = "never" if again is None else f"after {again} hours"
    head = f"trigger: {{event: X, again: {rule}}}" + ("\nstop: {event: Z}" if stops else "")
    assert bound(steps, head, window * HOUR) == everything(plan, again, stops, window)


# All together


def shop(rules: str = RULES, **journeys: tuple[str, str]) -> tuple[dict[str, Journey], Policy]:
    policy, _ = load_policy(rules)
    found = {}
    for name, (head, steps) in journeys.items():
        one = journey(steps, head)
        text = one.source.replace("journey: a", f"journey: {name}")
        again, _ = load_journey(text, policy=policy)
        assert again is not None
        found[name] = again
    return found, policy


def worst(rules: str = RULES, **journeys: tuple[str, str]) -> WorstCase:
    return worst_case(*shop(rules, **journeys), WEEK)


def test_the_sum_and_the_cap_that_binds() -> None:
    found = worst(
        a=("trigger: {event: X}", "mail; mail; mail"), b=("trigger: {event: Y}", "mail; sms")
    )
    assert found.before == {"email": 4, "sms": 1, "*": 5}
    assert found.after == {"email": 4, "sms": 1, "*": 4}
    assert [cap.messages for cap in found.binding] == [4]


def test_no_cap_binds_where_all_fit() -> None:
    found = worst(a=("trigger: {event: X}", "mail; sms"))
    assert found.before == found.after == {"email": 1, "sms": 1, "*": 2}
    assert found.binding == ()


def test_keys_are_without_number() -> None:
    found = worst(a=("trigger: {event: X, key: event.product_id}", "mail"))
    assert found.journeys[0].key == "event.product_id"
    assert found.journeys[0].figures == {"email": 1, "*": 1}
    assert found.before == {"email": None, "*": None}
    assert found.after == {"email": 4, "*": 4}


def test_what_no_cap_looks_at() -> None:
    topic = "{send: sms, template: t, topic: orders}"
    found = worst(
        a=("trigger: {event: X}", "; ".join([topic] * 6)),
        b=("trigger: {event: Y, again: always}\nstop: {event: Z}", "sms"),
    )
    assert found.before == {"sms": None, "*": None}
    assert found.after == {"sms": 6 + 4, "*": 6 + 4}
    assert worst("", b=("trigger: {event: Y, key: event.a}", "sms")).after == {
        "sms": None,
        "*": None,
    }


def test_a_shorter_cap_comes_again_in_the_week() -> None:
    rules = "caps: [{messages: 2, within: 3 days, channel: email}, {messages: 9, within: 7 days}]"
    found = worst(rules, a=("trigger: {event: X, again: always}", "mail"))
    assert found.after == {"email": 6, "*": 6}  # at the beginning of days 0, 3 and 6
    assert [cap.messages for cap in found.binding] == [2]


NEWS = "topics: {offers: {consent: opt-in}, news: {consent: opt-in}, orders: {consent: none}}\n"
ONE_NEWS = NEWS + "caps: [{messages: 1, within: 7 days, topic: news}"
PAPER = "{send: email, template: t, topic: news}"
TEXT = "{send: sms, template: t, topic: news}"


@pytest.mark.parametrize(
    "caps, steps, after, binding",
    [
        ("]", f"{PAPER}; {PAPER}; mail", {"email": 2, "*": 2}, [1]),
        ("]", f"{PAPER}; mail; mail", {"email": 3, "*": 3}, []),
        # over both channels one, on each at most one
        ("]", f"{PAPER}; {TEXT}; sms", {"email": 1, "sms": 2, "*": 2}, [1]),
        (", {messages: 2, within: 7 days}]", f"{PAPER}; {PAPER}; mail; mail", {"email": 2, "*": 2},
         [1, 2]),
        (", {messages: 1, within: 1 day, topic: offers, channel: email}]", f"{PAPER}; mail; mail",
         {"email": 3, "*": 3}, []),
        (", {messages: 0, within: 1 day, topic: offers, channel: email}]", f"{PAPER}; mail; mail",
         {"email": 1, "*": 1}, [0]),
    ],
)  # fmt: skip
def test_caps_per_topic(caps: str, steps: str, after: dict[str, int], binding: list[int]) -> None:
    found = worst(ONE_NEWS + caps, a=("trigger: {event: X}", steps))
    assert found.after == after
    assert [cap.messages for cap in found.binding] == binding


def test_caps_per_topic_bound_keys_without_number() -> None:
    found = worst(ONE_NEWS + "]", a=("trigger: {event: X, key: event.product_id}", PAPER))
    assert found.before == {"email": None, "*": None}
    assert found.after == {"email": 1, "*": 1}


def test_a_sunday_that_is_closed_lets_messages_of_one_channel_meet() -> None:
    """A message that is due on Sunday goes on Monday, and the next on Monday a week later."""
    steps = "sms; wait: 7 days; sms"
    journeys, policy = shop("", a=("trigger: {event: X}", steps))
    assert worst_case(journeys, policy, WEEK).before["sms"] == 1
    closed = Hours((*(((timedelta(0), timedelta(days=1)),),) * 6, ()))
    rule = Rule("FR", "", "France", frozenset({"sms"}), closed)
    policy = dataclasses.replace(policy, rules=(rule,))
    assert worst_case(journeys, policy, WEEK).before["sms"] == 2


def test_a_jump_brings_its_key_along_and_skips_the_calendar() -> None:
    found = worst(
        a=("trigger: {event: X, key: event.product_id}", "jump: b"),
        b=("trigger: {every: sunday, again: always}", "mail"),
        c=("trigger: {event: Y, again: after 2 days}", "jump: d"),
        d=("trigger: {every: sunday, again: after 1 day}", "mail"),
    )
    figures = {each.journey: (each.key, each.figures["*"]) for each in found.journeys}
    assert figures == {"b": ("event.product_id", None), "d": ("", 7)}


def test_quiet_hours_let_channels_meet() -> None:
    """The mail waits for the morning, the text message a week later does not."""
    steps = "mail; wait: 7 days 2 hours; sms"
    rules = "quiet hours: {email: 22:00-06:00}\n"
    assert worst("", a=("trigger: {event: X}", steps)).before["*"] == 1
    assert worst(rules, a=("trigger: {event: X}", steps)).before["*"] == 2
    same = steps.replace("sms", "mail")
    assert worst(rules, a=("trigger: {event: X}", same)).before["*"] == 1


def test_only_whole_days() -> None:
    with pytest.raises(ValueError, match="whole days"):
        worst_case({}, Policy(), timedelta(hours=5))


# J067


@pytest.fixture
def lint(tmp_path: Path):  # type: ignore[no-untyped-def]
    def run(rules: str = RULES, **journeys: tuple[str, str]) -> list[Diagnostic]:
        found, policy = shop(rules, **journeys)
        for name, one in found.items():
            source = one.source
            assert f"journey: {name}" in source
            (tmp_path / f"{name}.yaml").write_text(source)
        files = [tmp_path / f"{name}.yaml" for name in found]
        return [f for f in load_files(files, policy=policy).diagnostics if f.code == "J067"]

    return run


def test_together_too_many(lint) -> None:  # type: ignore[no-untyped-def]
    """As many as the cap allows are fine, one more is not; keys do not matter to one event."""
    three = ("trigger: {event: Cart Viewed, key: event.cart_id}", "mail; wait: 1 day; mail; mail")
    assert lint(a=three, b=("trigger: {event: Cart Viewed}", "wait: 6 days; mail")) == []
    found = lint(a=three, b=("trigger: {event: Cart Viewed}", "wait: 6 days; mail; mail"))
    assert [(Path(f.file).stem, f.line, f.severity, f.message) for f in found] == [
        (
            "a",
            2,
            "warning",
            "together with 'b' this journey can send 5 messages in 7 days, and the cap allows 4",
        )
    ]
    assert lint("", a=three, b=three) == []


FOUR = "mail; mail; mail; mail"


@pytest.mark.parametrize(
    "a, b",
    [
        ("trigger: {event: X}\npriority: 2", "trigger: {event: X}\npriority: 1"),
        ("trigger: {event: X}", "trigger: {event: Y}"),
        ("trigger: {event: X, if: event.a}", "trigger: {event: X, if: not event.a}"),
        ("trigger: {segment: {entered: a}}", "trigger: {segment: {entered: b}}"),
        ("trigger: {every: monday, again: always}", "trigger: {every: sunday, again: always}"),
    ],
)
def test_a_decision_or_another_shopper(lint, a: str, b: str) -> None:  # type: ignore[no-untyped-def]
    assert lint(a=(a, FOUR), b=(b, FOUR)) == []


@pytest.mark.parametrize(
    "a, b",
    [
        ("trigger: {event: X}\npriority: 2", "trigger: {event: X}\npriority: 2"),
        ("trigger: {event: X, if: event.a}", "trigger: {event: X}"),
        ("trigger: {event: X, if: event.a}", "trigger: {event: X, if: event.a, key: event.b}"),
        ("trigger: {segment: {entered: a}}", "trigger: {segment: {entered: a}}"),
        ("trigger: {every: monday, again: always}", "trigger: {every: monday, again: always}"),
    ],
)
def test_the_same_moment_for_the_same_shopper(lint, a: str, b: str) -> None:  # type: ignore[no-untyped-def]
    assert len(lint(a=(a, FOUR), b=(b, FOUR))) == 1


@pytest.mark.parametrize(
    "steps",
    [
        "wait: 7 days; mail",  # a week later is another week
        "wait for: {event: Y, at most: 8 days}; {send: email, template: t, topic: orders}",
        "{exit: no}",
    ],
)
def test_what_does_not_meet(lint, steps: str) -> None:  # type: ignore[no-untyped-def]
    assert lint(a=("trigger: {event: X}", FOUR), b=("trigger: {event: X}", steps)) == []


def test_what_waits_for_the_cap_is_not_lost(lint) -> None:  # type: ignore[no-untyped-def]
    waits = "; ".join(["{send: email, template: t, when capped: wait}"] * 3)
    head = "trigger: {event: X}"
    assert lint(a=(head, waits), b=(head, waits)) == []
    assert len(lint(a=(head, waits), b=(head, "mail; mail"))) == 1


def test_a_cap_of_one_channel(lint) -> None:  # type: ignore[no-untyped-def]
    head = "trigger: {event: X}"
    found = lint(a=(head, "sms"), b=(head, "wait: 23 hours; sms"), c=(head, "mail"))
    assert [f.message for f in found] == [
        "together with 'b' this journey can send 2 messages by sms in 1 day, and the cap allows 1"
    ]
    assert lint(a=(head, "sms"), b=(head, "wait: 1 day; sms")) == []


def test_two_journeys_that_share_the_cap_of_a_topic(lint) -> None:  # type: ignore[no-untyped-def]
    rules = ONE_NEWS + "]"
    journeys = {"a": ("trigger: {event: X}", PAPER), "b": ("trigger: {event: X}", PAPER)}
    (found,) = [each for each in lint(rules, **journeys) if each.code == "J067"]
    assert "2 messages about news in 7 days, and the cap allows 1" in found.message
    journeys["b"] = ("trigger: {event: X}", "mail")
    assert not [each for each in lint(rules, **journeys) if each.code == "J067"]
