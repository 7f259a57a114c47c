"""``winback preview`` and ``winback send-test``: on the shipped shop, its files and its senders."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine.channels.file import read_mailbox
from engine.cli._browser import NAMES
from engine.cli.main import group
from engine.testing.sendgrid import SendGridSimulator
from tests.integration.runtime_kit import WHO, Make, identify
from tests.unit.core.build import journey, send, view

ROOT = Path(__file__).resolve().parents[2]
JOURNEY = journey(send("email", template="cart-left-behind"), name="left-behind")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The shipped project, with state of its own."""
    for name in ("journeys", "templates", "config"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def run(shop: Path, *arguments: str, **env: str) -> Result:
    return CliRunner().invoke(
        group,
        ["--project-dir", str(shop), *arguments],
        env={"WINBACK_PUBLIC_URL": "https://go.shop.example", "DATABASE_URL": "", **env},
        standalone_mode=False,
    )


def report(result: Result) -> dict[str, Any]:
    if result.exception:
        raise result.exception
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_every_shipped_message_can_be_seen_and_has_no_finding(shop: Path) -> None:
    result = run(shop, "preview", "--json")
    told = report(result)
    assert result.return_value == 0
    messages = {(m["template"], m["channel"], m["locale"]): m for m in told["messages"]}
    assert ("cart-left-behind", "email", "ur") in messages
    assert ("cart-left-behind", "sms", "hi") in messages
    assert not [m for m in told["messages"] if m["error"]]
    page = Path(told["page"])
    assert page == shop / "var" / "preview" / "index.html"
    text = page.read_text("utf-8")
    assert "nobody yet: write &#x27;sms from&#x27;" in text and 'class="bubble" lang="ur"' in text
    for (template, channel, locale), message in messages.items():
        assert f"{template}.{channel}.{locale}" in text
        assert (message["subject"] is None) == (channel == "sms")
    assert "آپ" in (page.parent / "cart-left-behind.email.ur.html").read_text("utf-8")


def test_a_mail_is_shown_where_no_script_runs(shop: Path) -> None:
    run(shop, "preview", "welcome")
    page = (shop / "var" / "preview" / "index.html").read_text("utf-8")
    assert page.count("<iframe") == page.count(" sandbox src=") == 6


def test_one_template_in_one_language_about_a_given_event(shop: Path, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"properties": {"name": "<b>Kettle</b>", "price": 20}}))
    out = tmp_path / "seen"
    told = report(
        run(
            shop, "preview", "product-left-behind", "--locale", "en", "--channel", "email",
            "--event", str(event), "--out", str(out), "--json",
        )
    )  # fmt: skip
    assert [m["locale"] for m in told["messages"]] == ["en"]
    html = (out / "product-left-behind.email.en.html").read_text("utf-8")
    assert "&lt;b&gt;Kettle&lt;/b&gt;" in html


def test_a_message_that_cannot_be_rendered_says_why_and_the_others_are_shown(shop: Path) -> None:
    broken = shop / "templates" / "welcome" / "sms.en.txt"
    broken.write_text("Hello {{ profile.shoe_size }}")
    result = run(shop, "preview", "welcome", "--json")
    told = report(result)
    assert result.return_value == 1
    wrong = [m for m in told["messages"] if m["error"]]
    assert [(m["channel"], m["locale"]) for m in wrong] == [("sms", "en")]
    assert (
        "templates/welcome/sms.en.txt:1" in wrong[0]["error"] and "shoe_size" in wrong[0]["error"]
    )


def test_a_template_that_is_not_there(shop: Path) -> None:
    result = run(shop, "preview", "nothing")
    assert result.exception is not None
    assert "nothing" in str(result.exception)


def test_as_a_shopper_of_the_shop_would_get_it(shop: Path, make: Make) -> None:
    pipeline = make()
    pipeline.drain(
        identify(*WHO, email="a@b.de", first_name="Zeynep", locale="en"),
        view(who=WHO),
    )
    told = report(
        run(
            shop, "preview", "cart-left-behind", "--shopper", "user:1", "--channel", "email",
            "--json", DATABASE_URL=pipeline.database.url,
        )
    )  # fmt: skip
    assert [m["locale"] for m in told["messages"]] == ["en"]
    html = (shop / "var" / "preview" / "cart-left-behind.email.en.html").read_text("utf-8")
    assert "Zeynep" in html


@pytest.mark.browser
def test_pictures_of_phone_and_desktop_light_and_dark(shop: Path) -> None:
    if not any(shutil.which(name) for name in NAMES):
        if os.environ.get("CI"):
            pytest.fail("no Chromium: apt-get install chromium")
        pytest.skip("no Chromium: apt-get install chromium")
    from PIL import Image

    told = report(run(shop, "preview", "welcome", "--channel", "email", "--locale", "ur", "--png", "--json"))  # fmt: skip  # noqa: E501
    pictures = {Path(path).name: Image.open(path).convert("RGB") for path in told["pictures"]}
    assert set(pictures) == {
        f"welcome.email.ur.{screen}{dark}.png"
        for screen in ("phone", "desktop")
        for dark in ("", ".dark")
    }
    light, dark = (
        pictures["welcome.email.ur.phone.png"],
        pictures["welcome.email.ur.phone.dark.png"],
    )
    assert light.width == 390 and pictures["welcome.email.ur.desktop.png"].width == 700
    assert 300 < light.height < 3000
    assert sum(light.getpixel((2, 2))) > 600 > 300 > sum(dark.getpixel((2, 2)))


def test_a_test_goes_to_its_asker_and_touches_nobody(shop: Path) -> None:
    told = report(run(shop, "send-test", "welcome", "--to", "me@shop.example", "--json"))
    assert [sent["taken"] for sent in told["sent"]] == [True] * 3
    letters = read_mailbox(shop / "var", 10)
    assert {letter.to for letter in letters} == {"me@shop.example"}
    assert all(letter.subject.startswith("[Test] ") for letter in letters)
    assert len({letter.message_id for letter in letters}) == 3


def test_a_test_goes_by_the_provider_that_shoppers_are_written_to_by(shop: Path) -> None:
    config = shop / "config" / "winback.yaml"
    config.write_text(config.read_text().replace("email: file", "email: sendgrid"))
    with SendGridSimulator() as there:
        result = run(
            shop, "send-test", "welcome", "--to", "me@shop.example", "--locale", "en", "--json",
            SENDGRID_API_KEY="SG.key", SENDGRID_BASE_URL=there.url,
        )  # fmt: skip
        told = report(result)
        (mail,) = there.mails()
    assert told["provider"] == "sendgrid" and told["sent"][0]["taken"]
    assert mail["subject"].startswith("[Test] ")
    assert mail["personalizations"][0]["to"] == [{"email": "me@shop.example"}]


def test_what_the_provider_refuses_is_said(shop: Path) -> None:
    result = run(shop, "send-test", "welcome", "--to", "@nowhere", "--locale", "en", "--json")
    told = report(result)
    assert result.return_value == 1
    assert not told["sent"][0]["taken"] and told["sent"][0]["reason"]


PRICES = "sms: {prices: {IN: 0.05 USD, PK: 0.07 USD, '*': 0.01 USD}}\n"


def test_text_messages_are_shown_with_segments_and_price(shop: Path) -> None:
    config = shop / "config" / "winback.yaml"
    config.write_text(config.read_text() + PRICES)
    told = report(run(shop, "preview", "cart-left-behind", "--channel", "sms", "--json"))
    by_locale = {m["locale"]: m for m in told["messages"]}
    hindi, urdu = by_locale["hi"], by_locale["ur"]
    assert hindi["encoding"] == "UCS-2"
    assert hindi["price"] == {"amount": f"{hindi['segments'] * 0.05:g}", "currency": "USD"}
    assert urdu["price"] == {"amount": f"{urdu['segments'] * 0.07:g}", "currency": "USD"}
    shown = run(shop, "preview", "cart-left-behind", "--channel", "sms", "--locale", "hi").stdout
    assert "about" in shown and "USD" in shown


def test_without_prices_nothing_is_said_of_them(shop: Path) -> None:
    told = report(run(shop, "preview", "cart-left-behind", "--channel", "sms", "--json"))
    assert {m["price"] for m in told["messages"]} == {None}
    assert all(m["segments"] for m in told["messages"])


def test_a_test_tells_what_it_costs_before_it_goes(shop: Path) -> None:
    config = shop / "config" / "winback.yaml"
    config.write_text(config.read_text() + PRICES)
    words = ("send-test", "cart-left-behind", "--locale", "hi", "--to", "+923001234567")
    result = run(shop, *words)
    lines = result.stdout.splitlines()
    assert "UCS-2, about 0." in lines[0] and lines[0].endswith("USD")
    assert "taken" in lines[1]
    (sent,) = report(run(shop, *words, "--json"))["sent"]
    # By the country of the number that it goes to.
    assert sent["price"] == {"amount": f"{sent['segments'] * 0.07:g}", "currency": "USD"}
