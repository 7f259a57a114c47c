"""What the providers share: their contract, addresses, refusals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Protocol

from engine.errors import DeliveryError
from engine.model.address import Mailbox, NotAnAddress, mailbox
from engine.model.address import number as in_use
from engine.model.event import Event

_E164 = re.compile(r"\+[1-9]\d{6,14}")
#: What looks like an address or a phone number in a provider's answer.
_PERSONAL = re.compile(r"[^\s<>\"'(),;:]+@[^\s<>\"'(),;:]+|\+?\d[\d\s().-]{6,}\d")


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
    def sendgrid_activity(self) -> bool: ...
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

    Raises ``DeliveryError``, permanent: for one that cannot exist, which is to be suppressed, and
    for one whose part before the @ is not ASCII, which another provider may carry. Syntax only;
    DNS is the provider's business.
    """
    found = recipient(address)
    if found.ascii:
        return found.ascii
    raise DeliveryError(
        "The address has letters beyond ASCII before its @, and this provider carries none such: "
        "they need an SMTP server that knows SMTPUTF8.",
        permanent=True,
    )


def recipient(address: str) -> Mailbox:
    """``address`` in all its forms, for providers that take UTF-8. Raises ``DeliveryError`` as
    ``mail_address`` does for one that cannot exist."""
    try:
        return mailbox(address)
    except NotAnAddress as error:
        raise DeliveryError(
            f"The address cannot receive mail: {without_personal(str(error))}",
            permanent=True,
            suppress=True,
        ) from None


def own_address(address: str) -> str:
    """An address of the shop's own, in ASCII. That it is wrong is no fault of who is written to:
    the ``DeliveryError`` suppresses nobody."""
    try:
        return mail_address(address)
    except DeliveryError as error:
        raise DeliveryError(f"The shop's own address: {error}", permanent=True) from None


def phone_number(number: str) -> str:
    """``number`` if it is in E.164 and valid for its country. Raises ``DeliveryError``, permanent
    and to be suppressed."""
    try:
        if not _E164.fullmatch(number):
            raise NotAnAddress("The phone number is not in E.164 form (+ and country code).")
        return in_use(number)
    except NotAnAddress as error:
        raise DeliveryError(str(error), permanent=True, suppress=True) from None


def is_number(text: str) -> bool:
    """Whether ``text`` is a phone number in E.164. Who writes to us has one, whatever the tables
    say: a STOP must not be lost over that."""
    return _E164.fullmatch(text) is not None


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
