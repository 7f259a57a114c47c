"""DKIM (RFC 6376, RFC 8301, RFC 8463): the public keys that sign the domain's mails."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterable, Iterator

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from engine.deliverability.records import Records, Unanswered
from engine.model.check import Check

#: Selectors in wide use, looked for where nobody says which is used.
COMMON = ("s1", "s2", "default", "google", "selector1", "selector2", "k1", "mail", "dkim")
_ED25519 = 32  # bytes


def examine(
    records: Records, domain: str, selectors: Iterable[str] = (), *, needed: bool = True
) -> Iterator[Check]:
    """Checks of the keys of ``domain``. ``selectors``: those in use, all of which must be there;
    without, ``COMMON`` are tried and one is enough. ``needed``: having none is a finding."""
    given = list(selectors)
    good = False
    unanswered = ""
    for selector in given or COMMON:
        name = f"{selector}._domainkey.{domain}"
        try:
            found = records.look(name, "TXT")
        except Unanswered as error:
            unanswered = str(error)
            if given:
                yield Check(f"DKIM {selector}", "note", unanswered)
            continue
        if found:
            check = _key(selector, found)
            good = good or check.state != "finding"
            yield check
        elif given:
            yield Check(
                f"DKIM {selector}",
                "finding",
                f"{name} does not exist",
                "add the record that your mail provider shows for it",
            )
    if good or given or not needed:
        return
    if unanswered:
        yield Check("DKIM", "note", f"its keys could not be looked at: {unanswered}")
        return
    yield Check(
        "DKIM",
        "finding",
        f"no key found under {', '.join(COMMON)}",
        "set up domain authentication at your mail provider; say --selector NAME if it has others",
    )


def _key(selector: str, found: list[str]) -> Check:
    name = f"DKIM {selector}"
    if len(found) > 1:
        return Check(name, "finding", "there are two records of that name", "delete the old one")
    tags = parse_tags(found[0])
    if "p" not in tags:
        return Check(name, "finding", "the record holds no key (p=)", "copy it again, whole")
    if not tags["p"]:
        return Check(name, "finding", "the key was revoked (p= is empty)", "publish a new one")
    try:
        raw = b64decode(tags["p"].replace(" ", ""), validate=True)
    except (binascii.Error, ValueError):
        return Check(name, "finding", "the key is damaged: not base64", "copy it again, whole")
    if "sha1" in tags.get("h", "") and "sha256" not in tags.get("h", ""):
        return Check(name, "finding", "it allows SHA-1 alone (RFC 8301)", "take h=sha1 out")
    size = _size(tags.get("k", "rsa"), raw)
    if not size:
        return Check(name, "finding", "the key is damaged", "copy it again, whole")
    if isinstance(size, int) and size < 1024:
        return Check(name, "finding", f"{size} bits are too few", "make a key of 2048 bits")
    if "y" in tags.get("t", "").split(":"):
        return Check(name, "note", "it is marked as a test (t=y): receivers may ignore it")
    if isinstance(size, int) and size < 2048:
        return Check(name, "note", f"{size} bits still pass", "make a key of 2048 bits")
    return Check(name, "ok", f"{size} bits" if isinstance(size, int) else size)


def _size(kind: str, raw: bytes) -> int | str | None:
    if kind.lower() == "ed25519":
        return "Ed25519" if len(raw) == _ED25519 else None
    try:
        key = load_der_public_key(raw)
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key.key_size if isinstance(key, RSAPublicKey) else None


def parse_tags(record: str) -> dict[str, str]:
    """``v=DKIM1; k=rsa; p=…`` (RFC 6376, 3.2), names in small letters."""
    pairs = (part.partition("=") for part in record.split(";") if part.strip())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
