"""Consent through the whole pipeline: asked twice, stopped by a word, and proven."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient

from engine.core.keywords import read
from engine.language import load_journey, load_policy
from engine.language.keywords import default_keywords
from engine.model.event import Event
from engine.model.message import Email
from engine.model.policy import Policy, Shop, Topic
from engine.rendering import Renderer
from engine.settings import Settings
from engine.store import consent_log
from engine.web import app as web
from engine.web.preferences import create_blueprint
from tests.integration.runtime_kit import LEFT, Make, Pipeline, identify
from tests.unit.core.build import T0, VIEW, at, event, journey, overdue, send

ROOT = Path(__file__).resolve().parents[2]
CONFIRM, _ = load_journey(
    (ROOT / "journeys" / "confirm-consent.yaml").read_text(), "confirm-consent"
)
JOURNEY = LEFT
OFFER = journey(send(template="offer", overdue=overdue()), name="offer", key="event.product_id")
TEXT = journey(send("sms", template="text", overdue=overdue()), name="text", key="event.product_id")
BILL = journey({**send("sms", template="bill", overdue=overdue()), "topic": "orders"}, name="bill")
DOUBLE = Policy(
    shop=Shop(name="Loom", url="https://shop.example"),
    topics={
        "offers": Topic("offers", "Offers", "double opt-in", confirm_within=timedelta(days=3)),
        "orders": Topic("orders", consent="none"),
        "confirmations": Topic("confirmations", consent="none"),
    },
    keywords=default_keywords(Shop()),
)
WHO = ("user:1", "email:zoe@example.com")
PHONE = "+14155550001"


@dataclass
class Counter:
    pipeline: Pipeline
    client: FlaskClient

    def mails(self) -> list[Email]:
        return [m for m in self.pipeline.email.handed if isinstance(m, Email)]

    def confirmation(self) -> str:
        """The path of the link in the last question that went out."""
        (link,) = re.findall(r"https://shop\.example(/confirm/\S+)", self.mails()[-1].text)
        return str(link)


@pytest.fixture
def shop(make: Make, tmp_path: Path) -> Iterator[Counter]:
    assert CONFIRM is not None
    pipeline = make(CONFIRM, OFFER, policy=DOUBLE)
    renderer = Renderer(
        ROOT / "templates", DOUBLE, public_url="https://shop.example", secret="a secret of tests"
    )
    plain = pipeline.shell.renderer

    class Both:
        """The shipped templates where there is one."""

        def render(self, message: Any, *more: Any, **named: Any) -> Any:
            shipped = message.template == "confirm-consent"
            return (renderer if shipped else plain).render(message, *more, **named)  # type: ignore

    pipeline.shell.renderer = Both()
    settings = Settings(project_dir=tmp_path, home=tmp_path, write_key="k")
    deps = web.Dependencies(settings, pipeline.clock, pipeline.database, lambda lanes: None, DOUBLE)
    app = web.create_app(replace(deps, pages=[create_blueprint(deps, renderer.links)]))
    try:
        yield Counter(pipeline, app.test_client())
    finally:
        web.close(app)


def says(granted: bool, when: Any = T0, **more: Any) -> Event:
    name = "Consent Given" if granted else "Consent Withdrawn"
    return event(name, when, who=WHO, channel="email", topic="offers", **more)


def looks(product: str, when: Any, **more: Any) -> Event:
    return event(VIEW, when, product_id=product, **more)


def log(pipeline: Pipeline, name: str = "user:1") -> list[tuple[str, str, str, str]]:
    with pipeline.database.connection() as connection:
        lines = consent_log.of(connection, pipeline.profile(name))
    return [(line.channel, line.topic, line.word, line.method) for line in lines]


class TestDoubleOptIn:
    def test_a_yes_is_no_permission_until_its_address_confirms_it(self, shop: Counter) -> None:
        line = shop.pipeline
        line.drain(identify(*WHO), says(True))
        line.drain(looks("p1", at(minutes=1), who=WHO))
        line.deliver()
        assert [m.subject for m in shop.mails()] == ["Please confirm: messages from Loom"]
        assert ("offer", "skipped") in [row[:2] for row in line.messages()]

        path = shop.confirmation()
        for method in (shop.client.get, shop.client.head):  # a scanner
            assert method(path).status_code == 200
        assert log(line) == [("email", "offers", "yes", "shop")]
        assert "Was" not in shop.client.get(path).text and "Offers" in shop.client.get(path).text

        line.at(at(hours=1))
        assert "You will hear from us" in shop.client.post(path).text
        assert log(line)[-1] == ("email", "offers", "confirmed", "double opt-in")
        line.drain(looks("p2", at(hours=2), who=WHO))
        line.deliver()
        assert shop.mails()[-1].subject == "offer"

    def test_confirming_twice_is_once(self, shop: Counter) -> None:
        shop.pipeline.drain(identify(*WHO), says(True))
        shop.pipeline.deliver()
        path = shop.confirmation()
        for _ in range(2):
            assert shop.client.post(path).status_code == 200
        assert [word for _, _, word, _ in log(shop.pipeline)] == ["yes", "confirmed"]
        shop.pipeline.drain()
        assert [word for _, _, word, _ in log(shop.pipeline)] == ["yes", "confirmed"]

    def test_a_no_that_came_after_is_not_undone(self, shop: Counter) -> None:
        line = shop.pipeline
        line.drain(identify(*WHO), says(True))
        line.deliver()
        path = shop.confirmation()
        line.drain(says(False, at(minutes=5)))
        assert "said no since" in shop.client.post(path).text
        # Nor by a yes after it, which has a question of its own.
        line.drain(says(True, at(minutes=9)))
        assert "said no since" in shop.client.post(path).text
        line.at(at(days=1)).drain(says(True, at(days=1)))
        line.deliver()
        assert "You will hear" in shop.client.post(shop.confirmation()).text

    def test_a_link_that_is_too_old_confirms_nothing(self, shop: Counter) -> None:
        shop.pipeline.drain(identify(*WHO), says(True))
        shop.pipeline.deliver()
        path = shop.confirmation()
        shop.pipeline.at(at(days=3, minutes=1))
        for answer in (shop.client.get(path), shop.client.post(path)):
            assert "too old" in answer.text
        assert [word for _, _, word, _ in log(shop.pipeline)] == ["yes"]

    @pytest.mark.parametrize("token", ["x", "A" * 39, "é", "A" * 5000, "%00"])
    def test_a_link_that_we_did_not_make(self, shop: Counter, token: str) -> None:
        for answer in (shop.client.get("/confirm/" + token), shop.client.post("/confirm/" + token)):
            assert answer.status_code == 404

    def test_a_form_sent_again_and_again_is_one_mail_a_day(self, shop: Counter) -> None:
        line = shop.pipeline
        line.drain(identify(*WHO), *(says(True, at(minutes=n)) for n in range(5)))
        line.drain(*(says(True, at(minutes=n)) for n in range(5, 9)))
        line.deliver()
        assert len(shop.mails()) == 1
        assert shop.client.post(shop.confirmation()).status_code == 200
        line.at(at(days=2)).drain(says(True, at(days=2)))
        line.deliver()
        assert len(shop.mails()) == 1, "what is confirmed is not asked again"

    def test_who_holds_the_write_key_cannot_confirm(self, shop: Counter) -> None:
        line = shop.pipeline
        line.drain(
            identify(*WHO),
            says(True, confirmed=True, method="double opt-in"),
            event("Consent Confirmed", at(minutes=1), who=WHO, channel="email", topic="offers",
                  yes_at=T0.isoformat()),
            event("Consent Given", at(minutes=2), who=WHO, channel="email", topic="(stop)"),
        )  # fmt: skip
        line.drain(looks("p1", at(minutes=3), who=WHO))
        line.deliver()
        assert [m.subject for m in shop.mails()] == ["Please confirm: messages from Loom"]
        assert log(line) == [("email", "offers", "yes", "shop")]

    def test_a_yes_to_the_whole_channel_leaves_a_no_to_a_topic(self, shop: Counter) -> None:
        line = shop.pipeline
        line.drain(identify(*WHO), event("Consent Given", T0, who=WHO, channel="email"))
        line.deliver()
        path = shop.confirmation()
        line.drain(says(False, at(minutes=5)))
        assert shop.client.post(path).status_code == 200
        line.drain(looks("p1", at(hours=1), who=WHO))
        line.deliver()
        assert shop.mails()[-1].subject != "offer"

    def test_a_simple_opt_in_asks_nothing(self, make: Make) -> None:
        line = make(OFFER)
        line.drain(identify(*WHO), says(True))
        assert line.one("select count(*) from event where name = 'Consent Pending'") == 0


def reply(body: str, when: Any = T0, sender: str = PHONE, **more: Any) -> Event:
    """What a callback of Twilio puts into the inbox."""
    said = {"channel": "sms", "to": "+18005550000", "body": body, **more}
    who = (f"phone:{sender}",)
    came = event("SMS Replied", when, who=who, context={"made_by": "twilio"}, **said)
    return read(came, DOUBLE.keywords).event


OPT_OUT = Policy(
    topics={"offers": Topic("offers", consent="opt-out"), "orders": Topic("orders", consent="none")}
)


class TestStop:
    def texts(self, line: Pipeline) -> list[tuple[str, str, str]]:
        return [row for row in line.messages() if row[0] in ("text", "bill")]

    def test_a_message_that_waits_does_not_go(self, make: Make) -> None:
        line = make(TEXT, BILL, policy=OPT_OUT)
        line.drain(
            identify("user:1", f"phone:{PHONE}"), looks("p1", at(minutes=1), who=("user:1",))
        )
        line.at(at(minutes=2)).accept(reply("Stop.", at(minutes=2)))
        line.deliver()
        assert not line.sms.handed, "accepted, and not yet worked"
        line.drain()
        line.deliver()
        assert not line.sms.handed
        assert self.texts(line) == [
            ("bill", "skipped", "suppressed: stop"),
            ("text", "skipped", "suppressed: stop"),
        ]

    def test_whoever_shares_the_number(self, make: Make) -> None:
        line = make(TEXT, policy=OPT_OUT)
        line.drain(identify("user:1", f"phone:{PHONE}"), identify("user:2", phone=PHONE))
        line.drain(reply("STOP", at(minutes=1)))
        line.drain(looks("p1", at(minutes=2), who=("user:2",)))
        line.deliver()
        assert self.texts(line) == [("text", "skipped", "suppressed: stop")]

    def test_only_on_the_channel_that_it_came_by(self, make: Make) -> None:
        line = make(OFFER, TEXT, policy=OPT_OUT)
        line.drain(identify("user:1", f"phone:{PHONE}", "email:a@b.de"))
        line.drain(reply("STOP", at(minutes=1)))
        line.drain(looks("p1", at(minutes=2), who=("user:1",)))
        line.deliver()
        assert len(line.email.handed) == 1 and not line.sms.handed

    def test_a_yes_in_a_form_does_not_lift_it_but_start_does(self, make: Make) -> None:
        line = make(TEXT, policy=OPT_OUT)
        who = ("user:1", f"phone:{PHONE}")
        line.drain(identify(*who))
        line.drain(reply("بند", at(minutes=1)))
        line.drain(event("Consent Given", at(minutes=2), who=who, channel="sms", topic="offers"))
        line.drain(looks("p1", at(minutes=3), who=who))
        line.deliver()
        assert not line.sms.handed
        line.drain(reply("unstop", at(minutes=4)))
        line.drain(looks("p2", at(hours=1), who=who))
        line.deliver()
        assert len(line.sms.handed) == 1
        assert [word for _, _, word, _ in log(line)] == ["stop", "yes", "start"]

    def test_start_lifts_nothing_else(self, make: Make) -> None:
        opt_in = replace(OPT_OUT, topics={"offers": Topic("offers"), **{}})
        line = make(TEXT, policy=opt_in)
        who = ("user:1", f"phone:{PHONE}")
        line.drain(identify(*who))
        line.run_sql(
            "insert into suppression values (%s, 'sms', 'sms failed', now())", f"phone:{PHONE}"
        )
        line.drain(reply("STOP", at(minutes=1)), reply("START", at(minutes=2)))
        assert line.one("select reason from suppression") == "sms failed"
        line.run_sql("delete from suppression")
        line.drain(looks("p1", at(minutes=3), who=who))
        line.deliver()
        assert self.texts(line)[0][2].startswith("no consent"), "START is no opt-in"

    def test_the_last_word_of_a_batch_counts(self, make: Make) -> None:
        line = make(TEXT, policy=OPT_OUT)
        line.drain(
            reply("START", at(minutes=2)),
            reply("STOP", at(minutes=3)),
            reply("STOP", at(minutes=1)),
        )
        assert line.one("select reason from suppression") == "stop"

    def test_a_sentence_is_for_a_person(self, make: Make) -> None:
        line = make(TEXT, policy=OPT_OUT)
        line.drain(reply("please stop by on Monday", at(minutes=1)))
        assert line.one("select count(*) from suppression") == 0
        assert line.rows("select name, properties ->> 'body' from event") == [
            ("SMS Replied", "please stop by on Monday")
        ]

    def test_a_stop_that_only_the_collector_saw_blocks_nobody(self, make: Make) -> None:
        line = make(TEXT, policy=OPT_OUT)
        line.drain(event("Consent Withdrawn", T0, who=(f"phone:{PHONE}",), channel="sms",
                         method="keyword"))  # fmt: skip
        assert line.one("select count(*) from suppression") == 0


class TestConfirmedByKeyword:
    """A double opt-in that waits on a phone, and the YES that comes from it."""

    def asked(self, make: Make, phone: str = PHONE) -> Pipeline:
        assert CONFIRM is not None
        line = make(CONFIRM, TEXT, policy=DOUBLE)
        line.drain(identify("user:1", f"phone:{phone}"), self.agrees())
        line.deliver()
        assert len(line.sms.handed) == 1
        return line

    def agrees(self, when: Any = T0) -> Event:
        return event("Consent Given", when, who=("user:1",), channel="sms", topic="offers")

    def confirmed(self, line: Pipeline) -> list[tuple[str, str]]:
        return [(topic, how) for _, topic, word, how in log(line) if word == "confirmed"]

    @pytest.mark.parametrize(
        "word", ["YES", " yes! ", "Y", "हाँ", "हां।", "ہاں", "جی ہاں", "haan ji", "Ja", "sí"]
    )
    def test_it_confirms(self, make: Make, word: str) -> None:
        line = self.asked(make)
        line.drain(reply(word, at(minutes=5)))
        assert self.confirmed(line) == [("offers", "reply")]
        line.at(at(hours=1)).drain(looks("p1", at(hours=1), who=("user:1",)))
        line.deliver()
        assert len(line.sms.handed) == 2

    def test_what_it_was_is_kept_as_proof(self, make: Make) -> None:
        line = self.asked(make)
        line.drain(reply("ہاں", at(minutes=5)))
        with line.database.connection() as connection:
            found = consent_log.of(connection, line.profile("user:1"))[-1]
        assert found.proof["keyword"] == "ہاں" and found.proof["sender"] == "+18005550000"
        assert found.at == at(minutes=5)

    def test_twice_is_once(self, make: Make) -> None:
        line = self.asked(make)
        line.drain(reply("YES", at(minutes=5)), reply("YES", at(minutes=6)))
        line.drain(reply("YES", at(minutes=7)))
        assert self.confirmed(line) == [("offers", "reply")]

    @pytest.mark.parametrize("words", ["yes please", "हाँ भेजो", "ہاں مگر کل", "YESTERDAY", "no"])
    def test_only_the_word_itself(self, make: Make, words: str) -> None:
        line = self.asked(make)
        line.drain(reply(words, at(minutes=5)))
        assert self.confirmed(line) == []

    def test_nothing_where_nothing_was_asked(self, make: Make) -> None:
        line = make(TEXT, policy=DOUBLE)  # no journey asks
        line.drain(identify("user:1", f"phone:{PHONE}"), self.agrees())
        line.drain(reply("YES", at(minutes=5)), reply("ہاں", at(minutes=6)))
        assert self.confirmed(line) == []
        names = {name for (name,) in line.rows("select name from event")}
        assert "Consent Confirmed" not in names and "SMS Replied" in names

    def test_nothing_before_the_question_went_out(self, make: Make) -> None:
        assert CONFIRM is not None
        line = make(CONFIRM, policy=DOUBLE)
        line.drain(identify("user:1", f"phone:{PHONE}"), self.agrees())
        line.drain(reply("YES", at(minutes=5)))
        assert self.confirmed(line) == []

    def test_nothing_from_another_number(self, make: Make) -> None:
        line = self.asked(make)
        other = "+14155550002"
        line.drain(reply("YES", at(minutes=5), sender=other))
        assert self.confirmed(line) == []

    def test_nothing_after_a_no(self, make: Make) -> None:
        line = self.asked(make)
        no = event("Consent Withdrawn", at(minutes=3), who=("user:1",), channel="sms",
                   topic="offers")  # fmt: skip
        line.drain(no, self.agrees(at(minutes=4)))
        line.drain(reply("YES", at(minutes=5)))
        assert self.confirmed(line) == [], "the question was about the yes before the no"

    def test_nothing_when_it_is_too_late(self, make: Make) -> None:
        line = self.asked(make)
        line.drain(reply("YES", at(days=3, minutes=1)))
        assert self.confirmed(line) == []

    def test_nothing_by_who_only_holds_the_write_key(self, make: Make) -> None:
        line = self.asked(make)
        forged = event("SMS Replied", at(minutes=5), who=(f"phone:{PHONE}",), channel="sms",
                       body="YES", confirms=True)  # fmt: skip
        line.drain(forged)
        assert self.confirmed(line) == []


class TestProof:
    def test_it_is_kept_with_each_decision(self, make: Make) -> None:
        line = make(LEFT)
        proof = {
            "url": "https://shop.example/join?email=zoe@example.com#form",
            "text": "Yes, send me offers",
            "version": "2026-03",
            "method": "form",
            "ip": "203.0.113.77",
            "password": "hunter2",
        }
        line.drain(
            identify(*WHO, consent={"email": True, "sms": {"offers": False}}, proof=proof),
            says(False, at(minutes=1), proof={"ip": "2001:db8:1:2::9"}),
        )
        with line.database.connection() as connection:
            yes, no, withdrawn = consent_log.of(connection, line.profile("user:1"))
        assert {(yes.channel, yes.word), (no.channel, no.word)} == {("email", "yes"), ("sms", "no")}
        assert yes.proof == {
            "url": "https://shop.example/join",
            "text": "Yes, send me offers",
            "version": "2026-03",
            "ip": "203.0.113.0/24",
        }
        assert (yes.method, yes.source, yes.identifier) == ("shop: form", "identify", "user:1")
        assert withdrawn.proof == {"ip": "2001:db8:1::/48"}
        assert "proof" not in line.one("select traits from profile")

    def test_what_a_storefront_repeats_is_kept_once_and_beats_no_no(self, make: Make) -> None:
        line = make(OFFER, policy=Policy(topics={"offers": Topic("offers")}))
        stored = {"traits": {"consent": {"email": True}}}
        for n in range(4):
            line.drain(looks(f"p{n}", at(minutes=n), who=WHO, context=stored))
        assert log(line) == [("email", "*", "yes", "shop")]
        line.drain(says(False, at(minutes=5)))
        line.drain(looks("p9", at(minutes=6), who=WHO, context=stored))
        sent = len(line.messages())
        line.deliver()
        assert [word for _, _, word, _ in log(line)] == ["yes", "no"]
        assert sent == len([m for m in line.messages() if m[1] == "skipped"])

    def test_it_goes_along_with_a_merge_and_is_never_changed(self, make: Make) -> None:
        line = make(LEFT)
        line.drain(says(True), event("Consent Given", T0, who=("anonymous:z",), channel="sms"))
        line.drain(event("Page", at(minutes=1), who=("user:1", "anonymous:z")))
        assert len(log(line)) == 2
        with pytest.raises(psycopg.errors.RaiseException, match="only added to"):
            line.run_sql("update consent_log set word = 'yes'")

    def test_the_page_keeps_what_it_showed(self, shop: Counter) -> None:
        line = shop.pipeline
        line.drain(identify(*WHO, locale="de"))
        assert isinstance(line.shell.renderer, object)
        links = Renderer(
            ROOT / "templates",
            DOUBLE,
            public_url="https://shop.example",
            secret="a secret of tests",
        ).links
        token = links.token(line.profile("user:1"), "email", "offers")
        shop.client.post(f"/u/{token}", data={"scope": "topic"})
        line.at(at(minutes=1))
        shop.client.post(f"/preferences/{token}", data={"pause": "30"})
        line.at(at(minutes=2))
        shop.client.post(
            f"/preferences/{token}", data={"shown": "email/offers", "wanted": "email/offers"}
        )
        with line.database.connection() as connection:
            left, paused, chosen = consent_log.of(connection, line.profile("user:1"))
        assert (left.word, left.method) == ("no", "unsubscribe page")
        assert left.proof["text"] == "„Offers“ abbestellen" and left.proof["language"] == "de"
        assert (paused.word, paused.proof["until"][:10]) == ("pause", "2026-04-01")
        assert (chosen.word, chosen.method) == ("confirmed", "preference centre")
        assert token not in str([left, paused, chosen])
        line.drain()
        assert len(log(line)) == 3


def test_the_config_that_is_shipped_hears_stop() -> None:
    policy, findings = load_policy(ROOT / "config" / "winback.yaml")
    assert findings == []
    assert policy.keywords["*"].words["stop"] == ("stop", "en")
