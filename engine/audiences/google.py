"""Google Customer Match: the CSV file that Google Ads takes by hand or by fetch.

Columns and hashing: Google Ads help 7659867 and 7476159. Spelling before hashing as Google's
own ``google-ads-datamanager-util`` Formatter does it. Country and postal code stay plain, all
else is SHA-256 in hex.
"""

from __future__ import annotations

import re

from engine.audiences.values import Member, canonical, e164, sha256

COLUMNS = ("Email", "Phone", "First Name", "Last Name", "Country", "Zip")

_DOTLESS = ("gmail.com", "googlemail.com")
_POSTAL_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 -]{1,9}")


def email(text: str) -> str:
    """Lower case; for Gmail without dots and ``+tag``. "" when it is no address."""
    address = canonical(text).lower()
    local, at, domain = address.partition("@")
    if domain in _DOTLESS:
        local = local.split("+", 1)[0].replace(".", "")
    if not (local and at and domain) or "@" in domain or " " in address:
        return ""
    return f"{local}@{domain}"


def phone(text: str, region: str) -> str:
    """E.164 with its ``+``; "" when no such number can exist."""
    return e164(text, region)


def name(text: str) -> str:
    """Lower case, otherwise as written: accents and other scripts stay."""
    return canonical(text).lower()


def country(text: str) -> str:
    """Two capitals."""
    return canonical(text).upper()


def postal_code(text: str) -> str:
    """Trimmed, otherwise as written; "" when it is none.

    It leaves in plain text, so a field with anything but a code in it is not passed on.
    """
    code = canonical(text)
    return code if _POSTAL_CODE.fullmatch(code) else ""


def row(member: Member) -> tuple[str, ...] | None:
    """The member's line in the order of ``COLUMNS``; None without a usable email or phone.

    Google matches a postal address by all four of its parts or not at all, so an address with
    a part missing is left out: it would tell Google something and find nobody.
    """
    by_email = sha256(email(member.email))
    by_phone = sha256(phone(member.phone, member.region))
    if not (by_email or by_phone):
        return None
    address = (
        sha256(name(member.first_name)),
        sha256(name(member.last_name)),
        country(member.country),
        postal_code(member.postal_code),
    )
    return (by_email, by_phone, *(address if all(address) else ("", "", "", "")))
