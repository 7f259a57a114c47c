"""What the runtime may rely on, whoever carries the message."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from engine.errors import DeliveryError, OutcomeUnknown
from engine.model.message import Email
from tests.shared_data import shared

Desk = Any


def test_a_message_is_taken_once_and_has_a_reference(desk: Desk) -> None:
    receipt = desk.channel.send(desk.message())
    assert receipt.provider == desk.name.partition(" ")[0] == desk.channel.name
    assert receipt.reference
    assert desk.taken() == ["Still there"]


@pytest.mark.parametrize("how", ["unknown: answer lost", "unknown: connection cut"])
def test_a_lost_answer_is_unknown_and_never_tried_again_by_the_channel(
    desk: Desk, how: str
) -> None:
    desk.channel.send(desk.message(1))
    desk.misbehave(how)
    with pytest.raises(OutcomeUnknown):
        desk.channel.send(desk.message(2))
    assert desk.count() == 2  # it was taken: one more try would have doubled it
    desk.channel.send(desk.message(3))
    assert desk.count() == 3


@pytest.mark.parametrize("how", ["busy", "away"])
def test_a_passing_refusal_says_when_to_come_back(desk: Desk, how: str) -> None:
    desk.misbehave(how)
    with pytest.raises(DeliveryError) as refused:
        desk.channel.send(desk.message())
    assert not refused.value.permanent
    assert not refused.value.suppress
    assert refused.value.retry_after >= timedelta(seconds=7 if how == "busy" else 1)
    assert desk.count() == 0
    desk.channel.send(desk.message())
    assert desk.count() == 1


def test_a_refusal_for_good_is_permanent_and_no_fault_of_the_address(desk: Desk) -> None:
    desk.misbehave("refused for good")
    with pytest.raises(DeliveryError) as refused:
        desk.channel.send(desk.message())
    assert refused.value.permanent
    assert not refused.value.suppress
    assert desk.count() == 0
    desk.channel.send(desk.message())
    assert desk.count() == 1


def test_threads_share_a_channel(desk: Desk) -> None:
    barrier = threading.Barrier(8)

    def work(thread: int) -> None:
        barrier.wait()
        for i in range(25):
            number = thread * 100 + i
            desk.channel.send(desk.message(number, **{desk.words: f"message {number}"}))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    wanted = sorted(f"message {t * 100 + i}" for t in range(8) for i in range(25))
    assert sorted(desk.taken()) == wanted


@pytest.mark.parametrize(
    "words",
    [
        "आपका शॉल आपका इंतज़ार कर रहा है, और उस पर इस हफ़्ते दस प्रतिशत की छूट है, केवल आपके लिए",
        "\u200fآپ کی شال آپ کا انتظار کر رہی ہے، اور اس ہفتے اس پر دس فیصد رعایت ہے، صرف آپ کے لیے",
        "Zoë’s 🧶 — only €5",
        "=?utf-8?q?not_encoded?=",
        "x" * 300,
        "word " * 60 + "end",
    ],
)
def test_any_language_arrives_as_it_was_written(desk: Desk, words: str) -> None:
    desk.channel.send(desk.message(**{desk.words: words}))
    assert desk.taken() == [words]


def test_no_string_breaks_out_of_its_field(desk: Desk) -> None:
    strings = json.loads(shared("test_vectors/blns.json").read_text("utf-8"))
    strings += ["a\r\nBcc: all@example.com", "a\n\nbody", "a\rb", "a\x00b", "a\u2028b", "a\x85b"]
    for number, naughty in enumerate(strings, 1):
        # A provider refuses an empty message; a renderer never makes one.
        desk.channel.send(desk.message(number % 9000, **{desk.words: f"{naughty} ."}))
    assert desk.count() == len(strings)
    if desk.words == "subject":
        for taken in desk.taken():
            assert "\n" not in taken and "\r" not in taken
            assert taken.endswith(".")


def test_an_impossible_address_is_refused_before_anyone_is_asked(desk: Desk) -> None:
    mail = isinstance(desk.message(), Email)
    bad = (
        ["", "nobody", "a@b", "a b@example.com", "a@example.com\r\nRCPT TO:<x@y.z>", "a@b..com",
         "a@-x.com"]
        if mail
        else ["", "12", "0300 1234567", "+0123456789", "+1415555000a", "+14155550001\n"]
    )  # fmt: skip
    for address in bad:
        with pytest.raises(DeliveryError) as refused:
            desk.channel.send(desk.message(to=address))
        assert refused.value.permanent and refused.value.suppress
        assert not address or address not in str(refused.value)
    assert desk.count() == 0


def test_the_other_kind_of_message_is_refused(desk: Desk) -> None:
    if desk.name == "file":
        pytest.skip("the mailbox takes both")
    from tests.contract.conftest import an_email, an_sms

    other = an_sms() if isinstance(desk.message(), Email) else an_email()
    with pytest.raises(DeliveryError, match="not") as refused:
        desk.channel.send(other)
    assert refused.value.permanent
