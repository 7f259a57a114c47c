"""How many shoppers each frequency cap holds back, and for how many it is full."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli.main import group
from engine.core.gate import uncapped
from engine.core.refusals import cap_code
from engine.model.journey import Again
from engine.model.policy import Cap, Policy, Topic
from engine.store.cap_usage import Usage, usage
from tests.integration.runtime_kit import Make, Pipeline
from tests.unit.core.build import T0, at, journey, send, view

DAY = timedelta(days=1)
TOPICS = {
    "offers": Topic("offers", consent="opt-out"),
    "orders": Topic("orders", consent="none"),
}
CAPS = (Cap(2, 2 * DAY), Cap(1, DAY, "sms"), Cap(1, DAY, "email", "offers"), Cap(9, DAY))
RULES = Policy(topics=TOPICS, caps=CAPS)
JOURNEY = journey(
    send("sms", "offer"),
    {**send("email", "receipt"), "topic": "orders"},
    key="event.product_id",
    again=Again("always"),
    name="often",
)


def used(shop: Pipeline, now: datetime, since: datetime = T0) -> list[tuple[int, int]]:
    """(shoppers held back, shoppers for whom it is full) of each cap."""
    caps = [(cap, cap_code(cap)) for cap in CAPS]
    with shop.database.connection() as connection:
        found = usage(connection, caps, uncapped(RULES), since, now)
    assert [one.cap for one in found] == list(CAPS)
    return [(one.held_back, one.full) for one in found]


def views(shop: Pipeline, number: int, count: int, when: datetime = T0) -> None:
    who = (f"user:{number}", f"email:{number}@example.org", f"phone:+4930123450{number:02}")
    for n in range(count):
        shop.drain(view(when, f"p{when:%d}{n}", who=who))
    shop.deliver()


def test_shoppers_are_counted_once_and_receipts_use_nothing_up(make: Make) -> None:
    shop = make(policy=RULES)
    views(shop, 1, 3)
    views(shop, 2, 1)
    views(shop, 3, 0)
    # One text message a day: the first of both went, two more of the first shopper did not.
    assert shop.one("select count(*) from refusal where code = 'cap.channel'") == 2
    assert used(shop, at(minutes=1)) == [(0, 0), (1, 2), (0, 0), (0, 0)]


def test_a_window_rolls_on_and_what_was_held_back_is_told_from_then_on(make: Make) -> None:
    shop = make(policy=RULES)
    views(shop, 1, 2)
    views(shop, 1, 1, at(days=1, hours=1))
    assert used(shop, at(days=1, hours=2)) == [(0, 1), (1, 1), (0, 0), (0, 0)]
    assert used(shop, at(days=2, hours=2)) == [(0, 0), (1, 0), (0, 0), (0, 0)]
    assert used(shop, at(days=2, hours=2), since=at(hours=1)) == [(0, 0)] * 4


def test_caps_of_other_channels_and_topics_have_held_nobody_back(make: Make) -> None:
    """One code stands for the caps of all channels, and of all topics."""
    caps = (Cap(1, DAY, "sms"), Cap(1, DAY, "email"))
    shop = make(policy=Policy(topics=TOPICS, caps=caps))
    views(shop, 1, 2)
    with shop.database.connection() as connection:
        found = usage(connection, [(c, cap_code(c)) for c in caps], ["orders"], T0, at(minutes=1))
    assert found == [Usage(caps[0], 1, 1), Usage(caps[1], 0, 0)]


def test_no_caps(make: Make) -> None:
    shop = make()
    with shop.database.connection() as connection:
        assert usage(connection, [], [], T0, T0) == []


def test_the_command_tells_it(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = make(policy=RULES)
    views(shop, 1, 2)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "winback.yaml").write_text(
        "caps: [{messages: 1, within: 3660 days, channel: sms}, {messages: 0, within: 1 day}]\n"
        "topics: {offers: {consent: opt-out}, orders: {consent: none}}\n"
    )
    (tmp_path / "journeys").mkdir()
    monkeypatch.setenv("DATABASE_URL", shop.database.url)
    monkeypatch.setenv("WINBACK_HOME", str(tmp_path / "var"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str) -> str:
        told = CliRunner().invoke(
            group, ["--project-dir", str(tmp_path), "refusals", "--since", "2026-03-01", *words]
        )
        assert told.exit_code == 0, told.output
        return told.stdout

    [cap] = json.loads(run("--json"))["caps"]
    assert cap == {
        "messages": 1,
        "within": "3660 days",
        "channel": "sms",
        "topic": "*",
        "shoppers_held_back": 1,
        "shoppers_full_now": 1,
    }
    assert "by sms" in run() and "shoppers held back" in run()
    assert "shoppers held back" not in run("--journey", "often")
    assert json.loads(run("--journey", "often", "--json"))["caps"] == []
