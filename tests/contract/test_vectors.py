"""Addresses and numbers of all the world, good and bad: taken, or refused with a reason."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from engine.channels.base import mail_address, phone_number, recipient
from engine.errors import DeliveryError
from engine.intake.identifiers import email, phone, read_email, read_phone
from engine.model.address import NotAnAddress, mailbox
from tests.shared_data import shared

#: Every case is judged at two doors: ``told``, where shops and files tell us an address (white
#: space around it and a name beside it are taken off), and ``sent``, where it goes to a provider
#: just as it stands.
Case = dict[str, Any]

#: Good by one list of the vectors and refused by another of them; we refuse: mail to a bare IP
#: address leads into the network that the sender stands in.
_BARE_IP = "ISEMAIL_RFC5321_ADDRESSLITERAL"

#: What is good where a name may stand beside an address, and bad where none may.
_NAMED = "A display name and angle brackets around the email address are not permitted here."


def cases() -> list[Case]:
    path = shared("test_vectors/email_validator_cases.jsonl")
    found = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert len(found) == 296
    return found


def is_good(case: Case) -> bool:
    return case["test"].startswith("test_email_valid") or case["expected"] in (
        "ISEMAIL_VALID",
        "ISEMAIL_RFC5321_QUOTEDSTRING",
    )


def refusal(check: Callable[[str], object], value: str, suppress: bool = True) -> str:
    """Why it is refused, "" where it is not."""
    try:
        check(value)
    except DeliveryError as error:
        assert error.permanent and error.suppress == suppress and not error.retry_after
        assert len(value) < 5 or value not in str(error)
        return str(error)
    except NotAnAddress as error:
        return str(error)
    return ""


def test_every_good_address_is_taken_in_its_usual_form() -> None:
    taken: Counter[str] = Counter()
    for case in filter(is_good, cases()):
        named = mailbox(case["email"], named=True)
        wanted = case["expected"]
        if isinstance(wanted, dict):
            assert named.address == wanted["normalized"], case
            assert named.ascii == wanted.get("ascii_email", ""), case
        elif "quoted" in case["test"]:
            assert named.address.rpartition("@")[0] == wanted, case
        kept = email(case["email"])
        assert kept is not None and kept.lower() == kept, case
        assert kept.removeprefix("email:") == named.address.lower(), case
        # What was kept can be written to, and is read again as the same.
        assert recipient(named.address) == named
        assert email(named.address) == kept
        taken[case["test"]] += 1
    assert taken == {
        "test_email_valid": 13,
        "test_email_valid_intl_local_part": 16,
        "test_email_valid_only_if_quoted_local_part": 9,
        "test_pyisemail_tests": 18,
    }


def test_what_only_some_servers_take_is_refused_where_the_others_are_meant() -> None:
    """Letters beyond ASCII before the @: taken, kept, and no fault of the shopper's."""
    utf8 = [c["email"] for c in cases() if is_good(c) and not mailbox(c["email"], named=True).ascii]
    assert len(utf8) == 17
    for address in (mailbox(one, named=True).address for one in utf8):
        assert "SMTPUTF8" in refusal(mail_address, address, suppress=False)
    off = [case for case in cases() if case["test"] == "test_email_invalid_character_smtputf8_off"]
    assert len(off) == 2
    for case in off:
        with pytest.raises(NotAnAddress) as error:
            mailbox(case["email"], utf8=False)
        assert str(error.value) == case["expected"]
        assert refusal(mail_address, case["email"], suppress="@test" in case["email"])


def test_every_bad_address_is_refused_with_a_reason() -> None:
    said: Counter[str] = Counter()
    told: Counter[str] = Counter()
    for case in cases():
        if is_good(case) or case["test"] == "test_email_invalid_character_smtputf8_off":
            continue
        why = refusal(recipient, case["email"])
        assert why.startswith("The address cannot receive mail: "), case
        said[why] += 1
        if case["test"].startswith("test_email_invalid_syntax") and case["expected"]:
            assert refusal(mailbox, case["email"]) == case["expected"]
        if case["email"] != case["email"].strip():
            told["white space around it"] += 1
            stripped = case["email"].strip()
            assert bool(refusal(read_email, case["email"])) == bool(refusal(recipient, stripped))
        elif case["expected"] == _NAMED:
            told["a name beside it"] += 1
            assert read_email(case["email"]) == "email:me@example.com"
        else:
            told["refused"] += 1
            assert refusal(read_email, case["email"]), case
    assert sum(said.values()) == 296 - 56 - 2
    assert len(said) > 30, "they do not all have one reason"
    assert dict(told) == {"refused": 201, "white space around it": 32, "a name beside it": 5}


def test_a_bare_ip_address_is_refused_by_name() -> None:
    bare = [case["email"] for case in cases() if case["expected"] == _BARE_IP]
    assert len(bare) == 7
    for address in bare:
        assert "bracketed IP" in refusal(recipient, address)


def test_unsafe_characters_are_named_on_both_sides_of_the_at() -> None:
    unsafe = [case for case in cases() if case["test"] == "test_email_unsafe_character"]
    assert len(unsafe) == 11
    for case in unsafe:
        wanted = f"The email address contains unsafe characters: {case['expected']}."
        assert refusal(mailbox, f"{case['email']}@example.com") == wanted
        assert "unsafe characters" in refusal(mailbox, f"test@{case['email']}")


def rows() -> list[dict[str, str]]:
    path = shared("test_vectors/phone_examples.tsv")
    with path.open(encoding="utf-8") as file:
        found = list(csv.DictReader(file, delimiter="\t"))
    assert len(found) == 823 and {row["valid"] for row in found} == {"True"}
    return found


def test_every_good_number_is_taken_however_it_is_written() -> None:
    for row in rows():
        for written in ("national", "international", "e164"):
            assert phone(row[written], row["region"]) == f"phone:{row['e164']}", row
        assert phone_number(row["e164"]) == row["e164"]


def test_every_bad_number_is_refused_with_a_reason() -> None:
    reasons: Counter[str] = Counter()
    for row in rows():
        bad = row["invalid_example"]
        assert phone(bad, row["region"]) is None, row
        with pytest.raises(NotAnAddress):
            read_phone(bad, row["region"])
        reasons[refusal(phone_number, bad)] += 1
    assert dict(reasons) == {
        "The phone number is too short for its country.": 526,
        "The phone number is not valid for its country.": 193,
        "The phone number lacks its area code.": 50,
        "The phone number has a length that its country does not know.": 37,
        "The phone number is not in E.164 form (+ and country code).": 17,
    }


@pytest.mark.parametrize(
    ("number", "why"),
    [
        ("", "E.164"),
        ("0300 1234567", "E.164"),
        ("+14155550142\n", "E.164"),
        ("+141555501", "too short"),
        ("+923001234567890", "too long"),
        ("+9991234567", "no country's code"),
        ("+85", "E.164"),
        ("+447700900123", "not valid for its country"),
        ("+15555550123", "not valid for its country"),
    ],
)
def test_what_is_wrong_with_a_number_is_said(number: str, why: str) -> None:
    assert why in refusal(phone_number, number)
