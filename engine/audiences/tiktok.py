"""TikTok's customer file, which its Ads Manager takes by hand.

Columns and spelling: TikTok Business Help Center, "List of supported IDs and formats for a
customer file" (article list-of-supported-ids-and-formats-for-a-customer-file) and "How to create
a Custom Audience with a customer file". A file with several kinds of id has a column for each,
and each heading may come up to three times.

That help contradicts itself: the list of August 2025 wants phones without ``+`` and emails
without ``+tag``, the article of September 2025 wants E.164 with its ``+`` and emails as they are.
Both spellings are written, in two columns of the same heading, so that either reading finds the
shopper; the second is left empty where it would say the same. Only CSV can be uploaded, with at
least 1,000 rows.
"""

from __future__ import annotations

from engine.audiences.values import Member, device, e164, plain_email, sha256

COLUMNS = ("Email_SHA256", "Email_SHA256", "Phone_SHA256", "Phone_SHA256", "MAID_SHA256")


def without_tag(address: str) -> str:
    """The address without what stands between ``+`` and ``@``."""
    local, at, domain = address.partition("@")
    return f"{local.partition('+')[0] or local}{at}{domain}"


def row(member: Member) -> tuple[str, ...] | None:
    """The member's line in the order of ``COLUMNS``; None without any id."""
    address = plain_email(member.email)
    short = without_tag(address)
    number = e164(member.phone, member.region)
    cells = (
        sha256(short),
        sha256(address if address != short else ""),
        sha256(number),
        sha256(number.removeprefix("+")),
        sha256(device(member.device)),
    )
    return cells if any(cells) else None
