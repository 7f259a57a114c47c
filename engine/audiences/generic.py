"""A file for whoever else takes hashed customers: a clean room, a data warehouse, an agency.

Each column says what was hashed. Emails are in small letters with dots and ``+tag``, phones in
E.164 with their ``+``, names in small letters in their own script; ``profile_sha256`` is the same
for the same shopper in every file, and leads back to nobody outside this shop.
"""

from __future__ import annotations

from engine.audiences.values import Member, canonical, device, e164, plain_email, sha256

COLUMNS = (
    *("email_sha256", "phone_sha256", "device_sha256"),
    *("first_name_sha256", "last_name_sha256", "profile_sha256"),
)


def row(member: Member) -> tuple[str, ...] | None:
    """The member's line in the order of ``COLUMNS``; None without email, phone and device."""
    found = (
        sha256(plain_email(member.email)),
        sha256(e164(member.phone, member.region)),
        sha256(device(member.device)),
    )
    if not any(found):
        return None
    names = (canonical(name).lower() for name in (member.first_name, member.last_name))
    return (*found, *map(sha256, names), member.reference)
