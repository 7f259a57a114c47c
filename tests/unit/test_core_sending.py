"""Who carries a message, when a provider is left alone, and what pauses itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from engine.core.autopause import Figures, counts, verdict
from engine.core.sending import (
    AWAY_AFTER,
    Breaker,
    Outcome,
    Standing,
    Trouble,
    bound_to,
    choose,
    fate,
    pause_before_look,
    pause_before_probe,
)
from engine.model.message import Message
from engine.model.sending import AutoPause
from tests.unit.core.build import T0, at, event

ID = "5772b0bb-000f-3b6f-7bb6-3a06fe02af72"
AWAY = Trouble("away", "down", T0, at(minutes=1))
BUSY = replace(AWAY, kind="busy")


@pytest.mark.parametrize(
    "standing, chosen",
    [
        (Standing({}, {}), "a"),
        (Standing({"a": AWAY}, {}), "b"),
        (Standing({"a": AWAY}, {}, ["a"]), "a"),  # as a probe
        (Standing({"a": BUSY}, {}), None),
        (Standing({"a": AWAY, "b": BUSY}, {}), None),
        (Standing({"a": AWAY, "b": AWAY}, {}), None),
        (Standing({}, {"a": True}), "b"),  # by a person
        (Standing({}, {"a": False}), None),  # by itself
        (Standing({"a": AWAY}, {"a": True}, ["a"]), "b"),  # a person's word is not probed
    ],
)
def test_who_carries(standing: Standing, chosen: str | None) -> None:
    assert choose(("a", "b"), standing) == chosen


def test_who_is_bound_to_one_waits_for_it() -> None:
    assert choose(("a", "b"), Standing({"a": AWAY}, {}), "a") is None
    assert choose(("a", "b"), Standing({}, {}), "b") == "b"
    assert choose(("a",), Standing({}, {}), "gone") is None


def test_a_message_that_may_have_gone_stays_where_it_was() -> None:
    message = Message(
        ID, "e", 1, "j", "v", "s", "email", "t", "offers", "x", T0, T0, provider="a", attempts=1
    )
    assert bound_to(message) == ""  # refused: known not to have gone
    again = msgspec.structs.replace(message, on_unknown="retry")
    assert bound_to(again) == "a"
    assert bound_to(msgspec.structs.replace(again, attempts=0)) == ""


def test_failures_in_a_row_and_only_those() -> None:
    breaker = Breaker()
    away, unknown, fine = (
        Outcome("a", "away"),
        Outcome("a", "", unknown=True),
        Outcome("a", ""),
    )
    for _ in range(AWAY_AFTER - 1):
        assert breaker.judge(away) == ""
    assert breaker.judge(fine) == ""
    for outcome in [away, unknown] * (AWAY_AFTER // 2):
        assert breaker.judge(outcome) == ""
    assert breaker.judge(replace(away, provider="b")) == ""
    assert breaker.judge(unknown) == "away"
    assert breaker.judge(Outcome("a", "account")) == "account"
    assert breaker.judge(Outcome("a", "busy")) == "busy"


def test_pauses_grow_to_an_hour() -> None:
    minutes = [pause_before_probe(n) // timedelta(minutes=1) for n in range(7)]
    assert minutes == [1, 5, 15, 30, 60, 60, 60]
    assert pause_before_look(0) == timedelta(minutes=1) < pause_before_look(99)


@pytest.mark.parametrize(
    "found, minutes, looks, becomes",
    [
        ("sent", 1, 1, "sent"),
        ("failed", 1, 1, "failed"),
        ("unsure", 999, 9, "unknown"),
        ("absent", 999, 1, "unknown"),
        ("absent", 9, 2, "unknown"),
        ("absent", 10, 2, "due"),
    ],
)
def test_what_a_look_up_proves(found: str, minutes: int, looks: int, becomes: str) -> None:
    assert fate(found, timedelta(minutes=minutes), looks) == becomes  # type: ignore[arg-type]


LIMITS = AutoPause()


@pytest.mark.parametrize(
    "delivered, bounced, complained, pauses",
    [
        (1000, 0, 3, False),  # exactly 0.3 %
        (1000, 0, 4, True),
        (200, 0, 2, False),  # two people are no rate
        (200, 0, 3, True),
        (199, 0, 50, False),  # too few to tell
        (190, 10, 0, False),  # exactly 5 %
        (189, 11, 0, True),
        (0, 199, 0, False),
        (0, 200, 0, True),
    ],
)
def test_limits(delivered: int, bounced: int, complained: int, pauses: bool) -> None:
    assert bool(verdict(Figures(delivered, bounced, complained), LIMITS)) == pauses


def test_it_says_what_it_counted() -> None:
    assert verdict(Figures(1000, 0, 4), LIMITS) == (
        "called spam: 4 of 1000 within 1 day (0.40 %, more than 0.3 %)"
    )


@pytest.mark.parametrize(
    "name, more, kind",
    [
        ("Email Delivered", {}, "delivered"),
        ("SMS Delivered", {}, "delivered"),
        ("Email Bounced", {"permanent": True}, "bounced"),
        ("Email Bounced", {"permanent": False}, None),
        ("SMS Failed", {"permanent": True}, "bounced"),
        ("Email Spam Reported", {}, "complained"),
        ("Email Opened", {}, None),
        ("Email Dropped", {}, None),  # never handed on, because of an older trouble
    ],
)
def test_what_counts(name: str, more: dict[str, bool], kind: str | None) -> None:
    said = event(name, message_id=ID, **more)
    assert counts(said) is None  # anybody may say that
    said = msgspec.structs.replace(said, context={"made_by": "sendgrid"})
    assert counts(said) == (None if kind is None else (ID, kind))
    strange = msgspec.structs.replace(said, properties={"message_id": "x" * 36})
    assert counts(strange) is None
