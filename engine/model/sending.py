"""How the shop's messages go out: which provider stands in for which, how fast, and at which
rates of complaint they stop by themselves. Read from config/winback.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``messages`` in any span of the length ``per``."""

    messages: int
    per: timedelta


@dataclass(frozen=True, slots=True)
class WarmUp:
    """A sender nobody knows yet begins with ``first_day`` messages on the day ``since`` (by the
    shop's calendar), and may send twice as many each time ``doubling`` has passed."""

    since: date
    first_day: int
    doubling: timedelta = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class AutoPause:
    """A journey, sender or provider pauses itself where, of the messages of the last ``within``,
    more than ``complaints`` were called spam or more than ``bounces`` bounced (shares, 0 to 1);
    not before ``at_least`` were reported on."""

    complaints: float = 0.003
    bounces: float = 0.05
    within: timedelta = timedelta(days=1)
    at_least: int = 200


@dataclass(frozen=True, slots=True)
class Sending:
    """All of it. ``limits`` and ``warm_up`` go by the name of a provider ("sendgrid": all that it
    carries) or by a sender, an address or a number, whoever carries it.

    ``fallbacks``  channel -> the providers that stand in, in this order, for the channel's own
                   while that is paused or cannot be reached.
    ``auto_pause`` None: nothing pauses by itself.
    ``close_after`` so long after the call an outcome that nobody knows is closed (real time).
                   SendGrid tries to deliver a mail for three days at most, and reports until then.
    """

    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    limits: Mapping[str, Rate] = field(default_factory=dict)
    warm_up: Mapping[str, WarmUp] = field(default_factory=dict)
    auto_pause: AutoPause | None = AutoPause()
    close_after: timedelta = timedelta(days=3)
