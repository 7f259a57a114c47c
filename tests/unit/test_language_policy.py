"""config/winback.yaml."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import time, timedelta
from pathlib import Path

import pytest

from engine.language import load_policy
from engine.model.policy import Cap, Policy, QuietHours, Shop, Topic

ROOT = Path(__file__).parents[2]


def readme_example() -> str:
    text = (ROOT / "engine" / "language" / "README.md").read_text(encoding="utf-8")
    example = re.search(r"## config/winback.yaml.*?```yaml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    return example[1]


def test_the_example_of_the_readme() -> None:
    policy, found = load_policy(readme_example())
    assert found == []
    assert replace(policy, keywords={}) == Policy(
        shop=Shop(
            name="Willow & Thread",
            url="https://shop.example",
            timezone="Asia/Kolkata",
            currency="INR",
            locale="hi",
            country="IN",
            email_from="hello@shop.example",
            email_name="Willow & Thread",
            reply_to="help@shop.example",
            sms_from="+919876543210",
            address="12 MG Road, Bengaluru 560001",
        ),
        topics={
            "offers": Topic("offers", "Offers and reminders", "opt-in"),
            "orders": Topic("orders", "Your orders", "none"),
        },
        quiet_hours={
            "sms": QuietHours(time(21), time(10)),
            "email": QuietHours(time(23), time(6)),
        },
        caps=(Cap(3, timedelta(days=7), "*"), Cap(1, timedelta(days=1), "sms")),
        providers={"email": "file", "sms": "file"},
    )


def test_the_defaults_of_the_readme_are_the_defaults() -> None:
    policy, _ = load_policy("shop: {}\n")
    shop = policy.shop
    documented = re.findall(
        r"^  ([a-z ]+): .*?# (\S.*)$", readme_example().split("topics:")[0], re.M
    )
    for key, default in documented:
        if key != "email name":
            assert default.split(" (")[0] == getattr(shop, key.replace(" ", "_")), key


def test_without_a_file_consent_is_asked_and_nothing_leaves_the_house(tmp_path: Path) -> None:
    policy, found = load_policy(tmp_path / "winback.yaml")
    assert found == []
    assert policy.topics["offers"].consent == "opt-in"
    assert policy.topics["orders"].consent == "none"
    assert policy.providers == {"email": "file", "sms": "file"}
    assert load_policy("# only a comment\nshop: {}")[0] == policy


def test_underscores_are_spaces() -> None:
    assert load_policy("shop: {email_from: a@b.example}")[0].shop.email_from == "a@b.example"
    assert load_policy("quiet_hours: {sms: 9:00 - 10:30}")[0].quiet_hours == {
        "sms": QuietHours(time(9), time(10, 30))
    }


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", "1:1 error J002 the file is empty"),
        ("- a", "1:1 error J007 the shop's rules must be a mapping, not a list"),
        ("shp: {}", "1:1 error J005 unknown key 'shp' in the shop's rules — did you mean 'shop'?"),
        ("shop: {currency: Euro}", "1:18 error J011 'currency' cannot be 'Euro' — write three"),
        (
            "shop: {timezone: Europe/Lodon}",
            "1:18 error J011 unknown timezone 'Europe/Lodon' — did you mean 'Europe/London'?",
        ),
        ("shop: {url: shop.example}", "1:13 error J011 'url' cannot be 'shop.example' — write it"),
        ("shop: {country: uk}", "1:17 error J011 'country' cannot be 'uk' — write two capital"),
        ("shop: {locale: English}", "1:16 error J011 'locale' cannot be 'English' — write for"),
        ("shop: {email from: A <a@b.c>}", "1:20 error J011 'email from' cannot be 'A <a@b.c>'"),
        ("shop: {name: [a]}", "1:14 error J007 'name' must be a text, not a list"),
        ("topics: {Offers: {consent: none}}", "1:10 error J011 a topic cannot be called 'Offers'"),
        ("topics: {offers: {title: x}}", "1:18 error J006 topic 'offers' needs 'consent'"),
        (
            "topics: {offers: {consent: optin}}",
            "1:28 error J011 'consent' cannot be 'optin' — did you mean 'opt-in'?",
        ),
        ("topics: {a: {consent: none}, a: {consent: none}}", "1:30 error J004 'a' comes twice in"),
        ("quiet hours: {sms: at night}", "1:20 error J011 'at night' is no time of day — write"),
        ("quiet hours: {sms: 21:00-25:00}", "1:20 error J011 '21:00-25:00' is no time of day"),
        ("quiet hours: {sms: 21:00-21:00}", "1:20 error J011 quiet hours that end as they begin"),
        (
            "quiet hours: {smss: 21:00-09:00}",
            "1:15 error J017 unknown channel 'smss' — did you mean 'sms'?",
        ),
        ("quiet hours: none", "1:14 error J007 'quiet hours' must be a mapping"),
        ("caps: {messages: 3}", "1:7 error J007 'caps' must be a list, not a mapping — begin"),
        ("caps: [{messages: 3}]", "1:8 error J006 a cap needs 'within' — add 'within: …'"),
        (
            "caps: [{messages: three, within: 1 day}]",
            "1:19 error J011 'messages' cannot be 'three'",
        ),
        ("caps: [{messages: 3, within: 1 mont}]", "1:30 error J008 '1 mont': a month has no"),
        (
            "caps: [{messages: 3, within: 1 day, channel: fax}]",
            "1:46 error J017 unknown channel 'fax' — choose from email, sms, whatsapp, *",
        ),
        ("providers: {email: sendgird}", "1:20 error J011 'email' cannot be 'sendgird' — did you"),
        ("providers: {sms: sendgrid}", "1:18 error J011 'sms' cannot be 'sendgrid' — choose from"),
    ],
)
def test_what_is_wrong_is_said(text: str, expected: str) -> None:
    policy, found = load_policy(text)
    assert len(found) == 1
    assert str(found[0]).startswith(f"winback.yaml:{expected}")
    assert isinstance(policy, Policy)


def test_all_at_once_and_the_rest_counts() -> None:
    policy, found = load_policy(
        "shop: {currency: Euro, name: Chai & Co}\ncaps: [{messages: 1, within: 1 day}, 7]\nx: 1\n"
    )
    assert [finding.code for finding in found] == ["J011", "J007", "J005"]
    assert policy.shop.name == "Chai & Co"
    assert policy.caps == (Cap(1, timedelta(days=1)),)


def test_the_blast_radius() -> None:
    assert load_policy("{}")[0].blast_radius == 500
    policy, found = load_policy("blast radius: 0\n")
    assert (policy.blast_radius, found) == (0, [])
    policy, found = load_policy("blast radius: few\n")
    assert policy.blast_radius == 500
    assert [(f.code, f.line, f.column) for f in found] == [("J011", 1, 15)]
