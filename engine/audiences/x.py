"""X's list custom audience: a file whose columns are named by hand when it is uploaded.

"Custom Audiences User Data" of the X Ads API and "List Custom Audiences" of X Business: emails in
small letters without spaces around them, advertising ids in small letters with their hyphens,
SHA-256 without salt, in small letters. Phone numbers are taken too, but their spelling is not
said; they are written in E.164 with its ``+``, as X shows them. A list needs 100 matched people.
"""

from __future__ import annotations

from engine.audiences.values import Member, device, e164, plain_email, sha256

COLUMNS = ("email", "phone_number", "device_id")


def row(member: Member) -> tuple[str, ...] | None:
    """The member's line in the order of ``COLUMNS``; None without any id."""
    cells = (
        sha256(plain_email(member.email)),
        sha256(e164(member.phone, member.region)),
        sha256(device(member.device)),
    )
    return cells if any(cells) else None
