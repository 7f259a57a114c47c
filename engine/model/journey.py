"""A journey as the core runs it: compiled, flat, every condition ready to call.

The language room builds these from YAML. A step is addressed by its path in the YAML
(``steps/3/branch/0/steps/1``), so a trace, a diagnostic and the console speak of the same place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any, Literal

#: A compiled expression. Called with the facts (a mapping of names), gives its value.
#: Raises ``engine.core.conditions.ConditionError`` when a name it needs is missing.
Expression = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Condition:
    """An expression with its source text and place, for the trace and for messages."""

    source: str
    test: Expression
    path: str
    #: event names whose history the expression counts, with the longest look-back of each
    #: (None: without end). Lets a batch load just the history it needs.
    history: tuple[tuple[str, timedelta | None], ...] = ()
    #: each window that it counts in, (event name, length): when one ends, the value may change by
    #: time alone
    windows: tuple[tuple[str, timedelta], ...] = ()


@dataclass(frozen=True, slots=True)
class Again:
    """When a shopper who had a run (for this key) may start another.

    ``never``; ``always`` (once the last run has ended); ``after`` a time since the start of
    the last run, strictly more than ``after`` by event time.
    """

    rule: Literal["never", "always", "after"] = "never"
    after: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Calendar:
    """When a journey starts by the calendar; ``at`` is wall-clock time, ``shift`` may be negative.

    ``date``  a date from the data (``profile.birthday``), in the shopper's own time zone,
              ``yearly`` or once. ``every``  "day", "month" or weekday names, in the journey's
              time zone: for all shoppers for whom the trigger's condition holds.
    Exactly one of ``date`` and ``every`` is given.
    """

    date: Condition | None = None
    yearly: bool = False
    shift: timedelta = timedelta(0)
    every: tuple[str, ...] = ()
    at: time = time(9)


@dataclass(frozen=True, slots=True)
class Trigger:
    """What starts a run. ``key`` gives the product or cart that the run is about.

    A ``calendar`` trigger is the event "Calendar Reached" with the journey's name in its
    property ``journey``, which the clock puts into the inbox when the time has come, so that a
    calendar, like all else, is an event (its id makes it count once). A trigger by a ``segment``
    is the event of entering or leaving it, with a condition that names it.
    """

    event: str
    condition: Condition | None = None
    key: Condition | None = None
    again: Again = Again()
    calendar: Calendar | None = None
    segment: str = ""

    @property
    def refuses(self) -> bool:
        """Whether it asks for more than which segment it is: some such events start no run."""
        if self.condition is None:
            return False
        return not self.segment or self.condition.source != segment_test(self.segment)


#: Path of the hidden wait that ``without`` in a trigger is compiled to, and the start of the paths
#: of what belongs to it. A run that stands or ended there never got into its journey.
WITHOUT = "trigger/without"

CALENDAR_REACHED = "Calendar Reached"
SEGMENT_ENTERED = "Segment Entered"
SEGMENT_LEFT = "Segment Left"


def segment_test(name: str) -> str:
    """The condition by which a trigger asks whether an event tells of that segment."""
    return f"event.segment == {name!r}"


@dataclass(frozen=True, slots=True)
class Stop:
    """An event that ends the run wherever it stands. ``goal`` marks success."""

    event: str
    condition: Condition | None = None
    goal: bool = False
    path: str = ""


@dataclass(frozen=True, slots=True)
class Overdue:
    """What a step does when its timer is late (P9).

    ``send`` whatever the delay; ``skip`` once the delay exceeds ``after``; ``next window`` once
    it exceeds ``after``, send at the same local time of day on the next day instead.
    """

    rule: Literal["send", "skip", "next window"] = "skip"
    after: timedelta = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Step:
    """What all steps share. ``path`` is its place in the YAML; ``next`` the path that
    follows it, None at the end of the journey."""

    path: str
    next: str | None


@dataclass(frozen=True, slots=True)
class Wait(Step):
    """``wait: 2 hours``."""

    duration: timedelta


@dataclass(frozen=True, slots=True)
class WaitUntil(Step):
    """``wait: {until: …}``: the next local time ``at`` on one of ``weekdays`` (0 is Monday; empty:
    any day), in the shopper's time zone; or, with ``date``, that moment from the data (at ``at``
    if it is a day), plus ``shift``. A moment that has passed already is no wait at all.
    """

    at: time | None = None
    weekdays: tuple[int, ...] = ()
    date: Condition | None = None
    shift: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class WaitFor(Step):
    """``wait for: {event: …, if: …, at most: …}``; ``then`` when it came, ``otherwise`` when
    time ran out (each the path to go on at; they rejoin at ``next``)."""

    event: str
    at_most: timedelta
    condition: Condition | None = None
    then: str | None = None
    otherwise: str | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """``coupon: pool winter``: each run gets a code of its own out of those that the shop imported.
    ``none_left`` says what happens when the pool is empty: ``skip`` the messages that would show
    the code, ``exit`` the journey, or offer the code ``instead``, which is for everybody."""

    name: str
    none_left: Literal["skip", "exit", "instead"] = "skip"
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Send(Step):
    """``send: email`` with ``template``, ``topic``, ``if overdue``, ``on_unknown``, ``offer``; a
    coupon that is made or taken from a pool is not in ``offer`` but in ``generate`` or ``pool``,
    as in an ``OfferStep``."""

    channel: str
    template: str
    topic: str
    overdue: Overdue = Overdue()
    on_unknown: Literal["hold", "retry"] = "hold"
    offer: Mapping[str, Any] = field(default_factory=dict)
    when_quiet: Literal["wait", "skip"] = "wait"
    when_capped: Literal["wait", "skip"] = "skip"
    generate: str = ""
    pool: Pool | None = None


@dataclass(frozen=True, slots=True)
class Arm:
    """One way on of a branch (``condition``; None is else) or of a split (``weight``, percent)."""

    goto: str | None
    condition: Condition | None = None
    weight: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Branch(Step):
    """First arm whose condition holds; none: go on at ``next``."""

    arms: tuple[Arm, ...]


@dataclass(frozen=True, slots=True)
class Split(Step):
    """Sticky by a hash of (journey, step, profile): the same shopper, the same arm, for ever."""

    arms: tuple[Arm, ...]


@dataclass(frozen=True, slots=True)
class Update(Step):
    """``update: {trait: value}``; a value is a constant or, written ``= expression``, computed."""

    changes: tuple[tuple[str, Any | Condition], ...]


@dataclass(frozen=True, slots=True)
class AudienceStep(Step):
    """``audience: {add: google/left-behind}`` or ``{remove: …}``. Leaving the journey by a stop
    takes the shopper off again."""

    action: Literal["add", "remove"]
    audience: str


@dataclass(frozen=True, slots=True)
class Emit(Step):
    """``emit: {event: Name, properties: {…}}``: an event of this shopper, as if the shop had sent
    it. Values written ``= expression`` are computed. It takes the same way in as all events."""

    event: str
    properties: tuple[tuple[str, Any | Condition], ...] = ()


@dataclass(frozen=True, slots=True)
class Webhook(Step):
    """``webhook: {url: …, body: {…}}``: a JSON POST through the outbox and the gate, so that it
    is claimed once and stopped like a message; topic ``webhooks`` needs no consent."""

    url: str
    body: tuple[tuple[str, Any | Condition], ...] = ()
    overdue: Overdue = Overdue()


@dataclass(frozen=True, slots=True)
class OfferStep(Step):
    """``offer: {coupon: …, percent: 10, valid: 3 days}``: from here on the run's templates see
    ``offer``. ``coupon`` ``generate: WB`` makes a code of the run's own (the same on a retry), one
    from a ``pool`` is taken; a plain text is that code for everybody. ``valid`` counts from this
    step."""

    terms: Mapping[str, Any]
    generate: str = ""
    valid: timedelta | None = None
    pool: Pool | None = None


@dataclass(frozen=True, slots=True)
class Jump(Step):
    """``jump: other-journey``: this run ends, and one of the other journey begins about the same
    trigger event and key, if its ``again`` allows."""

    journey: str


@dataclass(frozen=True, slots=True)
class Exit(Step):
    """``exit: came back``."""

    reason: str


AnyStep = (
    Wait
    | WaitUntil
    | WaitFor
    | Send
    | Branch
    | Split
    | Update
    | AudienceStep
    | Emit
    | Webhook
    | OfferStep
    | Jump
    | Exit
)


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to shoppers in flight when the journey is edited (``winback plan``).

    ``finish`` on the version they entered (default); ``move`` to the new version where the step
    they wait at still exists (by its ``name`` or, without names, by path and kind), keeping
    their timer unless the wait became shorter; ``leave``.
    """

    rule: Literal["finish", "move", "leave"] = "finish"


@dataclass(frozen=True, slots=True)
class Journey:
    """A whole journey, ready to run. ``version`` is the hash of its content.

    ``start`` is the path of the first step (None: no steps). ``holdout`` is in percent, 0 to 100.
    ``priority``: of two messages for the last slot of a cap the higher goes. No run starts
    before ``starts`` or from ``ends`` on (UTC). ``timezone`` (IANA; "": the shop's) is for the
    calendar; ``owner`` is who to ask.
    """

    name: str
    version: str
    title: str
    trigger: Trigger
    stops: tuple[Stop, ...]
    holdout: int
    start: str | None
    steps: Mapping[str, AnyStep]
    source: str = ""
    priority: int = 0
    starts: datetime | None = None
    ends: datetime | None = None
    owner: str = ""
    timezone: str = ""
    change: Change = Change()
    #: names that steps were given in the YAML (``name: reminder``) -> path
    names: Mapping[str, str] = field(default_factory=dict)
