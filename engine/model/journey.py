"""A journey as the core runs it: compiled, flat, every condition ready to call.

The language room builds these from YAML. A step is addressed by its path in the YAML
(``steps/3/branch/0/steps/1``), so a trace, a diagnostic and the console speak of the same place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
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


@dataclass(frozen=True, slots=True)
class Again:
    """When a shopper who had a run (for this key) may start another.

    ``never``; ``always`` (once the last run has ended); ``after`` a time since the start of
    the last run, strictly more than ``after`` by event time.
    """

    rule: Literal["never", "always", "after"] = "never"
    after: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Trigger:
    """What starts a run. ``key`` gives the product or cart that the run is about."""

    event: str
    condition: Condition | None = None
    key: Condition | None = None
    again: Again = Again()


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

    ``send`` whatever the delay; ``skip`` once the delay exceeds ``after``.
    """

    rule: Literal["send", "skip"] = "skip"
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
class WaitFor(Step):
    """``wait for: {event: …, if: …, at most: …}``; ``then`` when it came, ``otherwise`` when
    time ran out (each the path to go on at; they rejoin at ``next``)."""

    event: str
    at_most: timedelta
    condition: Condition | None = None
    then: str | None = None
    otherwise: str | None = None


@dataclass(frozen=True, slots=True)
class Send(Step):
    """``send: email`` with ``template``, ``topic``, ``if overdue``, ``on_unknown``, ``offer``."""

    channel: str
    template: str
    topic: str
    overdue: Overdue = Overdue()
    on_unknown: Literal["hold", "retry"] = "hold"
    offer: Mapping[str, Any] = field(default_factory=dict)


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
class Exit(Step):
    """``exit: came back``."""

    reason: str


AnyStep = Wait | WaitFor | Send | Branch | Split | Update | AudienceStep | Exit


@dataclass(frozen=True, slots=True)
class Journey:
    """A whole journey, ready to run. ``version`` is the hash of its content.

    ``start`` is the path of the first step (None: no steps). ``holdout`` is in percent, 0 to 100.
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
