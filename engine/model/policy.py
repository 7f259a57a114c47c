"""The shop's rules for sending: consent, quiet hours, caps. Read from config/winback.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time, timedelta
from typing import Literal

from engine.model.sending import Sending


@dataclass(frozen=True, slots=True)
class QuietHours:
    """No message between ``start`` and ``end``, local time; it may span midnight."""

    start: time
    end: time


@dataclass(frozen=True, slots=True)
class Cap:
    """At most ``messages`` within ``within``, over all journeys. ``channel`` "*" counts all."""

    messages: int
    within: timedelta
    channel: str = "*"


@dataclass(frozen=True, slots=True)
class Topic:
    """What a message is about. ``consent``: ``opt-in`` (a yes is needed), ``opt-out`` (allowed
    until a no) or ``none`` (transactional: consent, caps and quiet hours do not apply;
    suppression does)."""

    name: str
    title: str = ""
    consent: Literal["opt-in", "opt-out", "none"] = "opt-in"


@dataclass(frozen=True, slots=True)
class Shop:
    """Who writes. ``currency`` ISO 4217; ``timezone`` IANA; ``locale`` BCP 47."""

    name: str = "Our shop"
    url: str = "http://localhost:8080"
    timezone: str = "UTC"
    currency: str = "USD"
    locale: str = "en"
    country: str = "US"
    email_from: str = "shop@example.com"
    email_name: str = ""
    reply_to: str = ""
    sms_from: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """All of it. ``quiet_hours`` by channel; a channel not named has none."""

    shop: Shop = Shop()
    topics: Mapping[str, Topic] = field(default_factory=dict)
    quiet_hours: Mapping[str, QuietHours] = field(default_factory=dict)
    caps: tuple[Cap, ...] = ()
    #: channel -> provider name, for example {"email": "sendgrid", "sms": "twilio"}
    providers: Mapping[str, str] = field(default_factory=dict)
    #: whether a shopper goes on ad audiences until a no to the channel ``ads``, or after a yes
    ads_consent: Literal["opt-in", "opt-out"] = "opt-out"
    #: how many messages more a change may send in its first day before ``winback apply`` asks
    blast_radius: int = 500
    sending: Sending = Sending()
