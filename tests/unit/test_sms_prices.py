"""What text messages come to: how they are written, how many segments, what these cost."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.prices import estimate
from engine.errors import RenderError
from engine.language import load_policy
from engine.model.event import Event
from engine.model.links import LinkRules
from engine.model.message import Sms
from engine.model.policy import Policy, Shop, Topic
from engine.model.texts import Price, SmsRules
from engine.rendering import Renderer
from engine.rendering.segments import segments_of
from engine.rendering.transliterate import plainer
from engine.runtime.backtest import Backtest
from engine.runtime.texts import Biller
from tests.unit.test_backtest import event, journey
from tests.unit.test_rendering import message

PRICES = {"IN": Price(Decimal("0.0083"), "USD"), "DE": Price(Decimal("0.11"), "EUR")}


# --- plainer letters ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("“Hello” – it’s here…", '"Hello" - it\'s here...'),
        ("10\u00a0% off\u200b, Łódź & Çeşme", "10 % off, Lodz & Çesme"),
        ("«Été» à Málaga • ½ price × 2", '"Été" à Malaga - 1/2 price x 2'),
        ("₹2,499 for you", "Rs2,499 for you"),
        ("ＡＢＣ １２３", "ABC 123"),
        ("e\u0302tre", "etre"),
        ("A → B", "A -> B"),
    ],
)
def test_what_costs_most_gets_plainer_letters(text: str, made: str) -> None:
    assert plainer(text, "latin") == made
    assert plainer(text, "no") == text
    assert segments_of(made).encoding == "GSM-7"


@pytest.mark.parametrize(
    "text",
    [
        "केवल आपके लिए – दस प्रतिशत",
        "صرف آپ کے لیے… ۱۰٪",
        "Zoë’s 🧶 is here",  # an emoji is left, so nothing would be won
        "Привет – скидка",
        "“你好”",
    ],
)
def test_where_nothing_is_won_nothing_is_touched(text: str) -> None:
    assert plainer(text, "latin") == text


def test_other_scripts_only_on_demand() -> None:
    assert plainer("Привет – скидка", "all") == "Privet - skidka"
    assert segments_of(plainer("केवल आपके लिए", "all")).encoding == "GSM-7"
    assert plainer("Привет 🧶", "all") == "Привет 🧶"


def test_a_link_is_not_rewritten() -> None:
    text = "It’s here: https://shop.example/lámpára?x=“1” …"
    assert plainer(text, "latin") == text  # the link alone keeps it in UCS-2
    short = "It’s here: https://shop.example/a_b~c …"
    assert plainer(short, "latin") == "It's here: https://shop.example/a_b~c ..."


def test_what_would_be_longer_stays() -> None:
    assert plainer("…" * 70, "latin") == "…" * 70


@given(st.text(max_size=200))
def test_it_never_costs_more_and_what_fits_stays(text: str) -> None:
    for how in ("latin", "all"):
        made = plainer(text, how)  # type: ignore[arg-type]
        assert segments_of(made).parts <= segments_of(text).parts
        if made != text:
            assert segments_of(text).encoding == "UCS-2"
            assert segments_of(made).encoding == "GSM-7"
        assert plainer(made, how) == made  # type: ignore[arg-type]


# --- whose wish it is -----------------------------------------------------------------------


def render(tmp_path: Path, source: str, rules: SmsRules, **more: Any) -> Sms:
    folder = tmp_path / "templates" / "t"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sms.en.txt").write_text(source, "utf-8")
    policy = Policy(
        shop=Shop(url="https://shop.example"), topics={"offers": Topic("offers")}, sms=rules, **more
    )
    renderer = Renderer(
        tmp_path / "templates", policy, public_url="https://go.shop.example", secret="s" * 32
    )
    made = renderer.render(message("sms"), {"phone": "+919876543210"}, {"name": "Lámpa"})
    assert isinstance(made, Sms)
    return made


def test_the_template_has_the_last_word(tmp_path: Path) -> None:
    latin = SmsRules(transliterate="latin")
    words = "It’s {{ event.name }}\n"
    assert render(tmp_path, words, SmsRules()).body == "It’s Lámpa"
    made = render(tmp_path, words, latin)
    assert (made.body, made.encoding, made.segments) == ("It's Lampa", "GSM-7", 1)
    off = f"---\ntransliterate: false\n---\n{words}"
    assert render(tmp_path, off, latin).body == "It’s Lámpa"
    on = f"---\ntransliterate: true\n---\n{words}"
    assert render(tmp_path, on, SmsRules()).body == "It's Lampa"


def test_the_links_still_lead_where_they_did(tmp_path: Path) -> None:
    words = "It’s here: https://shop.example/lámpa\n"
    made = render(tmp_path, words, SmsRules("latin"), links=LinkRules(track=True))
    assert made.encoding == "GSM-7"
    assert [link.url for link in made.short_links] == ["https://shop.example/lámpa"]


@pytest.mark.parametrize(
    ("block", "line", "words"),
    [
        ("transliterate: yes", 2, "can be true, false or all"),
        ("transliterat: true", 2, "did you mean transliterate"),
        ("subject: x", 2, "there is transliterate"),
    ],
)
def test_a_block_that_means_nothing_is_an_error(
    tmp_path: Path, block: str, line: int, words: str
) -> None:
    with pytest.raises(RenderError, match=words) as failed:
        render(tmp_path, f"---\n{block}\n---\nHello", SmsRules())
    assert failed.value.line == line


def test_a_mistake_below_the_block_has_its_line(tmp_path: Path) -> None:
    with pytest.raises(RenderError) as failed:
        render(tmp_path, "---\ntransliterate: true\n---\nHello\n{{ event.gone }}", SmsRules())
    assert failed.value.line == 5


# --- prices ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "price"),
    [
        ("+919876543210", Price(Decimal("0.0249"), "USD")),
        ("+4915123456789", Price(Decimal("0.33"), "EUR")),
        ("+14155550142", None),
        ("nonsense", None),
    ],
)
def test_a_message_costs_its_segments(number: str, price: Price | None) -> None:
    sms = Sms(message_id="m", to=number, sender="SHOP", body="x", segments=3)
    assert estimate(sms, Policy(sms=SmsRules(prices=PRICES))) == price
    other = {**PRICES, "*": Price(Decimal("0.05"), "USD")}
    known = estimate(sms, Policy(sms=SmsRules(prices=other)))
    assert known == (price or Price(Decimal("0.15"), "USD"))


def test_the_rules_are_read() -> None:
    policy, found = load_policy(
        "sms:\n  transliterate: all\n  max_segments: 2\n"
        "  prices: {IN: 0.0083 USD, DE: 0.11EUR, '*': 1 USD}\n"
    )
    assert found == []
    assert policy.sms == SmsRules("all", 2, {**PRICES, "*": Price(Decimal(1), "USD")})
    assert load_policy("shop: {}")[0].sms == SmsRules("no", 3, {})
    assert load_policy("sms: {transliterate: true}")[0].sms.transliterate == "latin"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sms: {transliterate: some}", "1:22 error J011 'transliterate' cannot be 'some'"),
        ("sms: {max segments: 0}", "1:21 error J011 'max segments' cannot be '0' — write a number"),
        ("sms: {prices: {UK: 0.04 USD}}", "1:16 error J011 'UK' is no country — write two capital"),
        ("sms: {prices: {GB: free}}", "1:20 error J011 'free' is no price — write what one"),
        ("sms: {price: {}}", "1:7 error J005 unknown key 'price' in 'sms' — did you mean 'prices'"),
    ],
)
def test_what_is_wrong_with_them_is_said(text: str, words: str) -> None:
    _, found = load_policy(text)
    assert [str(one).startswith(f"winback.yaml:{words}") for one in found] == [True], found


# --- in a backtest --------------------------------------------------------------------------

TEXTS = """
journey: texts
trigger: {event: Product Viewed, key: event.product_id}
steps:
  - wait: 2 hours
  - send: sms
    template: t
"""


def test_a_backtest_counts_segments_and_money(tmp_path: Path) -> None:
    folder = tmp_path / "templates" / "t"
    folder.mkdir(parents=True)
    (folder / "sms.en.txt").write_text("{{ event.title }} is still here\n", "utf-8")
    policy = Policy(
        topics={"offers": Topic("offers", consent="opt-out")},
        sms=SmsRules(prices={"IN": PRICES["IN"]}),
    )
    renderer = Renderer(tmp_path / "templates", policy, public_url="https://s.io", secret="s" * 32)
    people = {"1": "+919876543210", "2": "+4915123456789", "3": "+919876543211"}
    events: list[Event] = [
        event(0, "Identify", who, phone=number) for who, number in people.items()
    ]
    titles = {"1": {"title": "शॉल " * 20}, "2": {"title": "Lamp"}, "3": {}}
    for who in people:
        events.append(event(1, "Product Viewed", who, product_id="p", **titles[who]))
    backtest = Backtest([journey(TEXTS)], policy, watch=True, biller=Biller(renderer, policy))
    (side,) = backtest.run(events, timedelta(days=1))
    bill = side.accounts["texts"].texts
    assert side.accounts["texts"].messages == {"sms": 3}
    assert bill.segments == 2 + 1  # 96 letters of Hindi are two, Lamp is one
    assert bill.cost == {"USD": Decimal("0.0166")}
    assert bill.unpriced == 1  # Germany has no price
    assert bill.unwritten == 1  # an event without a title
