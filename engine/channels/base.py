"""What the providers share: their contract, addresses, refusals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from engine.errors import DeliveryError
from engine.model.event import Event

_E164 = re.compile(r"\+[1-9]\d{6,14}")
#: What looks like an address or a phone number in a provider's answer.
_PERSONAL = re.compile(r"[^\s<>\"'(),;:]+@[^\s<>\"'(),;:]+|\+?\d[\d\s().-]{6,}\d")


_LENGTHS = {
    phonenumbers.ValidationResult.TOO_SHORT: "is too short for its country",
    phonenumbers.ValidationResult.TOO_LONG: "is too long for its country",
    phonenumbers.ValidationResult.INVALID_COUNTRY_CODE: "begins with no country's code",
    phonenumbers.ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "lacks its area code",
}


class Receiver(Protocol):
    """A provider that reports back."""

    def verify(
        self, headers: Mapping[str, str], raw_body: bytes, url: str, settings: ChannelSettings
    ) -> bool: ...

    def parse(self, raw_body: bytes, url: str, received_at: datetime) -> list[Event]:
        """The events that a body tells of. One without identifiers is about no shopper."""
        ...

    def signed_at(self, headers: Mapping[str, str]) -> int | None:
        """When the post was signed, in Unix time; None where the provider does not say."""
        ...


class ChannelSettings(Protocol):
    """The settings that channels read (``engine.settings.Settings``)."""

    @property
    def home(self) -> Path: ...
    @property
    def secret(self) -> str: ...
    @property
    def public_url(self) -> str: ...
    @property
    def sendgrid_api_key(self) -> str: ...
    @property
    def sendgrid_base_url(self) -> str: ...
    @property
    def sendgrid_webhook_public_key(self) -> str: ...
    @property
    def twilio_account_sid(self) -> str: ...
    @property
    def twilio_auth_token(self) -> str: ...
    @property
    def twilio_base_url(self) -> str: ...
    @property
    def smtp_host(self) -> str: ...
    @property
    def smtp_port(self) -> int: ...
    @property
    def smtp_user(self) -> str: ...
    @property
    def smtp_password(self) -> str: ...
    @property
    def smtp_tls(self) -> str: ...


def mail_address(address: str) -> str:
    """``address`` in the ASCII form that every server takes (domains in Punycode).

    Raises ``DeliveryError`` for one that cannot exist: permanent, and to be suppressed.
    Syntax only; DNS is the provider's business.
    """
    try:
        return _mail_address(address)
    except EmailNotValidError as error:
        raise DeliveryError(
            f"The address cannot receive mail: {without_personal(str(error))}",
            permanent=True,
            suppress=True,
        ) from None


@lru_cache(maxsize=4096)
def _mail_address(address: str) -> str:
    found = validate_email(address, check_deliverability=False, test_environment=True, strict=True)
    if found.ascii_email is None:
        raise EmailNotValidError("its part before the @ is not ASCII, which few servers take.")
    return found.ascii_email


def phone_number(number: str) -> str:
    """``number`` if it is in E.164 and as long as numbers of its country are. Raises
    ``DeliveryError``, permanent and to be suppressed.

    Whether it is in a range that is in use only the operators know: ranges open faster than
    tables know them. Twilio refuses what is not (21211).
    """
    if why := _not_a_number(number):
        raise DeliveryError(f"The phone number {why}.", permanent=True, suppress=True)
    return number


@lru_cache(maxsize=4096)
def _not_a_number(number: str) -> str:
    if not _E164.fullmatch(number):
        return "is not in E.164 form (+ and country code)"
    try:
        found = phonenumbers.is_possible_number_with_reason(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return "begins with no country's code"
    return (
        ""
        if found == phonenumbers.ValidationResult.IS_POSSIBLE
        else _LENGTHS.get(found, "has a length that its country does not know")
    )


def without_personal(text: str, limit: int = 300) -> str:
    """A provider's words fit for a log: no addresses, no phone numbers, one line, shortened."""
    return " ".join(_PERSONAL.sub("…", text).split())[:limit]


def header(headers: Mapping[str, str], name: str) -> str:
    """A header whatever the case of its name, "" without it."""
    found = headers.get(name)
    if found is not None:
        return found
    wanted = name.lower()
    return next((value for key, value in headers.items() if key.lower() == wanted), "")


def pause(headers: Mapping[str, str], default: timedelta) -> timedelta:
    """How long a provider asks us to wait: ``Retry-After`` in seconds or as a date (RFC 9110),
    or ``X-RateLimit-Reset`` as a Unix time; else ``default``. Between 1 second and a day.

    Dates are read against the answer's own ``Date``, so that our clock may be wrong.
    """
    after = header(headers, "Retry-After").strip()
    reset = header(headers, "X-RateLimit-Reset").strip()
    sent = _date(header(headers, "Date"))
    seconds = default.total_seconds()
    if after.isascii() and after.isdigit():
        seconds = int(after[:9])
    elif sent and (until := _date(after)):
        seconds = (until - sent).total_seconds()
    elif sent and reset.isascii() and reset.isdigit():
        seconds = int(reset[:12]) - sent.timestamp()
    return timedelta(seconds=min(max(seconds, 1), 86_400))


def slow_down(
    provider: str, status: int, headers: Mapping[str, str], default: timedelta
) -> DeliveryError:
    """What a 429 or 503 of ``provider`` means: it took nothing, and wants to be left alone as
    long as it says. A 503 that does not say is a provider that does not work."""
    says = any(header(headers, name) for name in ("Retry-After", "X-RateLimit-Reset"))
    return DeliveryError(
        f"{provider}: {'too many requests' if status == 429 else 'unavailable'} ({status}).",
        permanent=False,
        retry_after=pause(headers, default),
        fault="busy" if status == 429 or says else "away",
    )


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None
