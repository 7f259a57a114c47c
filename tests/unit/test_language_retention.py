"""How long what piles up is kept, as written in config/winback.yaml."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from engine.language import load_policy
from engine.language.retention import KINDS
from engine.model.retention import LEAST, Retention
from tests.unit.test_language_sending import fits

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "text, kept",
    [
        ("{}", Retention()),
        ("retention: {}", Retention()),
        ("retention: {refusals: 30 days}", Retention(refusals=LEAST)),
        ("retention: {short_links: 9 weeks}", Retention(short_links=timedelta(weeks=9))),
        ("retention: {browsing: never, traces: 0}", Retention(browsing=None, traces=None)),
        ("retention: {attempts: '0'}", Retention(attempts=None)),
    ],
)
def test_what_a_shop_may_write(text: str, kept: Retention) -> None:
    policy, found = load_policy(text)
    assert found == []
    assert policy.retention == kept
    assert fits(text)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_key(kind: str) -> None:
    policy, found = load_policy(f"retention: {{{kind}: 40 days}}")
    assert found == []
    assert getattr(policy.retention, kind.replace(" ", "_")) == timedelta(days=40)


@pytest.mark.parametrize(
    "text, code, words",
    [
        ("retention: {refusals: 29 days}", "J011", "30 days or more"),
        ("retention: {short links: 1 hour}", "J011", "30 days or more"),
        ("retention: {traces: a while}", "J008", ""),
        ("retention: {traces: 1 year}", "J008", "365 days"),
        ("retention: {consent: 30 days}", "J005", ""),
        ("retention: {refusal: 30 days}", "J005", "refusals"),
        ("retention: {receipts: null}", "J007", ""),
        ("retention: 30 days", "J007", ""),
    ],
)
def test_what_is_wrong_is_said_and_keeps_its_usual_time(text: str, code: str, words: str) -> None:
    policy, [found] = load_policy(text)
    assert (found.severity, found.code) == ("error", code)
    assert words in str(found)
    assert policy.retention == Retention()
    assert not fits(text) or code == "J011", "only how long it is needs the loader"


def test_the_shipped_file_says_what_holds_without_it() -> None:
    policy, _ = load_policy(ROOT / "config" / "winback.yaml")
    assert policy.retention == Retention()


def test_nothing_usual_goes_sooner_than_the_least() -> None:
    for member in fields(Retention):
        kept = getattr(Retention(), member.name)
        assert kept is None or kept >= LEAST
