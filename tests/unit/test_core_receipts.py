"""What providers' reports settle and suppress."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.core.receipts import settles, suppresses
from engine.model.event import Event
from tests.unit.core.build import event

WHO = ("user:1", "email:a@b.de", "phone:+4930123456")


def reported(name: str, who: tuple[str, ...] = WHO, **properties: Any) -> Event:
    said = event(name, who=who, **properties)
    return msgspec.structs.replace(said, context={"made_by": "sendgrid"})


@pytest.mark.parametrize(
    "name, properties, expected",
    [
        ("Email Delivered", {"message_id": "m"}, ("m", "sent")),
        ("Email Bounced", {"message_id": "m"}, ("m", "sent")),  # the provider had it
        ("SMS Sent", {"message_id": "m"}, ("m", "sent")),
        ("Email Dropped", {"message_id": "m"}, ("m", "failed")),
        ("SMS Failed", {"message_id": "m"}, ("m", "failed")),
        ("Email Delivered", {}, None),
        ("Email Delivered", {"message_id": 5}, None),
        ("Order Completed", {"message_id": "m"}, None),
    ],
)
def test_settles(name: str, properties: dict[str, Any], expected: tuple[str, str] | None) -> None:
    assert settles(reported(name, **properties)) == expected


@pytest.mark.parametrize(
    "name, properties, expected",
    [
        ("Email Bounced", {"permanent": True}, ("email:a@b.de", "email", "email bounced")),
        ("Email Bounced", {"permanent": False}, None),
        ("Email Bounced", {"permanent": "true"}, None),
        ("Email Bounced", {}, None),
        ("Email Spam Reported", {}, ("email:a@b.de", "email", "email spam reported")),
        ("SMS Failed", {"permanent": True}, ("phone:+4930123456", "sms", "sms failed")),
        ("SMS Failed", {}, None),
        ("Email Delivered", {"permanent": True}, None),
    ],
)
def test_suppresses(
    name: str, properties: dict[str, Any], expected: tuple[str, str, str] | None
) -> None:
    assert suppresses(reported(name, **properties)) == expected


def test_without_an_address_nobody_is_suppressed() -> None:
    assert suppresses(reported("Email Spam Reported", who=("user:1",))) is None
