"""The shipped mails as a reader's screen shows them: phone and desk, light and dark, from the left
and from the right."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route

from engine.cli._samples import Samples
from engine.model.message import Email
from engine.testing import samples
from tests.acceptance.browser_kit import chromium

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted({path.parent.name for path in (ROOT / "templates").glob("[!_]*/email.en.mjml")})
LOCALES = ("en", "hi", "ur")
WIDTHS = (320, 390, 1200)
#: Gmail clips what is larger.
LARGEST = 102 * 1024
LONG = {
    "en": "Hand-finished reading lamp of brass and walnut with a linen shade, model 1974/B-2",
    "hi": "हाथ से बुना हुआ शुद्ध ऊनी कश्मीरी शॉल, पारंपरिक कढ़ाई के साथ, बड़ा आकार",
    "ur": "ہاتھ سے بُنی ہوئی خالص اونی کشمیری شال، روایتی کڑھائی کے ساتھ، بڑا سائز Model-B2",
}

#: What is wrong with the page, as sentences.
AUDIT = """
() => {
  const wrong = [], root = document.documentElement;
  const said = (what, element) =>
    wrong.push(what + ': ' + (element.textContent || element.outerHTML).trim().slice(0, 60));
  const numbers = colour => {
    const found = colour.match(/[\\d.]+/g).map(Number);
    return found.length < 4 ? [...found, 1] : found;
  };
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => {
      v /= 255;
      return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const found = numbers(getComputedStyle(e).backgroundColor);
      if (found[3] > 0) return found;
    }
    return [255, 255, 255, 1];
  };
  if (root.scrollWidth > innerWidth) wrong.push('wider than the screen: ' + root.scrollWidth);
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = texts.nextNode());) {
    const words = node.textContent.trim(), parent = node.parentElement;
    if (!words || parent.closest('style') || !parent.getClientRects().length) continue;
    const style = getComputedStyle(parent), range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects())
      if (box.left < -1 || box.right > innerWidth + 1) said('beyond the edge', parent);
    const [a, b] = [luminance(numbers(style.color)), luminance(behind(parent))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) said('contrast of ' + contrast.toFixed(2), parent);
    if (parseFloat(style.fontSize) < 12) said('letters of ' + style.fontSize, parent);
    const room = parseFloat(style.lineHeight) / parseFloat(style.fontSize);
    if (room < 1.15) said('lines ' + room.toFixed(2) + ' apart', parent);
    if (room < 1.4 && /\\p{Script=Devanagari}/u.test(words))
      said('Devanagari ' + room.toFixed(2) + ' apart', parent);
    if (room < 1.8 && /\\p{Script=Arabic}/u.test(words))
      said('Nastaliq ' + room.toFixed(2) + ' apart', parent);
    if (root.dir !== 'rtl') continue;
    const amount = parent.closest('td')?.style.whiteSpace === 'nowrap';
    if (style.textAlign === 'left' && !amount) said('stands at the left', parent);
    if (!parent.closest('span[dir], strong[dir]') && style.direction !== 'rtl')
      said('runs from the left', parent);
  }
  const buttons = [...document.querySelectorAll('.action a')];
  if (buttons.length !== 1) wrong.push('buttons: ' + buttons.length);
  for (const button of buttons) {
    const box = button.getBoundingClientRect();
    if (box.height < 44 || box.width < 44) said('a button of ' + box.height, button);
  }
  for (const image of document.images)
    if (!image.hasAttribute('alt') || !image.hasAttribute('width') || !image.style.height)
      said('without words or size', image);
  return wrong;
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    picture = io.BytesIO()
    Image.new("RGB", (1600, 1200), "peru").save(picture, "PNG")

    def answer(route: Route) -> None:
        if route.request.resource_type == "image":
            route.fulfill(body=picture.getvalue(), content_type="image/png")
        else:
            route.abort()

    page = browser.new_page()
    page.route("**/*", answer)
    yield page
    page.close()


@pytest.fixture(scope="module")
def shop() -> Samples:
    return Samples(ROOT, public_url="https://go.loom.example", secret="s" * 32)


def mail(shop: Samples, template: str, locale: str, event: Any = None) -> Email:
    made = shop.one(template, "email", locale, event=event)
    assert isinstance(made.rendered, Email), made.error
    return made.rendered


def wrong(page: Page, mail: Email) -> list[str]:
    page.set_content(mail.html)
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found += [f"{width} {scheme}: {what}" for what in page.evaluate(AUDIT)]
    return found


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("template", TEMPLATES)
def test_a_mail_can_be_read_everywhere(
    page: Page, shop: Samples, template: str, locale: str
) -> None:
    made = mail(shop, template, locale)
    assert wrong(page, made) == []
    assert len(made.html.encode()) < LARGEST
    root = page.locator("html")
    assert root.get_attribute("lang") == locale
    assert root.get_attribute("dir") == ("rtl" if locale == "ur" else "ltr")
    hidden = page.locator("body > div").first
    assert not hidden.is_visible() and (hidden.text_content() or "").strip()


def events(shop: Samples, locale: str) -> dict[str, dict[str, Any]]:
    """What a shop's events are like on its bad days."""
    usual = samples.event(locale, shop.policy.shop)
    product = {**usual["products"][0], "name": LONG[locale], "price": "1234567.89", "quantity": 12}
    bare = {k: v for k, v in product.items() if k not in ("image_url", "price")}
    return {
        "five long products": {**usual, **product, "products": [product] * 5},
        "pictures and prices missing": {**bare, "products": [bare, product, bare]},
        "one unbroken name": {**usual, "name": "W" * 60, "products": [{"name": "W" * 60}]},
        "nothing": {},
    }


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("template", ["cart-left-behind", "product-left-behind", "back-in-stock"])
@pytest.mark.parametrize(
    "which",
    ["five long products", "pictures and prices missing", "one unbroken name", "nothing"],
)
def test_events_may_carry_anything(
    page: Page, shop: Samples, template: str, locale: str, which: str
) -> None:
    made = mail(shop, template, locale, events(shop, locale)[which])
    assert wrong(page, made) == []
    assert len(made.html.encode()) < LARGEST


@pytest.mark.parametrize(
    "html, expected",
    [
        ('<p style="color:#888;background:#fff">pale</p>', "contrast of 3.54"),
        ('<div style="width:900px">x</div>', "wider than the screen"),
        ('<td class="action"><a style="font-size:12px">Go</a></td>', "a button of"),
        ('<img src="https://x.example/a.png">', "without words or size"),
        ('<p style="text-align:left">x</p>', "stands at the left"),
        ('<p style="direction:ltr">x</p>', "runs from the left"),
        ('<p style="font-size:9px">x</p>', "letters of 9px"),
        ('<p style="line-height:1">x</p>', "lines 1.00 apart"),
        ('<p style="line-height:1.2">चाय</p>', "Devanagari 1.20 apart"),
        ('<p style="line-height:1.4">چائے</p>', "Nastaliq 1.40 apart"),
    ],
    ids=[
        "contrast",
        "width",
        "button",
        "picture",
        "side",
        "direction",
        "letters",
        "lines",
        "hi",
        "ur",
    ],
)
def test_the_look_would_notice(page: Page, html: str, expected: str) -> None:
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 390, "height": 800})
    table = f"<table><tr>{html}</tr></table>" if html.startswith("<td") else html
    page.set_content(f'<!doctype html><html dir="rtl"><body bgcolor="white">{table}</body></html>')
    assert [found for found in page.evaluate(AUDIT) if found.startswith(expected)]
