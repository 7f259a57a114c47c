"""What shoppers permit, worked out the slow way: every word ever said, looked through from the
start. It knows nothing of rows, joins and confirmations' places in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from engine.model.policy import Topic

TOPICS = {
    "offers": Topic("offers", consent="double opt-in"),
    "news": Topic("news", consent="opt-in"),
    "deals": Topic("deals", consent="opt-out"),
    "orders": Topic("orders", consent="none"),
}
CHANNELS = ("email", "sms")


class Word(NamedTuple):
    """Something said at ``time`` (minutes): yes, no, confirm (of the yes at ``of``), sure (a yes
    that is confirmed from the start), stop, start, pause (until ``of``), resume."""

    time: int
    what: str
    channel: str
    topic: str = "*"
    of: int = 0


class Base(NamedTuple):
    """What two shoppers' words came to when they turned out to be one: (yes at, no at, confirmed
    yes at) of a topic; None where nothing was said."""

    yes: int | None
    no: int | None
    confirmed: int | None


@dataclass
class Person:
    """Words since the last merge, and what was before by (channel, topic)."""

    words: list[Word] = field(default_factory=list)
    before: dict[tuple[str, str], Base] = field(default_factory=dict)
    stopped_before: set[str] = field(default_factory=set)
    paused_before: dict[str, int] = field(default_factory=dict)

    def state(self, channel: str, topic: str) -> Base:
        said = [w for w in self.words if w.channel == channel and w.topic in ("*", topic)]
        old = self.before.get((channel, topic), Base(None, None, None))
        yeses = [w.time for w in said if w.what in ("yes", "sure")]
        yeses += [w.of for w in said if w.what == "confirm"]
        noes = [w.time for w in said if w.what == "no"]
        sure = [w.time for w in said if w.what == "sure"]
        sure += [w.of for w in said if w.what == "confirm"]
        return Base(
            *(_latest(had, more) for had, more in zip(old, (yeses, noes, sure), strict=True))
        )

    def says(self, channel: str, topic: str) -> str:
        """yes, no, pending, or silent."""
        yes, no, confirmed = self.state(channel, topic)
        if yes is None and no is None:
            return "silent"
        if yes is None or (no is not None and no >= yes):
            return "no"
        if TOPICS[topic].consent != "double opt-in":
            return "yes"
        sure = confirmed is not None and (no is None or confirmed > no)
        return "yes" if sure else "pending"

    def stopped(self, channel: str) -> bool:
        last = max(
            ((w.time, w.what == "stop") for w in self.words
             if w.what in ("stop", "start") and w.channel == channel),
            default=None,
        )  # fmt: skip
        return channel in self.stopped_before if last is None else last[1]

    def paused(self, channel: str, now: int) -> bool:
        last = max(
            ((w.time, w.what == "pause", w.of) for w in self.words
             if w.what in ("pause", "resume") and w.channel == channel),
            default=None,
        )  # fmt: skip
        end = self.paused_before.get(channel, 0) if last is None else last[2] * last[1]
        return now < end

    def permits(self, channel: str, topic: str, now: int) -> bool:
        kind = TOPICS[topic].consent
        if kind == "none":
            return True
        if self.stopped(channel) or self.paused(channel, now):
            return False
        answer = self.says(channel, topic)
        return answer == "yes" or (answer == "silent" and kind == "opt-out")


def one_of(mine: Person, theirs: Person) -> Person:
    """Two shoppers that are one: of each topic the stricter answer, whenever it was given."""
    whole = Person()
    for channel in CHANNELS:
        if mine.stopped(channel) or theirs.stopped(channel):
            whole.stopped_before.add(channel)
        whole.paused_before[channel] = max(
            side.paused(channel, -1) and _end(side, channel) for side in (mine, theirs)
        )
        for topic in TOPICS:
            states = [side.state(channel, topic) for side in (mine, theirs)]
            answers = [side.says(channel, topic) for side in (mine, theirs)]
            yes = _latest(None, [s.yes for s in states if s.yes is not None])
            no = _latest(None, [s.no for s in states if s.no is not None])
            confirmed = _latest(None, [s.confirmed for s in states if s.confirmed is not None])
            if "no" in answers:
                no = _latest(no, [yes] if yes is not None else [])
                yes = confirmed = None
            if "pending" in answers:
                confirmed = None
            whole.before[channel, topic] = Base(yes, no, confirmed)
    return whole


def _end(person: Person, channel: str) -> int:
    pauses = [w for w in person.words if w.what == "pause" and w.channel == channel]
    return max(pauses).of if pauses else person.paused_before.get(channel, 0)


def _latest(had: int | None, more: list[int]) -> int | None:
    return max([*more, *([] if had is None else [had])], default=None)
