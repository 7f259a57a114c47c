"""Finding a mail again in SendGrid's Email Activity, where the account has that add-on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from engine.channels import open_channel
from engine.channels.sendgrid import SendGridChannel
from engine.channels.sendgrid_activity import SendGridWithActivity
from engine.errors import OutcomeUnknown
from engine.model.lookup import Asked
from engine.model.message import Email
from engine.ports import LooksUp, LooksUpTogether
from engine.settings import Settings
from engine.testing.sendgrid import SendGridSimulator
from engine.testing.sendgrid_activity import Activity
from engine.testing.simulator import CUT, DROP, HANG, Fault, answering
from tests.contract.conftest import an_email


@pytest.fixture
def there() -> Iterator[SendGridSimulator]:
    with SendGridSimulator(activity=Activity(on=True, delay=0, per_minute=0)) as simulator:
        yield simulator


@pytest.fixture
def channel(there: SendGridSimulator) -> Iterator[SendGridWithActivity]:
    channel = SendGridWithActivity("SG.test", there.url, answer=0.3)
    yield channel
    channel.close()


def asked(mail: Email) -> Asked:
    return Asked(mail.to, mail.message_id, datetime.now(UTC))


def lose(there: SendGridSimulator, channel: SendGridChannel, mail: Email, fault: Fault) -> None:
    there.script([fault])
    with pytest.raises(OutcomeUnknown):
        channel.send(mail)


def known(channel: SendGridChannel, number: int = 99) -> Asked:
    mail = an_email(number)
    channel.send(mail)
    return asked(mail)


def test_only_an_account_that_has_it_is_asked(there: SendGridSimulator, tmp_path: Path) -> None:
    env = {"SENDGRID_API_KEY": "SG.x", "SENDGRID_BASE_URL": there.url}
    for words, can in (({}, False), ({"SENDGRID_EMAIL_ACTIVITY": "on"}, True)):
        settings = Settings.from_environment({**env, **words}, project_dir=tmp_path)
        again = Settings.from_environment(settings.to_environment(), project_dir=tmp_path)
        made = open_channel("sendgrid", again, lambda: datetime.now(UTC))
        assert isinstance(made, LooksUp) is can
        assert isinstance(made, LooksUpTogether) is can


@pytest.mark.parametrize("fault", [HANG, CUT])
def test_what_it_took_without_an_answer_is_found(
    there: SendGridSimulator, channel: SendGridWithActivity, fault: Fault
) -> None:
    mail = an_email(7)
    lose(there, channel, mail, fault)
    found = channel.look_up(asked(mail))
    assert (found.what, found.reference) == ("sent", there.activity._mails[0].msg_id)


def test_one_request_tells_of_many(there: SendGridSimulator, channel: SendGridWithActivity) -> None:
    mails = [an_email(n) for n in range(channel.at_once)]
    for n, mail in enumerate(mails):
        lose(there, channel, mail, CUT if n % 2 else DROP)
    witness = known(channel)
    before = there.requests
    found = channel.look_up_all([asked(mail) for mail in mails], witness)
    assert there.requests == before + 1
    assert [each.what for each in found] == ["absent", "sent"] * (channel.at_once // 2)


def test_absence_is_proven_only_beside_a_later_mail_that_it_has(
    there: SendGridSimulator, channel: SendGridWithActivity
) -> None:
    mail = an_email(7)
    lose(there, channel, mail, answering(502))
    assert channel.look_up_all([asked(mail)], None)[0].what == "unsure"
    witness = known(channel)
    assert channel.look_up_all([asked(mail)], witness)[0].what == "absent"
    there.activity.blind = True  # as a key without the right is shown
    assert channel.look_up_all([asked(mail)], witness)[0].what == "unsure"
    there.activity.blind, there.activity.delay = False, 60.0  # or the list is behind
    assert channel.look_up_all([asked(mail)], witness)[0].what == "unsure"


def test_two_to_one_address_are_told_apart_by_number_or_not_at_all(
    there: SendGridSimulator, channel: SendGridWithActivity
) -> None:
    one = an_email(7)
    two = msgspec.structs.replace(one, message_id="two")
    lose(there, channel, one, CUT)
    lose(there, channel, two, DROP)
    witness = known(channel)
    found = channel.look_up_all([asked(one), asked(two)], witness)
    assert [each.what for each in found] == ["unsure", "unsure"]
    assert channel.look_up_all([asked(one)], witness)[0].what == "sent"
    assert channel.look_up_all([asked(two)], witness)[0].what == "absent"


def test_an_address_that_has_changed_since_proves_nothing(
    there: SendGridSimulator, channel: SendGridWithActivity
) -> None:
    mail = an_email(7)
    lose(there, channel, mail, CUT)
    moved = asked(mail)._replace(to="new@example.org")
    assert channel.look_up_all([moved], known(channel))[0].what == "unsure"


@pytest.mark.parametrize("fault", [answering(429), answering(500), answering(200, b"<html>"), DROP])
def test_what_cannot_be_read_proves_nothing(
    there: SendGridSimulator, channel: SendGridWithActivity, fault: Fault
) -> None:
    witness = known(channel)
    there.script([fault])
    assert channel.look_up_all([asked(an_email(7))], witness)[0].what == "unsure"


def test_an_account_without_the_add_on_is_told_so(
    there: SendGridSimulator, channel: SendGridWithActivity, caplog: pytest.LogCaptureFixture
) -> None:
    there.activity.on = False
    assert channel.look_up_all([asked(an_email(7))], None)[0].what == "unsure"
    assert "SENDGRID_EMAIL_ACTIVITY" in caplog.text


def test_six_requests_a_minute_are_taken() -> None:
    activity = Activity(on=True)
    assert [activity.too_many(n) for n in range(7)] == [False] * 6 + [True]
    assert not activity.too_many(60.5)


@pytest.mark.parametrize("path", ["?limit=0", "?limit=1001", "?limit=x", "?query=unique_args%3D1"])
def test_a_query_that_is_none_is_refused(path: str) -> None:
    assert Activity(on=True).find(f"/v3/messages{path}", 0) is None
