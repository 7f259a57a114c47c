"""What is wrong with a mail is named, and a good one passes."""

from __future__ import annotations

from typing import Any

import pytest

from engine.deliverability.mail import examine
from engine.deliverability.page import read_page
from engine.model.message import Email

WAY = "https://shop.example/u/abcdefghijklmnopqrstuvwxyz12"
HTML = (
    f'<html lang="en" dir="ltr"><head><style>p {{}}</style></head><body><p>{"Hello. " * 30}</p>'
    '<img src="https://shop.example/a.png" alt="A lamp" width="200">'
    '<a href="https://shop.example/lamp">See the lamp</a> 1 Example Street, Exampletown '
    f'<a href="{WAY}">Unsubscribe</a></body></html>'
)


def mail(**changes: Any) -> Email:
    values: dict[str, Any] = {
        "message_id": "1",
        "to": "a@b.example",
        "from_address": "hello@shop.example",
        "from_name": "Our shop",
        "subject": "Your lamp is still here",
        "text": "Hello. " * 30 + WAY,
        "html": HTML,
        "headers": {
            "List-Unsubscribe": f"<{WAY}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
    }
    return Email(**{**values, **changes})


def with_body(body: str) -> Email:
    return mail(html=HTML.replace("<body>", f"<body>{body}"))


def test_a_good_mail_has_nothing_to_mend() -> None:
    (check,) = examine(mail(), address="1 Example Street,\nExampletown")
    assert check.state == "ok"


@pytest.mark.parametrize(
    ("bad", "state", "words"),
    [
        (with_body("x" * 103 * 1024), "finding", "Gmail clips at 102 KB"),
        (with_body("x" * 90 * 1024), "note", "Gmail clips"),
        (mail(text=" \n"), "finding", "it has none"),
        (mail(text="Hi"), "note", "much less"),
        (mail(headers={}), "finding", "no List-Unsubscribe"),
        (
            mail(headers={"List-Unsubscribe": f"<{WAY.replace('https', 'http')}>"}),
            "finding",
            "not https",
        ),
        (mail(headers={"List-Unsubscribe": f"<{WAY}>"}), "finding", "one click"),
        (mail(html=HTML.replace(WAY, "https://shop.example/")), "finding", "no link to leave"),
        (mail(subject="  "), "finding", "empty"),
        (mail(subject="BUY THIS LAMP NOW"), "finding", "SHOUTS"),
        (mail(subject="Re: your order"), "finding", "pretends"),
        (mail(subject="Cheap!!"), "note", "dislike"),
        (mail(subject="x" * 71), "note", "71 characters"),
        (with_body('<a href="https://bit.ly/x">go</a>'), "finding", "block lists"),
        (with_body('<a href="https://192.0.2.1/x">go</a>'), "finding", "bare address"),
        (with_body('<a href="https://evil.example">bank.example</a>'), "finding", "phishing"),
        (with_body('<a href="http://shop.example">go</a>'), "note", "http://"),
        (with_body('<img src="https://x.example/a.png" width="1">'), "note", "alt text"),
        (with_body('<img src="https://x.example/a.png" alt="">'), "note", "width"),
        (with_body('<img src="data:image/png;base64,AA" alt="" width="1">'), "finding", "data:"),
        (with_body("<script>x()</script>"), "finding", "<script>"),
        (with_body("<form></form>"), "finding", "<form>"),
        (mail(html=HTML.replace('lang="en"', "")), "note", "language"),
        (mail(locale="ur-PK"), "finding", "wrong side"),
        (mail(from_name=""), "note", "no name"),
        (mail(from_address="no-reply@shop.example"), "note", "no-reply"),
        (mail(html=HTML.replace("Hello. ", "")), "finding", "spam's look"),
    ],
)
def test_what_is_wrong_is_named(bad: Email, state: str, words: str) -> None:
    checks = list(examine(bad))
    assert any(c.state == state and words in f"{c.says} {c.mend}" for c in checks), checks


def test_a_link_that_shows_its_own_address_is_no_phishing() -> None:
    body = '<a href="https://www.shop.example/lamp">shop.example/lamp</a>'
    assert [check.state for check in examine(with_body(body))] == ["ok"]


def test_marketing_without_a_postal_address() -> None:
    checks = list(examine(mail(), address="2 Other Street"))
    assert [(c.name, c.state) for c in checks] == [("address", "finding")]


def test_a_receipt_needs_no_way_out() -> None:
    bare = mail(headers={}, html=HTML.replace(WAY, "https://shop.example/"))
    (check,) = examine(bare, marketing=False, address="nowhere in it")
    assert check.state == "ok"


def test_broken_html_is_read_as_far_as_it_goes() -> None:
    page = read_page("<p>one <a href='x'>two</p><img alt=>three &amp; four</a><style>no")
    assert page.text == "one two three & four"
    assert page.links == [("x", "two three & four")]
