"""The SMTP sink's own manners: TLS, size, greylisting, planned faults, the truth."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.channels.smtp import SmtpChannel
from engine.clock import ManualClock
from engine.errors import DeliveryError, OutcomeUnknown
from engine.settings import Settings
from engine.testing.plan import Plan
from engine.testing.smtp import SmtpSink
from tests.contract.conftest import SENT, an_email


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(stack: ExitStack, sink: SmtpSink, tmp_path: Any = None) -> SmtpChannel:
    """Our channel, told of the sink as an operator would tell it: by its URL."""
    settings = Settings.from_environment(
        {"WINBACK_SMTP_URL": sink.url, "WINBACK_SECRET": "x" * 32}, project_dir=tmp_path
    )
    context = ssl.create_default_context(cafile=sink.ca_file) if sink.ca_file else None
    channel = SmtpChannel(
        settings.smtp_host,
        settings.smtp_port,
        lambda: SENT,
        tls=settings.smtp_tls,
        timeout=0.5,
        context=context,
    )
    stack.callback(channel.close)
    return channel


@pytest.mark.parametrize("tls", ["", "starttls", "tls"])
def test_it_speaks_tls_in_each_way(stack: ExitStack, tls: Any) -> None:
    sink = stack.enter_context(SmtpSink(tls=tls))
    channel = connect(stack, sink)
    channel.send(an_email(1))
    channel.send(an_email(2))
    assert sink.connections == 1
    assert sink.ledger is not None
    assert [(t.key, t.to) for t in sink.ledger] == [
        (an_email(n).message_id, f"shopper{n}@example.com") for n in (1, 2)
    ]


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_stranger_s_certificate_is_not_trusted(stack: ExitStack, tls: Any) -> None:
    sink = stack.enter_context(SmtpSink(tls=tls))
    channel = SmtpChannel("127.0.0.1", sink.port, lambda: SENT, tls=tls, timeout=2)
    with pytest.raises(DeliveryError, match="certificate"):
        channel.send(an_email())
    assert sink.count == 0


def test_without_starttls_there_is_no_mail(stack: ExitStack) -> None:
    sink = stack.enter_context(SmtpSink(tls="starttls"))
    channel = SmtpChannel("127.0.0.1", sink.port, lambda: SENT, timeout=2)
    stack.callback(channel.close)
    with pytest.raises(DeliveryError, match="530"):
        channel.send(an_email())


def test_a_mail_may_not_be_larger_than_it_says(stack: ExitStack) -> None:
    sink = stack.enter_context(SmtpSink(largest=5000))
    channel = connect(stack, sink)
    channel.send(an_email(1))
    with pytest.raises(DeliveryError, match="552") as refused:
        channel.send(an_email(2, html="<p>" + "x y " * 2000))
    assert refused.value.permanent and not refused.value.suppress
    with smtplib.SMTP("127.0.0.1", sink.port) as client:
        client.ehlo()
        assert client.esmtp_features["size"] == "5000"
        assert client.docmd("MAIL FROM:<a@b.example> SIZE=5001")[0] == 552
        assert client.docmd("MAIL FROM:<a@b.example> SIZE=5000")[0] == 250
    assert sink.count == 1


def test_addresses_are_ascii(stack: ExitStack) -> None:
    sink = stack.enter_context(SmtpSink())
    with smtplib.SMTP("127.0.0.1", sink.port) as client:
        client.ehlo()
        assert not client.has_extn("smtputf8")
        assert client.docmd("MAIL FROM:<a@b.example> SMTPUTF8")[0] == 555
        client.command_encoding = "utf-8"
        assert client.docmd("MAIL FROM:<é@b.example>")[0] == 553
        assert client.docmd("MAIL FROM:<a@b.example>")[0] == 250
        assert client.docmd("RCPT TO:<é@b.example>")[0] == 553


def test_greylisting_puts_off_whoever_it_has_not_met(stack: ExitStack) -> None:
    sink = stack.enter_context(SmtpSink(greylist=0.2))
    channel = connect(stack, sink)
    for _ in range(2):
        with pytest.raises(DeliveryError, match="450") as put_off:
            channel.send(an_email(1))
        assert not put_off.value.permanent
    sink._met = {pair: at - 0.2 for pair, at in sink._met.items()}
    channel.send(an_email(1))
    with pytest.raises(DeliveryError, match="450"):
        channel.send(an_email(2))
    assert sink.faulted == {"450": 3}
    assert sink.count == 1


@pytest.mark.parametrize(
    ("fault", "taken", "what", "permanent"),
    [
        ("450", False, DeliveryError, False),
        ("421", False, DeliveryError, False),
        ("451", False, DeliveryError, False),
        ("452", False, DeliveryError, False),
        ("550", False, DeliveryError, True),
        ("554", False, DeliveryError, True),
        ("drop", False, DeliveryError, False),
        ("cut", True, OutcomeUnknown, None),
        ("hang", True, OutcomeUnknown, None),
        ("slow", True, None, None),
    ],
)
@pytest.mark.parametrize("pipelining", [True, False])
def test_each_fault_is_what_it_says(
    stack: ExitStack,
    pipelining: bool,
    fault: str,
    taken: bool,
    what: type[Exception] | None,
    permanent: bool | None,
) -> None:
    sink = stack.enter_context(SmtpSink(plan=Plan({fault: 1.0}), slow=0.05, pipelining=pipelining))
    channel = connect(stack, sink)
    if what is None:
        channel.send(an_email())
    else:
        with pytest.raises(what) as failed:
            channel.send(an_email())
        assert permanent is None or getattr(failed.value, "permanent", None) is permanent
    assert set(sink.faulted) == {fault}
    assert sink.ledger is not None
    assert [(t.key, t.fault) for t in sink.ledger] == (
        [(an_email().message_id, fault)] if taken else []
    )
    sink.plan = None
    channel.send(an_email(2))  # and on it goes
    assert sink.ledger.times()[an_email(2).message_id] == 1


def test_a_mix_of_faults_loses_and_doubles_nothing_for_who_repeats_what_is_known(
    stack: ExitStack,
) -> None:
    plan = Plan({"450": 0.1, "451": 0.05, "421": 0.05, "drop": 0.05, "cut": 0.05}, seed=8)
    sink = stack.enter_context(SmtpSink(plan=plan))
    channel = connect(stack, sink)
    unknown = set()
    for n in range(300):
        mail = an_email(n)
        for _ in range(50):
            try:
                channel.send(mail)
            except DeliveryError:
                continue
            except OutcomeUnknown:
                unknown.add(mail.message_id)
            break
    assert sink.ledger is not None
    assert not sink.ledger.doubled()
    assert not sink.ledger.lost(an_email(n).message_id for n in range(300))
    assert unknown == {t.key for t in sink.ledger if t.fault == "cut"}
    assert sum(sink.faulted.values()) == sum(plan.drawn.values()) > 60


def test_a_fault_it_cannot_have_is_refused() -> None:
    with pytest.raises(ValueError, match="429"):
        SmtpSink(plan=Plan({"429": 0.1}))


def test_the_ledger_goes_by_its_clock(stack: ExitStack) -> None:
    at = datetime(2026, 11, 24, 10, tzinfo=UTC)
    sink = stack.enter_context(SmtpSink(clock=ManualClock(at)))
    connect(stack, sink).send(an_email())
    assert sink.ledger is not None
    assert [t.at for t in sink.ledger] == [at.timestamp()]
