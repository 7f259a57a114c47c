"""Which provider carries a message, and when one that is in trouble is left alone. Pure.

A provider is in trouble where it, or our account there, is at fault, rather than a message: then
nothing more is handed to it, and no message loses a try. After a while a single message is the
probe. If it goes through, all go again; if not, the next pause is longer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from engine.errors import Fault
from engine.model.message import Message

#: Minutes of real time until the next probe, after so many that failed.
_PAUSES = (1, 5, 15, 30, 60)
#: After so many calls in a row that could not be made, or were never answered, it is away.
AWAY_AFTER = 5


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why nothing goes to a provider until ``until``. Where the ``kind`` is ``busy`` all may go
    then, else one message as a probe. ``probes`` have failed."""

    kind: Literal["account", "away", "busy"]
    reason: str
    since: datetime
    until: datetime
    probes: int = 0

    def over(self, now: datetime) -> bool:
        """Whether it ends by itself, and has."""
        return self.kind == "busy" and self.until <= now


def pause_before_probe(probes: int) -> timedelta:
    """How long a provider is left alone after ``probes`` that failed, in real time."""
    return timedelta(minutes=_PAUSES[min(probes, len(_PAUSES) - 1)])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call said of its provider. ``unknown``: no answer came."""

    provider: str
    fault: Fault
    unknown: bool = False
    reason: str = ""
    retry_after: timedelta | None = None


class Breaker:
    """Counts, of what one worker is answered, the failures in a row that no message caused."""

    def __init__(self) -> None:
        self._failed: dict[str, int] = {}

    def judge(self, outcome: Outcome) -> Fault:
        """The trouble that the provider is in after this; "" if none.

        One unanswered call is bad luck. Many are a provider that is down, and each leaves a
        message of which nobody knows whether it went.
        """
        if outcome.fault in ("account", "busy"):
            return outcome.fault
        if not (outcome.unknown or outcome.fault):
            self._failed.pop(outcome.provider, None)
            return ""
        failed = self._failed.get(outcome.provider, 0) + 1
        self._failed[outcome.provider] = 0 if failed >= AWAY_AFTER else failed
        return "away" if failed >= AWAY_AFTER else ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand. ``paused``: providers paused by somebody or by themselves -> whether
    others may stand in; ``probing``: those that this worker may try with one message."""

    troubles: Mapping[str, Trouble]
    paused: Mapping[str, bool]
    probing: Collection[str] = ()


def choose(order: Sequence[str], standing: Standing, only: str = "") -> str | None:
    """The provider that carries the next message, None where it must wait. ``order``: the
    channel's own first, then who stands in. ``only``: no other may have it.

    Others stand in for one that is paused or does not work. They do not for one that wants us to
    slow down, nor for one that paused itself over complaints: the same mail from elsewhere would
    be no better.
    """
    for name in order:
        if only and name != only:
            continue
        trouble = standing.troubles.get(name)
        if name in standing.paused:
            if not standing.paused[name]:
                return None
        elif trouble is None or name in standing.probing:
            return name
        elif trouble.kind == "busy":
            return None
    return None


def bound_to(message: Message) -> str:
    """The one provider that may carry this message, "" where any may.

    A step with ``on_unknown: retry`` takes the risk that its message comes twice, but another
    provider cannot know what the first has done: after a try it stays where it was (P4).
    """
    return message.provider if message.attempts and message.on_unknown == "retry" else ""


#: Minutes of real time between two looks for a message that nobody knows about.
_LOOKS = (1, 5, 15, 60, 360)
#: It is not looked up more often.
MAX_LOOKS = len(_LOOKS)
#: A provider that has a message lists it by then, in real time.
LISTED_AFTER = timedelta(minutes=10)


def pause_before_look(looks: int) -> timedelta:
    """How long to wait after the call, or after so many looks, in real time."""
    return timedelta(minutes=_LOOKS[min(looks, MAX_LOOKS - 1)])


Fate = Literal["sent", "failed", "due", "unknown"]


def fate(
    found: Literal["sent", "failed", "absent", "unsure"],
    age: timedelta,
    looks: int,
    listed_after: timedelta = LISTED_AFTER,
) -> Fate:
    """What becomes of a message of unknown outcome that was looked up for the ``looks``-th time,
    ``age`` (real time) after it was handed over.

    That it is absent counts as proof only the second time, and late enough that a slow list
    cannot be the reason; the provider answers for having looked everywhere (P4).
    """
    if found in ("sent", "failed"):
        return found
    return "due" if found == "absent" and looks >= 2 and age >= listed_after else "unknown"


#: By provider where a person finds out whether it has a message; ``{id}`` is ours.
_WHERE = {
    "sendgrid": "look in its Activity for the unique argument winback_message = {id}",
    "twilio": "look in its message log for the number and the day",
    "smtp": "look in the mail server's log for the Message-ID {id}",
}


def closing_words(waited: str) -> dict[str, str]:
    """By provider (under "" for all others) why a message is closed without an answer, and what
    a person can do; ``{id}`` stands for the message's id."""
    return {
        provider: f"nobody has told for {waited} whether {provider or 'its provider'} has it: {how}"
        for provider, how in {**_WHERE, "": "ask there"}.items()
    }
