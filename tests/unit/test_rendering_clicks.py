"""Links that count: they lead where the author meant, and nowhere else."""

from __future__ import annotations

from datetime import UTC, datetime
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.links import LinkRules
from engine.model.message import Message
from engine.model.policy import Shop
from engine.rendering.clicks import Click, ClickLinks

BASE = "https://go.shop.example"
ID = "0d6a5a2e-6f2e-5b8e-9a55-0f2a51d3a001"
UTM = {"source": "winback", "campaign": "{journey}", "medium": "{channel}"}


def links(track: bool = True, secret: str = "s" * 32, **rules: object) -> ClickLinks:
    made = LinkRules(track=track, **rules)  # type: ignore[arg-type]
    return ClickLinks(secret, BASE, made, Shop(url="https://www.shop.example"))


def message(channel: str = "email") -> Message:
    at = datetime(2026, 11, 24, tzinfo=UTC)
    return Message(
        ID, "e", 7, "cart", "v", "steps/1", channel, "left-behind", "offers", "ev", at, at
    )


def hrefs(html: str) -> list[str]:
    return [unescape(part.split('"')[0]) for part in html.split('href="')[1:]]


def opened(link: str) -> tuple[str, str]:
    """Token and address of a link in a mail."""
    parts = urlsplit(link)
    assert link.startswith(f"{BASE}/c/")
    return parts.path.removeprefix("/c/"), parse_qs(parts.query)["u"][0]


def test_a_link_leads_over_the_shops_own_address() -> None:
    made = links()
    html = made.in_html(
        '<p><a class="b" href="https://shop.example/a?x=1&amp;y=2">A</a>', message()
    )
    token, url = opened(hrefs(html)[0])
    assert url == "https://shop.example/a?x=1&y=2"
    assert made.read(token, url) == Click(7, ID)
    assert html.startswith('<p><a class="b" href="') and html.endswith(">A</a>")


@pytest.mark.parametrize(
    "tag",
    [
        f'<a href="{BASE}/u/abc">',
        f'<a href="{BASE}/preferences/abc">',
        '<a href="mailto:help@shop.example">',
        '<a href="tel:+14155550100">',
        '<a href="#top">',
        '<a name="x">',
        '<img src="https://shop.example/a.png">',
        '<link href="https://fonts.example/a.css" rel="stylesheet">',
        '<a href="https://[broken">',
    ],
)
def test_what_is_no_link_to_follow_stays(tag: str) -> None:
    assert links().in_html(tag, message()) == tag


def test_an_author_can_leave_a_link_alone() -> None:
    html = links().in_html('<a data-untracked href="https://shop.example/x">', message())
    assert html == '<a href="https://shop.example/x">'


def test_nothing_is_touched_where_nothing_is_asked() -> None:
    html = "<a href='https://shop.example'>"
    assert links(track=False).in_html(html, message()) == html
    assert links(track=False).in_text("https://shop.example", message("sms")) == (
        "https://shop.example",
        (),
    )


def test_utm_goes_onto_the_shops_links_alone_and_over_none() -> None:
    made = links(track=False, utm=UTM)
    html = made.in_html(
        '<a href="https://shop.example/a?utm_source=mine#top"><a href="https://else.example/">',
        message(),
    )
    ours, other = hrefs(html)
    assert other == "https://else.example/"
    parts = urlsplit(ours)
    assert parts.fragment == "top"
    assert parse_qs(parts.query) == {
        "utm_source": ["mine"],
        "utm_campaign": ["cart"],
        "utm_medium": ["email"],
    }


def test_a_shop_that_only_looks_alike_gets_no_utm() -> None:
    made = links(track=False, utm=UTM)
    tag = '<a href="https://notshop.example/">'
    assert made.in_html(tag, message()) == tag


def test_text_messages_get_short_links() -> None:
    made = links()
    text, remembered = made.in_text(
        "Still there: https://shop.example/lamp?id=1. Or https://shop.example/lamp?id=1!",
        message("sms"),
    )
    (link,) = remembered
    assert link.url == "https://shop.example/lamp?id=1" and len(link.code) == 8
    assert text == f"Still there: {BASE}/s/{link.code}. Or {BASE}/s/{link.code}!"
    again, _ = made.in_text("https://shop.example/lamp?id=1", message("sms"))
    assert again == f"{BASE}/s/{link.code}"


def test_a_way_out_in_a_text_message_stays() -> None:
    assert links().in_text(f"Stop: {BASE}/u/abc", message("sms")) == (f"Stop: {BASE}/u/abc", ())


@given(st.binary(max_size=60), st.text(max_size=40))
def test_no_made_up_link_is_read(token: bytes, url: str) -> None:
    made = links()
    assert made.read(token.decode("latin-1"), url) is None


def test_no_part_of_a_link_can_be_changed() -> None:
    made = links()
    token, url = opened(hrefs(made.in_html('<a href="https://shop.example/a">', message()))[0])
    assert made.read(token, "https://evil.example/") is None
    assert links(secret="t" * 32).read(token, url) is None
    for at, letter in enumerate(token):
        changed = token[:at] + ("A" if letter != "A" else "B") + token[at + 1 :]
        assert made.read(changed, url) is None


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\"'<>&\x00"), max_size=30),
    st.sampled_from(["آ", "ß", "x y", "ü?q=ä&b", "%D8%A2"]),
)
def test_any_address_comes_back_as_it_was(path: str, more: str) -> None:
    url = f"https://shop.example/{path}{more}".strip()
    made = links()
    href = url.replace("&", "&amp;")
    token, back = opened(hrefs(made.in_html(f'<a href="{href}">', message()))[0])
    assert back == unescape(href).strip()
    assert made.read(token, back) is not None
