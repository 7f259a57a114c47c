"""STOP, START and HELP: what counts, and only that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.keywords import confirming, fold, holds, read
from engine.language import load_policy
from engine.language.keywords import default_keywords
from engine.model.event import Event
from engine.model.policy import Keywords, Shop
from tests.unit.core.build import T0, at, event

SHIPPED = default_keywords(Shop(name="Loom", reply_to="help@loom.example"))
TWILIO = {"made_by": "twilio"}


def reply(body: str, channel: str = "sms", **more: Any) -> Event:
    name = {"sms": "SMS Replied", "whatsapp": "WhatsApp Replied"}[channel]
    said = {"channel": channel, "to": "+18005550000", "body": body, "reference": "SM1", **more}
    return event(name, who=("phone:+14155550001",), context=TWILIO, **said)


def name_of(body: str, **more: Any) -> str:
    return read(reply(body, **more), SHIPPED).event.name


@pytest.mark.parametrize(
    "word",
    [
        # Twilio's default list, in all the ways that people type.
        *("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"),
        *("stop", " Stop! ", "“STOP”", "STOP.", "stop\n", "🛑 stop 🛑", "S\u200bTOP"),
        *("Opt-out", "stop all"),
        *("बंद", "बंद।", "बन्द", "बंद करो", "بند", "بند۔", "\u200fبند کریں\u200f", "بند كرو"),
        *("band karo", "bandh"),
        *("ARRET", "Arrêt", "arre\u0302t", "désabonner", "Baja", "no más", "ALTO"),
        *("Stopp", "abmelden"),
    ],
)  # fmt: skip
def test_stop(word: str) -> None:
    found = read(reply(word), SHIPPED).event
    assert found.name == "Consent Withdrawn", fold(word)
    said = found.properties
    assert (said["channel"], said["topic"], said["method"]) == ("sms", "*", "keyword")
    assert (said["keyword"], said["sender"]) == (fold(word), "+18005550000")
    assert "body" not in said and said["reference"] == "SM1"


@pytest.mark.parametrize("word", ["START", "unstop", "Yes", "शुरू", "شروع", "shuru", "alta"])
def test_start(word: str) -> None:
    assert name_of(word) == "Consent Given"


@pytest.mark.parametrize("word", ["HELP", "info?", "मदद", "مدد", "aide", "ayuda", "Hilfe"])
def test_help(word: str) -> None:
    assert name_of(word) == "SMS Help Requested"
    assert name_of(word, channel="whatsapp") == "WhatsApp Help Requested"


@pytest.mark.parametrize(
    "sentence",
    ["please stop sending", "Stop by on Monday", "don't stop", "stop it", "no", "nonstop", "", "?!",
     "yes please", "stop " * 50, "यह बंद मत करो", "help me find a gift"],
)  # fmt: skip
def test_anything_else_is_for_a_person(sentence: str) -> None:
    came = reply(sentence)
    assert read(came, SHIPPED) == (came, "")


def test_the_providers_own_reading_wins() -> None:
    assert name_of("adieu", opt_out_type="STOP") == "Consent Withdrawn"
    assert name_of("stop", opt_out_type="START") == "Consent Given"
    assert name_of("stop", opt_out_type="something new") == "Consent Withdrawn"


def test_on_whatsapp_likewise() -> None:
    found = read(reply("stop", "whatsapp"), SHIPPED).event
    assert (found.name, found.properties["channel"]) == ("Consent Withdrawn", "whatsapp")


def test_an_event_that_only_looks_like_it_is_left_alone() -> None:
    for other in (
        event("SMS Sent", channel="sms", body="stop"),
        event("SMS Replied", channel="email", body="stop"),
        event("Product Viewed", body="stop"),
    ):
        assert read(other, SHIPPED).event is other


CONFIG = """
shop: {name: Loom, reply to: help@loom.example}
keywords:
  words:
    en: {start: [start, unstop]}
    tr: {stop: [dur, iptal]}
  senders:
    "+18005550000":
      answers: ours
      words:
        en: {stop: [stop, enough]}
      texts:
        en: {help: "{shop} here. Write to {contact}"}
"""


class TestTheShopsOwn:
    def test_words_replace_those_of_their_language_and_meaning(self) -> None:
        policy, findings = load_policy(CONFIG)
        assert findings == []
        everywhere = policy.keywords["*"].words
        assert "yes" not in everywhere and everywhere["iptal"] == ("stop", "tr")
        assert everywhere["quit"] == ("stop", "en") and everywhere["help"] == ("help", "en")

    def test_and_of_one_number_alone(self) -> None:
        keywords = load_policy(CONFIG)[0].keywords
        assert read(reply("enough"), keywords).event.name == "Consent Withdrawn"
        assert read(reply("quit"), keywords).event.name == "SMS Replied"
        other = reply("enough", to="+49301234567")
        assert read(other, keywords).event.name == "SMS Replied"
        assert read(reply("iptal"), keywords).event.name == "Consent Withdrawn"

    def test_who_answers(self) -> None:
        keywords = load_policy(CONFIG)[0].keywords
        assert read(reply("help"), keywords).answer == "Loom here. Write to help@loom.example"
        assert read(reply("मदद"), keywords).answer.startswith("Loom: मदद")
        assert read(reply("help", opt_out_type="HELP"), keywords).answer == "", "Twilio has"
        assert read(reply("help"), SHIPPED).answer == "", "the provider does"

    @pytest.mark.parametrize(
        "wrong",
        ["keywords: {words: {en: {halt: [x]}}}", "keywords: {answers: nobody}", "keywords: [stop]",
         "keywords: {senders: {x: {senders: {}}}}", "keywords: {words: {en: {stop: stop}}}"],
    )  # fmt: skip
    def test_a_mistake_is_a_finding_and_stop_is_heard_all_the_same(self, wrong: str) -> None:
        policy, findings = load_policy(wrong)
        assert findings and all(f.severity == "error" for f in findings)
        assert policy.keywords["*"].words["unsubscribe"] == ("stop", "en")


def test_no_shipped_word_means_two_things() -> None:
    seen: dict[str, str] = {}
    for word, (meaning, _) in SHIPPED["*"].words.items():
        assert seen.setdefault(word, meaning) == meaning
        assert word == fold(word)


@given(st.text(max_size=80))
def test_folding_is_done_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_holds_are_the_last_word_of_those_who_may_say_so() -> None:
    stop = read(reply("stop"), SHIPPED).event
    start = read(
        event("SMS Replied", at(minutes=1), who=("phone:+14155550001",), context=TWILIO,
              channel="sms", to="+1", body="start"),
        SHIPPED,
    ).event  # fmt: skip
    assert holds([start, stop]) == [("phone:+14155550001", "sms", False)]
    assert holds([stop]) == [("phone:+14155550001", "sms", True)]
    forged = event("Consent Withdrawn", T0, who=("phone:+1",), channel="sms", method="keyword")
    assert holds([forged]) == []
    assert holds([event("Consent Withdrawn", context=TWILIO, channel="sms")]) == []


def test_without_any_table_only_the_provider_knows() -> None:
    assert read(reply("stop"), {}).event.name == "SMS Replied"
    assert read(reply("stop", opt_out_type="STOP"), {"*": Keywords()}).event.name != "SMS Replied"


@pytest.mark.parametrize("word", ["YES", "हाँ", "ہاں", "جی ہاں", "haan", "oui", "Sí", "ja"])
def test_what_confirms_is_marked(word: str) -> None:
    found = read(reply(word), SHIPPED).event
    assert confirming(found)
    # It is START for those that have it so, and a message for a person else.
    assert found.name == ("Consent Given" if word == "YES" else "SMS Replied")


@pytest.mark.parametrize("word", ["START", "STOP", "HELP", "yes please", "شروع"])
def test_what_confirms_nothing(word: str) -> None:
    assert not confirming(read(reply(word), SHIPPED).event)


def test_the_words_that_confirm_are_by_sender_and_language(tmp_path: Path) -> None:
    config = tmp_path / "winback.yaml"
    config.write_text(
        "keywords:\n"
        "  words: {ur: {confirm: [منظور]}}\n"
        '  senders: {"+18005550000": {words: {en: {confirm: [AGREE, STOP]}}}}\n'
    )
    policy, found = load_policy(config)
    assert found == []

    def marks(word: str, to: str) -> bool:
        return confirming(read(reply(word, to=to), policy.keywords).event)

    assert marks("agree", "+18005550000") and not marks("agree", "+18005550001")
    assert not marks("yes", "+18005550000") and marks("yes", "+18005550001")
    assert marks("منظور", "+18005550000") and not marks("ہاں", "+18005550000")
    assert not marks("stop", "+18005550000"), "STOP before all else"
