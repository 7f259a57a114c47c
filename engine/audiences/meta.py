"""Meta Custom Audiences: the customer list as CSV.

Spelling before hashing as Meta's "customer information parameters" page says. Meta's own SDK
strips names to a to z and then hashes what is left, so that every Hindi or Urdu name becomes the
hash of nothing; here such names are hashed as they are, which the page allows.
"""

from __future__ import annotations

import unicodedata

from engine.audiences.values import Member, canonical, e164, sha256

COLUMNS = ("email", "phone", "fn", "ln", "country", "zip", "extern_id")


def email(text: str) -> str:
    """Lower case; dots and ``+tag`` stay. "" when it is no address."""
    address = canonical(text).lower()
    local, at, domain = address.partition("@")
    return address if local and at and domain and "@" not in domain and " " not in address else ""


def phone(text: str, region: str) -> str:
    """Country code and digits, without ``+``; "" when no such number can exist."""
    return e164(text, region).removeprefix("+")


def name(text: str) -> str:
    """Lower case, no punctuation, every script kept."""
    kept = (c for c in canonical(text).lower() if not unicodedata.category(c).startswith("P"))
    return canonical("".join(kept))


def country(text: str) -> str:
    """Two small letters."""
    return canonical(text).lower()


def postal_code(text: str, country: str) -> str:
    """Small letters without spaces; of an American one the first five digits."""
    code = canonical(text).lower().replace(" ", "")
    return code[:5] if country.upper() == "US" else code


def row(member: Member) -> tuple[str, ...] | None:
    """The member's line in the order of ``COLUMNS``; None without a usable email or phone."""
    by_email = sha256(email(member.email))
    by_phone = sha256(phone(member.phone, member.region))
    if not (by_email or by_phone):
        return None
    return (
        by_email,
        by_phone,
        sha256(name(member.first_name)),
        sha256(name(member.last_name)),
        sha256(country(member.country)),
        sha256(postal_code(member.postal_code, member.country)),
        member.reference,
    )
