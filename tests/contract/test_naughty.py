"""Strings that break programs, as names, products, subjects, codes and the shop's own name.

Whatever they are, a mail stays a valid mail with exactly the headers that it should have, its page
keeps its structure, a text message stays sendable, and every reader sees what was written.
"""

from __future__ import annotations

import email
import email.policy
import json
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from engine.channels import mime
from engine.channels.sendgrid import body_of
from engine.channels.twilio_form import fields_of
from engine.errors import RenderError
from engine.model.links import LinkRules
from engine.model.message import Email, Message, Sms, WhatsApp
from engine.model.policy import Policy, Shop, Topic
from engine.rendering import Renderer, segments_of
from engine.rendering.transliterate import plainer
from tests.shared_data import shared

SENT = datetime(2026, 11, 24, 10, tzinfo=UTC)
SHOP = Shop(
    name="Loom",
    url="https://loom.example",
    email_from="hello@loom.example",
    reply_to="help@loom.example",
    sms_from="+15005550006",
    whatsapp_from="+15005550006",
)
POLICY = Policy(
    shop=SHOP,
    topics={"offers": Topic("offers")},
    links=LinkRules(track=True, utm={"source": "winback"}),
)
#: Beside the list: header injection, line ends of all kinds, controls, directions, surrogates.
MORE = [
    "x\r\nBcc: all@example.com",
    "x\n\n<html>",
    "a\rb",
    "a\x00b",
    "a\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029b",
    "\ud800 lone",
    "\u202e reversed \u2066",
    "\ufeff\ufffe\uffff",
    "=?utf-8?q?Bcc:_x?=",
    '"<a@b.c>, x" <y@z.example>',
    "{{ profile.email }} {% include 'x' %} {# y #}",
    "zq0qz <!--zq1qz--> zqmjml0zq zqcontentzq",
    "</td></table></mj-text><script>alert(1)</script>",
    "' onerror='alert(1)",
    "e\u0301\u0302" * 40,
    "w" * 5000,
    "word " * 400,
    "https://evil.example/?a=1&b=2",
]
MARKUP = """<mjml><mj-body><mj-section><mj-column>
<mj-image src="{{ event.image_url }}" alt="{{ event.name }}" href="{{ event.url | link }}" />
<mj-text title="{{ event.name }}">Hello {{ profile.first_name }}: <b>{{ event.name }}</b></mj-text>
{% for product in event.products %}<mj-text>{{ product.name }}</mj-text>{% endfor %}
<mj-button href="{{ event.url | link }}">{{ offer.code }}</mj-button>
<mj-text><a href="{{ unsubscribe_url }}">x</a></mj-text>
</mj-column></mj-section></mj-body></mjml>
"""
MARKDOWN = """# {{ event.name }}

Hello **{{ profile.first_name }}**, [{{ event.name }}]({{ event.url | link }})

![{{ event.name }}]({{ event.image_url }}){width=100}

{% for product in event.products %}
- {{ product.name }}
{% endfor %}

[{{ offer.code }}]({{ event.url | link }}){.button}

[x]({{ unsubscribe_url }})
"""
FRONT = """---
subject: "For {{ profile.first_name }}: {{ event.name }}"
preheader: "{{ event.name }}"
---
"""
TEXT = "Hello {{ profile.first_name }}: {{ event.name }} {{ event.url | link }}"
CHAT = """content sid: HX0123456789abcdef0123456789abcdef
variables: {1: "a{{ profile.first_name }}", 2: "b{{ event.name }}"}
body: "{{1}} and {{2}}"
"""


def strings() -> list[str]:
    known: list[str] = json.loads(shared("test_vectors/blns.json").read_text("utf-8"))
    assert len(known) > 480
    return known + MORE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("naughty") / "templates"
    for name, files in {
        "mjml": {"email.en.mjml": FRONT + MARKUP},
        "markdown": {"email.en.md": FRONT + MARKDOWN},
        "texts": {"sms.en.txt": TEXT, "whatsapp.en.yaml": CHAT},
    }.items():
        (folder / name).mkdir(parents=True)
        for file, text in files.items():
            (folder / name / file).write_text(text, "utf-8")
    return folder


def render(folder: Path, template: str, channel: str, naughty: str, **changes: Any) -> Any:
    policy = replace(POLICY, shop=replace(SHOP, **changes))
    renderer = RENDERERS.setdefault(
        (str(folder), tuple(sorted(changes.items()))),
        Renderer(
            *(folder, policy), public_url="https://go.loom.example", secret="s" * 32, look_every=0
        ),
    )
    message = Message(
        id="0b1c2d3e-0000-0000-0000-000000000001",
        enrollment_id="e",
        profile_id=42,
        journey="left-behind",
        version="v",
        step="steps/1",
        channel=channel,
        template=template,
        topic="offers",
        event_id="e1",
        created_at=SENT,
        due_at=SENT,
        offer={"code": naughty},
    )
    traits = {"email": "ann@example.com", "phone": "+14155550142", "first_name": naughty}
    event = {
        "name": naughty,
        "url": naughty,
        "image_url": naughty,
        "products": [{"name": naughty}, {"name": "plain"}],
    }
    return renderer.render(message, traits, event)


RENDERERS: dict[Any, Renderer] = {}


class Page(NamedTuple):
    """The elements of a page with the names of their attributes, and the words in it."""

    shape: list[tuple[str, tuple[str, ...]]]
    words: str
    links: list[str]


def page(html: str) -> Page:
    shape, words, links = [], [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            shape.append((tag, tuple(name for name, _ in attrs)))
            links.extend(value for name, value in attrs if name == "href" and tag == "a")

        def handle_data(self, data: str) -> None:
            words.append(data)

    reader = Reader()
    reader.feed(html)
    reader.close()
    return Page(shape, "".join(words), links)


def seen(text: str) -> str:
    """A string as a reader can see it: no control characters, in NFC."""
    kept = "".join(c for c in text if c in "\t\n\r" or not _hidden(c))
    return unicodedata.normalize("NFC", kept)


def _hidden(character: str) -> bool:
    number = ord(character)
    return number < 32 or number == 127 or 0xD800 <= number < 0xE000 or number in (0xFFFE, 0xFFFF)


def one_line(text: str) -> str:
    return " ".join(seen(text).split())


def parsed(raw: bytes) -> EmailMessage:
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None and not part.defects
    return str(part.get_content())


HEADERS = [
    *("From", "To", "Subject", "Date", "Message-ID", "Reply-To"),
    *("List-Unsubscribe", "List-Unsubscribe-Post", "MIME-Version", "Content-Type"),
]


def mails(folder: Path, template: str) -> Iterator[tuple[str, Email]]:
    for naughty in strings():
        made = render(folder, template, "email", naughty)
        assert isinstance(made, Email)
        yield naughty, made


@pytest.mark.parametrize("template", ["mjml", "markdown"])
def test_a_mail_keeps_its_headers_and_parts(folder: Path, template: str) -> None:
    for naughty, made in mails(folder, template):
        raw = mime.build(made, SENT)
        assert raw.isascii() and max(map(len, raw.split(b"\r\n"))) <= 998
        mail = parsed(raw)
        assert not mail.defects, naughty
        assert list(mail.keys()) == HEADERS, naughty
        assert mail["To"] == "ann@example.com" and mail["From"] == "Loom <hello@loom.example>"
        wanted = one_line(f"For {naughty}: {naughty}")
        assert made.subject == wanted, naughty
        assert one_line(str(mail["Subject"])) == one_line(wanted), naughty
        for kind, sent in (("plain", made.text), ("html", made.html)):
            came = body(mail, kind).replace("\r\n", "\n").rstrip("\n")
            assert came == sent.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n"), naughty


@pytest.mark.parametrize("template", ["mjml", "markdown"])
def test_a_page_keeps_its_structure_and_says_what_was_written(folder: Path, template: str) -> None:
    plain = page(render(folder, template, "email", "plain").html)
    for naughty, made in mails(folder, template):
        found = page(made.html)
        assert found.shape == plain.shape, naughty
        words = "".join(found.words.split())
        assert "".join(seen(naughty).split()) in words or not seen(naughty).strip(), naughty
        # Only ever to the shop, over the shop's own address.
        for link in found.links:
            assert link.startswith("https://go.loom.example/"), (naughty, link)


def test_the_shops_own_name_is_one_too(folder: Path) -> None:
    for naughty in strings():
        made = render(folder, "mjml", "email", "x", name=naughty or "x", email_name=naughty)
        mail = parsed(mime.build(made, SENT))
        assert list(mail.keys()) == HEADERS, naughty
        (sender,) = mail["From"].addresses
        assert sender.addr_spec == "hello@loom.example", naughty


def test_sendgrid_gets_sound_json(folder: Path) -> None:
    for naughty, made in mails(folder, "mjml"):
        wire = msgspec.json.encode(body_of(made))
        back = json.loads(wire)
        assert back["subject"] == made.subject and "\n" not in back["subject"], naughty
        assert [part["value"] for part in back["content"]] == [made.text, made.html], naughty
        (to,) = back["personalizations"]
        assert to["to"] == [{"email": "ann@example.com"}]
        assert set(to["headers"]) == {"List-Unsubscribe", "List-Unsubscribe-Post"}
        assert not any(c in value for value in to["headers"].values() for c in "\r\n")


def test_a_text_stays_sendable(folder: Path) -> None:
    for naughty in strings():
        if len(naughty) > 700:
            with pytest.raises(RenderError, match="1 to 1600 are possible"):
                render(folder, "texts", "sms", naughty)
            continue
        made = render(folder, "texts", "sms", naughty)
        assert isinstance(made, Sms)
        assert one_line(naughty) in one_line(made.body), naughty
        assert not any(_hidden(c) and c not in "\r\n\t" for c in made.body), naughty
        assert (made.encoding, made.segments) == tuple(segments_of(made.body))
        assert fields_of(made)["body"].encode() == made.body.encode()
        for how in ("latin", "all"):
            assert segments_of(plainer(made.body, how)).parts <= made.segments, naughty  # type: ignore[arg-type]


def test_whatsapp_gets_variables_of_one_line(folder: Path) -> None:
    for naughty in strings():
        if len(naughty) > 400:
            continue
        made = render(folder, "texts", "whatsapp", naughty)
        assert isinstance(made, WhatsApp)
        back = json.loads(fields_of(made)["content_variables"])
        assert back == {"1": one_line(f"a{naughty}"), "2": one_line(f"b{naughty}")}, naughty


def test_as_templates_they_are_sent_as_written_or_refused(tmp_path: Path) -> None:
    """A marketer pastes one into a template: it compiles to itself, or says what is wrong."""
    place = tmp_path / "templates" / "t"
    place.mkdir(parents=True)
    renderer = Renderer(
        tmp_path / "templates", POLICY, public_url="https://go.loom.example", secret="s" * 32
    )
    refused = 0
    for naughty in strings():
        (place / "sms.en.txt").write_text(f"{naughty} .", "utf-8", errors="replace")
        try:
            renderer._catalogue._kept.clear()
            made = render(tmp_path / "templates", "t", "sms", "x")
        except RenderError:
            refused += 1
            assert any(mark in naughty for mark in ("{{", "{%", "{#", "zq")) or len(naughty) > 1590
            continue
        assert isinstance(made, Sms)
        assert made.body.endswith(".")
    assert refused < 20
