"""From a message and a profile to a mail or a text."""

from __future__ import annotations

import json
import os
import re
import threading
from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RenderError
from engine.model.message import Email, Message, Sms
from engine.model.policy import Policy, Shop, Topic
from engine.model.profile import Profile
from engine.rendering import Renderer
from tests.shared_data import shared

DUE = datetime(2026, 11, 24, 10, tzinfo=UTC)
POLICY = Policy(
    shop=Shop(
        name="Loom & Co",
        url="https://loom.example",
        currency="PKR",
        locale="en-PK",
        timezone="Asia/Karachi",
        email_from="hello@loom.example",
        sms_from="LOOM",
    ),
    topics={"offers": Topic("offers"), "orders": Topic("orders", consent="none")},
)
MJML = """---
subject: "{subject}"
---
<mjml><mj-body><mj-section><mj-column>
{body}
</mj-column></mj-section></mj-body></mjml>
"""


@pytest.fixture
def renderer(tmp_path: Path) -> Renderer:
    folder = tmp_path / "templates"
    folder.mkdir()
    return Renderer(
        folder, POLICY, public_url="https://loom.example", secret="s" * 32, look_every=0
    )


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def put(name: str, text: str) -> Path:
        path = tmp_path / "templates" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    return put


def message(channel: str = "email", **changes: Any) -> Message:
    values = {
        "id": "0b1c2d3e-0000-0000-0000-000000000001",
        "enrollment_id": "e",
        "profile_id": 42,
        "journey": "left-behind",
        "version": "v",
        "step": "steps/1",
        "channel": channel,
        "template": "t",
        "topic": "offers",
        "event_id": "e1",
        "created_at": DUE,
        "due_at": DUE,
    }
    return Message(**{**values, **changes})


def mail(renderer: Renderer, event: Any = None, **traits: Any) -> Email:
    known = {"email": "zoe@example.com", **traits}
    rendered = renderer.render(message(), known, event or {})
    assert isinstance(rendered, Email)
    return rendered


def text(renderer: Renderer, event: Any = None, **traits: Any) -> str:
    known = {"phone": "+923001234567", **traits}
    rendered = renderer.render(message("sms"), known, event or {})
    assert isinstance(rendered, Sms)
    return rendered.body


def shown(html: str) -> str:
    """What a mail program shows."""
    out: list[str] = []

    class Reader(HTMLParser):
        skip = 0

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.skip += tag in ("style", "title")

        def handle_endtag(self, tag: str) -> None:
            self.skip -= tag in ("style", "title")

        def handle_data(self, data: str) -> None:
            if not self.skip:
                out.append(data)

    Reader().feed(html)
    return " ".join("".join(out).split())


def test_a_mail_has_all_that_a_provider_needs(renderer: Renderer, write: Any) -> None:
    write(
        "t/email.en.mjml",
        MJML.format(
            subject="{{ event.name }} is waiting",
            body='<mj-text>Dear {{ profile.first_name }}, <a href="{{ unsubscribe_url }}">bye</a>'
            "</mj-text>",
        ),
    )
    got = mail(renderer, {"name": "Tea pot"}, first_name="Zoë")
    assert (got.to, got.from_address, got.from_name) == (
        "zoe@example.com",
        "hello@loom.example",
        "Loom & Co",
    )
    assert got.subject == "Tea pot is waiting"
    assert "Dear Zoë, bye" in shown(got.html)
    assert got.text.startswith("Dear Zoë, bye (https://loom.example/u/")
    link = got.headers["List-Unsubscribe"]
    token = re.fullmatch(r"<https://loom\.example/u/([\w-]{28})>", link)
    assert token and renderer.links.read(token[1]) == (42, "email", "offers")
    assert got.headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert link[1:-1] in got.html


def test_what_an_event_says_cannot_become_markup(renderer: Renderer, write: Any) -> None:
    write(
        "t/email.en.mjml",
        MJML.format(
            subject="{{ event.name }}",
            body='<mj-text>{{ event.name }}</mj-text><mj-image src="x" alt="{{ event.name }}"/>',
        ),
    )
    nasty = '"><script>alert(1)</script>\r\nBcc: all@example.com {{ 7*7 }} {% raw %}'
    got = mail(renderer, {"name": nasty})
    assert "<script" not in got.html
    assert " ".join(nasty.split()) in shown(got.html)
    assert "49" not in got.html
    assert got.subject == " ".join(nasty.split())


def test_every_naughty_string_renders(renderer: Renderer, write: Any) -> None:
    write(
        "t/email.en.mjml",
        MJML.format(
            subject="{{ event.name | default('-') }}", body="<mj-text>[{{ event.name }}]</mj-text>"
        ),
    )
    write("t/sms.en.txt", "{{ event.name }} .")
    for naughty in json.loads(shared("test_vectors/blns.json").read_text("utf-8")):
        got = mail(renderer, {"name": naughty})
        assert not re.search(r"[\x00-\x1f\x7f]", got.subject)
        got.html.encode(), got.text.encode(), text(renderer, {"name": naughty}).encode()
        assert "<script>alert" not in got.html.lower()


def test_lone_surrogates_and_control_characters_are_left_out(
    renderer: Renderer, write: Any
) -> None:
    write("t/sms.en.txt", "{{ event.name }}")
    assert text(renderer, {"name": "a\ud800b\x00c\x1b[0m"}) == "abc[0m"


def test_text_comes_out_composed(renderer: Renderer, write: Any) -> None:
    write("t/sms.en.txt", "{{ event.name }}")
    assert text(renderer, {"name": "Cafe\u0301"}) == "Caf\u00e9"


@pytest.mark.parametrize(
    ("traits", "wanted"),
    [
        ({"locale": "ur-PK"}, "ur"),
        ({"locale": "ur_PK"}, "ur"),
        ({"locale": "UR"}, "ur"),
        ({"locale": "hi-IN"}, "hi-IN"),
        ({"locale": "hi"}, "en"),
        ({"language": "ur"}, "ur"),
        ({"locale": "fr", "language": "ur"}, "ur"),
        ({"locale": "fr-CA"}, "en"),
        ({"locale": 7, "language": None}, "en"),
        ({"locale": "../../etc"}, "en"),
        ({}, "en"),
    ],
)
def test_the_language_follows_the_shopper(
    renderer: Renderer, write: Any, traits: dict[str, Any], wanted: str
) -> None:
    for tag in ("en", "ur", "hi-IN"):
        write(f"t/sms.{tag}.txt", tag)
    rendered = renderer.render(message("sms"), {"phone": "+923001234567", **traits}, {})
    assert rendered.locale == wanted


def test_any_language_is_better_than_none(renderer: Renderer, write: Any) -> None:
    write("t/sms.sw.txt", "habari")
    assert text(renderer, locale="fr") == "habari"


def test_right_to_left_holds_where_clients_drop_attributes(renderer: Renderer, write: Any) -> None:
    write(
        "t/email.ur.mjml",
        MJML.format(
            subject="{{ event.name }} آپ کا منتظر ہے",
            body="<mj-text>قیمت {{ event.price | money | ltr }}</mj-text>",
        ),
    )
    got = mail(renderer, {"name": "Tea", "price": 4500}, locale="ur")
    assert '<html lang="ur" dir="rtl"' in got.html
    assert 'lang="ur" dir="rtl" style="direction:rtl;text-align:right"' in got.html
    assert "direction:ltr" not in got.html
    assert '<span dir="ltr">Rs4,500</span>' in got.html
    assert got.subject == "\u200fTea آپ کا منتظر ہے"
    lines = [line for line in got.text.split("\n") if line]
    assert lines and all(line.startswith("\u200f") for line in lines)
    assert "\u2066Rs4,500\u2069" in got.text


def test_left_to_right_is_said_too(renderer: Renderer, write: Any) -> None:
    write("t/email.hi.mjml", MJML.format(subject="नमस्ते", body="<mj-text>{{ 'x' | ltr }}</mj-text>"))
    got = mail(renderer, locale="hi")
    assert '<html lang="hi" dir="ltr"' in got.html
    assert "\u200f" not in got.subject + got.text
    assert got.text == "x\n"


@pytest.mark.parametrize(
    ("locale", "event", "wanted"),
    [
        ("en", {"price": Decimal("4500")}, "Rs4,500"),
        ("en", {"price": Decimal("4500.5")}, "Rs4,500.50"),
        ("en-US", {"price": "1234567.891", "currency": "USD"}, "$1,234,567.89"),
        ("hi-IN", {"price": 1234567, "currency": "INR"}, "₹12,34,567"),
        ("en-IN", {"price": 150000, "currency": "inr"}, "₹1,50,000"),
        ("ur-PK", {"price": 150000, "currency": "PKR"}, "Rs150,000"),
        ("en-US", {"price": 19.9, "currency": "USD"}, "$19.90"),
        ("en-US", {"price": 1000, "currency": "JPY"}, "¥1,000"),
        ("en-US", {"price": 5, "currency": "no such"}, "5"),
    ],
)
def test_money_is_written_as_its_reader_expects(
    renderer: Renderer, write: Any, locale: str, event: dict[str, Any], wanted: str
) -> None:
    for tag in ("en", "hi", "ur"):
        write(f"t/sms.{tag}.txt", "{{ event.price | money }}")
    got = text(renderer, event, locale=locale).replace("\u200f", "")
    assert got in (wanted, wanted.replace("Rs", "PKR"))


def test_money_wants_a_number(renderer: Renderer, write: Any) -> None:
    write("t/sms.en.txt", "x\n{{ event.price | money }}")
    with pytest.raises(RenderError, match=r"^templates/t/sms\.en\.txt:2: money needs a number"):
        text(renderer, {"price": "cheap"})


def test_dates_are_in_the_shoppers_language_and_zone(renderer: Renderer, write: Any) -> None:
    for tag in ("en", "ur"):
        write(f"t/sms.{tag}.txt", "{{ event.at | date }} {{ event.at | date('short time') }}")
    late = {"at": "2026-11-24T23:30:00Z"}
    assert text(renderer, late).startswith("25 November 2026 25/11/2026")
    assert text(renderer, late, timezone="UTC").startswith("24 November 2026")
    assert text(renderer, late, timezone="Nowhere/At all").startswith("24 November 2026")
    assert "نومبر" in text(renderer, late, locale="ur")


def test_an_offer_says_when_it_ends(renderer: Renderer, write: Any) -> None:
    write("t/sms.en.txt", "{{ offer.coupon }} until {{ offer.ends_at | date }}")
    offer = {"coupon": "TEN", "valid": "2 days 12 hours"}
    known = {"phone": "+923001234567", "timezone": "UTC"}
    got = renderer.render(message("sms", offer=offer), known, {})
    assert isinstance(got, Sms)
    assert got.body == "TEN until 26 November 2026"


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://loom.example/p/1?a=b", "https://loom.example/p/1?a=b"),
        ("http://www.loom.example/p", "http://www.loom.example/p"),
        ("https://evil.example/p", "https://loom.example"),
        ("https://loom.example@evil.example/", "https://loom.example"),
        ("https://evil-loom.example/", "https://loom.example"),
        ("javascript:alert(1)", "https://loom.example"),
        ("//evil.example", "https://loom.example"),
        ("https://[bad", "https://loom.example"),
        (None, "https://loom.example"),
    ],
)
def test_a_link_from_an_event_leads_to_the_shop(
    renderer: Renderer, write: Any, url: str | None, wanted: str
) -> None:
    write("t/sms.en.txt", "{{ event.url | link }}")
    assert text(renderer, {"url": url}) == wanted


def test_a_hole_in_a_mail_is_an_error_at_its_place(renderer: Renderer, write: Any) -> None:
    write("_layout.mjml", "<mjml>\n<mj-body>\n{% block main %}{% endblock %}\n</mj-body></mjml>")
    write(
        "_part.mjml",
        "<mj-section><mj-column>\n<mj-text>Dear {{ profile.first_name }}</mj-text>"
        "</mj-column></mj-section>",
    )
    write(
        "t/email.en.mjml",
        '---\nsubject: hello\n---\n{% extends "_layout.mjml" %}\n'
        "{% block main %}\n"
        "<mj-section><mj-column><mj-text>{{ event.a.b.c }}</mj-text></mj-column></mj-section>\n"
        '{% include "_part.mjml" %}\n{% endblock %}',
    )
    with pytest.raises(RenderError, match="'a' has no value here") as hole:
        mail(renderer, {})
    assert (hole.value.file, hole.value.line) == ("templates/t/email.en.mjml", 6)
    with pytest.raises(RenderError, match="first_name") as hole:
        mail(renderer, {"a": {"b": {"c": 1}}})
    assert (hole.value.file, hole.value.line) == ("templates/_part.mjml", 2)
    assert "Dear Zoë" in mail(renderer, {"a": {"b": {"c": 1}}}, first_name="Zoë").text


def test_what_is_missing_can_be_asked_for(renderer: Renderer, write: Any) -> None:
    write(
        "t/sms.en.txt",
        "{{ profile.first_name | default('friend') }}"
        "{% if event.price > 5 %} dear{% endif %}{% for p in event.products %} {{ p }}{% endfor %}"
        "{% if event.none %}!{% endif %}",
    )
    assert text(renderer, {"none": None}) == "friend"
    assert text(renderer, {"price": 6, "products": ["a", "b"]}) == "friend dear a b"


def test_statements_may_stand_among_mjml_elements_and_rows(renderer: Renderer, write: Any) -> None:
    write(
        "t/email.en.mjml",
        """---
subject: hello
---
{% set n = 2 %}
<mjml><mj-head><mj-style inline="inline">.b { font-weight: bold }</mj-style></mj-head><mj-body>
{% for s in event.sections %}
<mj-section>{% if s.wide %}<mj-column width="100%">{% else %}<mj-column>{% endif %}
<mj-text {% if s.wide %}css-class="wide"{% endif %}>{{ s.title }}{{ n }}</mj-text>
<mj-table>{% for r in s.rows %}<tr><td class="b">{{ r }}</td></tr>{% endfor %}</mj-table>
</mj-column></mj-section>
{% endfor %}
</mj-body></mjml>""".replace(
            '{% if s.wide %}<mj-column width="100%">{% else %}<mj-column>{% endif %}', "<mj-column>"
        ).replace(' {% if s.wide %}css-class="wide"{% endif %}', ""),
    )
    event = {"sections": [{"title": "A", "rows": ["1", "2", "3"]}, {"title": "B", "rows": []}]}
    got = mail(renderer, event)
    assert shown(got.html) == "A2123B2"
    assert got.html.count("<tbody><tr><td") >= 1
    assert _balanced(got.html)
    assert got.text.split() == ["A2", "1", "2", "3", "B2"]


def _balanced(html: str) -> bool:
    stack: list[str] = []

    class Reader(HTMLParser):
        ok = True

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            if tag not in ("meta", "br", "img", "link", "hr", "input"):
                stack.append(tag)

        def handle_endtag(self, tag: str) -> None:
            self.ok = self.ok and bool(stack) and stack.pop() == tag

    reader = Reader()
    reader.feed(html)
    return reader.ok and not stack


def test_plain_html_gets_its_css_inlined_and_its_direction_said(
    renderer: Renderer, write: Any
) -> None:
    write(
        "t/email.ur.html",
        """---
subject: hello
preheader: "Only {{ event.n }} left"
---
<style>.x { color: red } @media (max-width: 600px) { .x { color: blue } }</style>
<h1 class="x">سلام</h1>
<table>{% for p in event.products %}<tr class="x"><td>{{ p }}</td></tr>{% endfor %}</table>
""",
    )
    got = mail(renderer, {"n": 2, "products": ["a", "b"]}, locale="ur")
    assert '<h1 class="x" style="color: red;">' in got.html
    assert "@media" in got.html
    assert got.html.count("<tbody>") == got.html.count("</tbody>") == 1
    assert '<div lang="ur" dir="rtl" style="direction:rtl;text-align:right">' in got.html
    assert "Only 2 left" in got.html
    assert "Only 2 left" not in got.text
    assert got.html.lower().startswith("<!doctype html>")
    assert _balanced(got.html.replace("<!DOCTYPE html>", ""))


def test_an_own_text_part_is_used(renderer: Renderer, write: Any) -> None:
    write("t/email.en.mjml", MJML.format(subject="s", body="<mj-text>html</mj-text>"))
    assert mail(renderer).text == "html\n"
    write("_foot.txt", "-- {{ shop.name }}")
    write("t/email.en.txt", 'plain <b>\n{% include "_foot.txt" %}')
    assert mail(renderer).text == "plain <b>\n-- Loom & Co\n"


def test_the_preheader_is_shown_beside_the_subject_only(renderer: Renderer, write: Any) -> None:
    write(
        "t/email.en.mjml",
        MJML.format(subject="s", body="<mj-text>html</mj-text>").replace(
            "---\n<mjml>", 'preheader: "for {{ event.price | money }}"\n---\n<mjml>'
        ),
    )
    got = mail(renderer, {"price": 10})
    assert "for Rs10</div>" in got.html or "for PKR10</div>" in got.html
    assert got.text == "html\n"


@pytest.mark.parametrize(
    ("source", "line", "wanted"),
    [
        ("<mjml></mjml>", 1, "must begin with a block"),
        ("---\nsubjct: hi\n---\n<mjml></mjml>", 2, "did you mean subject"),
        ("---\npreheader: hi\n---\n<mjml></mjml>", 1, "gives no subject"),
        ("---\nsubject: hi\npreheder: x\n---\n", 3, "did you mean preheader"),
        ("---\nsubject: {{ a }}\n---\n", 2, "quotes"),
        ("---\nsubject: a: b: c\n---\n", 2, "quotes"),
        ("---\nsubject: hi\n---\n<mjml><mj-bdy></mj-bdy></mjml>", 4, "did you mean <mj-body>"),
        ("---\nsubject: hi\n---\n<mjml>\n<mj-body><mj-section></mj-body></mjml>", 5, "expected"),
        ("---\nsubject: hi\n---\n<mjml>\n<mj-body>", 5, "never closed"),
        ("---\nsubject: hi\n---\n<mjml><mj-body>text</mj-body></mjml>", 4, "put it into mj-text"),
        ("---\nsubject: hi\n---\n<mjml><mj-head></mj-head></mjml>", 0, "no <mj-body>"),
        ("---\nsubject: hi\n---\n\n{% if x %}", 5, "endif|Unexpected end|expected"),
        ("---\nsubject: hi\n---\n\n{{ x | nofilter }}", 5, "nofilter"),
        ("---\nsubject: '{{ x'\n---\n<mjml/>", 2, "end of"),
        ('---\nsubject: hi\n---\n{% include "../../secret" %}', 0, "There is no ../../secret"),
        ('---\nsubject: hi\n---\n{% extends "_gone.mjml" %}', 0, "There is no _gone.mjml"),
        ('---\nsubject: hi\n---\n{% import "x" as y %}', 4, "import is not available"),
        ("---\nsubject: hi\n---\n{% block a %}", 4, "block|end"),
    ],
)
def test_a_broken_template_says_where(
    renderer: Renderer, write: Any, source: str, line: int, wanted: str
) -> None:
    if "<mjml" not in source and "extends" not in source and source.count("---") == 2:
        source += "\n<mjml><mj-body></mj-body></mjml>"
    write("t/email.en.mjml", source)
    with pytest.raises(RenderError, match=wanted) as broken:
        mail(renderer)
    assert broken.value.file == "templates/t/email.en.mjml"
    assert broken.value.line == line
    (found,) = renderer.check("t", "email")
    assert (found.file, found.line, found.code) == (
        "templates/t/email.en.mjml",
        max(line, 1),
        "T002",
    )
    assert not found.message.startswith("templates")


@pytest.mark.parametrize("name", ["../t", "/etc/passwd", "t/../t", "", "gone", ".t"])
def test_a_template_name_stays_within_the_folder(renderer: Renderer, write: Any, name: str) -> None:
    write("t/sms.en.txt", "x")
    with pytest.raises(RenderError):
        renderer.render(message("sms", template=name), {"phone": "+923001234567"}, {})
    assert renderer.check(name, "sms")[0].code == "T001"


def test_a_template_without_the_channel_says_what_to_write(renderer: Renderer, write: Any) -> None:
    write("t/email.en.mjml", MJML.format(subject="s", body=""))
    with pytest.raises(RenderError, match=r"write templates/t/sms\.en\.txt"):
        text(renderer)
    with pytest.raises(RenderError, match="no address for email"):
        renderer.render(message(), {"phone": "+923001234567"}, {})


@pytest.mark.parametrize(
    "source",
    [
        "{{ event.__class__ }}",
        "{{ event.items() }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ event['__class__'].x }}",
        "{{ range.__globals__ }}",
        "{{ self.__init__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ event | attr('items') }}",
        "{{ 'x'.upper() }}",
        "{{ '%s' % 1 }}",
        "{{ 'x' * 100000 }}",
        "{{ [1] * 100000 }}",
        "{{ 2 ** 100000 }}",
        "{% for i in range(100000) %}{% endfor %}",
        "{% for i in range(999) %}{% for j in range(999) %}{% endfor %}{% endfor %}",
        "{% for a in event.l %}{% for b in event.l %}{% for c in event.l %}{% endfor %}"
        "{% endfor %}{% endfor %}",
        "{% macro m(n) %}{% for i in range(999) %}{{ m(n) }}{% endfor %}{% endmacro %}{{ m(1) }}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}"
        "{{ m(40) }}",
        "{{ _winback_turn(1) }}",
        "{% for i in range(999) %}{{ 'x' * 9999 }}{% endfor %}",
        "{{ lipsum() }}",
        "{{ event.name.format(1) }}",
        "{{ event }}",
        "{{ 1 / 0 }}",
        "{{ event.name + 1 }}",
        "{{ nothing() }}",
    ],
)
def test_the_sandbox_holds(renderer: Renderer, write: Any, source: str) -> None:
    write("t/sms.en.txt", source)
    with pytest.raises(RenderError):
        text(renderer, {"name": "{0.__class__}", "l": list(range(500))})


def test_many_short_loops_are_fine(renderer: Renderer, write: Any) -> None:
    write(
        "t/sms.en.txt",
        "{% for i in range(300) %}{% for j in range(300) %}{% endfor %}{% endfor %}x",
    )
    assert text(renderer) == "x"
    assert text(renderer) == "x"  # counted anew for each message


def test_a_template_cannot_change_what_it_is_given(renderer: Renderer, write: Any) -> None:
    write("t/sms.en.txt", "{% set event = {'name': 'b'} %}{{ event.name }}")
    event = {"name": "a"}
    assert text(renderer, event) == "b"
    assert event == {"name": "a"}


def test_a_changed_file_is_noticed_and_a_broken_change_is_not_used(
    renderer: Renderer, write: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = write("t/sms.en.txt", "one")
    assert text(renderer) == "one"

    def change(content: str, second: int) -> None:
        write("t/sms.en.txt", content)
        os.utime(path, (second, second))

    change("two", 1_000)
    assert text(renderer) == "two"
    change("{% broken %}", 2_000)
    assert text(renderer) == "two"
    assert text(renderer) == "two"
    assert len([r for r in caplog.records if "last good version" in r.message]) == 1
    change("three", 3_000)
    assert text(renderer) == "three"


def test_a_text_that_no_operator_takes_is_refused(renderer: Renderer, write: Any) -> None:
    write("t/sms.en.txt", "{{ event.name }}")
    with pytest.raises(RenderError, match="1601 characters"):
        text(renderer, {"name": "x" * 1601})
    with pytest.raises(RenderError, match="0 characters"):
        text(renderer, {"name": " "})


def test_an_urdu_text_is_counted_as_it_is_billed(renderer: Renderer, write: Any) -> None:
    write("t/sms.ur.txt", "Loom: {{ event.name }}\nسلام")
    got = renderer.render(message("sms"), {"phone": "+923001234567"}, {"name": "چائے" * 20})
    assert isinstance(got, Sms)
    assert (got.encoding, got.segments) == ("UCS-2", 2)
    assert got.body.startswith("\u200fLoom") and "\n\u200f" not in got.body


def test_a_profile_brings_its_orders(renderer: Renderer, write: Any) -> None:
    write("t/sms.en.txt", "{{ profile.orders }} {{ profile.lifetime_value | money('USD') }}")
    shopper = Profile(
        42, {"phone": "+923001234567", "locale": "en-US"}, 3, {"PKR": Decimal(7), "USD": Decimal(9)}
    )
    got = renderer.render(message("sms"), shopper, {})
    assert isinstance(got, Sms)
    assert (got.body, got.to) == ("3 $7", "+923001234567")


def test_many_threads_compile_once_and_agree(renderer: Renderer, write: Any) -> None:
    write(
        "t/email.en.mjml",
        MJML.format(subject="{{ event.n }}", body="<mj-text>{{ event.n }}</mj-text>"),
    )
    failures: list[BaseException] = []
    barrier = threading.Barrier(8)

    def work(n: int) -> None:
        try:
            barrier.wait()
            for i in range(50):
                value = f"{n}-{i}"
                got = mail(renderer, {"n": value})
                assert (got.subject, got.text) == (value, value + "\n")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_files_are_looked_at_now_and_then(
    tmp_path: Path, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To look at each message would take a tenth of the time that a mail takes."""
    now = [100.0]
    monkeypatch.setattr("engine.rendering.catalogue.monotonic", lambda: now[0])
    path = write("t/sms.en.txt", "one")
    renderer = Renderer(
        path.parents[1], POLICY, public_url="https://loom.example", secret="s" * 32, look_every=5
    )
    assert text(renderer) == "one"
    now[0] += 6
    assert text(renderer) == "one"
    write("t/sms.en.txt", "two")
    os.utime(path, (1_000, 1_000))
    assert text(renderer) == "one"
    now[0] += 6
    assert text(renderer) == "two"
