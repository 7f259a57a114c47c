"""Pinterest's customer list: one column of hashes, which may be of emails or of phones' ids.

Pinterest API v5, customer lists (``CustomerListRequest`` of pinterest-python-generated-api-client
and the page "Create customer lists"): the records are "any combination of emails, MAIDs, or
IDFAs"; emails in small letters, hashed with SHA-1, SHA-256 or MD5; phone numbers are not known.
A list needs 100 people who have an account. A record that is nobody's is passed over, so the
heading does no harm.
"""

from __future__ import annotations

from engine.audiences.values import Member, device, plain_email, sha256

COLUMNS = ("email_or_device_sha256",)


def row(member: Member) -> tuple[str, ...] | None:
    """The member's one record: of the email address, or else of the phone's advertising id."""
    found = sha256(plain_email(member.email) or device(member.device))
    return (found,) if found else None
