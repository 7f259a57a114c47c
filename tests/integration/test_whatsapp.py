"""WhatsApp from the journey to Twilio and back: consent, caps, quiet hours, reports, STOP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import time, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from engine.channels.twilio import TwilioChannel, parse
from engine.core.keywords import read
from engine.core.receipts import REPORTER
from engine.language.keywords import default_keywords
from engine.model.event import Event
from engine.model.policy import Cap, Policy, QuietHours, Shop, Topic
from engine.rendering import Renderer
from engine.testing.twilio import TwilioSimulator
from tests.integration.runtime_kit import Make, Pipeline, event, identify, journey, send
from tests.unit.core.build import T0

NUMBER = "+4915123456789"
WHO = ("user:1", f"phone:{NUMBER}")
SID = "HX" + "0a" * 16
CHAT = journey(send("whatsapp", template="chat"), name="chat", key="event.product_id")
JOURNEY = CHAT
TEXT = journey(send("sms", template="chat"), name="text", trigger="Product Added")
POLICY = Policy(
    shop=Shop(whatsapp_from="+15005550006", sms_from="+15005550006", url="https://shop.example"),
    topics={"offers": Topic("offers", consent="opt-out")},
)


@pytest.fixture
def twilio() -> Iterator[TwilioSimulator]:
    with TwilioSimulator() as simulator:
        yield simulator


@pytest.fixture
def shop(make: Make, twilio: TwilioSimulator, tmp_path: Path) -> Iterator[Pipeline]:
    folder = tmp_path / "templates" / "chat"
    folder.mkdir(parents=True)
    (folder / "whatsapp.en.yaml").write_text(
        f'content sid: {SID}\nvariables: {{1: "{{{{ event.product_id }}}}"}}\n', "utf-8"
    )
    (folder / "sms.en.txt").write_text("Hello", "utf-8")
    channel = TwilioChannel(
        twilio.account, twilio.token, twilio.url, callback="https://go.example/callbacks/twilio"
    )
    made = make(CHAT, TEXT, policy=POLICY)
    made.shell.renderer = Renderer(
        tmp_path / "templates", POLICY, public_url="https://go.example", secret="s" * 32
    )
    made.shell.channels.update(whatsapp=channel, sms=channel)
    yield made
    channel.close()


def looks(shop: Pipeline, product: str, hours: float = 0) -> None:
    at = T0 + timedelta(hours=hours)
    shop.drain(event("Product Viewed", at, who=WHO, product_id=product))
    shop.deliver()


def reported(shop: Pipeline, twilio: TwilioSimulator, status: str, **fields: str) -> None:
    """Twilio's report of the last message."""
    form = twilio.forms()[-1]
    sid = next(reversed(twilio.messages._made))
    body = {"MessageSid": sid, "MessageStatus": status, "To": form["To"], **fields}
    told = parse(urlencode(body).encode(), form["StatusCallback"], shop.clock.now())
    shop.drain(*[msgspec.structs.replace(one, context={REPORTER: "twilio"}) for one in told])


def statuses(shop: Pipeline) -> list[tuple[str, str]]:
    return shop.rows("select status, reason from message order by created_at, id")


def test_it_goes_out_and_its_reports_come_back(shop: Pipeline, twilio: TwilioSimulator) -> None:
    shop.drain(identify(*WHO, phone=NUMBER))
    looks(shop, "p1")
    (form,) = twilio.forms()
    assert form["To"] == f"whatsapp:{NUMBER}" and form["ContentSid"] == SID
    assert json.loads(form["ContentVariables"]) == {"1": "p1"}
    assert statuses(shop) == [("sent", "")]
    for status, reached in (("delivered", 3), ("sent", 3), ("read", 4)):
        reported(shop, twilio, status)
        assert shop.one("select reached from message") == reached
    names = shop.rows("select name from event where name ~ 'WhatsApp' order by name")
    assert names == [("WhatsApp Delivered",), ("WhatsApp Read",), ("WhatsApp Sent",)]


def test_a_yes_to_sms_is_none_to_whatsapp(shop: Pipeline, twilio: TwilioSimulator) -> None:
    shop.policy = replace(POLICY, topics={"offers": Topic("offers", consent="opt-in")})
    shop.drain(identify(*WHO, phone=NUMBER, consent={"sms": True}))
    looks(shop, "p1")
    assert twilio.count == 0
    shop.drain(
        identify(*WHO, time=T0 + timedelta(hours=1), phone=NUMBER, consent={"whatsapp": True})
    )
    looks(shop, "p2", hours=2)
    assert twilio.count == 1


def test_caps_and_quiet_hours_are_the_channels_own(shop: Pipeline, twilio: TwilioSimulator) -> None:
    shop.policy = replace(POLICY, caps=(Cap(1, timedelta(days=1), "whatsapp"),))
    shop.drain(identify(*WHO, phone=NUMBER, timezone="UTC"))
    looks(shop, "p1")
    looks(shop, "p2", hours=1)
    assert [status for status, _ in statuses(shop)] == ["sent", "skipped"]
    shop.drain(event("Product Added", T0 + timedelta(hours=2), who=WHO))
    shop.deliver()
    assert [form["To"] for form in twilio.forms()] == [f"whatsapp:{NUMBER}", NUMBER]
    late = (T0 + timedelta(hours=30)).time()
    quiet = QuietHours(late.replace(minute=0, second=0), time((late.hour + 3) % 24))
    shop.policy = replace(POLICY, quiet_hours={"whatsapp": quiet})
    looks(shop, "p3", hours=30)
    assert twilio.count == 2 and statuses(shop)[-1][0] == "due"


def test_a_number_that_is_not_on_whatsapp_still_gets_texts(
    shop: Pipeline, twilio: TwilioSimulator
) -> None:
    shop.drain(identify(*WHO, phone=NUMBER))
    looks(shop, "p1")
    reported(shop, twilio, "undelivered", ErrorCode="63003")
    looks(shop, "p2", hours=1)
    assert twilio.count == 1
    assert statuses(shop)[-1][0] == "skipped" and "suppressed" in statuses(shop)[-1][1]
    shop.drain(event("Product Added", T0 + timedelta(hours=2), who=WHO))
    shop.deliver()
    assert twilio.forms()[-1]["To"] == NUMBER


def test_stop_on_whatsapp_is_heard(shop: Pipeline, twilio: TwilioSimulator) -> None:
    shop.drain(identify(*WHO, phone=NUMBER))
    looks(shop, "p1")
    said = {
        "MessageSid": "SM" + "1" * 32,
        "From": f"whatsapp:{NUMBER}",
        "To": "whatsapp:+15005550006",
        "Body": " Stop! ",
    }
    shop.clock.move_to(T0 + timedelta(hours=1))
    (reply,) = parse(urlencode(said).encode(), "https://go.example/cb", shop.clock.now())
    heard: Event = read(reply, default_keywords(POLICY.shop)).event
    shop.drain(msgspec.structs.replace(heard, context={REPORTER: "twilio"}))
    looks(shop, "p2", hours=2)
    assert twilio.count == 1
    assert statuses(shop)[-1][0] == "skipped"


def test_what_whatsapp_refuses_is_final_and_blames_nobody(
    shop: Pipeline, twilio: TwilioSimulator
) -> None:
    twilio.contents.create(twilio.account, {"language": "en", "types": {}}, "")
    shop.drain(identify(*WHO, phone=NUMBER))
    looks(shop, "p1")
    ((status, reason),) = statuses(shop)
    assert status == "failed" and "21655" in reason
    assert shop.rows("select * from suppression") == []


def test_the_shop_without_a_number_is_told(shop: Pipeline, twilio: TwilioSimulator) -> None:
    renderer: Any = shop.shell.renderer
    renderer.policy = replace(POLICY, shop=replace(POLICY.shop, whatsapp_from=""))
    shop.drain(identify(*WHO, phone=NUMBER))
    looks(shop, "p1")
    assert "whatsapp from" in statuses(shop)[0][1] and twilio.count == 0
