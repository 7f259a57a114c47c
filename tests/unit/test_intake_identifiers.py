"""Who an event speaks of."""

from __future__ import annotations

import pytest

from engine.intake.identifiers import JUNK, MAX_LENGTH, email, identifier, identifiers_of, phone
from tests.shared_data import shared


def test_strongest_first_and_none_twice() -> None:
    assert identifiers_of(
        user="42",
        anonymous="cookie",
        people=(
            {"email": "A@Example.com", "phone": "020 7946 0018"},
            {"email": "a@example.com", "phone": "+44 20 7946 0018"},
        ),
        carts=({"cart_id": "c1", "checkout_id": 77}, {"cart_token": "c1"}),
        region="GB",
    ) == (
        "user:42",
        "email:a@example.com",
        "phone:+442079460018",
        "cart:c1",
        "cart:checkout-77",
        "anonymous:cookie",
    )


def test_two_addresses_of_one_event_both_count() -> None:
    names = identifiers_of(
        people=({"email": "old@shop.example"}, {"email": "new@shop.example"}), region="US"
    )
    assert names == ("email:old@shop.example", "email:new@shop.example")


@pytest.mark.parametrize("junk", [*sorted(JUNK), "  NULL ", "Undefined", "[object Object]"])
def test_junk_names_nobody(junk: str) -> None:
    assert identifiers_of(user=junk, anonymous=junk, carts=({"cart_id": junk},), region="US") == ()


@pytest.mark.parametrize("value", [None, True, False, 1.5, [], {}, ["a"], "x" * (MAX_LENGTH + 1)])
def test_what_is_no_id(value: object) -> None:
    assert identifier("user", value) is None


def test_an_id_may_be_a_number_and_hold_anything() -> None:
    assert identifier("user", 12345678901234567890) == "user:12345678901234567890"
    assert identifier("user", " a:b\tc ") == "user:a:b\tc"


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("  Ann.Lee@Example.COM\n", "email:ann.lee@example.com"),
        ("a+tag@sub.example.co.uk", "email:a+tag@sub.example.co.uk"),
        ("दुकान@उदाहरण.भारत", "email:दुकान@उदाहरण.भारत"),
        ("no-at.example.com", None),
        ("a@localhost", None),
        ("a@@example.com", None),
        ("a b@example.com", None),
        ("a@example..com", None),
        ("Ann Lee <A@example.com>", "email:a@example.com"),
        ('"ann lee"@example.com', 'email:"ann lee"@example.com'),
        ('"ann.lee"@example.com', "email:ann.lee@example.com"),
        ("a@xn--p1b6ci4b4b3a.xn--h2brj9c", "email:a@उदाहरण.भारत"),
        ("a@shop.test", None),
        ("a@[127.0.0.1]", None),
        ("x" * 250 + "@e.io", None),
        (42, None),
        (["a@example.com"], None),
    ],
)
def test_an_address_is_trimmed_and_small(raw: object, normal: str | None) -> None:
    assert email(raw) == normal


def test_phone_numbers_of_every_country_become_e164() -> None:
    rows = [
        line.split("\t")
        for line in shared("test_vectors/phone_examples.tsv").read_text("utf-8").splitlines()[1:]
    ]
    wrong = [
        (region, written)
        for region, _, e164, national, international, valid, _ in rows
        for written in (national, international)
        if valid == "True" and phone(written, region) != f"phone:{e164}"
    ]
    assert len(rows) > 800
    assert wrong == []


@pytest.mark.parametrize(
    "value",
    [
        "",
        "abc",
        "12",
        "000-000-0000",
        "123 456 7890",
        "+1 555 0100 ext. 12",
        "+447700900123",
        None,
        True,
        [],
    ],
)
def test_what_is_no_phone_number(value: object) -> None:
    assert phone(value, "US") is None


def test_a_number_without_country_code_is_of_the_shops_country() -> None:
    assert phone("98765 43210", "IN") == "phone:+919876543210"
    assert phone(9876543210, "IN") == "phone:+919876543210"
    assert phone("+91 98765-43210", "US") == "phone:+919876543210"
