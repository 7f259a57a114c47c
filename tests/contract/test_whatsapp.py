"""WhatsApp through Twilio: what is asked for, what is refused, what is reported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from engine.channels.file import FileChannel, read_mailbox
from engine.channels.twilio import TwilioChannel, parse
from engine.core.receipts import REPORTER, progress, settles, suppresses
from engine.errors import DeliveryError, OutcomeUnknown
from engine.model.lookup import Asked
from engine.model.message import WhatsApp
from engine.testing.simulator import HANG, answering
from engine.testing.twilio import TwilioSimulator
from tests.contract.conftest import an_sms
from tests.shared_data import shared

NOW = datetime(2026, 11, 24, tzinfo=UTC)
URL = "https://shop.example/callbacks/twilio"
SID = "HX" + "0a" * 16
TO = "+14155550007"


def a_message(**changes: Any) -> WhatsApp:
    values = {
        "message_id": "00000000-0000-0000-0000-000000000007",
        "to": TO,
        "sender": "+15005550006",
        "content_sid": SID,
        "variables": {"1": "عائشہ", "2": 'a "lamp" & more'},
        "body": "Still there, عائشہ?",
    }
    return WhatsApp(**{**values, **changes})


@pytest.fixture
def there() -> Iterator[TwilioSimulator]:
    with TwilioSimulator(spec=shared("specs/twilio/twilio_api_v2010.messages.json")) as simulator:
        yield simulator


@pytest.fixture
def channel(there: TwilioSimulator) -> Iterator[TwilioChannel]:
    channel = TwilioChannel(there.account, there.token, there.url, callback=URL, answer=0.4)
    yield channel
    channel.close()


def test_a_template_goes_out_by_its_sid_with_its_variables(
    there: TwilioSimulator, channel: TwilioChannel
) -> None:
    receipt = channel.send(a_message())
    channel.send(a_message(sender="MG" + "a" * 32, variables={}))
    first, second = there.forms()
    variables = json.loads(first.pop("ContentVariables"))
    assert variables == {"1": "عائشہ", "2": 'a "lamp" & more'}
    assert first == {
        "To": f"whatsapp:{TO}",
        "From": "whatsapp:+15005550006",
        "ContentSid": SID,
        "StatusCallback": f"{URL}?message={a_message().message_id}",
    }
    assert second["MessagingServiceSid"] == "MG" + "a" * 32
    assert "From" not in second and "ContentVariables" not in second and "Body" not in second
    assert receipt.reference.startswith("SM")


def test_the_reader_sees_the_approved_words(there: TwilioSimulator, channel: TwilioChannel) -> None:
    made = there.contents.create(
        there.account,
        {"language": "en", "types": {"twilio/text": {"body": "Hello {{1}}, see {{2}}"}}},
        "2026-11-24T00:00:00Z",
    )
    receipt = channel.send(a_message(content_sid=made["sid"], variables={"1": "Ann", "2": "x"}))
    message = there.messages.get(receipt.reference)
    assert message is not None and message["body"] == "Hello Ann, see x"
    with pytest.raises(DeliveryError, match="21656") as gap:
        channel.send(a_message(content_sid=made["sid"], variables={"1": "Ann"}))
    with pytest.raises(DeliveryError, match="21655") as unknown:
        channel.send(a_message())
    for refused in (gap.value, unknown.value):
        assert refused.permanent and not refused.suppress and not refused.fault
    assert there.count == 1


@pytest.mark.parametrize(
    "changes",
    [{"sender": ""}, {"content_sid": ""}, {"content_sid": "HX12"}, {"to": "0300 1234567"}],
)
def test_what_cannot_be_sent_is_refused_before_twilio_is_asked(
    there: TwilioSimulator, channel: TwilioChannel, changes: dict[str, str]
) -> None:
    with pytest.raises(DeliveryError) as refused:
        channel.send(a_message(**changes))
    assert refused.value.permanent
    assert refused.value.suppress == ("to" in changes)
    assert there.requests == 0


@pytest.mark.parametrize(
    ("code", "permanent", "suppress", "fault"),
    [
        (63003, True, True, ""),
        (63024, True, True, ""),
        (63007, True, False, "account"),
        (63016, True, False, ""),
        (63021, True, False, ""),
        (63018, False, False, ""),  # sends too fast: later
        (63999, False, False, ""),  # unknown codes never block anybody
    ],
)
def test_what_an_error_code_means(
    there: TwilioSimulator,
    channel: TwilioChannel,
    code: int,
    permanent: bool,
    suppress: bool,
    fault: str,
) -> None:
    body = json.dumps({"code": code, "message": f"no {TO}", "status": 400}).encode()
    there.script([answering(400, body)])
    with pytest.raises(DeliveryError) as refused:
        channel.send(a_message())
    error = refused.value
    assert (error.permanent, error.suppress, error.fault) == (permanent, suppress, fault)
    assert TO not in str(error)


# --- looking up -----------------------------------------------------------------------------


def asked(channel: TwilioChannel, **changes: Any) -> Asked:
    values = {"to": TO, "trace": channel.trace(a_message()), "handed_at": datetime.now(UTC)}
    return Asked(**{**values, **changes})


def test_a_lost_answer_is_found_by_the_number_alone(
    there: TwilioSimulator, channel: TwilioChannel
) -> None:
    assert channel.look_up(asked(channel)).what == "absent"
    channel.send(an_sms(to=TO))  # a text message to the same number is another thing
    assert channel.look_up(asked(channel)).what == "absent"
    there.script([HANG])
    with pytest.raises(OutcomeUnknown):
        channel.send(a_message())
    found = channel.look_up(asked(channel))
    assert found.what == "sent"
    # One that is known to be another message's does not stand for this one.
    others = frozenset({found.reference})
    assert channel.look_up(asked(channel, others=others)).what == "absent"
    assert channel.look_up(asked(channel, to="+14155550008")).what == "unsure"
    later = datetime.now(UTC) + timedelta(hours=1)
    assert channel.look_up(asked(channel, handed_at=later)).what == "absent"
    assert TO not in channel.trace(a_message())


# --- reports --------------------------------------------------------------------------------


def report(status: str, **fields: str) -> Any:
    form = {"MessageSid": "SM1", "MessageStatus": status, "To": f"whatsapp:{TO}", **fields}
    (event,) = parse(urlencode(form).encode(), f"{URL}?message=m-1", NOW)
    return msgspec.structs.replace(event, context={REPORTER: "twilio"})


@pytest.mark.parametrize(
    ("status", "name", "settled"),
    [
        ("sent", "WhatsApp Sent", "sent"),
        ("delivered", "WhatsApp Delivered", "sent"),
        ("read", "WhatsApp Read", "sent"),
        ("failed", "WhatsApp Failed", "failed"),
        ("undelivered", "WhatsApp Failed", "failed"),
    ],
)
def test_a_report_is_an_event_of_the_shopper(status: str, name: str, settled: str) -> None:
    event = report(status)
    assert (event.name, event.identifiers) == (name, (f"phone:{TO}",))
    assert settles(event) == ("m-1", settled)
    assert progress(event) is not None


def test_reports_only_ever_move_a_message_on() -> None:
    reached = [progress(report(status)) for status in ("sent", "delivered", "read")]
    assert [step[1] for step in reached if step] == sorted({step[1] for step in reached if step})


def test_a_dead_number_is_blocked_on_whatsapp_alone() -> None:
    assert suppresses(report("undelivered", ErrorCode="63003")) == (
        f"phone:{TO}",
        "whatsapp",
        "whatsapp failed",
    )
    assert suppresses(report("undelivered", ErrorCode="63016")) is None


# --- the mailbox ----------------------------------------------------------------------------


def test_the_mailbox_shows_it_as_its_reader_would_see_it(tmp_path: Path) -> None:
    desk = FileChannel(tmp_path / "mailbox", lambda: NOW)
    desk.send(a_message())
    desk.send(a_message(message_id="m-2", body=""))
    # A text about "content_sid" is a text all the same.
    desk.send(an_sms(body='{"content_sid": "HX"}'))
    letters = {letter.message_id: letter for letter in read_mailbox(tmp_path)}
    chat = letters[a_message().message_id]
    assert (chat.kind, chat.to, chat.text) == ("whatsapp", TO, "Still there, عائشہ?")
    assert chat.headers == {"Content-Sid": SID}
    assert letters["m-2"].text == '1: عائشہ\n2: a "lamp" & more'
    assert letters[an_sms().message_id].kind == "sms"
    with pytest.raises(DeliveryError):
        desk.send(a_message(to="nobody"))
