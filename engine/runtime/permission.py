"""The audit of permission (P5): consent, suppression, caps and quiet hours, looked at again.

SQL names the messages that the rules of today speak against. Each is then judged by what the
gate could see when it claimed the message: a no that had not been accepted yet, a profile that
was not yet known to be the same shopper's, or an address that came later, breaks no promise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from engine.core.consent import consents_of, refusal, stricter
from engine.core.gate import topic_of, uncapped
from engine.core.law import closed, limits, rules_for
from engine.core.refusals import meaning
from engine.core.zones import whereabouts
from engine.model.event import Event
from engine.model.policy import Policy
from engine.model.profile import Consent
from engine.runtime.evidence import Notes, Ties
from engine.store import audit as audit_store
from engine.store import permissions as store
from engine.store import retention as retention_store
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
    double = [name for name, topic in policy.topics.items() if topic.consent == "double opt-in"]
    wrong = []
    for found in store.without_consent(connection, none, opt_out, double, since):
        if _beyond_log(connection, found):
            notes.unjudged += 1
        elif not _permitted(connection, policy, found):
            wrong.append(f"message {found.message}")
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
        suspects = store.over_cap(connection, cap, none, since)
        beyond |= {s.message for s in suspects if _known(connection, s) > cap.messages}
    notes.add("P5", "messages sent beyond a frequency cap", [f"message {id}" for id in beyond])

    progress("messages and quiet hours")
    untimely: dict[str, list[str]] = {}
    for found, code in _closed(connection, policy, since):
        if _as_known(connection, found):
            untimely.setdefault(code, []).append(f"message {found.message}")
        else:
            notes.unjudged += 1
    for code, messages in sorted(untimely.items()):
        notes.add("P5", f"messages sent in {meaning(code)}", messages)


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
    topic, words = topic_of(policy, found.topic), standing.values()
    return not refusal(topic, found.topic, found.channel, words, found.claimed_at)


def _known(connection: Connection, found: OverCap) -> int:
    """How many of the messages in the window were known to be this shopper's."""
    ties = Ties(connection, found.profile, found.snapshot)
    return sum(ties.together(found.trigger_id, other) for other in found.others)


def _closed(
    connection: Connection, policy: Policy, since: datetime | None
) -> Iterator[tuple[Handed, str]]:
    """The messages that went when their shopper's hours, or a country's, did not let them, each
    with the code of what was against it."""
    shop, rules = policy.shop, policy.rules
    channels = {*policy.quiet_hours, *(channel for rule in rules for channel in rule.channels)}
    free = uncapped(policy) if all(rule.promotions for rule in rules) else []
    for found in store.on_channels(connection, sorted(channels), free, since):
        promotion = topic_of(policy, found.topic).consent != "none"
        under = rules_for(rules, found.channel, found.traits, shop.country)
        hours = limits(policy.quiet_hours.get(found.channel), promotion, under)
        zones = whereabouts(found.traits, shop.timezone).zones
        shut = closed(hours, zones, found.claimed_at) if hours else None
        if shut is not None:
            yield found, shut.code


def _as_known(connection: Connection, found: Handed) -> bool:
    """Whether address and time zone of the shopper are those that the gate knew: all events
    that may have told us were there for it to see, and known to be this shopper's."""
    if _beyond_log(connection, found):
        return False
    ties = Ties(connection, found.profile, found.snapshot)
    seen = {id for id, _ in audit_store.seen_events(connection, found.profile, found.snapshot)}
    return all(
        id in seen and ties.together(found.trigger_id, id)
        for id in store.taught(connection, found.profile)
    )


def _beyond_log(connection: Connection, found: Handed) -> bool:
    """Whether the message is of a time of which the shopper's log is not whole any more."""
    since = retention_store.whole_since(connection, found.profile)
    return since is not None and found.claimed_at < since
