"""The gate: the only way to a provider.

In one transaction, for a handful of messages whose senders stand ready: lock the shoppers,
re-read runs, consent, suppression, caps; judge (engine.core.gate); claim, unless the inbox holds
anything of the shopper, which is asked in the claiming statement itself. What is claimed goes
onto the wire at once, so what a purchase can no longer stop is the call that is already being
made (P3, P4, P5).

Not pure, on purpose: two workers can only be kept from both seeing "one left" by the lock on
the profile that both must take.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from engine.core.gate import Verdict, judge, uncapped
from engine.core.refusals import MEANINGS, UNREADABLE
from engine.model.message import Sent
from engine.model.policy import Policy
from engine.runtime.shell import Shell
from engine.store import claims as claims_store
from engine.store import messages as messages_store
from engine.store import profiles as profiles_store
from engine.store import refusals as refusals_store
from engine.store import runs as runs_store
from engine.store.claims import NOBODY, Carrier
from engine.store.database import Connection
from engine.store.messages import EVERYTHING, Candidate, Look
from engine.store.refusals import Refusal

NO_CARRIERS: Mapping[str, Carrier] = {}


def claim(
    shell: Shell, candidates: list[Candidate], carriers: Mapping[str, Carrier] = NO_CARRIERS
) -> dict[str, int]:
    """Claim those of ``candidates`` that may go now: message id -> attempt number. Writes down
    the refusals and the waits. What another worker holds, what has an event in the inbox, or what
    is paused simply stays due. ``carriers`` says by message id who is to carry it."""
    with shell.database.probing() as connection:
        return claim_within(connection, shell, candidates, carriers)


def claim_within(
    connection: Connection,
    shell: Shell,
    candidates: list[Candidate],
    carriers: Mapping[str, Carrier] = NO_CARRIERS,
    look: Look = EVERYTHING,
) -> dict[str, int]:
    """The same within the caller's transaction. ``look``: what cannot go just now."""
    now = shell.clock.now()
    free = profiles_store.lock_free(connection, {c.message.profile_id for c in candidates})
    mine = [c for c in candidates if c.message.profile_id in free]
    if not mine:
        return {}
    ids = list(free)
    moment = None if shell.exact else now
    standing = messages_store.lock_due(connection, ids, [c.message.id for c in mine], moment, look)
    fallen = [c.message.id for c in mine if c.message.id not in standing]
    if fallen:
        messages_store.cancel_stopped(connection, ids, fallen, now)
    mine = [c for c in mine if c.message.id in standing]
    if not mine:
        return {}
    go, refused = _judge(connection, shell, mine, now)
    if refused:
        refusals_store.refuse(connection, refused, now)
        runs_store.release(connection, ids, [c.message.enrollment_id for c in mine])
    if not go:
        return {}
    claims = [(c.message.profile_id, c.message.id, carriers.get(c.message.id, NOBODY)) for c in go]
    bases = {name: topic.lawful_basis for name, topic in shell.policy().topics.items()}
    return claims_store.claim(connection, claims, None if shell.exact else now, bases)


#: Without the journey's stops nobody can say that the purchase has not come (P3).
_UNSTOPPABLE = Verdict("skip", MEANINGS[UNREADABLE], code=UNREADABLE)


def _judge(
    connection: Connection,
    shell: Shell,
    candidates: list[Candidate],
    now: datetime,
) -> tuple[list[Candidate], list[Refusal]]:
    policy = shell.policy()
    ids = list({c.message.profile_id for c in candidates})
    consents = profiles_store.consents(connection, ids)
    blocked = messages_store.suppressed(connection, list(filter(None, map(address, candidates))))
    free = uncapped(policy)
    earliest = min(c.message.due_at for c in candidates) if shell.exact else now
    sent = _sent(connection, policy, ids, free, earliest)
    unread = _unread(shell, candidates)
    go: list[Candidate] = []
    refused: list[Refusal] = []
    for candidate in sorted(candidates, key=_rank):
        message = candidate.message
        if shell.exact:
            now = message.due_at
        why = blocked.get((address(candidate), message.channel), "")
        history = sent.setdefault(message.profile_id, [])
        if (message.journey, message.version) in unread:
            verdict = _UNSTOPPABLE
        else:
            verdict = judge(
                message,
                policy,
                candidate.profile.traits,
                consents.get(message.profile_id, ()),
                why,
                history,
                now,
                bare=shell.bare,
            )
        if verdict.action == "send":
            go.append(candidate)
            if message.topic not in free:
                # The next one of this batch counts it.
                history.append(Sent(message.channel, message.topic, now))
        else:
            status = "due" if verdict.action == "wait" else "skipped"
            refused.append(
                Refusal(
                    message.profile_id,
                    message.id,
                    status,
                    verdict.reason,
                    verdict.until,
                    verdict.expires,
                    verdict.code,
                    now,
                )
            )
    return go, refused


def _rank(candidate: Candidate) -> tuple[int, datetime, str]:
    """For the last slot of a cap: the higher priority first, then who has been due for longer."""
    message = candidate.message
    return -message.priority, message.due_at, message.id


def _unread(shell: Shell, candidates: list[Candidate]) -> set[tuple[str, str]]:
    """The (journey, version)s of ``candidates`` that no longer load."""
    needed = {(c.message.journey, c.message.version) for c in candidates}
    missing = needed - shell.book().versions.keys()
    return missing - shell.book(missing).versions.keys() if missing else missing


def _sent(
    connection: Connection, policy: Policy, ids: list[int], free: list[str], now: datetime
) -> dict[int, list[Sent]]:
    if not policy.caps:
        return {}
    longest = max(cap.within for cap in policy.caps)
    return messages_store.sent_since(connection, ids, now - longest, free)


def address(candidate: Candidate) -> str:
    """Where the message would go, as suppression knows it (``email:…``, ``phone:…``); "" when
    the shopper has no address for its channel. A webhook goes to its own URL."""
    if candidate.message.channel == "webhook":
        return f"webhook:{candidate.message.template}"
    kind = "email" if candidate.message.channel == "email" else "phone"
    value = candidate.profile.traits.get(kind)
    return f"{kind}:{value}" if value else ""
