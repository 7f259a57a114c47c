"""What lint says of how templates are written: long texts, pictures, WhatsApp, Markdown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.cli._templates import check_templates
from engine.language import load_journey
from engine.model.diagnostic import Diagnostic
from engine.model.journey import Journey
from engine.model.links import LinkRules
from engine.model.policy import Policy, Shop
from engine.model.texts import SmsRules
from engine.rendering import Renderer
from tests.unit.test_rendering import MJML, mail, renderer, text, write

__all__ = ["renderer", "write"]
SID = "HX" + "0a" * 16
SHOP = Policy(shop=Shop(url="https://shop.example"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "templates" / "hello").mkdir(parents=True)
    return tmp_path / "templates"


def check(folder: Path, channel: str, policy: Policy = SHOP, more: str = "") -> list[str]:
    found, wrong = load_journey(
        "journey: a\ntrigger: {event: Product Viewed}\n"
        f"steps:\n  - {{send: {channel}, template: hello{more}}}\n"
    )
    assert found is not None, wrong
    journeys: dict[str, Journey] = {"a": found}
    made: list[Diagnostic] = check_templates(folder, policy, journeys, all_of_them=False)
    return [str(each).removeprefix(f"{folder}/hello/") for each in made]


# --- T005: segments --------------------------------------------------------------------------


def put(folder: Path, text: str, name: str = "sms.en.txt") -> None:
    (folder / "hello" / name).write_text(text, "utf-8")


def test_a_text_is_measured_with_usual_values_in_every_language(folder: Path) -> None:
    put(folder, "{{ event.name }} " + "x" * 100)
    put(folder, "{{ event.name }} " + "अ" * 200, "sms.hi.txt")
    put(folder, "{{ event.name }} " + "x" * 145, "sms.de.txt")
    assert check(folder, "sms") == [
        "sms.hi.txt:1:1 warning T005 a message of 4 segments (UCS-2), with usual values in it — "
        "make it shorter: at most 3, by 'max segments' in config/winback.yaml"
    ]
    strict = replace(SHOP, sms=SmsRules(max_segments=1))
    assert [line[:11] for line in check(folder, "sms", strict)] == ["sms.de.txt:", "sms.hi.txt:"]


def test_plainer_letters_and_short_links_count(folder: Path) -> None:
    put(folder, "It’s here: https://shop.example/" + "y" * 130)
    strict = replace(SHOP, sms=SmsRules(max_segments=1))
    assert len(check(folder, "sms", strict)) == 1
    shorter = replace(strict, links=LinkRules(track=True))
    assert check(folder, "sms", shorter) == []
    put(folder, "It’s here" + "y" * 100)
    assert len(check(folder, "sms", strict)) == 1
    assert check(folder, "sms", replace(strict, sms=SmsRules("latin", 1))) == []
    put(folder, "---\ntransliterate: true\n---\nIt’s here" + "y" * 100)
    assert check(folder, "sms", strict) == []


def test_the_offer_of_the_step_is_in_it(folder: Path) -> None:
    put(folder, "{% if offer.words %}{{ offer.words }}{% endif %}")
    assert check(folder, "sms", more=f", offer: {{coupon: A, words: {'z' * 500}}}")[0].startswith(
        "sms.en.txt:1:1 warning T005 a message of 4 segments (GSM-7)"
    )


# --- T006, T007: pictures --------------------------------------------------------------------


def test_pictures_need_words_and_a_width(folder: Path) -> None:
    (folder / "_piece.mjml").write_text("<mj-text>\n  <img src='a' alt=''></mj-text>", "utf-8")
    body = (
        '<mj-image src="{{ event.image_url }}" />\n<mj-image src="a" alt="" />\n'
        '<mj-text><img src="a" title="no alt = here" width="9"></mj-text>\n'
        '<mj-text><img src="a" alt="x > y" width="9"></mj-text>\n{% include "_piece.mjml" %}'
    )
    put(folder, MJML.format(subject="x", body=body), "email.en.mjml")
    put(folder, '---\nsubject: x\n---\n<IMG SRC="a" ALT="b">', "email.de.html")
    assert [line.replace(f"{folder}/", "") for line in check(folder, "email")] == [
        "_piece.mjml:2:3 warning T007 a picture without 'width' — write width=\"280\"",
        "email.de.html:4:1 warning T007 a picture without 'width' — write width=\"280\"",
        "email.en.mjml:5:1 warning T006 a picture without 'alt' — write alt=\"…\"",
        "email.en.mjml:7:10 warning T006 a picture without 'alt' — write alt=\"…\"",
    ]


def test_a_picture_in_markdown_needs_words_too(folder: Path) -> None:
    body = (
        "---\nsubject: x\nlayout: none\n---\n![]({{ event.image_url }})\n\n![a]({{ shop.url }})\n"
    )
    put(folder, body + "\n[x]({{ unsubscribe_url }})", "email.en.md")
    assert [line for line in check(folder, "email") if "T003" not in line] == [
        "email.en.md:5:1 warning T006 a picture without 'alt' — write alt=\"…\"",
    ]


# --- the filter ------------------------------------------------------------------------------


def test_a_product_has_a_picture_with_its_words_and_size(renderer: Renderer, write: Any) -> None:
    tag = "{{ event.image_url | picture(event.name, 200, height=100) }}"
    write("t/email.en.html", f"---\nsubject: x\n---\n<p>See{tag}</p>")
    event = {"image_url": "https://a.example/x.jpg?a=1&b=2", "name": 'A "B" <c>'}
    made = mail(renderer, event)
    assert (
        '<img src="https://a.example/x.jpg?a=1&amp;b=2" alt="A &#34;B&#34; &lt;c&gt;" '
        'width="200" height="100"' in made.html
    )
    assert made.text == "See\n"
    for other in ({}, {"image_url": "javascript:x"}, {"image_url": "/x.jpg"}):
        assert "<img" not in mail(renderer, other).html
    write("t/sms.en.txt", f"See {tag}")
    assert text(renderer, event) == "See"


# --- the other ways to write -----------------------------------------------------------------


def test_whatsapp_is_checked_like_the_others(folder: Path) -> None:
    put(
        folder,
        f'content sid: {SID}\nvariables: {{1: "{{{{ event.nmae }}}}"}}\n',
        "whatsapp.en.yaml",
    )
    (found,) = check(folder, "whatsapp")
    assert found.startswith("whatsapp.en.yaml:2:20 warning T003 'event.nmae'")
    put(folder, 'variables: {1: "a"}\n', "whatsapp.en.yaml")
    (found,) = check(folder, "whatsapp")
    assert found.startswith("whatsapp.en.yaml:1:1 error T002 It needs 'content sid'")


def test_markdown_is_checked_like_the_others(folder: Path) -> None:
    put(folder, "---\nsubject: x\n---\n<b>x</b>\n", "email.en.md")
    (found,) = check(folder, "email")
    assert found.startswith("email.en.md:4:1 error T002 HTML cannot stand in Markdown")
