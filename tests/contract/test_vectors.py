"""Addresses and numbers of all the world, good and bad: taken, or refused with a reason."""

from __future__ import annotations

import csv
import json
from collections import Counter
from typing import Any

import phonenumbers
import pytest

from engine.channels.base import mail_address, phone_number
from engine.errors import DeliveryError
from engine.intake.identifiers import email, phone
from tests.shared_data import shared

#: Good addresses that no form of a shop should take, and why we do not write to them.
_UNUSUAL = {
    "Quoting the part before the @-sign is not allowed": 14,
    "A display name and angle brackets around": 3,
    "its part before the @ is not ASCII, which few servers take": 14,
}
#: A domain for tests, which reaches nobody.
_FOR_TESTS = "me@test.test.test"


def cases() -> list[dict[str, Any]]:
    path = shared("test_vectors/email_validator_cases.jsonl")
    found = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert len(found) == 296
    return found


def is_good(case: dict[str, Any]) -> bool:
    return case["test"].startswith("test_email_valid") or case["expected"] == "ISEMAIL_VALID"


def refusal(check: Any, value: str) -> str:
    """Why it is refused, "" where it is not."""
    try:
        check(value)
    except DeliveryError as error:
        assert error.permanent and error.suppress and not error.retry_after
        assert len(value) < 5 or value not in str(error)
        return str(error)
    return ""


def test_every_good_address_is_taken_or_is_one_that_nobody_types() -> None:
    unusual: Counter[str] = Counter()
    taken = 0
    for case in filter(is_good, cases()):
        why = refusal(mail_address, case["email"])
        if not why:
            taken += 1
            wanted = case["expected"]
            ascii_form = wanted.get("ascii_email") if isinstance(wanted, dict) else None
            assert mail_address(case["email"]) == (ascii_form or case["email"])
            assert email(case["email"]) == f"email:{case['email'].lower()}"
            continue
        (kind,) = [words for words in _UNUSUAL if words in why]
        unusual[kind] += 1
    assert dict(unusual) == _UNUSUAL
    assert taken > 15


def test_every_bad_address_is_refused_with_a_reason() -> None:
    reasons = {}
    for case in cases():
        if not is_good(case) and case["email"] != _FOR_TESTS:
            reasons[case["email"]] = refusal(mail_address, case["email"])
    assert [address for address, why in reasons.items() if not why] == []
    assert all(why.startswith("The address cannot receive mail: ") for why in reasons.values())
    assert len(set(reasons.values())) > 30, "they do not all have one reason"


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


def test_every_bad_number_is_refused_with_a_reason_or_could_be_one_tomorrow() -> None:
    """What has a right length may be in a range that opens before our tables know it. The
    provider knows (Twilio: 21211), and then it is suppressed."""
    reasons: dict[str, str] = {}
    for row in rows():
        bad = row["invalid_example"]
        reasons[bad] = refusal(phone_number, bad)
        assert phone(bad, row["region"]) is not None or reasons[bad], bad
    for number in (number for number, why in reasons.items() if not why):
        found = phonenumbers.is_possible_number_with_reason(phonenumbers.parse(number))
        assert found == phonenumbers.ValidationResult.IS_POSSIBLE, number
    refused = [number for number, why in reasons.items() if why]
    assert len(refused) > 3 * (len(reasons) - len(refused))


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
    ],
)
def test_what_is_wrong_with_a_number_is_said(number: str, why: str) -> None:
    assert why in refusal(phone_number, number)
