"""Where a message may go: which mail addresses and phone numbers there can be, and why not.

One rule for all doors: what a shop or a file tells, and what is handed to a provider.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from unicodedata import normalize

import phonenumbers
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

#: Octets before the @ (RFC 5321, 4.5.3.1.1), quotes and all.
_LONGEST_LOCAL = 64
#: RFC 6531 lets letters beyond ASCII into quotes, but a backslash only before what is ASCII.
_ESCAPED = re.compile(r"\\[^ -~]")

#: What nearly all addresses look like: the library takes 30 us to say the same of them.
_USUAL = re.compile(
    r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*"
    r"@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+([a-z]{2,18})",
    re.ASCII,
)
_LONGEST_USUAL = 64
#: Ends of domains that never reach anybody, some of them: the library knows which.
_DOUBTFUL = frozenset(name.rpartition(".")[2] for name in SPECIAL_USE_DOMAIN_NAMES)

_LENGTHS = {
    phonenumbers.ValidationResult.TOO_SHORT: "is too short for its country",
    phonenumbers.ValidationResult.TOO_LONG: "is too long for its country",
    phonenumbers.ValidationResult.INVALID_COUNTRY_CODE: "begins with no country's code",
    phonenumbers.ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "lacks its area code",
}


class NotAnAddress(ValueError):
    """Nothing can be sent there. The text says why, and does not repeat it."""


class Mailbox(NamedTuple):
    """A mail address. ``ascii`` is the form that every server takes (its domain in Punycode), ""
    where the part before the @ needs a server that knows SMTPUTF8 (RFC 6531)."""

    address: str
    ascii: str


@lru_cache(maxsize=4096)
def mailbox(text: str, *, named: bool = False, utf8: bool = True) -> Mailbox:
    """The address that ``text`` is: a quoted part before the @ without needless quotes, Unicode
    in its usual form (NFC), a domain in Punycode as it is read. With ``named``, "Asha Rao
    <asha@example.com>" is its address. Without ``utf8`` only what every server takes.

    Syntax only; whether there is such a domain is the provider's business. Raises
    ``NotAnAddress``, also for domains that never reach anybody (``.test``, ``.local``) and for
    bare IP addresses, which lead into our own network.
    """
    usual = _USUAL.fullmatch(text) if len(text) <= _LONGEST_USUAL else None
    if usual is not None and usual[1] not in _DOUBTFUL:
        return Mailbox(text, text)
    return _unusual(text, named, utf8)


def _unusual(text: str, named: bool, utf8: bool) -> Mailbox:
    try:
        found = validate_email(
            text,
            check_deliverability=False,
            strict=True,
            allow_quoted_local=True,
            allow_display_name=named,
            allow_smtputf8=utf8,
        )
    except EmailNotValidError as error:
        raise NotAnAddress(str(error)) from None
    local = found.original.rpartition("@")[0]
    if len(local.encode()) > _LONGEST_LOCAL:
        raise NotAnAddress("The email address is too long before the @-sign.")
    if _ESCAPED.search(local):
        raise NotAnAddress("The email address has a backslash before a letter beyond ASCII.")
    return Mailbox(found.normalized, found.ascii_email or "")


def identity(found: Mailbox) -> str:
    """How an address is compared: in small letters."""
    return normalize("NFC", found.address.lower())


@lru_cache(maxsize=4096)
def number(text: str, region: str | None = None) -> str:
    """The phone number that ``text`` is, in E.164. Without + it is one of ``region`` (ISO 3166,
    "IN"). Raises ``NotAnAddress``.

    Its country must have it in use, by the tables of ``phonenumbers``: what a range yet unknown
    to them costs is one shopper's messages until they are renewed; what an impossible number
    costs is each message to it, and the shop's standing with the operators.
    """
    # Some 60 µs a number, most of a request: a shopper's events repeat it.
    try:
        found = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        none = error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE
        code = none and text.strip()[:1] in ("+", "\uff0b")
        raise NotAnAddress(
            "The phone number begins with no country's code."
            if code
            else "This is not a phone number."
        ) from None
    possible = phonenumbers.is_possible_number_with_reason(found)
    if possible != phonenumbers.ValidationResult.IS_POSSIBLE:
        why = _LENGTHS.get(possible, "has a length that its country does not know")
        raise NotAnAddress(f"The phone number {why}.")
    if found.extension:
        raise NotAnAddress("The phone number has an extension, which only a caller can dial.")
    if not phonenumbers.is_valid_number(found):
        raise NotAnAddress("The phone number is not valid for its country.")
    return phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164)
