"""The shop's rules for sending: consent, quiet hours, caps, and the law of each country.

Read from config/winback.yaml and config/rules/*.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time, timedelta
from typing import Literal

from engine.model.audience import AdFile, AdList
from engine.model.links import LinkRules
from engine.model.retention import Retention
from engine.model.sending import Sending
from engine.model.texts import SmsRules


@dataclass(frozen=True, slots=True)
class QuietHours:
    """No message between ``start`` and ``end``, local time; it may span midnight."""

    start: time
    end: time


#: From and to, counted from midnight by the wall clock; the second is no longer inside.
Span = tuple[timedelta, timedelta]


@dataclass(frozen=True, slots=True, eq=False)
class Hours:
    """When something is allowed, by the wall clock.

    ``days``      for each day of the week, Monday first, its spans in order.
    ``holidays``  those of public holidays of ``country`` (ISO 3166-1); None: as on other days.
    """

    days: tuple[tuple[Span, ...], ...]
    holidays: tuple[Span, ...] | None = None
    country: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """When a country lets a shop write to its people.

    ``name``        of a part of it, such as ``florida``; "" is the country as a whole.
    ``channels``    for SMS the country is that of the number, for mail the shopper's.
    ``promotions``  it is about topics that need consent only, not about receipts.
    ``numbers``     it is about numbers that begin so (E.164) only; none: about all.
    ``needs_dlt``   the operators want every template registered (India).
    """

    country: str
    name: str
    title: str
    channels: frozenset[str]
    hours: Hours
    promotions: bool = True
    numbers: tuple[str, ...] = ()
    needs_dlt: bool = False
    source: str = ""


@dataclass(frozen=True, slots=True)
class Dlt:
    """What India's operators know the shop by (TCCCPR 2018): the ``entity``, its six-letter
    ``header``, and by template the id that it is registered under."""

    entity: str
    header: str
    templates: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cap:
    """At most ``messages`` within ``within``, over all journeys. ``channel`` and ``topic`` "*"
    count all."""

    messages: int
    within: timedelta
    channel: str = "*"
    topic: str = "*"

    def covers(self, channel: str, topic: str) -> bool:
        return self.channel in ("*", channel) and self.topic in ("*", topic)


@dataclass(frozen=True, slots=True)
class From:
    """Who the messages of a topic come from; what is "" is as the shop has it."""

    email: str = ""
    name: str = ""
    sms: str = ""
    whatsapp: str = ""


@dataclass(frozen=True, slots=True)
class Topic:
    """What a message is about. ``consent``: ``opt-in`` (a yes is needed), ``double opt-in`` (a yes
    that the owner of the address confirmed), ``opt-out`` (allowed until a no) or ``none``
    (transactional: consent, caps and quiet hours do not apply; suppression does).

    ``basis``           why the law lets the shop write (GDPR Art. 6); "" as ``consent`` suggests.
    ``confirm_within``  how long the link of a double opt-in confirms.
    ``sender``          who its messages come from.
    """

    name: str
    title: str = ""
    consent: Literal["opt-in", "double opt-in", "opt-out", "none"] = "opt-in"
    basis: Literal["", "consent", "contract", "legitimate interest"] = ""
    confirm_within: timedelta = timedelta(days=7)
    sender: From = From()

    @property
    def lawful_basis(self) -> Literal["consent", "contract", "legitimate interest"]:
        """The basis as the shop gave it, else the one that goes with the kind of consent."""
        if self.basis:
            return self.basis
        if self.consent == "none":
            return "contract"
        return "legitimate interest" if self.consent == "opt-out" else "consent"


#: What a keyword asks for.
Meaning = Literal["stop", "start", "help"]


@dataclass(frozen=True, slots=True)
class Keywords:
    """The words that shoppers send to one of the shop's numbers.

    ``words``    a whole message, folded (``engine.core.keywords``) -> what it asks for, and the
                 language that it is a word of.
    ``answers``  (what was asked for, language) -> what we answer. None: the provider answers.
    ``confirms`` folded words that say yes to the question of a double opt-in -> their language.
                 One of them may stand among ``words`` too, as YES does.
    """

    words: Mapping[str, tuple[Meaning, str]] = field(default_factory=dict)
    answers: Mapping[tuple[Meaning, str], str] | None = None
    confirms: Mapping[str, str] = field(default_factory=dict)


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
    whatsapp_from: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """All of it. ``quiet_hours`` by channel; a channel not named has none. ``rules`` are those of
    the countries that the shop has not switched off."""

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
    links: LinkRules = field(default_factory=LinkRules)
    sending: Sending = field(default_factory=Sending)
    sms: SmsRules = field(default_factory=SmsRules)
    rules: tuple[Rule, ...] = ()
    dlt: Dlt | None = None
    #: by the shop's number that they are sent to; "*": to any other
    keywords: Mapping[str, Keywords] = field(default_factory=dict)
    #: the ad audiences that are kept up to date by API, by name; all others are files
    audiences: Mapping[str, AdList] = field(default_factory=dict)
    #: of the audiences that are files, those of which config/winback.yaml says more, by name
    audience_files: Mapping[str, AdFile] = field(default_factory=dict)
    #: how long what piles up is kept
    retention: Retention = field(default_factory=Retention)

    def sender(self, channel: str, topic: str) -> str:
        """The address, number or messaging service that messages come from; "" for none."""
        known = self.topics.get(topic)
        own = known.sender if known else From()
        if channel == "email":
            return own.email or self.shop.email_from
        if channel == "sms":
            return own.sms or self.shop.sms_from
        return (own.whatsapp or self.shop.whatsapp_from) if channel == "whatsapp" else ""

    def email_name(self, topic: str) -> str:
        """The name beside the address that mails come from."""
        known = self.topics.get(topic)
        return (known.sender.name if known else "") or self.shop.email_name or self.shop.name

    def senders(self) -> set[str]:
        """All that messages may come from."""
        channels = ("email", "sms", "whatsapp")
        every = (
            self.sender(channel, topic) for channel in channels for topic in ("", *self.topics)
        )
        return set(filter(None, every))
