"""What the preference pages read and write: a shopper by the token in their link.

Every decision is a row that the gate reads, a line of the log with its proof, and an event for the
shopper's history, in one transaction: it stands in the database before the answer goes out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol
from uuid import uuid4

from engine.core import consent as core
from engine.core.consent import allowed, answer_of, paused_until
from engine.core.proof import records_of
from engine.core.receipts import REPORTER
from engine.intake.lanes import lane_of
from engine.model.event import Event
from engine.model.policy import Topic
from engine.model.profile import PAUSED, STOPPED
from engine.store import consent_log, inbox, preferences, profiles
from engine.store.preferences import Reader

if TYPE_CHECKING:
    from engine.web.app import Dependencies

#: The name of this writer in the ledger.
WRITER = "web:preferences"
SOURCE = "preferences page"
PAUSE = timedelta(days=30)
_CHANNELS = ("email", "sms", "whatsapp")


class Grant(Protocol):
    """What a token allows (``engine.rendering.Grant``)."""

    @property
    def profile_id(self) -> int: ...
    @property
    def channel(self) -> str: ...
    @property
    def topic(self) -> str: ...


class Asked(Grant, Protocol):
    """What a token confirms (``engine.rendering.links.Asked``)."""

    @property
    def yes_at(self) -> datetime: ...


class Choice(NamedTuple):
    """One box of the page: may we write about ``topic`` on ``channel``? ``pending``: said, and not
    confirmed yet. ``basis``: why the law would let us."""

    channel: str
    topic: str
    title: str
    on: bool
    pending: bool
    basis: str

    @property
    def name(self) -> str:
        return f"{self.channel}/{self.topic}"


class Said(NamedTuple):
    """What a shopper does on a page: ``what`` is the name of its event. ``text``: the words that
    they said it to."""

    what: str
    channel: str
    topic: str = "*"
    text: str = ""
    until: datetime | None = None


class Shown(NamedTuple):
    """How it came to us: ``method`` names the way; the rest is proof."""

    method: str
    url: str
    ip: str
    language: str
    version: str


Outcome = Literal["confirmed", "expired", "refused"]


class Desk:
    """Reads and writes what the pages are about."""

    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps
        self.topics = [t for t in deps.policy.topics.values() if t.consent != "none"]

    def open(self, grant: Grant | None) -> tuple[Grant, Reader] | None:
        """The link's grant and its shopper as they are; None for a link that leads to nobody."""
        if grant is None:
            return None
        with self._deps.database.connection() as connection:
            reader = preferences.reader(connection, grant.profile_id)
        return (grant, reader) if reader else None

    def decide(
        self,
        grant: Grant | None,
        said: Callable[[Grant, Reader], Sequence[Said]],
        shown: Callable[[Reader], Shown],
    ) -> tuple[Grant, Reader] | None:
        """Let what the shopper says stand from now on. Saying it again changes nothing."""
        if grant is None:
            return None
        with self._deps.database.connection() as connection:
            reader = preferences.reader(connection, grant.profile_id, lock=True)
            if reader is None:
                return None
            news = [one for one in said(grant, reader) if not self._stands(grant, reader, one)]
            events = [self._event(grant, reader, one, shown(reader)) for one in news]
            reader = self._write(connection, reader, events)
        self._hint(reader, events)
        return grant, reader

    def confirm(
        self, asked: Asked | None, shown: Callable[[Reader], Shown]
    ) -> tuple[Outcome, Reader] | None:
        """Confirm the yes of a link, if it still stands and is not too old. Twice is once."""
        if asked is None:
            return None
        events: list[Event] = []
        with self._deps.database.connection() as connection:
            reader = preferences.reader(connection, asked.profile_id, lock=True)
            if reader is None:
                return None
            outcome = self.standing(asked, reader)
            if outcome is None:
                said = Said(core.CONFIRMED, asked.channel, asked.topic, self.title(asked.topic))
                events = [self._event(asked, reader, said, shown(reader), asked.yes_at)]
                reader = self._write(connection, reader, events)
                outcome = "confirmed"
        self._hint(reader, events)
        return outcome, reader

    def standing(self, asked: Asked, reader: Reader) -> Outcome | None:
        """What has become of the yes that a link confirms; None while it waits."""
        about = [c for c in reader.consents if c.channel == asked.channel]
        words = [c for c in about if c.topic in ("*", asked.topic)]
        denied = [c.denied_at if c.granted else c.at for c in words]
        if any(no is not None and no >= asked.yes_at for no in denied):
            return "refused"
        if any(c.topic == STOPPED and not c.granted for c in about) or not words:
            return "refused"
        if any(c.confirmed_at is not None and c.confirmed_at >= asked.yes_at for c in words):
            return "confirmed"
        return "expired" if self._deps.clock.now() > asked.yes_at + self._within(asked) else None

    def choices(self, grant: Grant, reader: Reader) -> list[Choice]:
        """The boxes of the page. A link proves that its holder reads this one address: it can
        say yes for its own channel, and for others only take a yes back."""
        used = {"email", "sms", *self._deps.policy.providers}
        others = [c for c in _CHANNELS if c != grant.channel and c in used]
        channels = [grant.channel, *others]
        found = []
        for channel in channels:
            for topic in self.topics:
                on = allowed(topic, topic.name, channel, reader.consents)
                answer = answer_of(topic, topic.name, channel, reader.consents)
                if channel == grant.channel or on:
                    title, pending = topic.title or topic.name, answer == "pending"
                    basis = topic.lawful_basis
                    found.append(Choice(channel, topic.name, title, on, pending, basis))
        return found

    def paused(self, grant: Grant, reader: Reader) -> datetime | None:
        """The end of the pause on the link's channel, if one goes on."""
        end = paused_until(grant.channel, reader.consents)
        return end if end is not None and end > self._deps.clock.now() else None

    def pause_ends(self) -> datetime:
        return self._deps.clock.now() + PAUSE

    def title(self, name: str) -> str:
        topic = self._deps.policy.topics.get(name)
        return (topic.title or topic.name) if topic else ""

    def _within(self, asked: Asked) -> timedelta:
        about = [t for t in self.topics if t.consent == "double opt-in"]
        named = [t.confirm_within for t in about if asked.topic in ("*", t.name)]
        return max(named, default=Topic("").confirm_within)

    def _stands(self, grant: Grant, reader: Reader, said: Said) -> bool:
        """Whether the latest word of the shopper already says so."""
        named = [c for c in reader.consents if c.channel == said.channel]
        if said.what in (core.PAUSE, core.RESUME):
            going_on = self.paused(grant, reader) is not None
            return going_on == (said.what == core.PAUSE)
        if said.topic == "*":
            return any(c.topic == "*" and not c.granted for c in named) and not any(
                allowed(t, t.name, said.channel, named) for t in self.topics
            )
        # An opt-in that nobody gave is no word: leaving writes a no that outlasts a later list.
        spoken = [c for c in named if c.topic in ("*", said.topic)]
        rule = self._deps.policy.topics.get(said.topic, Topic(said.topic))
        # A STOP hides what was said of the topic, but a no said now is to outlast the START.
        about = [c for c in named if c.topic not in (STOPPED, PAUSED)]
        granted = said.what == core.GIVEN
        return bool(spoken) and allowed(rule, said.topic, said.channel, about) == granted

    def _event(
        self,
        grant: Grant,
        reader: Reader,
        said: Said,
        shown: Shown,
        yes_at: datetime | None = None,
    ) -> Event:
        now = self._deps.clock.now()
        properties: dict[str, Any] = {
            "channel": said.channel,
            "topic": said.topic,
            "source": SOURCE,
            "method": shown.method,
            "proof": {
                "url": shown.url,
                "ip": shown.ip,
                "language": shown.language,
                "version": shown.version,
                "text": said.text,
            },
        }
        if said.what == core.GIVEN and said.channel == grant.channel:
            properties["confirmed"] = True  # whoever holds the link reads what is sent there
        if yes_at is not None:
            properties["yes_at"] = yes_at.isoformat()
        if said.until is not None:
            properties["until"] = said.until.isoformat()
        # The strongest identifier alone: a second one could only merge by mistake.
        who = reader.identifiers[:1] or ("",)
        context = {REPORTER: "preferences"}
        id = f"preferences:{uuid4()}"
        return Event(id, "track", said.what, now, now, who, properties, context)

    def _write(self, connection: Any, reader: Reader, events: Sequence[Event]) -> Reader:
        if not events:
            return reader
        id = reader.profile.id
        records = [(id, record) for event in events for record in records_of(event)]
        decided = [consent for event in events for consent in core.consents_of(event)]
        consent_log.write(connection, records, self._deps.clock.now())
        profiles.write_consents(connection, [(id, consent) for consent in decided])
        if reader.identifiers:
            lane = lane_of(reader.identifiers[0])
            lines = [inbox.event_line(event, lane) for event in events]
            inbox.write(connection, lines, writer=WRITER)
        known = profiles.consents(connection, [id]).get(id, [])
        return reader._replace(consents=tuple(known))

    def _hint(self, reader: Reader, events: Sequence[Event]) -> None:
        if events and reader.identifiers:
            self._deps.hint({lane_of(reader.identifiers[0])})


def masked(reader: Reader, channel: str) -> str:
    """The shopper's address on ``channel``, enough of it for them to know it again."""
    kind = "email" if channel == "email" else "phone"
    address = reader.profile.traits.get(kind)
    if not isinstance(address, str) or not address:
        return ""
    if kind == "email":
        name, _, domain = address.rpartition("@")
        return f"{name[:1]}•••@{domain}" if name else ""
    return f"{address[:3]} ••• {address[-2:]}" if len(address) > 6 else ""
