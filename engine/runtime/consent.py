"""What a drain does about consent beside the shopper's own rows: the proof of each decision, the
numbers that STOP blocks, and the question whether a yes was meant (double opt-in)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from engine.core import keywords
from engine.core.consent import EVER, PENDING, answer_of
from engine.core.emitted import OURS
from engine.core.proof import records_of
from engine.core.shopper import Shopper
from engine.errors import ConfigError
from engine.intake.lanes import lane_of
from engine.model.event import Event
from engine.model.policy import Policy, Topic
from engine.model.profile import PAUSED, STOPPED, Consent
from engine.runtime.shell import Shell
from engine.store import consent_log
from engine.store import holds as holds_store
from engine.store import identities as identities_store
from engine.store import inbox as inbox_store
from engine.store import profiles as profiles_store
from engine.store.database import Connection

log = logging.getLogger(__name__)


def keep_proof(
    connection: Connection,
    worked: Iterable[Shopper],
    events: Mapping[int, Sequence[Event]],
    now: datetime,
) -> None:
    """Log every decision of ``worked``, before what it comes to is written."""
    records = [
        (shopper.profile.id, record)
        for shopper in worked
        if shopper.outcome.consents
        for event in events.get(shopper.profile.id, ())
        for record in records_of(event)
    ]
    if records:
        consent_log.write(connection, records, now)


def hold(connection: Connection, events: Sequence[Event], now: datetime) -> None:
    """Block the numbers that sent STOP, whoever shares them; let those go that sent START."""
    found = keywords.holds(events)
    stopped = [(each.address, each.channel) for each in found if each.stopped]
    started = [(each.address, each.channel) for each in found if not each.stopped]
    if stopped:
        holds_store.stop(connection, stopped, now)
    if started:
        holds_store.start(connection, started)


class _Yes(NamedTuple):
    profile: int
    consent: Consent


def ask(
    shell: Shell, connection: Connection, worked: Iterable[Shopper], now: datetime, writer: str
) -> int:
    """Put "Consent Pending" into the inbox for each yes of ``worked`` that its address has yet to
    confirm: what the journey that asks for it begins with. Gives how many.

    A storefront may repeat its yes with every visit: its day and the no before it are in the id, so
    the question is asked once a day at most, and again after each no.
    """
    yeses = [
        _Yes(shopper.profile.id, consent)
        for shopper in worked
        for consent in shopper.outcome.consents
        if consent.granted and consent.confirmed_at is None and consent.topic not in _APART
    ]
    topics = _double(shell) if yeses else []
    yeses = [yes for yes in yeses if any(yes.consent.topic in ("*", t.name) for t in topics)]
    if not yeses:
        return 0
    known = profiles_store.consents(connection, sorted({yes.profile for yes in yeses}))
    waiting = {
        (yes.profile, yes.consent.channel, yes.consent.topic): found
        for yes in yeses
        if (found := _pending(yes.consent, known.get(yes.profile, ()), topics)) is not None
    }
    names = identities_store.strongest(connection, {place[0] for place in waiting})
    events = [
        _question(place, consent, names[place[0]], now)
        for place, consent in waiting.items()
        if place[0] in names
    ]
    if events:
        lines = [inbox_store.event_line(event, lane_of(event.sender)) for event in events]
        inbox_store.write(connection, lines, writer=writer)
    return len(events)


_APART = (STOPPED, PAUSED)


def _double(shell: Shell) -> list[Topic]:
    try:
        policy: Policy = shell.policy()
    except ConfigError as error:
        # Nothing is sent meanwhile, the question neither; their next visit asks it.
        log.error("nobody is asked to confirm: %s", error)
        return []
    return [topic for topic in policy.topics.values() if topic.consent == "double opt-in"]


def _pending(yes: Consent, known: Sequence[Consent], topics: Sequence[Topic]) -> Consent | None:
    """The yes as it stands, if what it is about waits for its confirmation."""
    about = [topic for topic in topics if yes.topic in ("*", topic.name)]
    if not any(answer_of(topic, topic.name, yes.channel, known) == "pending" for topic in about):
        return None
    place = (yes.channel, yes.topic)
    return next((c for c in known if (c.channel, c.topic) == place and c.granted), None)


def _question(place: tuple[int, str, str], yes: Consent, sender: str, now: datetime) -> Event:
    profile, channel, topic = place
    after = int((yes.denied_at or EVER).timestamp())
    said = {"channel": channel, "topic": topic, "yes_at": yes.at.isoformat()}
    id = f"pending:{profile}:{channel}:{topic}:{after}:{now:%Y-%m-%d}"
    return Event(id, "track", PENDING, now, now, (sender,), said, OURS)
