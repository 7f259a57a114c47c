"""A domain's records: what is right passes, and each thing that is wrong is named."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from engine.deliverability import dkim, dmarc, domain, spf
from engine.deliverability.records import FileRecords, Unanswered
from engine.errors import ConfigError
from engine.model.check import Check

Zone = Callable[[str], FileRecords]
SHOP = "shop.example"


def found(checks: Iterable[Check]) -> list[tuple[str, str]]:
    return [(check.name, check.state) for check in checks]


def says(checks: Iterable[Check]) -> str:
    return " | ".join(f"{check.says} {check.mend}" for check in checks)


def rsa_key(bits: int) -> str:
    public = rsa.generate_private_key(65537, bits).public_key()
    return b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


KEY = rsa_key(2048)


def txt(name: str, text: str) -> str:
    parts = " ".join(f'"{text[at : at + 200]}"' for at in range(0, len(text), 200))
    return f"{name} 3600 IN TXT {parts}\n"


GOOD = (
    txt("@", "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 a mx include:_spf -all").replace(
        "include:_spf", f"include:_spf.{SHOP}"
    )
    + txt("_spf", "v=spf1 ip4:198.51.100.7 ~all")
    + "@ A 192.0.2.1\n@ MX 10 mail\nmail A 192.0.2.2\n"
    + txt("mail._domainkey", f"v=DKIM1; k=rsa; p={KEY}")
    + txt("_dmarc", "v=DMARC1; p=quarantine; rua=mailto:dmarc@shop.example")
)


def test_a_good_domain_has_nothing_to_mend(zone: Zone) -> None:
    checks = list(domain.examine(zone(GOOD), SHOP))
    assert {check.state for check in checks} == {"ok"}, checks
    assert found(checks) == [
        ("SPF", "ok"),
        ("DKIM mail", "ok"),
        ("DMARC", "ok"),
        ("alignment", "ok"),
        ("answers", "ok"),
    ]
    assert "(3 of 10 questions" in checks[0].says and "2048 bits" in checks[1].says


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("v=spf1 include:sendgrid.net", "no end"),
        ("v=spf1 +all", "whole world"),
        ("v=spf1 all", "whole world"),
        ("v=spf1 ?all", "says nothing"),
        ("v=spf1 ip4:300.1.2.3 -all", "'ip4:300.1.2.3' is no address"),
        ("v=spf1 ip4:2001:db8::1 -all", "IPv6"),
        ("v=spf1 includ:sendgrid.net -all", "'includ:sendgrid.net' is no SPF term"),
        ("v=spf1 include: -all", "names no domain"),
        ("v=spf1 include=sendgrid.net -all", "wants :"),
        ("v=spf1 redirect:x.example", "wants ="),
        ("v=spf1 include:gone.shop.example -all", "has no SPF record"),
        ("v=spf1 include:shop.example -all", "includes itself"),
        ("v=spf1 all:x -all", "takes nothing after it"),
        ("v=spf1 " + "a:a.shop.example " * 3 + "~all", "3 of its names do not exist"),
    ],
)
def test_what_is_wrong_with_spf_is_named(zone: Zone, record: str, words: str) -> None:
    checks = list(spf.examine(zone(txt("@", record)), SHOP))
    assert words in says(checks)
    assert any(check.state != "ok" for check in checks)


def test_questions_are_counted_through_what_is_included(zone: Zone) -> None:
    chain = "".join(
        txt(f"s{n}", f"v=spf1 include:s{n + 1}.{SHOP} mx:mail.{SHOP} ~all") for n in range(5)
    )
    records = zone(txt("@", f"v=spf1 include:s0.{SHOP} ~all") + chain + txt("s5", "v=spf1 ~all")
                   + "mail MX 10 mail\n")  # fmt: skip
    checks = list(spf.examine(records, SHOP))
    assert "ask the DNS 11 times" in says(checks)


def test_a_record_of_another_does_not_break_an_unknown_term_with_equals(zone: Zone) -> None:
    assert found(spf.examine(zone(txt("@", "v=spf1 x-note=1 ip4:192.0.2.1 -all")), SHOP)) == [
        ("SPF", "ok")
    ]


def test_two_spf_records_are_none(zone: Zone) -> None:
    records = zone(txt("@", "v=spf1 -all") + txt("@", "v=spf1 mx -all"))
    assert "2 SPF records" in says(spf.examine(records, SHOP))


def test_a_text_that_only_begins_alike_is_no_spf_record(zone: Zone) -> None:
    assert "has no SPF record" in says(spf.examine(zone(txt("@", "v=spf10 -all")), SHOP))


def test_the_provider_must_be_included(zone: Zone) -> None:
    records = zone(txt("@", "v=spf1 mx -all") + "@ MX 10 mail\n")
    assert "include:sendgrid.net is missing" in says(spf.examine(records, SHOP, "sendgrid.net"))


@pytest.mark.parametrize(
    ("record", "state", "words"),
    [
        ("v=DKIM1; p=", "finding", "revoked"),
        ("v=DKIM1; k=rsa", "finding", "no key"),
        ("v=DKIM1; p=@@@", "finding", "not base64"),
        (f"v=DKIM1; p={KEY[:80]}", "finding", "damaged"),
        (f"v=DKIM1; h=sha1; p={KEY}", "finding", "SHA-1"),
        (f"v=DKIM1; t=y; p={KEY}", "note", "test"),
        (f"v=DKIM1; h=sha1:sha256; p={KEY}", "ok", "2048"),
        (f"v=DKIM1; p={rsa_key(1024)}", "note", "1024 bits still pass"),
        ("v=DKIM1; k=ed25519; p=" + b64encode(b"x" * 31).decode(), "finding", "damaged"),
    ],
    # The keys are made anew in every process, and xdist wants the same names in all.
    ids="revoked none no-base64 cut sha1 test both-hashes short ed25519-cut".split(),  # noqa: SIM905
)
def test_keys(zone: Zone, record: str, state: str, words: str) -> None:
    records = zone(txt("now._domainkey", record))
    (check,) = dkim.examine(records, SHOP, ["now"])
    assert (check.state, words in check.says) == (state, True), check


def test_an_ed25519_key_is_a_key(zone: Zone) -> None:
    raw = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    records = zone(txt("e._domainkey", f"v=DKIM1; k=ed25519; p={b64encode(raw).decode()}"))
    assert found(dkim.examine(records, SHOP, ["e"])) == [("DKIM e", "ok")]


def test_a_selector_that_is_said_must_be_there(zone: Zone) -> None:
    checks = list(dkim.examine(zone(GOOD), SHOP, ["mail", "other"]))
    assert found(checks) == [("DKIM mail", "ok"), ("DKIM other", "finding")]


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        ("v=DMARC1; p=none; rua=mailto:a@b.example", [("DMARC", "note"), ("DMARC", "ok")]),
        ("v=DMARC1; p=reject", [("DMARC", "note"), ("DMARC", "ok")]),
        ("v=DMARC1; p=refuse", [("DMARC", "finding")]),
        ("v=DMARC1; rua=mailto:a@b.example", [("DMARC", "finding")]),
        ("v=spf1 -all", [("DMARC", "finding")]),
    ],
)
def test_policies(zone: Zone, record: str, wanted: list[tuple[str, str]]) -> None:
    assert found(dmarc.examine(zone(txt("_dmarc", record)), SHOP)) == wanted


def test_a_domain_below_has_the_policy_of_the_one_above(zone: Zone) -> None:
    records = zone(txt("_dmarc", "v=DMARC1; p=reject; sp=none; rua=mailto:a@b.example"))
    checks = list(dmarc.examine(records, f"mail.{SHOP}"))
    assert found(checks) == [("DMARC", "note"), ("DMARC", "ok")]
    assert "p=none (of shop.example)" in checks[1].says


@pytest.mark.parametrize(
    ("one", "other", "mode", "wanted"),
    [
        ("mail.shop.co.uk", "shop.co.uk", "r", True),
        ("mail.shop.co.uk", "shop.co.uk", "s", False),
        ("one.co.uk", "two.co.uk", "r", False),
        ("shop.com.pk", "news.shop.com.pk", "r", True),
        ("a.co.in", "b.co.in", "r", False),
    ],
)
def test_alignment_knows_registries(one: str, other: str, mode: str, wanted: bool) -> None:
    assert dmarc.aligned(one, other, mode) is wanted


def test_sendgrid_signs_with_its_own_return_path(zone: Zone) -> None:
    records = zone(
        txt("s1._domainkey", f"k=rsa; p={KEY}")
        + txt("s2._domainkey", f"k=rsa; p={KEY}")
        + txt("_dmarc", "v=DMARC1; p=reject; rua=mailto:a@b.example")
        + "@ MX 10 mail\n"
    )
    checks = list(domain.examine(records, SHOP, "sendgrid"))
    assert not [check for check in checks if check.state == "finding"], checks
    assert found(checks)[0] == ("SPF", "note")


def test_without_a_key_only_spf_vouches(zone: Zone) -> None:
    records = zone(txt("@", "v=spf1 mx -all") + "@ MX 10 mail\n")
    checks = dict(found(domain.examine(records, SHOP)))
    assert checks["DKIM"] == "finding" and checks["alignment"] == "note"


def test_nobody_vouches(zone: Zone) -> None:
    checks = dict(found(domain.examine(zone("@ MX 0 .\n"), SHOP)))
    assert checks["alignment"] == "finding" and checks["answers"] == "finding"


def test_a_mailbox_provider_is_no_domain_of_ours(zone: Zone) -> None:
    (check,) = domain.examine(zone(GOOD), "gmail.com")
    assert check.state == "finding"


def test_what_the_file_cannot_know_is_not_guessed(zone: Zone) -> None:
    records = zone("s1._domainkey CNAME s1.sendgrid.example.\n")
    with pytest.raises(Unanswered):
        records.look(f"s1._domainkey.{SHOP}", "TXT")
    assert records.look(f"s2._domainkey.{SHOP}", "TXT") == []


def test_an_alias_is_followed_and_a_circle_ends(zone: Zone) -> None:
    records = zone(txt("there", "here") + "at CNAME there\nround CNAME about\nabout CNAME round\n")
    assert records.look(f"at.{SHOP}", "TXT") == ["here"]
    assert records.look(f"round.{SHOP}", "TXT") == []


def test_a_file_that_is_no_zone_says_where(tmp_path: Path) -> None:
    file = tmp_path / "zone.txt"
    file.write_text("@ TXT fine\nnonsense here\n", "utf-8")
    with pytest.raises(ConfigError, match=r"near line [23]: unknown"):
        FileRecords(file, SHOP)
