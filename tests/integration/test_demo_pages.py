"""The demo's pages: what all have in common, and the shop."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from engine import bootstrap
from engine.model.policy import Policy, Shop
from engine.settings import Settings
from engine.web.app import close
from engine.web.demo import lasts
from engine.web.demo.catalogue import PRODUCTS
from engine.web.demo.rules import demo_policy
from tests.demo_kit import EVERY_PAGE, NOW, Page, Site, settings, site

__all__ = ["settings", "site"]


@pytest.mark.parametrize("path", EVERY_PAGE)
def test_a_page_loads_only_from_here_and_runs_nothing_inline(site: Site, path: str) -> None:
    answer = site.browser.get(path)
    page = Page(answer.text)
    assert answer.status_code == 200
    assert page.inline == []
    assert page.loads and all(address.startswith("/") for address in page.loads)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    missing = [address for address in page.loads if site.file(address)[0] != 200]
    assert missing == []


@pytest.mark.parametrize("path", [*EVERY_PAGE, "/shop/checkout", "/shop/thanks/W-1"])
def test_reading_changes_nothing(site: Site, path: str) -> None:
    assert "Set-Cookie" not in site.browser.get(path).headers
    assert site.accepted() == []


def test_the_product_page_says_what_it_sells_as_schema_org_does(site: Site) -> None:
    page = Page(site.text("/shop/products/rug"))
    product = page.data["application/ld+json"]
    assert product["@type"] == "Product"
    assert product["productID"] == "rug"
    assert product["offers"]["price"] == "310.00"
    assert product["offers"]["priceCurrency"] == "USD"
    assert site.file(product["image"].removeprefix("http://127.0.0.1:8080"))[0] == 200
    assert site.browser.get("/shop/products/nothing").status_code == 404


def test_each_product_has_its_picture_and_its_three_names(site: Site) -> None:
    for product in PRODUCTS.values():
        assert site.file(f"/static/products/{product.id}.svg") == (200, "image/svg+xml")
        assert set(product.names) == set(product.blurbs) == {"en", "hi", "ur"}


def test_urdu_is_written_from_the_right(site: Site) -> None:
    site.browser.post("/shop/language", data={"language": "ur", "back": "/shop/products/rug"})
    text = site.text("/shop/products/rug")
    page = Page(text)
    assert (page.lang, page.direction) == ("ur", "rtl")
    assert "کلیم قالین" in text
    assert page.data["application/ld+json"]["name"] == "کلیم قالین"


def test_the_browser_s_language_is_taken_until_one_is_chosen(site: Site) -> None:
    asked = {"Accept-Language": "hi-IN,hi;q=0.9,en;q=0.5"}
    assert Page(site.text("/shop/", headers=asked)).lang == "hi"
    site.browser.post("/shop/language", data={"language": "en"})
    assert Page(site.text("/shop/", headers=asked)).lang == "en"


def test_the_language_form_leads_nowhere_else(site: Site) -> None:
    for back in ("https://evil.example/", "//evil.example/shop/", "/shop.evil.example"):
        answer = site.browser.post("/shop/language", data={"language": "hi", "back": back})
        assert answer.headers["Location"] == "/shop/"


def test_an_order_is_reported_by_the_back_end_under_another_name(site: Site) -> None:
    answer = site.browser.post("/shop/cart/rug")
    assert answer.headers["Location"] == "/shop/cart#added-rug"
    site.browser.post("/shop/cart/tea")
    cart = Page(site.text("/shop/cart")).data["application/json"]["cart"]
    form = {"email": " Asha@Example.com ", "phone": "+91 98765 43210", "ask": "1"}
    answer = site.browser.post("/shop/checkout", data=form | {"consent_email": "1"})
    assert answer.status_code == 303, answer.text

    identified, ordered = site.accepted()
    assert identified.identifiers == ("email:asha@example.com", "phone:+919876543210")
    assert identified.properties["consent"] == {"email": True, "sms": False}
    assert ordered.name == "Order Completed"
    assert ordered.identifiers == ("email:asha@example.com", f"cart:{cart['cart_id']}")
    assert ordered.time == NOW
    assert ordered.properties["total"] == 332
    assert [p["product_id"] for p in ordered.properties["products"]] == ["rug", "tea"]
    assert ordered.properties["order_id"] in answer.headers["Location"]
    # The next cart is another one.
    assert Page(site.text("/shop/cart")).data["application/json"]["cart"]["cart_id"] == ""


def test_the_cart_tells_the_page_s_script_what_it_holds(site: Site) -> None:
    site.browser.post("/shop/cart/tea")
    site.browser.post("/shop/cart/tea")
    site.browser.post("/shop/cart/rug")
    site.browser.post("/shop/cart/rug/remove")
    cart = Page(site.text("/shop/checkout")).data["application/json"]["cart"]
    assert [(p["product_id"], p["price"], p["quantity"]) for p in cart["products"]] == [
        ("tea", 22.0, 2)
    ]
    assert cart["value"] == 44.0
    assert re.fullmatch("[0-9a-f]{16}", cart["cart_id"])


def test_signing_in_reports_who_it_is_and_tells_the_browser_its_id(site: Site) -> None:
    form = {"email": "asha@example.com", "name": "<b>Asha</b>", "consent_sms": "1"}
    site.browser.post("/shop/sign-in", data=form)
    (event,) = site.accepted()
    page = site.text("/shop/")
    user = Page(page).data["application/json"]["user"]
    assert event.identifiers == (f"user:{user}", "email:asha@example.com")
    assert event.properties["first_name"] == "<b>Asha</b>"
    assert event.properties["consent"] == {"email": False, "sms": True}
    assert "<b>Asha" not in page and "&lt;b&gt;Asha" in page
    site.browser.post("/shop/sign-out")
    assert Page(site.text("/shop/")).data["application/json"]["user"] == ""


def test_a_signed_in_shopper_is_not_asked_again(site: Site) -> None:
    site.browser.post("/shop/sign-in", data={"email": "asha@example.com", "consent_email": "1"})
    site.browser.post("/shop/cart/tea")
    assert 'name="consent_email"' not in site.text("/shop/checkout")
    site.browser.post("/shop/checkout", data={"email": "asha@example.com"})
    again, order = site.accepted()[1:]
    assert "consent" not in again.properties
    assert order.identifiers[0].startswith("user:")


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"email": "nobody"}, "asha@example.com"),
        ({"email": ""}, "asha@example.com"),
        ({"email": "asha@example.com", "phone": "12"}, "country code"),
    ],
)
def test_a_wrong_form_is_explained_and_reports_nothing(
    site: Site, form: dict[str, str], said: str
) -> None:
    site.browser.post("/shop/cart/tea")
    for path in ("/shop/checkout", "/shop/sign-in"):
        answer = site.browser.post(path, data=form)
        assert answer.status_code == 400
        assert re.search(r'role="alert">[^<]*' + re.escape(said), answer.text)
    assert site.accepted() == []


def test_nothing_is_bought_with_an_empty_cart(site: Site) -> None:
    assert site.browser.get("/shop/checkout").headers["Location"] == "/shop/cart"
    site.browser.post("/shop/checkout", data={"email": "asha@example.com"})
    assert site.accepted() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_form_of_another_site_is_refused(site: Site, headers: dict[str, str]) -> None:
    for path in ("/shop/cart/tea", "/shop/sign-in", "/shop/language"):
        answer = site.browser.post(path, headers=headers, data={"email": "a@example.com"})
        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers
    assert site.accepted() == []


def test_our_own_forms_pass(site: Site) -> None:
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://localhost"}, {}):
        assert site.browser.post("/shop/cart/tea", headers=headers).status_code == 303


def test_the_pages_are_there_in_the_demo_only(settings: Settings) -> None:
    for demo, status in ((True, 200), (False, 404)):
        app = bootstrap.web_app(replace(settings, demo=demo), lambda lanes: None)
        try:
            for path in EVERY_PAGE:
                assert app.test_client().get(path).status_code == status
        finally:
            close(app)


def test_the_demo_writes_to_nobody_whatever_the_config_says() -> None:
    rules = Policy(
        shop=Shop(name="Real", url="https://real.example", timezone="Asia/Karachi"),
        providers={"email": "sendgrid", "sms": "twilio", "whatsapp": "twilio"},
    )
    played = demo_policy(lambda: rules, "http://127.0.0.1:9000")()
    assert set(played.providers.values()) == {"file"}
    assert set(played.providers) == {"email", "sms", "whatsapp"}
    assert played.shop.url == "http://127.0.0.1:9000/shop"
    assert played.shop.timezone == "Asia/Karachi"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (1.0, "1 second"),
        (45.0, "45 seconds"),
        (600.0, "10 minutes"),
        (3600.0, "1 hour"),
        (5400.0, "1.5 hours"),
        (7200.0, "2 hours"),
        (86400.0, "1 day"),
    ],
)
def test_a_speed_is_said_in_words(seconds: float, said: str) -> None:
    assert lasts(seconds) == said
