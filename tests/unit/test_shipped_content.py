"""The journeys, mails and texts that Winback ships, held to what is promised of them."""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from engine.language import load_journeys, load_policy
from engine.model.journey import Journey, Send
from engine.model.links import LinkRules
from engine.model.message import Email, Message, Sms
from engine.model.policy import Policy
from engine.rendering import Renderer

ROOT = Path(__file__).resolve().parent.parent.parent
TEMPLATES = ROOT / "templates"
LOCALES = ("en", "hi", "ur")
PUBLIC_URL = "https://shop.example"
NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)

#: Parts that a shipped text message may cost, with the longest coupon and link it promises.
SEGMENTS = {"en": 2, "hi": 3, "ur": 3}
CURRENCY = {"en": "USD", "hi": "INR", "ur": "PKR"}

RICH_EVENT: dict[str, Any] = {
    "name": "Hand-woven shawl “Gulmarg” – large",
    "price": Decimal("2499.00"),
    "url": "https://shop.example/products/hand-woven-shawl",
    "image_url": "https://cdn.example/shawl.jpg",
    "cart_url": "https://shop.example/cart/9f8e7d6c5b4a",
    "cart_id": "9f8e7d6c5b4a",
    "channel": "email",
    "topic": "offers",
    "yes_at": "2026-11-24T09:59:00.123456+00:00",
}
PRODUCTS = [
    {"name": "Tea cup", "price": Decimal("349.50"), "quantity": 2},
    {"name": "کیتلی", "price": "1200", "image_url": "https://cdn.example/kettle.jpg"},
]


@lru_cache
def shipped() -> tuple[Policy, tuple[Journey, ...]]:
    policy, findings = load_policy(ROOT / "config" / "winback.yaml")
    assert findings == []
    found = load_journeys(ROOT / "journeys", policy=policy, templates=TEMPLATES)
    assert [str(finding) for finding in found.diagnostics] == []
    return policy, tuple(found.journeys.values())


@lru_cache
def cookbook() -> tuple[Journey, ...]:
    folder = ROOT / "journeys" / "cookbook"
    return tuple(load_journeys(folder, policy=shipped()[0], templates=TEMPLATES).journeys.values())


def sends() -> Iterator[tuple[Journey, Send]]:
    """Those of the shipped journeys, then those of the cookbook."""
    for journey in (*shipped()[1], *cookbook()):
        for step in journey.steps.values():
            if isinstance(step, Send):
                yield journey, step


def each(channel: str) -> list[Any]:
    """Every message in every language, what the shipped journeys offer with it first."""
    once = {step.template: step for _, step in reversed(list(sends())) if step.channel == channel}
    return [
        pytest.param(step, locale, id=f"{step.template}-{locale}")
        for step in once.values()
        for locale in LOCALES
    ]


@lru_cache
def renderer(locale: str) -> Renderer:
    policy = shipped()[0]
    shop = replace(
        policy.shop, name="Willow & Thread", url=PUBLIC_URL, currency=CURRENCY[locale], locale="en"
    )
    # Links as their authors wrote them: what counts their clicks has tests of its own.
    policy = replace(policy, shop=shop, links=LinkRules())
    return Renderer(TEMPLATES, policy, public_url=PUBLIC_URL, secret="a secret of tests")


def message(step: Send, **changes: Any) -> Message:
    values: dict[str, Any] = {
        "id": "0d6a5a2e-6f2e-5b8e-9a55-0f2a51d3a001",
        "enrollment_id": "e",
        "profile_id": 2**62 + 12345,
        "journey": "j",
        "version": "v",
        "step": step.path,
        "channel": step.channel,
        "template": step.template,
        "topic": step.topic,
        "event_id": "x",
        "created_at": NOW,
        "due_at": NOW,
        "offer": dict(step.offer),
    }
    return Message(**{**values, **changes})


def traits(locale: str, **more: Any) -> dict[str, Any]:
    return {"email": "a@example.com", "phone": "+923001234567", "locale": locale, **more}


def mail(step: Send, locale: str, event: dict[str, Any] | None = None, **more: Any) -> Email:
    rendered = renderer(locale).render(message(step), traits(locale, **more), event or {})
    assert isinstance(rendered, Email)
    return rendered


def text(step: Send, locale: str, event: dict[str, Any] | None = None, **more: Any) -> Sms:
    rendered = renderer(locale).render(message(step), traits(locale, **more), event or {})
    assert isinstance(rendered, Sms)
    return rendered


def first_strong(line: str) -> str:
    return next(
        (kind for c in line if (kind := unicodedata.bidirectional(c)) in ("L", "R", "AL")), ""
    )


class Page(HTMLParser):
    """Links, pictures and visible words of a mail."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.words: list[str] = []
        self.roots: list[dict[str, str | None]] = []
        self._silent = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("style", "title"):
            self._silent += 1
        if tag == "a":
            self.links.append(given.get("href") or "")
        if tag == "img":
            self.pictures.append(given)
        if "lang" in given:
            self.roots.append(given)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "title"):
            self._silent -= 1

    def handle_data(self, data: str) -> None:
        if not self._silent and data.strip():
            self.words.append(data.strip())


PROMOTIONS = {"product-left-behind", "cart-left-behind", "win-back"}


def test_four_journeys_are_shipped_and_lint_finds_nothing() -> None:
    names = {journey.name for journey in shipped()[1]}
    assert names == {*PROMOTIONS, "confirm-consent"}


def test_a_purchase_stops_every_journey_and_counts_as_success() -> None:
    for journey in shipped()[1]:
        if journey.name not in PROMOTIONS:
            continue  # a question about consent is no promotion, and no order answers it
        orders = [stop for stop in journey.stops if stop.event == "Order Completed"]
        assert any(stop.goal for stop in orders), journey.name
        assert any(stop.condition is None for stop in orders), "any order ends it"


def test_every_promotion_outlives_the_quiet_hours_of_its_channel() -> None:
    policy = shipped()[0]
    for journey, step in sends():
        quiet = policy.quiet_hours[step.channel]
        start, end = quiet.start.hour * 60 + quiet.start.minute, quiet.end.hour * 60
        hours = ((end + quiet.end.minute - start) % (24 * 60)) / 60
        late = step.overdue
        # The next window waits for the end of the quiet hours, whatever its length.
        assert late.rule in ("skip", "next window"), f"{journey.name} {step.path}"
        if late.rule == "skip":
            assert late.after.total_seconds() / 3600 > hours, f"{journey.name} {step.path}"


def test_every_template_is_used_and_speaks_three_languages() -> None:
    used = {(step.template, step.channel) for _, step in sends()}
    folders = {p.name for p in TEMPLATES.iterdir() if p.is_dir()}
    assert folders == {template for template, _ in used}
    for template, channel in used:
        there = {p.name for p in (TEMPLATES / template).iterdir()}
        for locale in LOCALES:
            kinds = ("mjml", "txt") if channel == "email" else ("txt",)
            for kind in kinds:
                assert f"{channel}.{locale}.{kind}" in there, template
        assert renderer("en").check(template, channel) == []


@pytest.mark.parametrize(("step", "locale"), each("email"))
def test_mail_lets_its_reader_leave(step: Send, locale: str) -> None:
    rendered = mail(step, locale, RICH_EVENT)
    page = Page(rendered.html)
    leave = rendered.headers["List-Unsubscribe"].strip("<>")
    preferences = leave.replace("/u/", "/preferences/")
    assert leave in page.links and preferences in page.links
    assert leave in rendered.text and preferences in rendered.text
    address = shipped()[0].shop.address
    assert any(address in words for words in page.words) and address in rendered.text


@pytest.mark.parametrize(("step", "locale"), each("email"))
def test_mail_is_whole_with_everything_and_with_nothing_known(step: Send, locale: str) -> None:
    rich = {**RICH_EVENT, "products": PRODUCTS}
    for event, more in ((rich, {"first_name": "عائشہ"}), (RICH_EVENT, {}), ({}, {})):
        rendered = mail(step, locale, event, **more)
        assert rendered.locale == locale
        for part in (rendered.subject, rendered.text, rendered.html):
            assert not re.search(r"\{\{|\{%|zq\d+qz|None|Missing", part)
            assert unicodedata.is_normalized("NFC", part)
        assert len(rendered.html.encode()) < 100_000, "Gmail clips longer mails"
        words = " ".join(Page(rendered.html).words)
        if more:
            assert "عائشہ" in words and "عائشہ" in rendered.text
        for picture in Page(rendered.html).pictures:
            assert picture.get("alt") is not None, "a picture needs words for who cannot see it"
        assert not re.search(r" [,.،۔।]", rendered.text), "a gap where a name was missing"
        assert not re.search(r"\n\n\n", rendered.text)


@pytest.mark.parametrize(("step", "locale"), each("email"))
def test_subject_fits_a_phone_whatever_the_product_is_called(step: Send, locale: str) -> None:
    names = ("", "Shawl", "An exceptionally long product name, " * 4)
    for name in names:
        event = {"name": name} if name else {}
        subject = mail(step, locale, event, first_name=name).subject
        assert 5 <= len(subject) <= 60, subject
        assert "\n" not in subject
        if locale == "ur":
            assert first_strong(subject) in ("R", "AL")
            assert subject.count("\u2068") + subject.count("\u2066") == subject.count("\u2069")


@pytest.mark.parametrize(("step", "locale"), each("email"))
def test_preheader_adds_to_the_subject(step: Send, locale: str) -> None:
    rendered = mail(step, locale, RICH_EVENT)
    hidden = re.search(r"display:none[^>]*>(.*?)</div>", rendered.html, re.DOTALL)
    assert hidden and 20 <= len(hidden[1].strip()) <= 90
    assert hidden[1].strip() not in rendered.subject


def test_price_is_shown_as_its_reader_writes_it_and_left_out_where_unknown() -> None:
    steps = {step.template: step for _, step in sends() if step.channel == "email"}
    step = steps["product-left-behind"]
    assert "$2,499" in mail(step, "en", RICH_EVENT).text
    assert "₹2,499" in mail(step, "hi", RICH_EVENT).text
    assert "€12.50" in mail(step, "en", {**RICH_EVENT, "price": "12.50", "currency": "EUR"}).text
    for price in (None, "", 0, "free"):
        rendered = mail(step, "en", {**RICH_EVENT, "price": price, "currency": "EUR"})
        assert "€" not in rendered.text and "€" not in rendered.html
        assert "shawl" in rendered.text


def test_cart_shows_what_is_in_it_and_at_most_five() -> None:
    step = next(s for _, s in sends() if s.template == "cart-left-behind" and s.channel == "email")
    one = mail(step, "en", RICH_EVENT)
    assert "$2,499" in one.html and RICH_EVENT["cart_url"] in Page(one.html).links
    many = mail(step, "en", {"products": [{"name": f"Thing {n}"} for n in range(1, 9)]})
    assert "Thing 5" in many.html and "Thing 6" not in many.html
    several = mail(step, "en", {"products": PRODUCTS})
    assert "Tea cup ×\N{NO-BREAK SPACE}2 $349.50" in several.text and "کیتلی" in several.html
    assert "Tea cup" in " ".join(Page(several.html).words)


@pytest.mark.parametrize("locale", LOCALES)
def test_offer_shows_coupon_and_its_end_in_the_readers_language(locale: str) -> None:
    step = next(s for _, s in sends() if s.template == "win-back-offer" and s.channel == "email")
    rendered = mail(step, locale)
    end = {"en": "December 8, 2026", "hi": "8 दिसंबर 2026", "ur": "8 دسمبر"}[locale]
    for part in (rendered.html, rendered.text):
        assert "COMEBACK10" in part and end in part
    assert "10%" in rendered.text and "10%" in rendered.subject
    bare = renderer(locale).render(message(step, offer={}), traits(locale), {})
    assert isinstance(bare, Email)
    assert "COMEBACK10" not in bare.html and "%" not in bare.text


def test_events_come_from_browsers_and_are_not_believed() -> None:
    step = next(s for _, s in sends() if s.template == "product-left-behind")
    event = {"name": "<script>alert(1)</script>", "url": "https://evil.example/shop.example"}
    rendered = mail(step, "en", event)
    assert "<script" not in rendered.html
    assert not any("evil.example" in link for link in Page(rendered.html).links)
    assert "evil.example" not in rendered.text
    assert PUBLIC_URL in Page(rendered.html).links


@pytest.mark.parametrize("step", [p.values[0] for p in each("email") if p.values[1] == "ur"])
def test_urdu_reads_from_the_right_in_a_hand_that_is_read(step: Send) -> None:
    rendered = mail(step, "ur", {**RICH_EVENT, "products": PRODUCTS})
    roots = Page(rendered.html).roots
    assert roots and all(root["dir"] == "rtl" and root["lang"] == "ur" for root in roots)
    assert len(roots) >= 2, "clients drop html and body: the wrapper says it again"
    assert "Noto Nastaliq Urdu" in rendered.html
    for block in re.findall(r'style="([^"]*Nastaliq[^"]*)"', rendered.html):
        height = re.search(r"line-height:([\d.]+)", block)
        urdu_size = re.search(r"font-size:(\d+)", block)
        if height and urdu_size and int(urdu_size[1]) > 13:
            assert float(height[1]) >= 1.8, block
    for line in rendered.text.splitlines():
        if line.strip():
            assert first_strong(line) in ("R", "AL"), line


@pytest.mark.parametrize("step", [p.values[0] for p in each("email") if p.values[1] == "ur"])
def test_urdu_holds_prices_together(step: Send) -> None:
    rendered = mail(step, "ur", {**RICH_EVENT, "products": PRODUCTS})
    for found in re.finditer(r"Rs\S*\d", rendered.text):
        assert rendered.text[found.start() - 1] == "\u2066", "a price stands in an isolate"
    words = re.findall(r"<span dir=\"ltr\">([^<]*)</span>", rendered.html)
    assert not re.search(r"Rs", re.sub(r'<span dir="ltr">[^<]*</span>', "", rendered.html)), words


@pytest.mark.parametrize(("step", "locale"), each("sms"))
def test_sms_stays_within_its_segments(step: Send, locale: str) -> None:
    rich = {**RICH_EVENT, "products": PRODUCTS}
    for event in (rich, RICH_EVENT, {}, {**RICH_EVENT, "url": PUBLIC_URL + "/" + "x" * 300}):
        rendered = text(step, locale, event, first_name="عائشہ")
        assert rendered.encoding == ("GSM-7" if locale == "en" else "UCS-2"), rendered.body
        assert rendered.segments <= SEGMENTS[locale], rendered.body
        assert not re.search(r"\{\{|\{%|None", rendered.body)


@pytest.mark.parametrize(("step", "locale"), each("sms"))
def test_sms_says_who_writes_and_how_to_leave(step: Send, locale: str) -> None:
    body = text(step, locale, RICH_EVENT).body
    assert "Willow & Thread" in body
    links = re.findall(r"https://\S+", body)
    assert any(link.startswith(f"{PUBLIC_URL}/u/") for link in links)
    for link in links:
        assert link.isascii(), "a direction mark at the end of a link breaks it on a phone"
    if locale == "en":
        assert "STOP" in body
    if locale == "ur":
        assert all(first_strong(line) in ("R", "AL") for line in body.splitlines())
    if step.offer:
        assert step.offer["coupon"] in body and "10%" in body


CONFIG = (ROOT / "config" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", CONFIG, re.DOTALL))
def test_what_the_config_readme_shows_can_be_copied(block: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path, dirs_exist_ok=True)
    of_a_country = block.startswith("country:")
    file = tmp_path / ("rules/fr.yaml" if of_a_country else "winback.yaml")
    file.write_text(block, encoding="utf-8")
    policy, found = load_policy(tmp_path / "winback.yaml")
    assert found == []
    if of_a_country:
        assert [rule.hours.days[6] for rule in policy.rules if rule.country == "FR"] == [()]
