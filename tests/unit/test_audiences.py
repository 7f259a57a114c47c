"""Spelling and hashing for ad platforms, against the platforms' own published vectors."""

from __future__ import annotations

import csv
import hashlib
import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.audiences import PLATFORMS, generic, google, member, meta, tiktok, x
from engine.audiences.values import device, e164, plain_email, sha256
from tests.shared_data import shared

NOTHING = hashlib.sha256(b"").hexdigest()


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(shared("vectors/vectors.json").read_text())
    return loaded


def cells(platform: str, traits: dict[str, Any], region: str = "US") -> dict[str, str]:
    """The platform's row of a profile, by column name."""
    line = PLATFORMS[platform].line(7, traits, region)
    assert line is not None
    rows = list(csv.DictReader([PLATFORMS[platform].header, line]))
    assert len(rows) == 1
    return rows[0]


def test_google_hashes_addresses_as_google_does(vectors: dict[str, Any]) -> None:
    for raw, spelled, digest, _base64 in vectors["google_customer_match"]["email"]:
        assert google.email(raw) == spelled
        assert sha256(google.email(raw)) == digest


def test_google_drops_what_is_no_address(vectors: dict[str, Any]) -> None:
    for raw in vectors["google_customer_match"]["email_invalid"]:
        assert google.email(raw) == ""


def test_google_hashes_phones_as_google_does(vectors: dict[str, Any]) -> None:
    known = vectors["google_customer_match"]
    for raw, spelled in known["phone"]:
        region = "GB" if spelled.startswith("+44") else "US"
        assert google.phone(raw, region) == spelled
    assert sha256(google.phone(known["phone_hash"][0], "US")) == known["phone_hash"][1]


def test_google_hashes_names_and_spells_places_as_google_does(vectors: dict[str, Any]) -> None:
    known = vectors["google_customer_match"]
    for raw, spelled, digest in (known["given_name"], known["family_name"]):
        assert google.name(raw) == spelled
        assert sha256(google.name(raw)) == digest
    assert google.country(known["region"][0]) == known["region"][1]
    assert google.postal_code(known["postal"][0]) == known["postal"][1]


def test_meta_hashes_as_meta_does(vectors: dict[str, Any]) -> None:
    spell = {"em": meta.email, "ph": lambda raw: meta.phone(raw, "US"), "fn": meta.name}
    for kind, raw, spelled, digest in vectors["meta_hash"]:
        raw = raw.removeprefix("US ")
        assert spell[kind](raw) == spelled
        assert sha256(spell[kind](raw)) == digest


def test_a_local_number_gets_its_country_code() -> None:
    assert e164("0300 1234567", "PK") == "+923001234567"
    assert e164("098765 43210", "IN") == "+919876543210"
    assert e164("923001234567", "IN") == "+923001234567", "its + was lost on the way"
    assert e164("+92 300 1234567", "US") == "+923001234567"


@pytest.mark.parametrize("phone", ["", "   ", "12", "call me", "+1 000 000 0000", "0000000000"])
def test_a_number_that_cannot_exist_is_dropped(phone: str) -> None:
    assert e164(phone, "US") == ""
    assert PLATFORMS["google"].line(7, {"phone": phone}, "US") is None
    assert PLATFORMS["meta"].line(7, {"phone": phone}, "US") is None


def test_the_shoppers_country_goes_before_the_shops() -> None:
    traits = {"phone": "0300 1234567", "address": {"country": "pk"}}
    assert cells("google", traits, "US")["Phone"] == sha256("+923001234567")
    assert cells("meta", traits, "US")["phone"] == sha256("923001234567")


def test_google_row_has_the_documented_columns() -> None:
    assert PLATFORMS["google"].header == "Email,Phone,First Name,Last Name,Country,Zip\n"
    row = cells(
        "google",
        {
            "email": "Ayesha.Khan@Gmail.com",
            "phone": "0300 1234567",
            "first_name": " Ayesha ",
            "last_name": "KHAN",
            "address": {"country": "PK", "postal_code": " 54000 "},
        },
    )
    assert row == {
        "Email": sha256("ayeshakhan@gmail.com"),
        "Phone": sha256("+923001234567"),
        "First Name": sha256("ayesha"),
        "Last Name": sha256("khan"),
        "Country": "PK",
        "Zip": "54000",
    }


def test_google_gets_a_whole_postal_address_or_none() -> None:
    row = cells("google", {"email": "a@example.com", "first_name": "Ada", "country": "GB"})
    assert row["Email"] == sha256("a@example.com")
    assert [row[c] for c in ("First Name", "Last Name", "Country", "Zip")] == [""] * 4


def test_meta_row_has_the_documented_columns() -> None:
    assert PLATFORMS["meta"].header == "email,phone,fn,ln,country,zip,extern_id\n"
    row = cells(
        "meta",
        {
            "email": "Ayesha.Khan@Gmail.com",
            "first_name": "عائشہ",
            "last_name": "O'Neil",
            "address": {"country": "US", "postal_code": "94025-1234"},
        },
    )
    assert row == {
        "email": sha256("ayesha.khan@gmail.com"),
        "phone": "",
        "fn": sha256("عائشہ"),
        "ln": sha256("oneil"),
        "country": sha256("us"),
        "zip": sha256("94025"),
        "extern_id": sha256("profile:7"),
    }


def test_one_spelling_of_an_accent_one_hash() -> None:
    decomposed = unicodedata.normalize("NFD", "Valéry")
    assert decomposed != "Valéry"
    for spell in (google.name, meta.name):
        assert sha256(spell(decomposed)) == sha256(spell("Valéry"))


def test_what_leaves_in_plain_text_is_a_country_and_a_postal_code_or_nothing() -> None:
    traits = {
        "email": "a@example.com",
        "first_name": "Ada",
        "last_name": "King",
        "country": "my address is a@example.com",
        "zip": '=HYPERLINK("http://evil.example")',
    }
    row = cells("google", traits)
    assert (row["Country"], row["Zip"]) == ("", "")


def test_member_reads_numbers_and_ignores_what_is_no_text() -> None:
    read = member(1, {"zip": 54000, "email": ["x"], "phone": True, "address": "?"}, region="PK")
    assert (read.postal_code, read.email, read.phone, read.region) == ("54000", "", "", "PK")


text = st.text(max_size=40)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "email": st.one_of(text, st.emails()),
            "phone": st.one_of(text, st.from_regex(r"\+?[0-9 ()-]{4,16}", fullmatch=True)),
            "first_name": text,
            "last_name": text,
            "country": st.one_of(text, st.sampled_from(["US", "pk", "IN"])),
            "zip": text,
        },
    )
)
def test_nothing_but_hashes_leaves_whatever_the_traits(traits: dict[str, Any]) -> None:
    hexadecimal = set("0123456789abcdef")
    for platform in PLATFORMS.values():
        line = platform.line(7, traits, "US")
        if line is None:
            continue
        assert line.count("\n") == 1 and line.endswith("\n")
        row = next(csv.reader([line]))
        assert len(row) == len(platform.columns)
        assert NOTHING not in row, "the hash of nothing would be one person whom all share"
        for column, value in zip(platform.columns, row, strict=True):
            if value and column == "Country":
                assert len(value) == 2 and value.isascii() and value.isupper()
            elif value and column == "Zip":
                assert len(value) <= 10 and value.isascii()
            elif value:
                assert len(value) == 64 and set(value) <= hexadecimal


@pytest.mark.parametrize(
    ("written", "hashed_as"),
    [
        (" عائشہ ", "عائشہ"),
        ("प्रिया", "प्रिया"),
        ("Jürgen", "jürgen"),
        ("GROẞ", "groß"),
        ("Groß", "groß"),
        # As Google's formatter does it, by no language's own rules: the small letter of I is i
        # even where a Turk would write ı, and that of İ keeps its dot as a letter of its own.
        ("Yıldız", "yıldız"),
        ("IŞIL", "işil"),
        ("İpek", "i\u0307pek"),
    ],
)
def test_names_of_every_script_are_hashed_as_they_are(written: str, hashed_as: str) -> None:
    told = generic.row(member(1, {"email": "a@example.com", "first_name": written}, region="PK"))
    assert told is not None and told[3] == sha256(hashed_as)
    for platform in (google, meta):
        assert platform.name(written) == hashed_as
        assert sha256(platform.name(written)) == hashlib.sha256(hashed_as.encode()).hexdigest()
    by_google = google.hashed(member(1, {"email": "a@example.com"}, region="PK"))
    assert by_google is not None
    assert NOTHING not in by_google.cells and by_google.cells[2:] == ("", "", "", "")


@pytest.mark.parametrize("platform", [google, meta])
def test_the_api_is_told_what_the_file_says(platform: Any) -> None:
    shopper = member(7, {"email": "A.b@gmail.com", "phone": "0300 1234567"}, region="PK")
    found = platform.hashed(shopper)
    assert found.cells == platform.row(shopper)
    assert (found.email, found.phone) == found.cells[:2]
    assert found.region == "PK"
    assert platform.hashed(member(7, {"first_name": "A"}, region="PK")) is None


def test_tiktok_hashes_as_its_help_shows() -> None:
    row = tiktok.row(
        member(
            1,
            {
                "email": " JaneDoe@gmail.com",
                "phone": "+374 93 828222",
                "advertising_id": "5F3A2B18-9C4D-4E7F-B8E2-17D3A1E69B25",
            },
            region="US",
        )
    )
    assert row is not None
    assert row[0] == "d6117306485ed0e50afab3ac871e98f81699151f30281527d63ff5f233656c69"
    # The help names E.164 with its + and hashes the number without it: both are in the file.
    assert row[3] == "65b7e6dcf6f4310f8d7cbfbd78289a753062fb054d6664fb9aaac5df66a422d4"
    assert row[2] == sha256("+37493828222")
    assert row[4] == "83dc3f5f32b9472613b0f038d36f22585a609d018af6f6067f50da318bf354bd"
    assert row[1] == "", "it says what the first says"


def test_tiktok_gets_an_address_with_and_without_its_tag() -> None:
    row = tiktok.row(member(1, {"email": "a.b+shop@Example.com"}, region="US"))
    assert row is not None
    assert row[:2] == (sha256("a.b@example.com"), sha256("a.b+shop@example.com"))


def test_x_hashes_as_its_help_shows() -> None:
    shown = "49e0be2aeccfb51a8dee4c945c8a70a9ac500cf6f5cb08112575f74db9b1470d"
    assert sha256("adsapi") == shown
    row = x.row(
        member(
            1,
            {"email": " Support@Twitter.com ", "idfa": "4B61639E-47CC-4056-A16A-C8217E029462"},
            region="US",
        )
    )
    assert row == (
        sha256("support@twitter.com"),
        "",
        sha256("4b61639e-47cc-4056-a16a-c8217e029462"),
    )


@pytest.mark.parametrize("text", ["", "00000000-0000-0000-0000-000000000000", "12345", "a@b.c"])
def test_what_is_no_advertising_id_is_not_hashed(text: str) -> None:
    assert device(text) == ""


def test_every_known_number_is_one_hash_however_it_is_written() -> None:
    lines = shared("test_vectors/phone_examples.tsv").read_text(encoding="utf-8").splitlines()
    looked_at = 0
    for row in csv.DictReader(lines, delimiter="\t"):
        if row["valid"] != "True":
            continue
        looked_at += 1
        for written in (row["e164"], row["international"], row["national"]):
            assert google.phone(written, row["region"]) == row["e164"], row
            assert meta.phone(written, row["region"]) == row["e164"].removeprefix("+")
            told = generic.row(member(1, {"phone": written}, region=row["region"]))
            assert told is not None and told[1] == sha256(row["e164"])
        if row["invalid_example"]:
            assert google.phone(row["invalid_example"], row["region"]) == ""
    assert looked_at > 700


def test_addresses_that_a_validator_knows() -> None:
    text = shared("test_vectors/email_validator_cases.jsonl").read_text(encoding="utf-8")
    valid = 0
    for case in map(json.loads, text.splitlines()):
        for platform in PLATFORMS.values():
            line = platform.line(1, {"email": case["email"]}, "US")
            assert line is None or NOTHING not in line
        if not case["test"].startswith("test_email_valid") or set('" <') & set(case["email"]):
            continue  # no platform takes quotes, blanks or a name beside the address
        valid += 1
        assert plain_email(case["email"]) == unicodedata.normalize("NFC", case["email"]).lower()
    assert valid > 20


@pytest.mark.parametrize(
    ("traits", "shop", "law"),
    [
        ({"country": "DE"}, "US", "DE"),
        ({"phone": "+49 30 123456"}, "US", "DE"),
        ({"phone": "+49 30 123456", "country": "US"}, "US", "DE"),
        ({"phone": "+1 650 253 0000", "country": "FR"}, "US", "FR"),
        ({"phone": "+92 300 1234567"}, "DE", "PK"),
        ({"email": "a@b.example"}, "DE", "DE"),
        ({"phone": "030 123456"}, "DE", "DE"),
    ],
)
def test_whose_law_counts(traits: dict[str, str], shop: str, law: str) -> None:
    assert member(1, traits, region=shop).law == law
