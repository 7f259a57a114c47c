"""Topics: the permission they need, the ground they stand on, and what does not fit together."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from engine.language import load_journey, load_policy
from engine.language.confirming import check_confirmation
from engine.model.policy import From, Policy, Topic

ROOT = Path(__file__).resolve().parents[2]


def topic(text: str) -> tuple[Topic, list[str]]:
    policy, found = load_policy(f"topics: {{news: {{{text}}}}}")
    return policy.topics["news"], [f.code for f in found]


def test_a_double_opt_in() -> None:
    found, codes = topic("consent: double opt-in, confirm within: 3 days, title: News")
    assert codes == []
    assert found == Topic("news", "News", "double opt-in", confirm_within=timedelta(days=3))


@pytest.mark.parametrize(
    ("consent", "basis"),
    [
        ("opt-in", "consent"),
        ("double opt-in", "consent"),
        ("opt-out", "legitimate interest"),
        ("none", "contract"),
    ],
)
def test_the_basis_goes_with_the_kind_of_consent(consent: str, basis: str) -> None:
    assert topic(f"consent: {consent}")[0].lawful_basis == basis
    found, codes = topic(f"consent: {consent}, basis: {basis}")
    assert (found.lawful_basis, codes) == (basis, [])


@pytest.mark.parametrize(
    "text",
    [
        "consent: opt-in, basis: contract",
        "consent: double opt-in, basis: contract",
        "consent: opt-out, basis: contract",
        "consent: opt-out, basis: consent",
        "consent: none, basis: consent",
    ],
)
def test_a_basis_that_does_not_fit_is_a_warning(text: str) -> None:
    found, codes = topic(text)
    assert codes == ["J080"] and found.basis


def test_a_basis_that_is_none_of_the_three() -> None:
    assert topic("consent: opt-in, basis: because")[1] == ["J011"]


def test_a_double_opt_in_must_be_asked_for() -> None:
    policy = Policy(topics={"news": Topic("news", consent="double opt-in")})
    asks, _ = load_journey(
        (ROOT / "journeys" / "confirm-consent.yaml").read_text(), "confirm-consent"
    )
    other, _ = load_journey((ROOT / "journeys" / "win-back.yaml").read_text(), "win-back")
    assert asks is not None and other is not None
    config = Path("config/winback.yaml")
    assert check_confirmation(config, policy, [asks, other]) == []
    (found,) = check_confirmation(config, policy, [other])
    assert (found.code, found.severity) == ("J081", "warning") and "'news'" in found.message
    assert check_confirmation(config, Policy(), [other]) == []


def test_a_topic_may_have_senders_of_its_own() -> None:
    text = "from: {email: news@shop.example, name: Shop news, sms: '+4915112345678'}"
    policy, found = load_policy(f"""
shop: {{name: Shop, email from: shop@shop.example, sms from: SHOP, whatsapp from: "+4915199"}}
topics: {{news: {{consent: opt-in, {text}}}, orders: {{consent: none, from: {{name: Orders}}}}}}
""")
    assert found == []
    assert policy.topics["news"].sender == From("news@shop.example", "Shop news", "+4915112345678")
    assert policy.sender("email", "news") == "news@shop.example"
    assert policy.sender("sms", "news") == "+4915112345678"
    assert policy.sender("whatsapp", "news") == "+4915199"
    for topic in ("orders", "nobody's"):
        assert policy.sender("email", topic) == "shop@shop.example"
        assert policy.sender("sms", topic) == "SHOP"
    assert policy.sender("webhook", "news") == ""
    names = [policy.email_name(topic) for topic in ("news", "orders", "nobody's")]
    assert names == ["Shop news", "Orders", "Shop"]
    assert policy.senders() == {
        *("news@shop.example", "shop@shop.example", "SHOP", "+4915112345678", "+4915199")
    }


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{email: News <news@shop.example>}", "J011"),
        ("{sms: '+'}", "J011"),
        ("{whatsapp: Shop}", "J011"),
        ("{e-mail: news@shop.example}", "J005"),
        ("news@shop.example", "J007"),
    ],
)
def test_a_sender_that_cannot_be(text: str, code: str) -> None:
    found, codes = topic(f"consent: none, from: {text}")
    assert (found.sender, codes) == (From(), [code])
