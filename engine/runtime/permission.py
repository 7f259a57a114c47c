"""The audit of permission (P5): consent, suppression, caps and quiet hours, looked at again.

SQL names the messages that the rules of today speak against. Each is then judged by what the
gate could see when it claimed the message: a no that had not been accepted yet, a profile that
was not yet known to be the same shopper's, or an address that came later, breaks no promise.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from engine.core.consent import allowed, consents_of, stricter
from engine.core.gate import topic_of, uncapped, zone_of
from engine.core.timing import quiet_until
from engine.model.event import Event
from engine.model.policy import Policy
from engine.model.profile import Consent
from engine.runtime.evidence import Notes, Ties
from engine.store import audit as audit_store
from engine.store import permissions as store
from engine.store.database import Connection
from engine.store.permissions import Handed, OverCap


def check_permission(
    connection: Connection,
    policy: Policy,
    since: datetime | None,
    notes: Notes,
    progress: Callable[[str], None],
) -> None:
    """Count what went without permission, by the rules of ``policy``."""
    none = uncapped(policy)
    progress("messages and consent")
    opt_out = [name for name, topic in policy.topics.items() if topic.consent == "opt-out"]
    wrong = [
        f"message {found.message}"
        for found in store.without_consent(connection, none, opt_out, since)
        if not _permitted(connection, policy, found)
    ]
    notes.add("P5", "messages sent without consent", wrong)

    progress("messages and suppression")
    wrong = []
    for found in store.suppressed(connection, since):
        if _as_known(connection, found):
            wrong.append(f"message {found.message}")
        else:
            notes.unjudged += 1
    notes.add("P5", "messages sent to a blocked address", wrong)

    progress("messages and frequency caps")
    beyond: set[str] = set()
    for cap in policy.caps:
        suspects = store.over_cap(connection, cap.channel, cap.messages, cap.within, none, since)
        beyond |= {s.message for s in suspects if _known(connection, s) > cap.messages}
    notes.add("P5", "messages sent beyond a frequency cap", [f"message {id}" for id in beyond])

    progress("messages and quiet hours")
    wrong = []
    for found in _in_quiet_hours(connection, policy, none, since):
        if _as_known(connection, found):
            wrong.append(f"message {found.message}")
        else:
            notes.unjudged += 1
    notes.add("P5", "messages sent in quiet hours", wrong)


def _permitted(connection: Connection, policy: Policy, found: Handed) -> bool:
    """Whether what the gate could see of the shopper's own words permitted the message."""
    ties = Ties(connection, found.profile, found.snapshot)
    standing: dict[tuple[str, str], Consent] = {}
    for said in store.said(connection, found.profile, found.snapshot):
        if not ties.together(found.trigger_id, said.id):
            continue
        event = Event(
            id=said.id,
            kind=said.kind,
            name=said.name,
            time=said.time,
            received_at=said.received_at,
            identifiers=tuple(said.identifiers),
            properties=said.properties,
            context=said.context,
        )
        for consent in consents_of(event):
            place = (consent.channel, consent.topic)
            known = standing.get(place)
            standing[place] = consent if known is None else stricter(known, consent)
    return allowed(topic_of(policy, found.topic), found.topic, found.channel, standing.values())


def _known(connection: Connection, found: OverCap) -> int:
    """How many of the messages in the window were known to be this shopper's."""
    ties = Ties(connection, found.profile, found.snapshot)
    return sum(ties.together(found.trigger_id, other) for other in found.others)


def _in_quiet_hours(
    connection: Connection, policy: Policy, none: list[str], since: datetime | None
) -> list[Handed]:
    inside = []
    for found in store.on_channels(connection, list(policy.quiet_hours), none, since):
        quiet = policy.quiet_hours[found.channel]
        if quiet_until(found.claimed_at, quiet, zone_of(found.traits, policy)) is not None:
            inside.append(found)
    return inside


def _as_known(connection: Connection, found: Handed) -> bool:
    """Whether address and time zone of the shopper are those that the gate knew: all events
    that may have told us were there for it to see, and known to be this shopper's."""
    ties = Ties(connection, found.profile, found.snapshot)
    seen = {id for id, _ in audit_store.seen_events(connection, found.profile, found.snapshot)}
    return all(
        id in seen and ties.together(found.trigger_id, id)
        for id in store.taught(connection, found.profile)
    )
