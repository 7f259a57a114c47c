"""The Segment spec: what becomes of a body."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine.core.receipts import settles, suppresses
from engine.intake.segment import V1_NAMES, Parsed, parse_batch, parse_event
from engine.intake.wire import MAX_EVENT, MAX_ORDER, NotTaken
from engine.model.event import Event, EventKind

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def one(kind: EventKind = "track", **fields: Any) -> Event:
    """The event of a call that must be taken."""
    parsed = parse_event(json.dumps(fields).encode(), kind, NOW, "US")
    assert parsed.refusals == []
    return parsed.events[0]


def refused(kind: EventKind = "track", **fields: Any) -> str:
    """The reason of a call that must not be."""
    parsed = parse_event(json.dumps(fields).encode(), kind, NOW, "US")
    assert parsed.events == []
    return parsed.refusals[0].reason


def batch(*items: Any, **frame: Any) -> Parsed:
    return parse_batch(json.dumps({"batch": items, **frame}).encode(), NOW, "US")


def test_a_track_call() -> None:
    event = one(
        event="Product Viewed",
        messageId="m-1",
        userId="42",
        anonymousId="cookie",
        properties={"product_id": "p1", "price": 9.90},
        context={"locale": "hi-IN"},
        timestamp="2026-11-24T11:00:00Z",
        sentAt="2026-11-24T11:00:05Z",
        integrations={"All": True},
        somethingNew=[1, 2],
    )
    assert event == Event(
        id="m-1",
        kind="track",
        name="Product Viewed",
        time=NOW - timedelta(seconds=5),
        received_at=NOW,
        identifiers=("user:42", "anonymous:cookie"),
        properties={"product_id": "p1", "price": Decimal("9.9")},
        context={"locale": "hi-IN"},
    )


def test_money_is_exact() -> None:
    """0.1 + 0.2 is 0.3 in a shop's books: no number passes through a float."""
    raw = (
        b'{"userId":"1","event":"X","properties":'
        b'{"a":0.1,"b":19.990,"c":1e2,"d":12345678901234567890.5}}'
    )
    found = parse_event(raw, "track", NOW, "US").events[0].properties
    assert found == {
        "a": Decimal("0.1"),
        "b": Decimal("19.990"),
        "c": Decimal("1E+2"),
        "d": Decimal("12345678901234567890.5"),
    }
    assert not any(isinstance(value, float) for value in found.values())


@pytest.mark.parametrize(("old", "new"), V1_NAMES.items())
def test_names_of_the_first_version(old: str, new: str) -> None:
    assert one(event=old, userId="1").name == new


@pytest.mark.parametrize("kind", ["identify", "page", "screen", "group"])
def test_kinds_without_a_name_are_named_after_themselves(kind: EventKind) -> None:
    assert one(kind, userId="1", name="Home").name == kind.capitalize()


def test_the_address_says_the_kind() -> None:
    assert one("identify", userId="1", type="track").kind == "identify"


def test_traits_become_snake_case() -> None:
    event = one(
        "identify",
        userId="1",
        traits={
            "firstName": "Ann",
            "createdAt": "2020",
            "first_name": "Anna",
            "plan": "x",
            "URL": "u",
            "total billed": 3,
            "consent": {"email": {"offersWeekly": True}},
        },
    )
    assert event.properties == {
        "first_name": "Anna",
        "created_at": "2020",
        "plan": "x",
        "URL": "u",
        "total billed": 3,
        "consent": {"email": {"offersWeekly": True}},
    }


def test_what_names_the_shopper() -> None:
    """A back end's order finds the shopper by the address in it."""
    order = one(
        event="Order Completed",
        properties={"email": "Ann@Example.com", "checkout_id": 7, "phone": "+1 212 555 0123"},
        context={"traits": {"email": "ann@example.com"}, "cart_token": "tok"},
    )
    assert order.identifiers == (
        "email:ann@example.com",
        "phone:+12125550123",
        "cart:checkout-7",
        "cart:tok",
    )
    traits = one("identify", userId="1", traits={"email": "ann@example.com"})
    assert traits.identifiers == ("user:1", "email:ann@example.com")


def test_a_groups_address_is_not_the_shoppers() -> None:
    event = one("group", userId="1", groupId=7, traits={"email": "office@firm.example"})
    assert event.identifiers == ("user:1",)
    assert event.properties == {"email": "office@firm.example", "group_id": 7}


def test_a_page_keeps_its_name() -> None:
    event = one("page", anonymousId="c", name="Home", category="Shop", properties={"path": "/"})
    assert event.properties == {"name": "Home", "category": "Shop", "path": "/"}


def test_an_alias_names_the_old_id_as_user_and_as_cookie() -> None:
    event = one("alias", userId="new", previousId="old")
    assert event.identifiers == ("user:new", "user:old", "anonymous:old")
    assert event.sender == "user:new"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"userId": "new"}, "previousId"),
        ({"userId": "new", "previousId": "null"}, "previousId"),
        ({"previousId": "old"}, "userId"),
        ({"previousId": "old", "anonymousId": "c"}, "userId"),
    ],
)
def test_half_an_alias(fields: dict[str, Any], reason: str) -> None:
    assert reason in refused("alias", **fields)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"event": "X"}, "names no shopper"),
        ({"event": "X", "userId": "undefined", "anonymousId": None}, "names no shopper"),
        ({"userId": "1"}, "track needs event"),
        ({"userId": "1", "event": "  "}, "track needs event"),
        ({"userId": "1", "event": "x" * 256}, "event has 256 characters"),
        ({"event": "X", "userId": "x" * 256}, "userId has 256 characters"),
        ({"event": "X", "anonymousId": "x" * 256, "userId": "1"}, "anonymousId has 256"),
        ({"event": 5, "userId": "1"}, "$.event"),
        ({"event": "X", "userId": ["1"]}, "$.userId"),
        ({"event": "X", "userId": 1.5}, "$.userId"),
        ({"event": "X", "userId": True}, "$.userId"),
        ({"event": "X", "userId": "1", "properties": []}, "$.properties"),
        ({"event": "X", "userId": "1", "context": "web"}, "$.context"),
        ({"event": "X", "userId": "1", "traits": 3}, "$.traits"),
        ({"event": "X", "userId": "1", "messageId": {}}, "$.messageId"),
    ],
)
def test_what_is_refused_and_why(fields: dict[str, Any], reason: str) -> None:
    assert reason in refused(**fields)


def test_message_ids() -> None:
    assert one(event="X", userId="1", messageId="a" * 100).id == "a" * 100
    assert one(event="X", userId="1", messageId=77).id == "77"
    long = one(event="X", userId="1", messageId="a" * 101).id
    assert len(long) <= 100
    assert long == one(event="X", userId="1", messageId="a" * 101).id
    assert long != one(event="X", userId="1", messageId="a" * 102).id
    made = {one(event="X", userId="1", messageId=none).id for none in (None, "", None)}
    assert len(made) == 3


@pytest.mark.parametrize("written", ["1970-01-01T00:00:00Z", "2090-01-01T00:00:00Z", "tomorrow"])
def test_a_time_not_believed_stands_in_the_context(written: str) -> None:
    event = one(event="X", userId="1", timestamp=written, context={"locale": "en"})
    assert event.time == NOW
    assert event.context == {"locale": "en", "original_timestamp": written}


def test_original_timestamp_comes_first() -> None:
    """A body that went through Segment carries both; ``timestamp`` is its own reckoning."""
    event = one(
        event="X",
        userId="1",
        originalTimestamp="2026-11-24T10:00:00Z",
        timestamp="2026-11-24T10:59:00Z",
        sentAt="2026-11-24T10:00:01Z",
    )
    assert event.time == NOW - timedelta(seconds=1)


def test_a_batch_lends_its_context_and_its_sent_at() -> None:
    parsed = batch(
        {"type": "track", "event": "X", "userId": "1", "timestamp": "2026-11-24T09:00:00Z"},
        {"type": "page", "userId": "2", "context": {"locale": "ur"}, "sentAt": 0, "timestamp": 0},
        sentAt="2026-11-24T09:30:00Z",
        context={"locale": "en", "ip": "10.0.0.1"},
        writeKey="WK",
    )
    assert [event.context for event in parsed.events] == [
        {"locale": "en", "ip": "10.0.0.1"},
        {"locale": "ur", "ip": "10.0.0.1"},
    ]
    assert [event.time for event in parsed.events] == [NOW - timedelta(minutes=30), NOW]
    assert parsed.write_key == "WK"


def test_bad_events_of_a_batch_are_named_by_their_place() -> None:
    good = {"type": "track", "event": "X", "userId": "1"}
    parsed = batch(
        good,
        {"type": "heartbeat", "userId": "1"},
        good,
        "not an object",
        {"event": "X", "userId": "1"},
        {**good, "properties": {"blob": "x" * MAX_EVENT}},
        None,
    )
    assert len(parsed.events) == 2
    assert [refusal.index for refusal in parsed.refusals] == [1, 3, 4, 5, 6]
    assert "not 'heartbeat'" in parsed.refusals[0].reason
    assert parsed.refusals[3].code == "too_large"
    assert json.loads(parsed.refusals[0].body) == {"type": "heartbeat", "userId": "1"}


def test_an_order_of_a_batch_may_be_larger_than_other_events() -> None:
    def lines(name: str, size: int) -> dict[str, object]:
        return {"type": "track", "event": name, "userId": "1", "properties": {"blob": "x" * size}}

    parsed = batch(
        lines("Order Completed", MAX_EVENT),
        lines("Started Order", MAX_EVENT),  # the name of the first version of the spec
        lines("Product Viewed", MAX_EVENT),
        lines("Order Completed", MAX_ORDER),
        {**lines("Order Completed", MAX_EVENT), "type": "page"},
    )
    assert [event.name for event in parsed.events] == ["Order Completed", "Checkout Started"]
    assert [(r.index, r.code) for r in parsed.refusals] == [
        (2, "too_large"),
        (3, "too_large"),
        (4, "too_large"),
    ]
    assert f"an order or a checkout {MAX_ORDER}" in parsed.refusals[0].reason


def test_an_empty_batch_is_fine() -> None:
    assert batch() == Parsed([], [], None)


def test_a_batch_has_at_most_2500_events() -> None:
    item = {"type": "track", "event": "X", "userId": "1"}
    assert len(batch(*[item] * 2500).events) == 2500
    with pytest.raises(NotTaken, match="2501 events") as caught:
        batch(*[item] * 2501)
    assert caught.value.status == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b"{]",
        b'{"batch":[}',
        b'{"a":NaN}',
        b"\x00",
        b"\xff",
    ],
)
def test_what_is_not_json(body: bytes) -> None:
    for read in (
        lambda: parse_event(body, "track", NOW, "US"),
        lambda: parse_batch(body, NOW, "US"),
    ):
        with pytest.raises(NotTaken) as caught:
            read()
        assert caught.value.status == 400


@pytest.mark.parametrize("body", [b"{}", b'{"batch":{}}', b'{"batch":null}', b'{"batch":"x"}'])
def test_what_is_not_a_batch(body: bytes) -> None:
    with pytest.raises(NotTaken, match="not a batch"):
        parse_batch(body, NOW, "US")


def test_the_key_is_found_though_the_event_is_bad() -> None:
    """Else a stranger could fill the table of the refused, or an owner's mistake go unseen."""
    for body in (b'{"writeKey":"WK","event":5}', b'{"event":"\xff","writeKey":"WK"}'):
        assert parse_event(body, "track", NOW, "US").write_key == "WK"


def test_what_is_accepted_can_be_read_again() -> None:
    """The drain decodes what the door encoded, to the last digit."""
    raw = (
        b'{"userId":"\\ud83d\\ude00","event":"X","properties":'
        b'{"n":1.10,"big":123456789012345678901234567890,"t":"\\\\ \\" \\n \\u00e9"}}'
    )
    event = parse_event(raw, "track", NOW, "US").events[0]
    body = msgspec.json.Encoder(decimal_format="number").encode(event)
    again = msgspec.json.Decoder(Event, float_hook=Decimal).decode(body)
    assert again == event
    assert again.identifiers == ("user:😀",)


def test_a_page_cannot_pass_for_a_provider() -> None:
    """The write key stands in every page: its reader must not get an address suppressed."""
    body = {
        "event": "Email Spam Reported",
        "context": {"made_by": "sendgrid", "locale": "en"},
        "properties": {"email": "victim@shop.example.org", "message_id": "m"},
    }
    (event,) = parse_event(json.dumps(body).encode(), "track", NOW, "US").events
    assert event.context == {"locale": "en"}
    assert suppresses(event) is None
    assert settles(event) is None


def test_an_address_that_is_none_costs_no_event() -> None:
    event = one(
        "identify",
        userId="42",
        traits={"email": "ann@", "phone": "+447700900123"},
        context={"refused_addresses": {"email": {"value": "x", "because": "said so"}}},
    )
    assert event.identifiers == ("user:42",)
    assert event.properties == {"email": "ann@", "phone": "+447700900123"}
    assert event.context["refused_addresses"] == {
        "email": {"value": "ann@", "because": "There must be something after the @-sign."},
        "phone": {
            "value": "+447700900123",
            "because": "The phone number is not valid for its country.",
        },
    }


@pytest.mark.parametrize("empty", [None, ""])
def test_no_address_is_no_wrong_address(empty: str | None) -> None:
    assert one("identify", userId="42", traits={"email": empty, "phone": empty}).context == {}


def test_who_has_nothing_but_a_wrong_address_is_told_what_is_wrong() -> None:
    assert "(email: There must be something after the @-sign.)" in refused(
        event="Cart Viewed", properties={"email": "ann@"}
    )
