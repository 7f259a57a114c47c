"""How messages go out, as written in config/winback.yaml."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from engine.language import load_policy
from engine.language.schema import rules_schema
from engine.model.sending import AutoPause, Rate, Sending, WarmUp

DAY = timedelta(days=1)


def fits(text: str) -> bool:
    """Whether an editor that goes by the schema would take it."""
    value = YAML(typ="safe", pure=True).load(text)
    return not list(jsonschema.Draft202012Validator(rules_schema()).iter_errors(plain(value)))


def plain(value: Any) -> Any:
    """As editors see it: dates are texts."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value.isoformat() if isinstance(value, date) else value


@pytest.mark.parametrize(
    "text, sending",
    [
        ("{}", Sending()),
        ("providers: {email: [sendgrid, smtp]}", Sending(fallbacks={"email": ("smtp",)})),
        ("providers: {email: [sendgrid]}", Sending()),
        (
            "limits: {sendgrid: 100 per second, twilio: 3000 per 10 minutes}",
            Sending(
                limits={
                    "sendgrid": Rate(100, timedelta(seconds=1)),
                    "twilio": Rate(3000, timedelta(minutes=10)),
                }
            ),
        ),
        (
            'limits: {"+15005550006": 1 per second, shop@example.com: 9 per hour}',
            Sending(
                limits={
                    "+15005550006": Rate(1, timedelta(seconds=1)),
                    "shop@example.com": Rate(9, timedelta(hours=1)),
                }
            ),
        ),
        (
            "warm up: {sendgrid: {from: 2026-12-01, first day: 200}}",
            Sending(warm_up={"sendgrid": WarmUp(date(2026, 12, 1), 200, DAY)}),
        ),
        (
            "warm up: {smtp: {from: 2026-12-01, first day: 50, doubling every: 3 days}}",
            Sending(warm_up={"smtp": WarmUp(date(2026, 12, 1), 50, 3 * DAY)}),
        ),
        ("auto pause: off", Sending(auto_pause=None)),
        ("unknown outcomes: {close after: 5 days}", Sending(close_after=timedelta(days=5))),
        ("auto pause: {complaints: 0.1%}", Sending(auto_pause=AutoPause(complaints=0.001))),
        (
            "auto pause: {complaints: 0.3%, bounces: 5%, within: 6 hours, at least: 500}",
            Sending(auto_pause=AutoPause(0.003, 0.05, timedelta(hours=6), 500)),
        ),
    ],
)
def test_what_is_written_is_what_counts(text: str, sending: Sending) -> None:
    policy, found = load_policy(text)
    assert found == []
    assert policy.sending == sending
    assert fits(text)


def test_the_first_of_a_list_carries_the_mail() -> None:
    policy, _ = load_policy("providers: {email: [sendgrid, smtp]}")
    assert policy.providers["email"] == "sendgrid"


@pytest.mark.parametrize(
    "text, code, words",
    [
        ("providers: {email: [sendgrid, pigeon]}", "J011", "pigeon"),
        ("providers: {email: [smtp, smtp]}", "J011", "stands in for itself"),
        ("providers: {email: []}", "J007", "must be a text"),
        ("limits: {sendgird: 9 per second}", "J011", "no provider and no sender"),
        ("limits: {sendgrid: fast}", "J011", "no limit"),
        ("limits: {sendgrid: 0 per second}", "J011", "no limit"),
        ("limits: {sendgrid: 9 per month}", "J011", "no limit"),
        ("limits: 9 per second", "J007", "must be a mapping"),
        ("warm up: {sendgrid: {first day: 9}}", "J006", "from"),
        ("warm up: {sendgrid: {from: soon, first day: 9}}", "J011", "no day"),
        ("warm up: {sendgrid: {from: 2026-13-01, first day: 9}}", "J011", "no day"),
        ("warm up: {sendgrid: {from: 2026-12-01, first day: 0}}", "J011", "first day"),
        (
            "warm up: {smtp: {from: 2026-12-01, first day: 9, doubling every: 1 hour}}",
            "J011",
            "by the day",
        ),
        ("auto pause: {complaints: lots}", "J009", "lots"),
        ("unknown outcomes: {close after: 1 hour}", "J011", "a day at the least"),
        ("unknown outcomes: {after: 1 day}", "J005", "after"),
        ("auto pause: {complaints: 0.3}", "J009", "0.3"),
        ("auto pause: {bounce: 5%}", "J005", "bounce"),
        ("auto pause: never", "J007", "must be a mapping"),
    ],
)
def test_what_cannot_be_meant(text: str, code: str, words: str) -> None:
    _, found = load_policy(text)
    assert found and found[0].code == code
    assert words in found[0].message
