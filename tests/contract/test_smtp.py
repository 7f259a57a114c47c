"""SMTP: how far the talk came decides what is known."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import timedelta
from email import message_from_bytes
from email.policy import SMTPUTF8
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from msgspec.structs import replace

from engine.channels.smtp import SmtpChannel
from engine.errors import DeliveryError, OutcomeUnknown
from engine.testing.certificate import write_certificate
from engine.testing.smtp import SmtpFault, SmtpSink, Stage
from tests.contract.conftest import SENT, an_email


@pytest.fixture(params=[True, False], ids=["pipelining", "step by step"])
def sink(request: pytest.FixtureRequest) -> Iterator[SmtpSink]:
    with SmtpSink(pipelining=request.param) as sink:
        yield sink


@pytest.fixture
def channel(sink: SmtpSink) -> Iterator[SmtpChannel]:
    channel = SmtpChannel("127.0.0.1", sink.port, lambda: SENT, timeout=2)
    yield channel
    channel.close()


def refused(channel: SmtpChannel, number: int = 1) -> DeliveryError:
    with pytest.raises(DeliveryError) as error:
        channel.send(an_email(number))
    return error.value


@pytest.mark.parametrize(
    ("stage", "reply", "permanent", "suppress"),
    [
        ("rcpt", "550 5.1.1 <shopper1@example.com>: no such user", True, True),
        ("rcpt", "550 No such user here", True, True),
        ("rcpt", "550 5.2.1 mailbox disabled", True, True),
        ("rcpt", "553 5.1.3 bad address syntax", True, True),
        ("rcpt", "550 5.7.1 relaying denied", True, False),
        ("rcpt", "554 5.7.1 Recipient address rejected: Access denied", True, False),
        ("rcpt", "450 4.2.1 greylisted", False, False),
        ("rcpt", "452 4.2.2 mailbox full", False, False),
        ("rcpt", "450 4.1.1 user unknown for now", False, False),
        ("mail", "550 5.1.8 sender domain not found", True, False),
        ("mail", "451 4.3.0 try later", False, False),
        ("data", "554 5.5.1 no valid recipients", True, False),
        ("data", "451 4.3.0 try later", False, False),
        ("end", "550 5.1.1 no such user", True, True),
        ("end", "554 5.7.1 looks like spam", True, False),
        ("end", "452 4.3.1 no space", False, False),
    ],
)
def test_what_a_reply_means(
    sink: SmtpSink,
    channel: SmtpChannel,
    stage: Stage,
    reply: str,
    permanent: bool,
    suppress: bool,
) -> None:
    sink.script([SmtpFault(stage, reply)])
    error = refused(channel)
    assert (error.permanent, error.suppress) == (permanent, suppress)
    assert permanent or error.retry_after == timedelta(minutes=5)
    assert reply[:3] in str(error)
    assert "shopper1" not in str(error)
    assert sink.count == 0
    # The connection is fit for the next mail.
    channel.send(an_email(2))
    assert [mail.to for mail in sink.received] == ["shopper2@example.com"]
    assert sink.connections == 1


@pytest.mark.parametrize(
    ("stage", "reply", "fault"),
    [
        ("mail", "550 5.1.8 sender domain not found", "account"),
        ("mail", "530 5.7.0 authentication required", "account"),
        ("mail", "451 4.3.0 try later", "away"),
        ("mail", "552 5.3.4 too large", ""),
        ("rcpt", "550 5.1.1 no such user", ""),
        ("rcpt", "450 4.2.1 greylisted", ""),
        ("end", "554 5.7.1 looks like spam", ""),
    ],
)
def test_whose_fault_it_is(
    sink: SmtpSink, channel: SmtpChannel, stage: Stage, reply: str, fault: str
) -> None:
    sink.script([SmtpFault(stage, reply)])
    assert refused(channel).fault == fault


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
@pytest.mark.parametrize("kind", ["cut", "hang"])
def test_a_connection_lost_before_the_mail_means_not_taken(
    sink: SmtpSink, channel: SmtpChannel, stage: Stage, kind: Any
) -> None:
    sink.script([SmtpFault(stage, kind=kind)])
    error = refused(channel)
    assert not error.permanent
    assert sink.count == 0


@pytest.mark.parametrize("kind", ["cut", "hang"])
def test_a_connection_lost_after_the_mail_means_unknown(
    sink: SmtpSink, channel: SmtpChannel, kind: Any
) -> None:
    sink.script([SmtpFault("end", kind=kind)])
    with pytest.raises(OutcomeUnknown):
        channel.send(an_email())
    assert sink.count == 1


def test_connections_are_kept_and_replaced_when_the_server_closed_them(
    sink: SmtpSink, channel: SmtpChannel
) -> None:
    for number in range(1, 4):
        channel.send(an_email(number))
    assert sink.connections == 1
    sink.close_connections()
    channel.send(an_email(4))
    assert (sink.count, sink.connections) == (4, 2)
    # A server that says 421 to an idle connection is asked again on a new one.
    sink.script([SmtpFault("mail", "421 4.4.2 idle too long")])
    channel.send(an_email(5))
    assert (sink.count, sink.connections) == (5, 3)


def test_nobody_there() -> None:
    with SmtpSink() as sink:
        port = sink.port
    error = refused(SmtpChannel("127.0.0.1", port, lambda: SENT, timeout=2))
    assert not error.permanent
    assert error.fault == "away"
    assert "cannot be reached" in str(error)


def test_a_dot_at_the_start_of_a_line_arrives(sink: SmtpSink, channel: SmtpChannel) -> None:
    text = ".\n..\n.hidden\n" + "x" * 75 + ".end\n"
    channel.send(an_email(text=text))
    import email
    import email.policy

    mail: Any = email.message_from_bytes(sink.received[0].data, policy=email.policy.default)
    content = mail.get_body(("plain",)).get_content().replace("\r\n", "\n")
    assert content.rstrip("\n") == text.rstrip("\n")


class _Keep:
    def __init__(self) -> None:
        self.mails: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append(envelope)
        return "250 2.0.0 kept"


@pytest.fixture
def independent() -> Iterator[Callable[..., tuple[Controller, _Keep]]]:
    """aiosmtpd: a server that we did not write, with TLS and login."""
    running: list[Controller] = []

    def start(**options: Any) -> tuple[Controller, _Keep]:
        keep = _Keep()
        controller = Controller(keep, hostname="127.0.0.1", port=free_port(), **options)
        controller.start()
        running.append(controller)
        return controller, keep

    yield start
    for controller in running:
        controller.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as place:
        return int(place.getsockname()[1])


def test_another_server_reads_the_mail(
    independent: Callable[..., tuple[Controller, _Keep]],
) -> None:
    controller, keep = independent()
    channel = SmtpChannel("127.0.0.1", controller.port, lambda: SENT, timeout=2)
    channel.send(an_email(1, subject="आपका शॉल"))
    channel.send(an_email(2))
    channel.close()
    assert [mail.rcpt_tos for mail in keep.mails] == [
        ["shopper1@example.com"],
        ["shopper2@example.com"],
    ]


def test_an_address_beyond_ascii_goes_where_it_can(
    independent: Callable[..., tuple[Controller, _Keep]],
) -> None:
    to, mixed = "राम@मोहन.ईन्फो", "asha@मोहन.ईन्फो"
    controller, keep = independent(enable_SMTPUTF8=True)
    channel = SmtpChannel("127.0.0.1", controller.port, lambda: SENT, timeout=2)
    for address in (to, mixed, to):
        channel.send(replace(an_email(1), to=address))
    channel.close()
    ascii_form = "asha@xn--l2bl7a9d.xn--o1b8dj2ki"
    assert [mail.rcpt_tos for mail in keep.mails] == [[to], [ascii_form], [to]]
    assert [mail.smtp_utf8 for mail in keep.mails] == [True, False, True]
    first = message_from_bytes(keep.mails[0].content, policy=SMTPUTF8)
    assert f"\nTo: {to}\r\n".encode() in keep.mails[0].content
    assert first["Subject"] == an_email(1).subject


def test_a_server_that_takes_only_ascii_is_not_handed_more(
    sink: SmtpSink, channel: SmtpChannel
) -> None:
    with pytest.raises(DeliveryError, match="SMTPUTF8") as error:
        channel.send(replace(an_email(1), to="राम@मोहन.ईन्फो"))
    assert error.value.permanent and not error.value.suppress and not error.value.fault
    channel.send(an_email(2))
    assert sink.count == 1 and sink.connections == 1


def test_a_wrong_sender_is_no_fault_of_the_recipients(channel: SmtpChannel) -> None:
    with pytest.raises(DeliveryError, match="shop's own address") as error:
        channel.send(replace(an_email(1), from_address="no address"))
    assert error.value.permanent and not error.value.suppress


def test_starttls_and_login(
    independent: Callable[..., tuple[Controller, _Keep]], tmp_path: Path
) -> None:
    certificate, key = write_certificate(tmp_path)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate, key)

    def check(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        known = (data.login, data.password) == (b"shop", b"secret")
        return AuthResult(success=known, handled=False)

    controller, keep = independent(
        tls_context=server_side, require_starttls=True, authenticator=check, auth_required=True
    )
    trusting = ssl.create_default_context(cafile=str(certificate))
    options: dict[str, Any] = {"tls": "starttls", "user": "shop", "timeout": 2}
    port = controller.port
    channel = SmtpChannel(
        "127.0.0.1", port, lambda: SENT, password="secret", context=trusting, **options
    )
    channel.send(an_email())
    channel.close()
    assert len(keep.mails) == 1

    error = refused(
        SmtpChannel("127.0.0.1", port, lambda: SENT, password="wrong", context=trusting, **options)
    )
    assert not error.permanent and "WINBACK_SMTP_URL" in str(error)
    assert error.retry_after == timedelta(minutes=15)

    error = refused(SmtpChannel("127.0.0.1", port, lambda: SENT, password="secret", **options))
    assert not error.permanent and "cannot be reached" in str(error)
    assert len(keep.mails) == 1
