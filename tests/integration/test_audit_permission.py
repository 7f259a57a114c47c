"""The audit of permission: by what the gate could know, and not by what came to light later."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.core.book import open_book
from engine.language import load_policy
from engine.model.event import Event
from engine.model.policy import Cap, Hours, Policy, QuietHours, Rule, Topic
from engine.runtime.audit import audit
from engine.store.database import Database
from tests.integration.audit_kit import Make, breakable, found, healthy, judged, known, mailed
from tests.integration.runtime_kit import TOPICS, module_database
from tests.unit.core.build import at, event, journey, send, view


@pytest.fixture(scope="module")
def database(postgres_url: str, _template: str) -> Iterator[Database]:
    with module_database(postgres_url, _template) as database:
        yield database


@pytest.fixture
def make(database: Database) -> Iterator[Make]:
    with healthy(database) as make:
        yield make


@pytest.fixture
def broken(database: Database) -> Iterator[Make]:
    with breakable(database) as make:
        yield make


def consent(granted: bool, when: Any, topic: str = "*", **more: Any) -> Event:
    name = "Consent Given" if granted else "Consent Withdrawn"
    return event(name, when, channel="email", topic=topic, **more)


OPT_IN = Policy(topics={**TOPICS, "offers": Topic("offers", consent="opt-in")})


def test_a_mail_without_a_yes_is_found(make: Make) -> None:
    shop = mailed(make)  # sent under rules that need no yes
    assert judged(shop).ok
    assert found(judged(shop, OPT_IN)) == {"P5": ["messages sent without consent"]}


def test_a_mail_after_a_yes_is_fine_whatever_was_decided_later(make: Make) -> None:
    shop = make(policy=OPT_IN)
    shop.drain(known(), view())
    shop.drain(consent(True, at(minutes=5)))
    shop.at(at(hours=2)).wake()
    assert shop.deliver().sent == 1
    # The row of the decision is overwritten each time; the history keeps what the gate knew.
    shop.drain(consent(True, at(hours=3)))
    assert judged(shop).ok
    shop.drain(consent(False, at(hours=4)))
    assert judged(shop).ok


def test_a_mail_after_a_no_is_found_and_a_no_known_late_is_not(broken: Make) -> None:
    shop = mailed(broken)
    shop.drain(consent(False, at(hours=1), received=at(hours=3)))
    assert judged(shop).ok
    shop.run_sql("update message set gate_snapshot = pg_current_snapshot()")
    assert found(judged(shop)) == {"P5": ["messages sent without consent"]}


def test_the_no_of_a_profile_not_yet_known_to_be_theirs_is_no_violation(make: Make) -> None:
    shop = make()
    shop.drain(known(), view())
    shop.drain(consent(False, at(hours=1), who=("anonymous:phone",)))
    shop.at(at(hours=2)).wake()
    assert shop.deliver().sent == 1
    shop.drain(event("Identify", at(hours=3), who=("user:1", "anonymous:phone"), kind="identify"))
    assert judged(shop).ok


def test_no_policy_no_judgement_but_holdout_is_holdout(broken: Make) -> None:
    shop = mailed(broken)
    assert audit(shop.database, open_book(shop.journeys)).ok
    shop.run_sql("update enrollment set held_out = true")
    assert found(judged(shop)) == {"P5": ["messages of runs that are held out"]}


def test_a_mail_to_a_blocked_address_is_found(broken: Make) -> None:
    shop = mailed(broken)
    shop.run_sql(
        "insert into suppression values ('email:1@example.org', 'email', 'bounced', %s)",
        at(hours=1),
    )
    assert judged(shop).ok  # committed after the claim, whatever time it bears
    shop.run_sql("update message set gate_snapshot = pg_current_snapshot()")
    assert found(judged(shop)) == {"P5": ["messages sent to a blocked address"]}
    shop.run_sql("update suppression set channel = 'sms'")
    assert judged(shop).ok


def test_mails_beyond_a_cap_are_found(make: Make) -> None:
    shop = make()
    shop.drain(known())
    for hour in range(6):
        shop.at(at(hours=hour)).wake()
        assert shop.deliver().sent == (hour >= 2)
        if hour < 4:
            shop.drain(view(at(hours=hour), f"p{hour}"))

    def beyond(cap: Cap) -> int:
        return judged(shop, Policy(topics=TOPICS, caps=(cap,))).promises["P5"]

    assert beyond(Cap(4, timedelta(days=1))) == 0
    assert beyond(Cap(3, timedelta(days=1))) == 1
    assert beyond(Cap(1, timedelta(hours=2))) == 3
    assert beyond(Cap(1, timedelta(hours=1))) == 0  # an hour ago is out of the window
    assert beyond(Cap(3, timedelta(days=1), "email")) == 1
    assert beyond(Cap(3, timedelta(days=1), "sms")) == 0


def test_two_profiles_that_merge_had_a_cap_each(make: Make) -> None:
    shop = make()
    shop.drain(known("user:1"), view(who=("user:1",)))
    contact = ("anonymous:phone", "email:other@example.org")
    shop.drain(view(who=contact))
    shop.at(at(hours=2)).wake()
    assert shop.deliver().sent == 2
    one_a_day = Policy(topics=TOPICS, caps=(Cap(1, timedelta(days=1)),))
    shop.drain(event("Identify", at(hours=3), who=("user:1", "anonymous:phone"), kind="identify"))
    assert shop.one("select count(distinct profile_id) from message") == 1
    assert judged(shop, one_a_day).ok


def test_mails_in_quiet_hours_are_found(make: Make) -> None:
    shop = mailed(make)  # at 11:00 UTC
    quiet = QuietHours(time(10), time(12))
    policy = Policy(topics=TOPICS, quiet_hours={"email": quiet})
    assert found(judged(shop, policy)) == {"P5": ["messages sent in quiet hours"]}
    policy = Policy(topics=TOPICS, quiet_hours={"sms": quiet})
    assert judged(shop, policy).ok


def test_a_time_zone_learned_later_is_not_held_against_the_gate(make: Make) -> None:
    shop = mailed(make)
    tokyo = event("Identify", at(hours=3), kind="identify", timezone="Asia/Tokyo")  # 20:00 there
    policy = Policy(topics=TOPICS, quiet_hours={"email": QuietHours(time(19), time(23))})
    assert judged(shop, policy).ok
    shop.drain(tokyo)
    report = judged(shop, policy)
    assert report.ok
    assert report.unjudged == 1


FRANCE = load_policy(Path(__file__).parents[2] / "config" / "winback.yaml")[0].rules
TEXTED = journey(send("sms", "text"), name="texted")


def texted(make: Make, when: Any) -> Any:
    """A French shopper was sent a text message, under rules that know no country."""
    shop = make(TEXTED)
    shop.drain(view(when, who=("user:1", "phone:+33612345678")))
    assert shop.deliver().sent == 1
    return shop


@pytest.mark.parametrize(
    "days, words",
    [
        (0, []),  # a Monday, ten in Paris
        (6, ["messages sent in quiet hours of FR"]),
        (35, ["messages sent in public holiday of FR"]),  # Easter Monday
    ],
)
def test_what_went_against_the_rules_of_a_country_is_found(
    make: Make, days: int, words: list[str]
) -> None:
    shop = texted(make, at(days=days))
    assert judged(shop).ok
    found_now = found(judged(shop, Policy(topics=TOPICS, rules=FRANCE)))
    assert found_now == ({"P5": words} if words else {})


def test_the_gate_and_the_audit_agree_about_a_country(make: Make) -> None:
    policy = Policy(topics=TOPICS, rules=FRANCE)
    shop = make(TEXTED, policy=policy)
    shop.drain(view(at(days=6), who=("user:1", "phone:+33612345678")))
    assert shop.deliver().sent == 0
    shop.at(at(days=6, hours=22)).deliver()
    assert judged(shop).ok
    shop.run_sql("update message set claimed_at = %s", at(days=6))
    assert found(judged(shop)) == {"P5": ["messages sent in quiet hours of FR"]}


def test_a_country_learned_later_is_not_held_against_the_gate(make: Make) -> None:
    shop = mailed(make)  # at 11:00 UTC on a Monday
    closed = Hours(((),) * 7)
    rules = (Rule("FR", "", "France", frozenset({"email"}), closed),)
    policy = Policy(topics=TOPICS, rules=rules)
    assert judged(shop, policy).ok
    address = {"address": {"country": "FR"}}
    shop.drain(event("Identify", at(hours=3), kind="identify", **address))
    report = judged(shop, policy)
    assert (report.ok, report.unjudged) == (True, 1)


def test_mails_beyond_the_cap_of_a_topic_are_found(make: Make) -> None:
    shop = make()
    shop.drain(known(), view(product="a"), view(product="b"))
    shop.at(at(hours=2)).wake()
    assert shop.deliver().sent == 2

    def beyond(topic: str) -> int:
        cap = Cap(1, timedelta(days=1), topic=topic)
        return judged(shop, Policy(topics=TOPICS, caps=(cap,))).promises["P5"]

    # Both were claimed at the same moment, so either is one too many.
    assert beyond("offers") == beyond("*") > 0
    assert beyond("news") == 0
