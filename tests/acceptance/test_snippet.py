"""The snippet in a real browser, against the real collector on a real database."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Blueprint
from playwright.sync_api import Browser, BrowserContext, Page, Route

from engine.clock import SystemClock
from engine.model.event import Event
from engine.web.snippet import SOURCE
from tests.acceptance.browser_kit import chromium
from tests.collector_kit import KEY, accepted, collector, served

pytestmark = pytest.mark.browser

TAG = f'<script async src="/winback.js" data-key="{KEY}"></script>'
STUB = "<script>window.winback = window.winback || []</script>"
COLLECT = re.compile(r".*/v1/batch")


@dataclass
class Shop:
    """A site with the snippet. ``pages`` maps a name to the head of ``/shop/<name>``."""

    database: str
    pages: dict[str, str] = field(default_factory=lambda: {"home": TAG, "bare": ""})
    address: str = ""

    def url(self, name: str = "home") -> str:
        return f"{self.address}/shop/{name}"

    def events(self, name: str | None = None) -> list[Event]:
        """What was accepted, each once, as the drain will count it."""
        once = {event.id: event for event in accepted(self.database)}
        return [event for event in once.values() if name in (None, event.name)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ) as browser:
        yield browser


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    site = Shop(database_url)
    pages = Blueprint("pages", __name__)

    @pages.get("/shop/<name>")
    def page(name: str) -> str:
        head = f"<title>{name}</title>{site.pages[name]}"
        return f"<!doctype html><html><head>{head}</head><body>{name}</body></html>"

    with (
        collector(database_url, clock=SystemClock(), pages=(pages,)) as app,
        served(app) as address,
    ):
        site.address = address
        yield site


@pytest.fixture
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    """A shopper with an empty browser, in India."""
    context = browser.new_context(locale="hi-IN", timezone_id="Asia/Kolkata")
    yield context
    context.close()


def until(page: Page, true: Callable[[], Any], what: str) -> None:
    """Let the browser go on until something is so."""
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, f"never: {what}"
        page.wait_for_timeout(25)


def arrived(page: Page, shop: Shop, name: str, count: int = 1) -> list[Event]:
    until(page, lambda: len(shop.events(name)) >= count, f"{count} × {name}")
    return shop.events(name)


def queued(page: Page) -> list[dict[str, Any]]:
    """The events that the browser keeps."""
    texts: list[str] = page.evaluate(
        "Object.keys(localStorage).filter(k => k.startsWith('winback.queue.')).sort()"
        ".map(k => localStorage[k])"
    )
    return [json.loads(text) for text in texts]


def loaded(page: Page) -> None:
    page.wait_for_function("window.winback && !Array.isArray(window.winback)")


def test_it_is_small() -> None:
    assert len(gzip.compress(SOURCE.read_bytes(), 9)) < 4096


def test_it_is_served_compressed_and_kept(database_url: str) -> None:
    with collector(database_url) as app:
        client = app.test_client()
        plain = client.get("/winback.js")
        assert plain.data == SOURCE.read_bytes()
        assert plain.content_type.startswith("text/javascript")
        packed = client.get("/winback.js", headers={"Accept-Encoding": "br, gzip"})
        assert packed.headers["Content-Encoding"] == "gzip"
        assert packed.headers["Vary"] == "Accept-Encoding"
        assert "max-age" in packed.headers["Cache-Control"]
        assert gzip.decompress(packed.data) == plain.data
        again = client.get(
            "/winback.js",
            headers={"Accept-Encoding": "gzip", "If-None-Match": packed.headers["ETag"]},
        )
        assert (again.status_code, again.data) == (304, b"")


def test_a_visit(shop: Shop, visitor: BrowserContext) -> None:
    page = visitor.new_page()
    page.goto(shop.url() + "?utm_source=news#top")
    [event] = arrived(page, shop, "Page")
    [cookie] = visitor.cookies()
    assert event.identifiers == (f"anonymous:{cookie['value']}",)
    days = (cookie["expires"] - time.time()) / 86400
    assert (cookie["name"], cookie["path"], cookie["sameSite"]) == ("winback_id", "/", "Lax")
    assert 398 < days <= 400
    assert event.properties["path"] == "/shop/home"
    assert event.properties["search"] == "?utm_source=news"
    assert event.context["page"]["title"] == "home"
    assert (event.context["locale"], event.context["timezone"]) == ("hi-IN", "Asia/Calcutta")
    assert "Chrome" in event.context["userAgent"]
    assert (event.received_at - event.time).total_seconds() < 20
    until(page, lambda: queued(page) == [], "an empty queue")

    page.goto(shop.url())
    assert arrived(page, shop, "Page", 2)[1].identifiers == event.identifiers


def test_the_id_survives_without_its_cookie(shop: Shop, visitor: BrowserContext) -> None:
    page = visitor.new_page()
    page.goto(shop.url())
    first = arrived(page, shop, "Page")[0]
    visitor.clear_cookies()
    page.goto(shop.url())
    assert arrived(page, shop, "Page", 2)[1].identifiers == first.identifiers
    assert len(visitor.cookies()) == 1


def test_calls_made_before_it_has_loaded(shop: Shop, visitor: BrowserContext) -> None:
    shop.pages["home"] = (
        f"{STUB}<script>winback.push(['identify', 42, {{firstName: 'अनु'}}],"
        f"['track', 'Product Added', {{product_id: 'p', price: 9.90}}], ['nonsense'])</script>{TAG}"
    )
    page = visitor.new_page()
    page.goto(shop.url())
    arrived(page, shop, "Page")
    assert [(e.name, e.identifiers[0]) for e in shop.events()] == [
        ("Identify", "user:42"),
        ("Product Added", "user:42"),
        ("Page", "user:42"),
    ]
    assert shop.events("Identify")[0].properties == {"first_name": "अनु"}


def test_identify_and_reset(shop: Shop, visitor: BrowserContext) -> None:
    page = visitor.new_page()
    page.goto(shop.url())
    loaded(page)
    page.evaluate(
        """() => {
            winback.identify("ann", {email: "ann@example.com"});
            winback.track("A");
            winback.identify({plan: "gold"});
            winback.identify("ben");
            winback.track("B");
            winback.reset();
            winback.track("C");
        }"""
    )
    arrived(page, shop, "C")
    names = {event.name: event.identifiers for event in shop.events()}
    identified = [event.identifiers for event in shop.events("Identify")]
    cookies = [next(i for i in names[n] if i.startswith("anonymous:")) for n in ("A", "B", "C")]
    assert names["A"] == ("user:ann", cookies[0])
    assert names["B"] == ("user:ben", cookies[1])
    assert names["C"] == (cookies[2],)
    assert identified[0] == ("user:ann", "email:ann@example.com", cookies[0])
    assert identified[1] == ("user:ann", cookies[0])
    assert len(set(cookies)) == 3, "two people at one browser are not one shopper"


def test_the_queue_survives_a_page_change(shop: Shop, visitor: BrowserContext) -> None:
    page = visitor.new_page()
    page.route(COLLECT, lambda route: route.abort())
    page.goto(shop.url())
    loaded(page)
    page.evaluate("for (let n = 0; n < 3; n++) winback.track('Seen', {n})")
    until(page, lambda: len(queued(page)) == 4, "four events in the queue")
    kept = [event["messageId"] for event in queued(page)]
    page.goto(shop.url("bare"))
    page.unroute(COLLECT)
    page.goto(shop.url())
    arrived(page, shop, "Page", 2)
    arrived(page, shop, "Seen", 3)
    assert [event.id for event in shop.events()][:4] == kept
    assert [event.properties["n"] for event in shop.events("Seen")] == [0, 1, 2]
    until(page, lambda: queued(page) == [], "an empty queue")


def test_offline_and_online_again(shop: Shop, visitor: BrowserContext) -> None:
    page = visitor.new_page()
    page.goto(shop.url())
    arrived(page, shop, "Page")
    visitor.set_offline(True)
    page.evaluate("winback.track('In the tunnel')")
    until(page, lambda: queued(page), "an event in the queue")
    kept = queued(page)[0]
    visitor.set_offline(False)
    [event] = arrived(page, shop, "In the tunnel")
    assert event.id == kept["messageId"]
    until(page, lambda: queued(page) == [], "an empty queue")


@pytest.mark.parametrize("status", [429, 500, 503, 401])
def test_tried_again_with_the_same_message_id(
    shop: Shop, visitor: BrowserContext, status: int
) -> None:
    tries: list[list[str]] = []

    def answer(route: Route) -> None:
        body = json.loads(route.request.post_data or "{}")
        tries.append([event["messageId"] for event in body["batch"]])
        if len(tries) < 3:
            route.fulfill(status=status, body="{}")
        else:
            route.continue_()

    page = visitor.new_page()
    page.route(COLLECT, answer)
    page.goto(shop.url())
    arrived(page, shop, "Page")
    assert len(tries) == 3
    assert tries[0] == tries[1] == tries[2]


@pytest.mark.parametrize("status", [400, 413])
def test_what_is_refused_for_good_is_not_sent_for_ever(
    shop: Shop, visitor: BrowserContext, status: int
) -> None:
    page = visitor.new_page()
    page.route(COLLECT, lambda route: route.fulfill(status=status, body="{}"))
    page.goto(shop.url())
    loaded(page)
    until(page, lambda: queued(page) == [], "an empty queue")
    page.unroute(COLLECT)
    page.evaluate("winback.track('Next')")
    arrived(page, shop, "Next")
    assert shop.events("Page") == []


def test_an_answer_that_is_lost_makes_a_duplicate_not_a_second_event(
    shop: Shop, visitor: BrowserContext
) -> None:
    lost = []

    def lose(route: Route) -> None:
        if lost:
            return route.continue_()
        lost.append(route.fetch().status)
        route.abort()

    page = visitor.new_page()
    page.route(COLLECT, lose)
    page.goto(shop.url())
    until(page, lambda: len(accepted(shop.database)) == 2, "the event twice")
    assert lost == [200]
    assert len(shop.events()) == 1


def test_two_tabs_lose_nothing(shop: Shop, visitor: BrowserContext) -> None:
    tabs = [visitor.new_page(), visitor.new_page()]
    for tab in tabs:
        tab.goto(shop.url())
        loaded(tab)
    for n in range(20):
        for number, tab in enumerate(tabs):
            tab.evaluate("([n, tab]) => winback.track('Seen', {n, tab})", [n, number])
    arrived(tabs[0], shop, "Seen", 40)
    for number in range(2):
        seen = [e.properties["n"] for e in shop.events("Seen") if e.properties["tab"] == number]
        assert sorted(seen) == list(range(20))
    assert len({event.identifiers for event in shop.events()}) == 1
    for tab in tabs:
        until(tab, lambda tab=tab: queued(tab) == [], "an empty queue")  # type: ignore[misc]


def test_the_last_event_leaves_with_the_page(shop: Shop, visitor: BrowserContext) -> None:
    """The next page has no snippet that could send it: the beacon did."""
    page = visitor.new_page()
    page.goto(shop.url())
    arrived(page, shop, "Page")
    page.evaluate("url => { winback.track('Left'); location.href = url }", shop.url("bare"))
    page.wait_for_url(shop.url("bare"))
    arrived(page, shop, "Left")


def test_more_than_one_request_holds(shop: Shop, visitor: BrowserContext) -> None:
    """Hindi takes three bytes a letter, and a browser lets 64 KB leave with a closing page."""
    bodies: list[int] = []
    page = visitor.new_page()
    page.on("request", lambda r: bodies.append(len(r.post_data_buffer or b"")))
    page.goto(shop.url())
    loaded(page)
    page.evaluate("for (let n = 0; n < 12; n++) winback.track('Long', {n, t: 'ह'.repeat(8000)})")
    assert [e.properties["n"] for e in arrived(page, shop, "Long", 12)] == list(range(12))
    assert max(bodies) < 64 * 1024
    warnings: list[str] = []
    page.on("console", lambda message: warnings.append(message.text))
    page.evaluate("winback.track('Too long', {t: 'ह'.repeat(11000)}); winback.track('After')")
    arrived(page, shop, "After")
    assert shop.events("Too long") == []
    assert "larger than 32 KB" in warnings[0]


def say(signal: str, value: object) -> str:
    """A script by which the browser gives a privacy signal."""
    getter = f"{{get: () => {json.dumps(value)}}}"
    return f"Object.defineProperty(Navigator.prototype, '{signal}', {getter})"


NO_DNT = f'<script async src="/winback.js" data-key="{KEY}" data-respect-dnt="false"></script>'


@pytest.mark.parametrize(
    ("signal", "value", "tag", "tracked"),
    [
        ("globalPrivacyControl", True, TAG, False),
        ("globalPrivacyControl", True, NO_DNT, False),
        ("globalPrivacyControl", False, TAG, True),
        ("doNotTrack", "1", TAG, False),
        ("doNotTrack", "1", NO_DNT, True),
        ("doNotTrack", "0", TAG, True),
    ],
)
def test_no_means_no(
    shop: Shop, visitor: BrowserContext, signal: str, value: object, tag: str, tracked: bool
) -> None:
    requests: list[str] = []
    shop.pages["home"] = f"{STUB}<script>winback.push(['track', 'Early'])</script>{tag}"
    page = visitor.new_page()
    page.on("request", lambda request: requests.append(request.url))
    page.add_init_script(say(signal, value))
    page.goto(shop.url())
    loaded(page)
    page.evaluate("winback.identify('ann'); winback.track('X'); winback.page(); winback.reset()")
    if tracked:
        arrived(page, shop, "X")
        return
    page.goto(shop.url("bare"))
    assert not any(COLLECT.match(url) for url in requests)
    assert visitor.cookies() == []
    assert page.evaluate("Object.keys(localStorage)") == []
    assert shop.events() == []


def test_a_no_said_later_forgets_what_was_kept(shop: Shop, visitor: BrowserContext) -> None:
    page = visitor.new_page()
    page.route(COLLECT, lambda route: route.abort())
    page.goto(shop.url())
    loaded(page)
    page.evaluate("winback.identify('ann')")
    until(page, lambda: len(queued(page)) == 2, "two events in the queue")
    page.add_init_script(say("globalPrivacyControl", True))
    page.goto(shop.url())
    loaded(page)
    assert visitor.cookies() == []
    assert page.evaluate("Object.keys(localStorage)") == []


def test_a_shop_on_another_host(shop: Shop, visitor: BrowserContext) -> None:
    """The collector on a host of its own: no preflight, and the page may read the answer."""
    methods: list[str] = []
    shop.pages["home"] = TAG.replace("/winback.js", f"{shop.address}/winback.js")
    page = visitor.new_page()
    page.on("request", lambda r: methods.append(r.method) if "/v1/" in r.url else None)
    page.goto(shop.url().replace("127.0.0.1", "localhost"))
    arrived(page, shop, "Page")
    until(page, lambda: queued(page) == [], "an empty queue")
    assert methods == ["POST"]
    assert [cookie["domain"] for cookie in visitor.cookies()] == ["localhost"]


def test_without_local_storage(shop: Shop, visitor: BrowserContext) -> None:
    page = visitor.new_page()
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('forbidden') }})"
    )
    page.goto(shop.url())
    first = arrived(page, shop, "Page")[0]
    page.goto(shop.url())
    assert arrived(page, shop, "Page", 2)[1].identifiers == first.identifiers


def test_the_snippet_twice_on_a_page_counts_once(shop: Shop, visitor: BrowserContext) -> None:
    shop.pages["home"] = TAG + TAG
    page = visitor.new_page()
    page.goto(shop.url())
    loaded(page)
    page.wait_for_load_state("networkidle")
    page.evaluate("winback.track('Last')")
    arrived(page, shop, "Last")
    assert len(shop.events("Page")) == 1


SHIRT: dict[str, Any] = {
    "@context": "https://schema.org",
    "@type": "Product",
    "sku": "S-1",
    "name": "Shirt",
    "offers": {"@type": "Offer", "price": "19.99", "priceCurrency": "EUR"},
}


def ld(*blocks: Any) -> str:
    """JSON-LD blocks; a text is written as it is."""
    return "".join(
        '<script type="application/ld+json">'
        + (block if isinstance(block, str) else json.dumps(block))
        + "</script>"
        for block in blocks
    )


def without(*fields: str, **more: Any) -> dict[str, Any]:
    return {name: value for name, value in {**SHIRT, **more}.items() if name not in fields}


@pytest.fixture(scope="module")
def product_page(browser: Browser) -> Iterator[Callable[[str], dict[str, Any] | None]]:
    """The Product Viewed of a page, looked at before it is sent."""
    page = browser.new_page(base_url="http://shop.test")
    heads: dict[str, str] = {}

    def site(route: Route) -> None:
        path = route.request.url.removeprefix("http://shop.test").partition("?")[0]
        if path == "/winback.js":
            route.fulfill(body=SOURCE.read_bytes(), content_type="text/javascript")
        elif path == "/products/shirt":
            body = f"<!doctype html><title>p</title>{TAG}{heads['head']}"
            route.fulfill(body=body, content_type="text/html; charset=utf-8")
        else:
            route.abort()

    page.route("**/*", site)

    def look(head: str) -> dict[str, Any] | None:
        heads["head"] = head
        page.goto("/products/shirt?color=red")
        page.wait_for_function(
            'Object.values(localStorage).some(v => v.includes(\'"type":"page"\'))'
        )
        found = [event for event in queued(page) if event.get("event") == "Product Viewed"]
        page.evaluate("localStorage.clear()")
        assert len(found) <= 1
        return found[0]["properties"] if found else None

    yield look
    page.close()


FULL = {
    "@context": "https://schema.org/",
    "@graph": [
        {"@type": "WebSite", "name": "Shop"},
        {"@type": "BreadcrumbList", "itemListElement": [{"@type": "Product", "name": "no"}]},
        {
            "@type": ["Product", "Thing"],
            "productID": 77,
            "name": "कुर्ता",
            "brand": {"@type": "Brand", "name": "Acme"},
            "category": ["Clothes", "Shirts"],
            "image": [{"@type": "ImageObject", "url": "/img/1.jpg"}, "/img/2.jpg"],
            "url": "/products/shirt",
            "offers": {
                "@type": "AggregateOffer",
                "lowPrice": 1499.5,
                "highPrice": 2000,
                "priceCurrency": "INR",
            },
        },
    ],
}


def test_every_field_of_a_product(product_page: Callable[[str], dict[str, Any] | None]) -> None:
    assert product_page(ld(FULL)) == {
        "product_id": "77",
        "name": "कुर्ता",
        "brand": "Acme",
        "category": "Clothes",
        "price": 1499.5,
        "currency": "INR",
        "image_url": "http://shop.test/img/1.jpg",
        "url": "http://shop.test/products/shirt",
    }


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (ld(SHIRT), {"product_id": "S-1", "price": 19.99, "currency": "EUR"}),
        (ld([{"@type": "Organization"}, SHIRT]), {"product_id": "S-1"}),
        (ld({"@type": "ItemPage", "mainEntity": SHIRT}), {"product_id": "S-1"}),
        (ld(without(**{"@type": "http://schema.org/Product"})), {"product_id": "S-1"}),
        (ld("{broken", SHIRT), {"product_id": "S-1"}),
        (ld(without("sku")), {"product_id": "http://shop.test/products/shirt"}),
        (ld(without("sku", url="https://cdn.example/p/9")), {"url": "https://cdn.example/p/9"}),
        (ld(without(offers=[SHIRT["offers"], {"price": 5}])), {"price": 19.99}),
        (ld(without(offers={"price": 0, "priceCurrency": "EUR"})), {"price": 0}),
        (ld(without(offers={"price": "1,234.50"})), {"price": 1234.5}),
        (ld(without(offers={"price": "1.234,50 €"})), {"price": 1234.5}),
        (ld(without(offers={"price": "ask us"})), {"price": None}),
        (
            ld(without(offers={"priceSpecification": [{"price": 7, "priceCurrency": "USD"}]})),
            {"price": 7, "currency": "USD"},
        ),
        (ld(without("offers")), {"price": None, "currency": None}),
        (ld(without(brand="Acme", image="/i.png")), {"image_url": "http://shop.test/i.png"}),
        (
            ld(without(image="http://[bad", brand=[{"name": "B"}])),
            {"image_url": None, "brand": "B"},
        ),
        (
            ld(
                {
                    "@type": "ProductGroup",
                    "productGroupID": "G",
                    "hasVariant": [{"@type": "Product", "offers": {"price": "3"}}],
                }
            ),
            {"product_id": "G", "price": 3},
        ),
        (
            ld(without(sku="other", url="/products/hat"), without(url="/products/shirt?x=1")),
            {"product_id": "S-1"},
        ),
    ],
)
def test_ways_to_write_a_product(
    product_page: Callable[[str], dict[str, Any] | None], head: str, expected: dict[str, Any]
) -> None:
    product = product_page(head)
    assert product is not None
    assert {name: product.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    "head",
    [
        "",
        ld({"@type": "Article"}),
        ld("null", '"Product"', "[]", "{}"),
        ld(SHIRT, without(sku="S-2")),  # a list of products is nobody's look at one
        ld({"@type": "ItemList", "itemListElement": [{"@type": "ListItem", "item": SHIRT}]}),
    ],
)
def test_pages_about_no_product(
    product_page: Callable[[str], dict[str, Any] | None], head: str
) -> None:
    assert product_page(head) is None


def test_a_product_is_viewed_once_a_look(shop: Shop, visitor: BrowserContext) -> None:
    shop.pages["home"] = TAG + ld(SHIRT)
    page = visitor.new_page()
    page.goto(shop.url())
    [event] = arrived(page, shop, "Product Viewed")
    assert event.properties["product_id"] == "S-1"
    page.evaluate("winback.page()")
    arrived(page, shop, "Page", 2)
    assert len(shop.events("Product Viewed")) == 1
    page.reload()
    arrived(page, shop, "Product Viewed", 2)
