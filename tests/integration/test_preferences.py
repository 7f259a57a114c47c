"""Leaving and choosing, as a mail program, a scanner and a person do it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from engine.clock import ManualClock
from engine.core.consent import allowed, refusal
from engine.intake.lanes import lane_of
from engine.model.event import Event
from engine.model.policy import Policy, Shop, Topic
from engine.model.profile import Consent, Profile
from engine.rendering import Links
from engine.settings import Settings
from engine.store import consent_log, profiles
from engine.store.database import Database
from engine.web import app as web
from engine.web.preference_words import words
from engine.web.preferences import create_blueprint

START = datetime(2026, 11, 24, 10, tzinfo=UTC)
SHOPPER, OTHER = 42, 43
OFFERS, NEWS = Topic("offers", "Offers and reminders"), Topic("news", "News", consent="opt-out")
POLICY = Policy(
    shop=Shop(name="Loom & Co", locale="en-PK", address="1 Mall Road"),
    topics={"offers": OFFERS, "news": NEWS, "orders": Topic("orders", consent="none")},
)
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@dataclass
class Desk:
    client: FlaskClient
    clock: ManualClock
    links: Links
    database: Database
    hints: list[set[int]] = field(default_factory=list)

    def token(self, profile: int = SHOPPER, channel: str = "email", topic: str = "offers") -> str:
        return self.links.token(profile, channel, topic)

    def consents(self, profile: int = SHOPPER) -> dict[tuple[str, str], bool]:
        with self.database.connection() as connection:
            found = profiles.consents(connection, [profile]).get(profile, [])
        return {(c.channel, c.topic): c.granted for c in found}

    def inbox(self) -> list[tuple[int, str, list[str], dict[str, Any]]]:
        with self.database.connection() as connection:
            rows = connection.execute(
                "select lane, sender, identifiers, body from inbox order by seq"
            ).fetchall()
        return [(lane, sender, names, json.loads(body)) for lane, sender, names, body in rows]

    def may(self, topic: Topic, channel: str = "email", profile: int = SHOPPER) -> bool:
        with self.database.connection() as connection:
            found = profiles.consents(connection, [profile]).get(profile, [])
        return allowed(topic, topic.name, channel, found)


def add(database: Database, profile: int, *identifiers: str, **traits: Any) -> None:
    with database.connection() as connection:
        profiles.write(connection, [Profile(profile, traits)], {profile: identifiers[0]})
        for identifier in identifiers:
            connection.execute("insert into identity values (%s, %s)", [identifier, profile])
        profiles.write_consents(
            connection, [(profile, Consent("email", "offers", True, START - timedelta(days=1)))]
        )


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    links = Links("secret of the shop", "https://shop.example", ["offers", "news"])
    clock = ManualClock(START)
    with Database(database_url) as database:
        add(database, SHOPPER, "email:zoe@example.com", "user:7", "anonymous:a1")
        hints: list[set[int]] = []
        deps = web.Dependencies(
            settings=Settings(project_dir=tmp_path, home=tmp_path, write_key="k"),
            clock=clock,
            database=database,
            hint=hints.append,
            policy=POLICY,
        )
        app: Flask = web.create_app(replace(deps, pages=[create_blueprint(deps, links)]))
        try:
            yield Desk(app.test_client(), clock, links, database, hints)
        finally:
            web.close(app)


@pytest.mark.parametrize("path", ["/u/", "/unsubscribe/", "/preferences/"])
def test_looking_changes_nothing(desk: Desk, path: str) -> None:
    before = desk.consents()
    for method in (desk.client.get, desk.client.head):
        response = method(path + desk.token())
        assert response.status_code == 200
    assert desk.consents() == before
    assert desk.inbox() == []
    assert desk.hints == []


@pytest.mark.parametrize("path", ["/u/", "/unsubscribe/", "/preferences/"])
@pytest.mark.parametrize("encoding", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_one_click_acts_at_once(desk: Desk, path: str, encoding: str) -> None:
    response = desk.client.post(path + desk.token(), data=ONE_CLICK, content_type=encoding)
    assert (response.status_code, response.data) == (200, b"")
    assert "Set-Cookie" not in response.headers
    assert desk.consents()["email", "offers"] is False
    assert not desk.may(OFFERS) and desk.may(NEWS)
    ((lane, sender, identifiers, body),) = desk.inbox()
    assert (sender, identifiers) == ("user:7", ["user:7"])
    assert lane == lane_of("user:7")
    assert desk.hints == [{lane}]
    assert body["name"] == "Consent Withdrawn"
    assert body["properties"]["channel"] == "email"
    assert body["properties"]["topic"] == "offers"
    assert datetime.fromisoformat(body["time"]) == START


def test_clicking_again_changes_nothing_more(desk: Desk) -> None:
    for _ in range(3):
        assert desk.client.post("/u/" + desk.token(), data=ONE_CLICK).status_code == 200
        desk.clock.move_to(desk.clock.now() + timedelta(minutes=1))
    assert len(desk.inbox()) == 1


def test_the_ledger_counts_the_event_as_accepted(desk: Desk) -> None:
    desk.client.post("/u/" + desk.token(), data=ONE_CLICK)
    with desk.database.connection() as connection:
        (counted,) = connection.execute(
            "select sum(n) from ledger where fact = 'accepted'"
        ).fetchone() or (None,)
    assert counted == len(desk.inbox()) == 1


def test_consent_and_event_are_one_transaction(desk: Desk) -> None:
    with desk.database.connection() as connection:
        connection.execute(
            "alter table inbox add constraint no check (name <> 'Consent Withdrawn')"
        )
    assert desk.client.post("/u/" + desk.token(), data=ONE_CLICK).status_code == 500
    assert desk.consents()["email", "offers"] is True
    assert desk.hints == []


def test_leaving_before_ever_saying_yes_is_remembered(desk: Desk) -> None:
    token = desk.token(channel="sms")
    desk.client.post("/u/" + token, data=ONE_CLICK)
    assert desk.consents()["sms", "offers"] is False


def test_a_person_leaves_and_comes_back(desk: Desk) -> None:
    token = desk.token()
    asked = desk.client.get("/u/" + token).text
    assert "Offers and reminders" in asked and "Stop all marketing emails" in asked
    done = desk.client.post("/u/" + token, data={"scope": "all"})
    assert done.status_code == 200 and "Done." in done.text
    assert desk.consents()["email", "*"] is False
    assert not desk.may(OFFERS) and not desk.may(NEWS)
    desk.clock.move_to(START + timedelta(minutes=5))
    shown = {"shown": ["email/offers", "email/news"]}
    saved = desk.client.post("/preferences/" + token, data={**shown, "wanted": "email/offers"})
    assert saved.status_code == 200 and "Saved." in saved.text
    assert desk.may(OFFERS) and not desk.may(NEWS)
    names = [body["name"] for *_, body in desk.inbox()]
    assert names == ["Consent Withdrawn", "Consent Given"]
    assert 'value="email/offers" checked' in saved.text
    assert 'value="email/news" checked' not in saved.text


def test_saving_what_already_stands_says_nothing(desk: Desk) -> None:
    desk.client.post("/u/" + desk.token(), data=ONE_CLICK)
    before = desk.inbox()
    data = {"shown": ["email/offers"], "wanted": []}
    desk.client.post("/preferences/" + desk.token(), data=data)
    assert desk.inbox() == before


def test_a_link_can_say_yes_for_its_own_channel_only(desk: Desk) -> None:
    forged = {
        "shown": ["sms/offers", "email/orders", "pigeon/offers", "email/offers"],
        "wanted": ["sms/offers", "email/orders", "pigeon/offers", "email/offers"],
    }
    desk.client.post("/preferences/" + desk.token(), data=forged)
    assert desk.consents() == {("email", "offers"): True}
    # A yes that was given elsewhere is shown, and can be taken back.
    with desk.database.connection() as connection:
        profiles.write_consents(connection, [(SHOPPER, Consent("sms", "offers", True, START))])
    desk.clock.move_to(START + timedelta(minutes=1))
    assert 'value="sms/offers" checked' in desk.client.get("/preferences/" + desk.token()).text
    desk.client.post("/preferences/" + desk.token(), data={"shown": ["sms/offers"]})
    assert desk.consents()["sms", "offers"] is False


def test_a_transactional_link_offers_to_stop_all_marketing(desk: Desk) -> None:
    token = desk.token(topic="orders")
    page = desk.client.get("/u/" + token).text
    assert "Stop “" not in page and "Stop all marketing emails" in page
    desk.client.post("/u/" + token, data=ONE_CLICK)
    assert desk.consents()["email", "*"] is False
    assert desk.may(Topic("orders", consent="none"))


@pytest.mark.parametrize(
    "token", ["x", "A" * 28, "é" * 28, "..%2f..%2fetc", "A" * 5000, "%00", "null"]
)
def test_a_link_that_is_not_ours_says_so(desk: Desk, token: str) -> None:
    for path in ("/u/", "/unsubscribe/", "/preferences/"):
        for response in (desk.client.get(path + token), desk.client.post(path + token)):
            assert response.status_code == 404
    assert "does not work" in desk.client.get("/u/" + "A" * 28).text
    assert desk.inbox() == []


def test_a_shopper_who_was_erased_is_unknown(desk: Desk) -> None:
    token = desk.token(profile=999)
    assert desk.client.get("/u/" + token).status_code == 404
    assert desk.client.post("/u/" + token, data=ONE_CLICK).status_code == 404


@pytest.mark.parametrize(
    ("traits", "accept", "lang", "way"),
    [
        ({"locale": "ur-PK"}, "en", "ur", "rtl"),
        ({"language": "hi"}, "en", "hi", "ltr"),
        ({"locale": "sv"}, "hi-IN,en;q=0.5", "hi", "ltr"),
        ({"locale": "fr-CA"}, "", "fr", "ltr"),
        ({"locale": "ar"}, "de", "ar", "rtl"),
        ({}, "", "en", "ltr"),
        ({"locale": 7}, "xx", "en", "ltr"),
    ],
)
def test_the_page_speaks_the_shoppers_language(
    desk: Desk, traits: dict[str, Any], accept: str, lang: str, way: str
) -> None:
    add(desk.database, OTHER, "email:other@example.com", **traits)
    token = desk.token(profile=OTHER)
    headers = {"Accept-Language": accept}
    for path in ("/u/", "/preferences/"):
        page = desk.client.get(path + token, headers=headers).text
        assert f'<html lang="{lang}" dir="{way}">' in page
        assert "Loom &amp; Co" in page and "1 Mall Road" in page


def test_no_page_may_be_framed_scripted_or_indexed(desk: Desk) -> None:
    pages = [
        desk.client.get("/u/" + desk.token()),
        desk.client.get("/preferences/" + desk.token()),
        desk.client.get("/u/unknown"),
        desk.client.post("/u/" + desk.token(), data=ONE_CLICK),
    ]
    for page in pages:
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "script-src" not in policy
        assert "noindex" in page.headers["X-Robots-Tag"]
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert "<script" not in page.text and "zoe@example.com" not in page.text
    css = desk.client.get("/static/preferences.css")
    assert css.status_code == 200
    css.close()


def test_an_old_link_follows_its_shopper_through_merges(desk: Desk) -> None:
    """A link in last year's mail must let go whoever its profile has become since."""
    add(desk.database, OTHER, "email:other@example.com")
    add(desk.database, 44, "email:third@example.com")
    old = desk.token()
    with desk.database.connection() as connection:
        _a_message(connection, SHOPPER)
        profiles.merge(connection, SHOPPER, OTHER, [], START)
    with desk.database.connection() as connection:
        profiles.merge(connection, OTHER, 44, [], START)
    assert desk.client.get("/u/" + old).status_code == 200
    assert desk.client.post("/u/" + old, data=ONE_CLICK).status_code == 200
    assert desk.consents(44)["email", "offers"] is False
    assert desk.consents(SHOPPER) == {}


def test_a_merge_under_way_is_waited_for(desk: Desk) -> None:
    """The decision lands on the profile that is left, not on the one that is going."""
    add(desk.database, OTHER, "email:other@example.com")
    with desk.database.connection() as connection:
        _a_message(connection, SHOPPER)
    with psycopg.connect(desk.database.url) as merging:
        profiles.lock(merging, [SHOPPER, OTHER])
        profiles.merge(merging, SHOPPER, OTHER, [], START)
        import threading

        answers: list[int] = []
        leaving = threading.Thread(
            target=lambda: answers.append(
                desk.client.post("/u/" + desk.token(), data=ONE_CLICK).status_code
            )
        )
        leaving.start()
        _until_someone_waits(desk)
        merging.commit()
        leaving.join(10)
    assert answers == [200]
    assert desk.consents(OTHER)["email", "offers"] is False
    assert desk.consents(SHOPPER) == {}


def _until_someone_waits(desk: Desk) -> None:
    for _ in range(2000):
        with desk.database.connection() as connection:
            row = connection.execute("select count(*) from pg_locks where not granted").fetchone()
        if row and row[0]:
            return
    raise AssertionError("the request did not wait for the merge")


def _a_message(connection: Any, profile: int) -> None:
    connection.execute(
        """
        insert into message (profile_id, id, enrollment_id, journey, version, step, channel,
                             template, topic, event_id, created_at, due_at)
        values (%s, gen_random_uuid(), gen_random_uuid(), 'j', 'v', 's', 'email', 't', 'offers',
                'e', now(), now())
        """,
        [profile],
    )


def test_the_event_is_one_that_the_core_understands(desk: Desk) -> None:
    import msgspec

    from engine.core.consent import consents_of

    desk.client.post("/u/" + desk.token(), data={"scope": "all"})
    ((*_, body),) = desk.inbox()
    event = msgspec.convert(body, Event)
    assert list(consents_of(event)) == [Consent("email", "*", False, START, "preferences page")]


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_one_click_as_mail_programs_post_it(desk: Desk, kind: str) -> None:
    """RFC 8058: either form, no cookie, no redirect, nothing to read; and for ever."""
    desk.clock.move_to(START + timedelta(days=3650))
    answer = desk.client.post("/u/" + desk.token(), data=ONE_CLICK, content_type=kind)
    assert (answer.status_code, answer.data) == (200, b"")
    assert "Location" not in answer.headers and "Set-Cookie" not in answer.headers
    assert desk.consents()["email", "offers"] is False
    with desk.database.connection() as connection:
        (line,) = consent_log.of(connection, SHOPPER)
    assert (line.word, line.method) == ("no", "one-click")


def test_a_pause_holds_until_it_ends_or_is_ended(desk: Desk) -> None:
    token = desk.token()
    paused = desk.client.post("/preferences/" + token, data={"pause": "30"})
    assert "Paused until December 24, 2026." in paused.text

    def refused(days: float) -> str:
        with desk.database.connection() as connection:
            found = profiles.consents(connection, [SHOPPER]).get(SHOPPER, [])
        return refusal(OFFERS, "offers", "email", found, START + timedelta(days=days))

    assert refused(29.9) == "paused by the shopper on email"
    assert refused(30) == ""
    before = desk.inbox()
    desk.client.post("/preferences/" + token, data={"pause": "30"})
    assert desk.inbox() == before, "twice is once"
    desk.clock.move_to(START + timedelta(days=1))
    desk.client.post("/preferences/" + token, data={"pause": "0"})
    assert refused(2) == ""
    assert [body["name"] for *_, body in desk.inbox()] == ["Consent Paused", "Consent Resumed"]


def test_a_pause_is_of_the_links_own_channel(desk: Desk) -> None:
    desk.client.post("/preferences/" + desk.token(channel="sms"), data={"pause": "30"})
    with desk.database.connection() as connection:
        found = profiles.consents(connection, [SHOPPER])[SHOPPER]
    assert refusal(OFFERS, "offers", "email", found, START) == ""


@pytest.mark.parametrize(
    ("channel", "shown"), [("email", "o•••@example.com"), ("sms", "+92 ••• 67")]
)
def test_the_address_is_shown_masked(desk: Desk, channel: str, shown: str) -> None:
    add(desk.database, OTHER, "email:other@example.com", email="other@example.com",
        phone="+923001234567")  # fmt: skip
    page = desk.client.get("/preferences/" + desk.token(OTHER, channel)).text
    assert f'<bdi dir="ltr">{shown}</bdi>' in page
    assert "other@" not in page and "3001234567" not in page


def test_the_reader_may_choose_a_language_and_keeps_it(desk: Desk) -> None:
    page = desk.client.get(f"/preferences/{desk.token()}?lang=fr").text
    assert '<html lang="fr" dir="ltr">' in page and "?lang=fr" in page
    action = re.findall(r'action="([^"]+)"', page)[0]
    assert "Enregistré" in desk.client.post(action, data={}).text
    assert "<script" not in desk.client.get(f"/preferences/{desk.token()}?lang=<script>").text


def test_every_language_says_everything(desk: Desk) -> None:
    keys = set(words()["en"].said)
    for tag, one in words().items():
        assert set(one.said) == keys, tag
        for key, value in one.said.items():
            english = words()["en"].said[key]
            if isinstance(english, str):
                assert set(re.findall(r"\{\w+\}", value)) == set(re.findall(r"\{\w+\}", english))
            else:
                assert set(value) == set(english), (tag, key)


def test_every_box_has_a_label_and_a_reason(desk: Desk) -> None:
    page = desk.client.get("/preferences/" + desk.token()).text
    boxes = re.findall(r'<input type="checkbox" id="([^"]+)"[^>]*aria-describedby="([^"]+)"', page)
    assert boxes
    for box, why in boxes:
        assert f'<label for="{box}">' in page and f'id="{why}"' in page
    assert page.count("<fieldset>") == page.count("<legend>") and 'lang="ur"' in page
