"""Finding a text again in Twilio's own list, by hashes of number and words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from engine.channels import twilio_lookup
from engine.channels.twilio import TwilioChannel
from engine.errors import OutcomeUnknown
from engine.model.lookup import Asked, Found
from engine.model.message import Sms
from engine.ports import LooksUp
from engine.testing.simulator import CUT, DROP, HANG, Fault, answering
from engine.testing.twilio import TwilioSimulator
from tests.contract.conftest import an_sms


@pytest.fixture
def there() -> Iterator[TwilioSimulator]:
    with TwilioSimulator() as simulator:
        yield simulator


@pytest.fixture
def channel(there: TwilioSimulator) -> Iterator[TwilioChannel]:
    channel = TwilioChannel(there.account, there.token, there.url, answer=0.3)
    yield channel
    channel.close()


def asked(channel: TwilioChannel, text: Sms, **changes: object) -> Asked:
    found = Asked(text.to, channel.trace(text), datetime.now(UTC))
    return found._replace(**changes)  # type: ignore[arg-type]


def lose(there: TwilioSimulator, channel: TwilioChannel, text: Sms, fault: Fault) -> None:
    there.script([fault])
    with pytest.raises(OutcomeUnknown):
        channel.send(text)


@pytest.mark.parametrize("fault", [HANG, CUT])
def test_what_it_took_without_an_answer_is_found(
    there: TwilioSimulator, channel: TwilioChannel, fault: Fault
) -> None:
    assert isinstance(channel, LooksUp)
    text = an_sms(7, body="آپ کی شال & more")
    lose(there, channel, text, fault)
    found = channel.look_up(asked(channel, text))
    assert found.what == "sent" and found.reference.startswith("SM")


def test_what_it_never_had_is_absent(there: TwilioSimulator, channel: TwilioChannel) -> None:
    text = an_sms(7)
    lose(there, channel, text, DROP)
    channel.send(an_sms(7, body="other words"))
    channel.send(an_sms(8))
    assert channel.look_up(asked(channel, text)) == Found("absent")


def test_one_that_belongs_to_another_message_is_not_taken_for_it(
    there: TwilioSimulator, channel: TwilioChannel
) -> None:
    text = an_sms(7)
    taken = channel.send(text).reference
    assert channel.look_up(asked(channel, text)).reference == taken
    others = frozenset({taken})
    assert channel.look_up(asked(channel, text, others=others)) == Found("absent")


def test_older_ones_with_the_same_words_are_others(
    there: TwilioSimulator, channel: TwilioChannel
) -> None:
    text = an_sms(7)
    channel.send(text)
    later = datetime.now(UTC) + timedelta(hours=1)
    assert channel.look_up(asked(channel, text, handed_at=later)) == Found("absent")


def test_nothing_is_proven_about_another_number(
    there: TwilioSimulator, channel: TwilioChannel
) -> None:
    text = an_sms(7)
    channel.send(text)
    assert channel.look_up(asked(channel, text, to="+14155559999")).what == "unsure"
    assert channel.look_up(asked(channel, text, trace="")).what == "unsure"


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_nothing_is_proven_by_a_list_that_cannot_be_had(
    there: TwilioSimulator, channel: TwilioChannel, status: int
) -> None:
    there.script([answering(status, b'{"code": 20003, "message": "no", "status": 401}')])
    assert channel.look_up(asked(channel, an_sms(7))).what == "unsure"


def test_nor_when_nobody_answers(there: TwilioSimulator, channel: TwilioChannel) -> None:
    there.script([HANG])
    assert channel.look_up(asked(channel, an_sms(7))).what == "unsure"


def test_all_pages_are_read(there: TwilioSimulator, channel: TwilioChannel) -> None:
    text = an_sms(7, body="the first of many")
    channel.send(text)
    for n in range(120):
        channel.send(an_sms(7, body=f"text {n}"))
    assert channel.look_up(asked(channel, text)).what == "sent"
    assert channel.look_up(asked(channel, an_sms(7, body="never sent"))) == Found("absent")


def test_the_trace_tells_no_number() -> None:
    trace = twilio_lookup.trace("+14155550007", "words")
    assert "4155550007" not in trace and "words" not in trace
    assert trace != twilio_lookup.trace("+14155550007", "word")
