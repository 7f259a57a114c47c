"""What shoppers agree to: what an event says of it, and what all that was said comes to.

Decisions about one channel and topic form a semilattice: ``stricter`` may be told them in any
order and any number of times and ends with the same answer, so late and doubled events need no
care (P5, P6). What a shop sends is what the shopper is said to have said; that the owner of the
address confirmed it only Winback's own pages, a provider or an import can tell, for the write
key stands in every page of the shop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from engine.core.receipts import REPORTER
from engine.model.event import Event
from engine.model.policy import Topic
from engine.model.profile import PAUSED, STOPPED, Consent

GIVEN = "Consent Given"
CONFIRMED = "Consent Confirmed"
WITHDRAWN = "Consent Withdrawn"
PAUSE = "Consent Paused"
RESUME = "Consent Resumed"
#: A yes that waits for its confirmation; Winback makes it, and it starts the confirming journey.
PENDING = "Consent Pending"

_GRANTS = {GIVEN: True, CONFIRMED: True, WITHDRAWN: False, PAUSE: False, RESUME: True}

#: When a yes counts that merely comes along with every event (traits of its context): from ever
#: on, so that any no, however old, is the later word. A storefront repeats for years what it once
#: stored, long after the shopper has left by a link in a mail.
EVER = datetime(1970, 1, 1, tzinfo=UTC)

Answer = Literal["yes", "no", "pending", "stopped", "silent"]


def consents_of(event: Event) -> Iterable[Consent]:
    """The decisions about consent that ``event`` carries.

    Identify: ``consent: {"email": true, "sms": {"offers": false}}`` among the traits (of the
    call or its context). Track: "Consent Given" / "Consent Withdrawn" with ``channel`` and
    ``topic`` ("*" or none: every topic); from Winback's own pages, from providers and imports
    also "Consent Confirmed" (with ``yes_at``, the time of the yes), "Consent Paused" (with
    ``until``), "Consent Resumed", words by keyword, and a yes that is ``confirmed`` from the start.
    """
    if event.name in _GRANTS:
        found = _told(event)
        return () if found is None else (found,)
    identify = event.kind == "identify"
    traits = event.properties if identify else event.context.get("traits")
    given = traits.get("consent") if isinstance(traits, dict) else None
    return _stated(event, given, identify) if isinstance(given, dict) else ()


def _stated(event: Event, given: dict[str, Any], identify: bool) -> Iterator[Consent]:
    for channel, answer in given.items():
        answers = answer if isinstance(answer, dict) else {"*": answer}
        for topic, granted in answers.items():
            if not isinstance(granted, bool) or topic in (STOPPED, PAUSED):
                continue
            at = event.time if identify or not granted else EVER
            source = "identify" if identify else "traits"
            yield Consent(str(channel), str(topic), granted, at, source)


def _told(event: Event) -> Consent | None:
    said = event.properties
    channel = said.get("channel")
    if not isinstance(channel, str) or not channel:
        return None
    topic, until = str(said.get("topic") or "*"), None
    trusted = REPORTER in event.context
    if event.name not in (GIVEN, WITHDRAWN) and not trusted:
        return None
    if event.name in (PAUSE, RESUME):
        topic = PAUSED
        until = _moment(said.get("until")) if event.name == PAUSE else None
        if event.name == PAUSE and until is None:
            return None
    elif trusted and said.get("method") == "keyword":
        topic = STOPPED
    elif topic in (STOPPED, PAUSED):
        return None
    source = str(said.get("source") or event.name)
    if event.name == CONFIRMED:
        # It says nothing new, and so undoes no no that came between the yes and it.
        at = _moment(said.get("yes_at"))
        return None if at is None else Consent(channel, topic, True, at, source, confirmed_at=at)
    sure = trusted and event.name == GIVEN and said.get("confirmed") is True
    confirmed = event.time if sure and topic != STOPPED else None
    granted = _GRANTS[event.name]
    return Consent(channel, topic, granted, event.time, source, confirmed, until=until)


def _moment(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def stricter(one: Consent, other: Consent) -> Consent:
    """What two decisions about the same channel and topic by the same shopper come to: the
    later; at the same time, the no (P5). A confirmation is worth nothing after a later no."""
    best = max(one, other, key=_rank)
    if not best.granted:
        return best
    denied = _latest(_denied(one), _denied(other))
    confirmed = _latest(one.confirmed_at, other.confirmed_at)
    if (denied, confirmed) == (best.denied_at, best.confirmed_at):
        return best
    return msgspec.structs.replace(best, denied_at=denied, confirmed_at=confirmed)


def _rank(consent: Consent) -> tuple[datetime, bool, datetime, str]:
    return (consent.at, not consent.granted, consent.until or EVER, consent.source)


def _denied(consent: Consent) -> datetime | None:
    return consent.denied_at if consent.granted else consent.at


def _latest(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return max(one, other)


def answer_of(topic: Topic, name: str, channel: str, consents: Iterable[Consent]) -> Answer:
    """What the shopper says to ``topic`` on ``channel``: the latest decision about the topic or
    about the whole channel stands; at the same time, the no. A STOP outdoes all of them.
    ``pending``: a yes to a double opt-in that its address has not confirmed since the last no."""
    best: Consent | None = None
    denied: datetime | None = None
    confirmed: datetime | None = None
    for consent in consents:
        if consent.channel != channel:
            continue
        if consent.topic == STOPPED and not consent.granted:
            return "stopped"
        if consent.topic not in ("*", name):
            continue
        denied = _latest(denied, _denied(consent))
        confirmed = _latest(confirmed, consent.confirmed_at)
        if best is None or (consent.at, not consent.granted) > (best.at, not best.granted):
            best = consent
    if best is None:
        return "silent"
    if not best.granted:
        return "no"
    if topic.consent != "double opt-in":
        return "yes"
    return "yes" if confirmed and (denied is None or confirmed > denied) else "pending"


def allowed(topic: Topic, name: str, channel: str, consents: Iterable[Consent]) -> bool:
    """Whether the shopper permits ``topic`` on ``channel``, pauses left aside."""
    if topic.consent == "none":
        return True
    answer = answer_of(topic, name, channel, consents)
    return answer == "yes" or (answer == "silent" and topic.consent == "opt-out")


def paused_until(channel: str, consents: Iterable[Consent]) -> datetime | None:
    """The end of the pause that the shopper asked for on ``channel``; None where there is none."""
    for consent in consents:
        if consent.topic == PAUSED and consent.channel == channel and not consent.granted:
            return consent.until
    return None


def refusal(
    topic: Topic, name: str, channel: str, consents: Iterable[Consent], now: datetime
) -> str:
    """Why the shopper does not permit ``topic`` on ``channel`` at ``now``; "" if they do."""
    if topic.consent == "none":
        return ""
    known = list(consents)
    if not allowed(topic, name, channel, known):
        pending = answer_of(topic, name, channel, known) == "pending"
        return f"no consent for {channel} {name}{': not confirmed yet' if pending else ''}"
    end = paused_until(channel, known)
    return f"paused by the shopper on {channel}" if end is not None and now < end else ""


def merged_consents(one: Iterable[Consent], other: Iterable[Consent]) -> list[Consent]:
    """Consents of two profiles that turn out to be one shopper: the stricter wins, whenever it
    was given, for we cannot know that the yes was meant for the other's address. A no to a whole
    channel is a no to each of its topics; a yes that only one of them confirmed is not."""
    mine, theirs = _by_place(one), _by_place(other)
    return [_merged(place, mine, theirs) for place in dict.fromkeys((*mine, *theirs))]


_Place = tuple[str, str]

_DOUBLE = Topic("", consent="double opt-in")


def _by_place(consents: Iterable[Consent]) -> dict[_Place, Consent]:
    found: dict[_Place, Consent] = {}
    for consent in consents:
        place = (consent.channel, consent.topic)
        known = found.get(place)
        found[place] = consent if known is None else stricter(known, consent)
    return found


def _merged(
    place: _Place, mine: Mapping[_Place, Consent], theirs: Mapping[_Place, Consent]
) -> Consent:
    words = [word for side in (mine, theirs) if (word := _word(place, side)) is not None]
    noes = [word for word in words if not word.granted]
    if noes:
        no = max(noes, key=_rank)
        ends = [word.until for word in noes if word.until is not None]
        # A no to a topic is as late as all that it outdoes, a yes to the whole channel among it.
        # One to the channel is not: the topics that both sides say yes to have theirs after it.
        at = no.at if place[1] == "*" else max(word.at for word in words)
        return Consent(*place, False, at, no.source, until=max(ends, default=None))
    own = [side[place] for side in (mine, theirs) if place in side]
    kept = own[0] if len(own) == 1 else stricter(own[0], own[1])
    if kept.confirmed_at and any(_unconfirmed(place, side) for side in (mine, theirs)):
        kept = msgspec.structs.replace(kept, confirmed_at=None)
    return kept


def _word(place: _Place, side: Mapping[_Place, Consent]) -> Consent | None:
    """What one of them says about a topic: to it, or to the whole channel."""
    channel, topic = place
    own = side.get(place)
    whole = side.get((channel, "*")) if topic not in (STOPPED, PAUSED) else None
    if own is None or whole is None:
        return own or whole
    later = (whole.at, not whole.granted) > (own.at, not own.granted)
    return msgspec.structs.replace(whole, topic=topic) if later else own


def _unconfirmed(place: _Place, side: Mapping[_Place, Consent]) -> bool:
    """Whether there is a yes to the topic, or to one of the whole channel's, that its address
    has not confirmed."""
    channel, topic = place
    named = [c for c in side.values() if c.channel == channel and c.topic not in (STOPPED, PAUSED)]
    asked = [topic] if topic != "*" else [c.topic for c in named]
    return any(answer_of(_DOUBLE, each, channel, named) == "pending" for each in asked)
