"""The bytes of a mail, read back by the stdlib's own parser."""

from __future__ import annotations

import email
import email.policy
import json
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest

from engine.channels import mime
from engine.errors import DeliveryError
from tests.contract.conftest import SENT, UNSUBSCRIBE, an_email
from tests.shared_data import shared

URDU = "آپ کی شال آپ کا انتظار کر رہی ہے۔ " * 20


def parsed(raw: bytes) -> EmailMessage:
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    assert not mail.defects
    return mail


def body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def test_it_is_a_mail_with_text_first_and_html_last() -> None:
    raw = mime.build(
        an_email(html="<p>" + URDU + "</p>", text=URDU, reply_to="a@shop.example"), SENT
    )
    mail = parsed(raw)
    assert mail.get_content_type() == "multipart/alternative"
    kinds = [part.get_content_type() for part in mail.iter_parts()]
    assert kinds == ["text/plain", "text/html"]
    assert body(mail, "plain").strip() == URDU.strip()
    assert body(mail, "html").strip() == f"<p>{URDU}</p>"
    assert mail["From"] == "Our shop <hello@shop.example>"
    assert mail["To"] == "shopper1@example.com"
    assert mail["Reply-To"] == "a@shop.example"
    assert mail["Date"].datetime == datetime(2026, 11, 24, 10, tzinfo=UTC)
    assert mail["Message-ID"] == "<00000000-0000-0000-0000-000000000001@shop.example>"
    assert mail["MIME-Version"] == "1.0"


def test_the_unsubscribe_link_survives_as_it_is() -> None:
    longest = "https://" + "h" * 35 + "/u/" + "t" * 29
    assert len(longest) == 75
    for link in (UNSUBSCRIBE, longest):
        headers = {
            "List-Unsubscribe": f"<{link}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }
        raw = mime.build(an_email(headers=headers), SENT)
        assert f"\r\nList-Unsubscribe: <{link}>\r\n".encode() in raw
        mail = parsed(raw)
        assert mail["List-Unsubscribe"] == f"<{link}>"
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_every_line_fits_and_only_ascii_goes_out() -> None:
    raw = mime.build(
        an_email(subject=URDU, text=URDU * 30, html="<p>" + "x" * 5000 + URDU * 30, from_name=URDU),
        SENT,
    )
    lines = raw.split(b"\r\n")
    assert max(map(len, lines)) <= 78
    assert b"\n" not in raw.replace(b"\r\n", b"") and b"\r" not in raw.replace(b"\r\n", b"")
    assert raw.isascii()
    assert parsed(raw)["Subject"] == URDU.strip()


def test_no_field_starts_a_header_of_its_own() -> None:
    wanted = set(parsed(mime.build(an_email(), SENT)).keys())
    evils = ["x\r\nBcc: all@example.com", "x\nX-Evil: 1", "x\r\n\r\n<html>", 'x" <a@b.c>, "y']
    evils += json.loads(shared("test_vectors/blns.json").read_text("utf-8"))
    for evil in evils:
        raw = mime.build(an_email(subject=evil, from_name=evil, message_id=f"1{evil}"), SENT)
        mail = parsed_loosely(raw)
        assert set(mail.keys()) == wanted
        assert [a.addr_spec for a in mail["From"].addresses] == ["hello@shop.example"]
        assert mail.get_content_type() == "multipart/alternative"


def parsed_loosely(raw: bytes) -> EmailMessage:
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "b\r\nBcc: c@d.e"),
        ("X-A\r\nBcc", "c@d.e"),
        ("X-A:", "b"),
        ("Bcc", "c@d.e"),
        ("subject", "other"),
        ("X-A", "سلام"),
        ("X-A", "x" * 2000),
    ],
)
def test_a_header_that_cannot_be_written_is_refused(name: str, value: str) -> None:
    with pytest.raises(DeliveryError) as refused:
        mime.build(an_email(headers={name: value}), SENT)
    assert refused.value.permanent and not refused.value.suppress


@pytest.mark.parametrize(
    "text", ["", "\n", ".", "..\n.\n", "a\rb\r\nc\n", "--=_1\n", " \t \n", "=\n"]
)
def test_a_body_comes_back_as_it_was(text: str) -> None:
    mail = parsed(mime.build(an_email(text=text, html=f"<p>{text}"), SENT))
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    assert body(mail, "plain").removesuffix("\n") == lines
    assert body(mail, "html").removesuffix("\n") == f"<p>{lines}"


def test_a_domain_of_another_script_goes_out_in_punycode() -> None:
    mail = parsed(mime.build(an_email(to="zoe@पत्र.भारत"), SENT))
    assert mail["To"] == "zoe@xn--h2blt9i.xn--h2brj9c"
