"""What a drain does about consent beside the shopper's own rows: the proof of each decision, the
numbers that STOP blocks, the question whether a yes was meant (double opt-in), and its answer by
keyword."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from engine.core import keywords
from engine.core.consent import CONFIRMED, EVER, PENDING, answer_of
from engine.core.emitted import OURS
from engine.core.keywords import confirming
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
from engine.store import questions as questions_store
from engine.store import versions as versions_store
from engine.store.database import Connection
from engine.store.questions import Question

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


def confirm(
    shell: Shell,
    connection: Connection,
    events: Mapping[int, Sequence[Event]],
    now: datetime,
    writer: str,
) -> int:
    """Put "Consent Confirmed" into the inbox for each yes that was asked about by a message to the
    number which now answered by keyword. Gives how many.

    Nothing where no question went to that number, where it was about an older yes than the last no,
    or where the answer comes later than the topic's ``confirm within``.
    """
    replies = {id: [e for e in mine if confirming(e)] for id, mine in events.items()}
    replies = {id: mine for id, mine in replies.items() if mine}
    topics = _double(shell) if replies else []
    if not topics:
        return 0
    profiles = versions_store.profiles(connection, sorted(replies))
    known = profiles_store.consents(connection, sorted(replies))
    asked = questions_store.handed(connection, sorted(replies), _ASKED)
    made: dict[tuple[int, str, str], Event] = {}
    for id, mine in replies.items():
        traits = profiles[id].traits if id in profiles else {}
        for reply in mine:
            if f"phone:{traits.get('phone')}" not in reply.identifiers:
                continue  # another number of theirs: the question went to this one
            for yes in known.get(id, ()):
                about = [q for q in asked if q.profile == id and q.handed_at <= reply.time]
                if _waits(yes, reply, about, known[id], topics):
                    place = (id, yes.channel, yes.topic)
                    made.setdefault(place, _answer(yes, reply, now))
    if made:
        lines = [inbox_store.event_line(event, lane_of(event.sender)) for event in made.values()]
        inbox_store.write(connection, lines, writer=writer)
    return len(made)


def _waits(
    yes: Consent,
    reply: Event,
    asked: Iterable[Question],
    known: Sequence[Consent],
    topics: Sequence[Topic],
) -> bool:
    """Whether ``reply`` answers a question about this yes, and in time."""
    if yes.topic in _APART or not yes.granted or yes.channel != reply.properties.get("channel"):
        return False
    if _pending(yes, known, topics) is None:
        return False
    within = max(topic.confirm_within for topic in topics if yes.topic in ("*", topic.name))
    if not yes.at <= reply.time <= yes.at + within:
        return False
    about = f":{yes.channel}:{yes.topic}:{_after(yes)}:"
    return any(about in question.event_id for question in asked)


def _answer(yes: Consent, reply: Event, now: datetime) -> Event:
    said = reply.properties
    properties = {
        "channel": yes.channel,
        "topic": yes.topic,
        "yes_at": yes.at.isoformat(),
        "method": "reply",
        "source": f"{yes.channel} reply",
        "proof": {
            "keyword": str(said.get("keyword") or said.get("body") or ""),
            "sender": str(said.get("sender") or said.get("to") or ""),
            "language": str(said.get("language") or ""),
        },
    }
    id = f"confirmed:{reply.id}:{yes.channel}:{yes.topic}"
    number = next(name for name in reply.identifiers if name.startswith("phone:"))
    return Event(id, "track", CONFIRMED, reply.time, now, (number,), properties, OURS)


def _after(yes: Consent) -> int:
    """Which no the yes came after: part of the id of its question."""
    return int((yes.denied_at or EVER).timestamp())


_APART = (STOPPED, PAUSED)
_ASKED = "pending:"


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
    said = {"channel": channel, "topic": topic, "yes_at": yes.at.isoformat()}
    id = f"{_ASKED}{profile}:{channel}:{topic}:{_after(yes)}:{now:%Y-%m-%d}"
    return Event(id, "track", PENDING, now, now, (sender,), said, OURS)
