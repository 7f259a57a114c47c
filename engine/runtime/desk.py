"""The desk: which provider carries which message, and how many may go just now.

What is decided is in engine.core.sending and engine.core.rates; here is what this worker knows of
how things stand, and what it has leased. The truth is in PostgreSQL, shared by all workers, looked
at once a second and not once a message. One desk belongs to one thread.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from math import inf
from typing import Any, NamedTuple, cast

from engine.core.gate import uncapped
from engine.core.sending import (
    Breaker,
    Outcome,
    Standing,
    Trouble,
    bound_to,
    choose,
    pause_before_probe,
)
from engine.model.message import Call, Email, Rendered
from engine.ports import Channel
from engine.runtime.shell import Shell
from engine.runtime.slots import Slots
from engine.store import senders as senders_store
from engine.store.database import Connection
from engine.store.messages import EVERYTHING, Candidate, Look
from engine.store.senders import WINBACK, State

log = logging.getLogger(__name__)

#: Seconds of real time between two looks at how the providers stand.
EVERY = 1.0
Ready = tuple[Candidate, Rendered]

#: Providers that are in trouble, or (None) work again.
News = list[tuple[str, Trouble | None]]


class Booked(NamedTuple):
    """A message and who is to carry it; ``probe``: it finds out whether the provider works."""

    candidate: Candidate
    rendered: Rendered
    channel: Channel
    probe: bool = False


class Heard(NamedTuple):
    """What a call said of its provider."""

    outcome: Outcome
    probe: bool


class Desk:
    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._breaker = Breaker()
        self._standing = Standing({}, {})
        self.paused_journeys: set[str] = set()
        self.paused_senders: set[str] = set()
        self._looked = -inf
        self.slots = Slots(shell)

    def refresh(self, connection: Connection | None = None, *, at_once: bool = False) -> None:
        """Look again at how the providers stand, if that is some time ago."""
        if self._shell.exact or (not at_once and time.monotonic() - self._looked < EVERY):
            return
        if connection is None:
            with self._shell.database.probing() as fresh:
                self.refresh(fresh, at_once=True)
            return
        self._looked = time.monotonic()
        now = self._shell.clock.now()
        troubles = {s.provider: _trouble(s) for s in senders_store.states(connection)}
        paused: dict[str, bool] = {}
        self.paused_journeys.clear()
        self.paused_senders.clear()
        for pause in senders_store.pauses(connection):
            kind, _, name = pause.subject.partition(":")
            if kind == "provider":
                paused[name] = pause.by != WINBACK
            else:
                (self.paused_senders if kind == "sender" else self.paused_journeys).add(name)
        troubles = {name: trouble for name, trouble in troubles.items() if not trouble.over(now)}
        self._standing = Standing(troubles, paused)

    def look(self) -> Look:
        """What is worth looking at: nothing that could not go."""
        if self._shell.exact:
            return EVERYTHING
        policy = self._shell.policy()
        urgent = uncapped(policy)
        closed: set[tuple[str, str]] = set()
        at_most: dict[tuple[str, str], int] = {}
        standing = self._with_probes()
        for channel in self._shell.channels:
            provider = choose(self._order(channel), standing)
            for topic in ("", *policy.topics):
                if provider is None:
                    closed.add((channel, topic))
                    continue
                names = provider, policy.sender(channel, topic)
                if any(self.slots.closed(name, topic in urgent) for name in names):
                    closed.add((channel, topic))
                least = [1] if provider in standing.probing else []
                least += [most for n in names if (most := self.slots.at_most(n)) is not None]
                if least:
                    at_most[channel, topic] = min(least)
        return Look(tuple(policy.topics), urgent, closed, at_most)

    def book(
        self, ready: Sequence[Ready], room: int
    ) -> tuple[list[Booked], list[Ready], list[Ready], list[Candidate]]:
        """Of ``ready``: up to ``room`` that may go now; those that there was no room for; those
        whose slot comes in a moment; and those that cannot go for longer than it is worth waiting
        for."""
        booked: list[Booked] = []
        later: list[Ready] = []
        near: list[Ready] = []
        dropped: list[Candidate] = []
        urgent = frozenset(uncapped(self._shell.policy()))
        limits = [self._limits(item) for item in ready]
        wanted = Counter(
            (name, item[0].message.topic in urgent)
            for item, names in zip(ready, limits, strict=True)
            for name in names
        )
        for item, names in zip(ready, limits, strict=True):
            candidate, rendered = item
            if len(booked) >= room:
                later.append(item)
                continue
            found = self._carrier(candidate)
            if found is None:
                dropped.append(candidate)
                continue
            carrier, probe = found
            message = candidate.message
            others = {*self._order(message.channel)} - {carrier.name} if names else ()
            mine = [name for name in names if name not in others]
            state = self.slots.take(mine, message.topic in urgent, wanted)
            if state == "go":
                booked.append(Booked(candidate, rendered, carrier, probe))
            elif state == "later" and not probe:
                near.append(item)
            else:
                dropped.append(candidate)
                if probe:
                    self._give_probe_back(carrier.name)
        return booked, later, near, dropped

    def not_claimed(self, booked: Booked) -> None:
        """The gate kept it. Its slot is lost; a probe is for the next message."""
        if booked.probe:
            self._give_probe_back(booked.channel.name)

    def learn(self, heard: Iterable[Heard]) -> News:
        """What the answers say of the providers, to be written with what became of the messages."""
        news: dict[str, Trouble | None] = {}
        now = self._shell.clock.now()
        for outcome, probe in heard:
            fault = self._breaker.judge(outcome)
            name = outcome.provider
            if probe and not outcome.unknown and outcome.fault in ("", "busy"):
                news[name] = None
            if not fault:
                continue
            pause = outcome.retry_after or timedelta(minutes=1)
            if fault != "busy":
                pause = pause_before_probe(0)
            until = now + self._shell.real(pause.total_seconds())
            news[name] = Trouble(fault, outcome.reason, now, until)
        if news:
            troubles = {**self._standing.troubles}
            for name, trouble in news.items():
                if trouble is None:
                    troubles.pop(name, None)
                else:
                    troubles.setdefault(name, trouble)
            self._standing = replace(self._standing, troubles=troubles)
        return list(news.items())

    def write(self, connection: Connection, news: News) -> None:
        """Let the other workers know."""
        for name, trouble in sorted(news, key=lambda each: each[0]):
            if trouble is None:
                if senders_store.clear_state(connection, name):
                    log.warning("provider %s works again", name)
                continue
            state = State(
                name, trouble.kind, trouble.reason, trouble.since, trouble.until, trouble.probes
            )
            if senders_store.set_state(connection, state):
                what = "is left alone" if trouble.kind == "busy" else "is paused, to be tried again"
                log.warning(
                    "provider %s %s until %s: %s", name, what, trouble.until, trouble.reason
                )

    def _order(self, channel: str) -> list[str]:
        return [each.name for each in self._shell.carriers(channel)]

    def _with_probes(self) -> Standing:
        now = self._shell.clock.now()
        troubles = {n: t for n, t in self._standing.troubles.items() if not t.over(now)}
        due = [name for name, t in troubles.items() if t.kind != "busy" and t.until <= now]
        return Standing(troubles, self._standing.paused, due)

    def _carrier(self, candidate: Candidate) -> tuple[Channel, bool] | None:
        """Who carries it, and whether as a probe. None: it must wait."""
        message = candidate.message
        carriers = self._shell.carriers(message.channel)
        if self._shell.exact:
            return carriers[0], False
        order = [each.name for each in carriers]
        standing = self._with_probes() if self._standing.troubles else self._standing
        while (name := choose(order, standing, bound_to(message))) is not None:
            probe = name in standing.troubles
            if not probe or self._take_probe(name):
                return carriers[order.index(name)], probe
            standing = self._with_probes()
        return None

    def _take_probe(self, name: str) -> bool:
        """Whether this worker is the one to try it. Either way nobody here tries it again soon."""
        trouble = self._standing.troubles[name]
        now = self._shell.clock.now()
        pause = pause_before_probe(trouble.probes + 1)
        until = now + self._shell.real(pause.total_seconds())
        with self._shell.database.probing() as connection:
            mine = senders_store.take_probe(connection, name, now, until)
        later = replace(trouble, until=until, probes=trouble.probes + 1)
        self._standing = replace(self._standing, troubles={**self._standing.troubles, name: later})
        return mine

    def _give_probe_back(self, name: str) -> None:
        now = self._shell.clock.now()
        with self._shell.database.probing() as connection:
            senders_store.give_probe_back(connection, name, now)
        self._looked = -inf

    def _limits(self, item: Ready) -> list[str]:
        """The limits that a message may come under: of its sender, and of who may carry it."""
        if self._shell.exact:
            return []
        return self.slots.limited((sender_of(item[1]), *self._order(item[0].message.channel)))


def sender_of(rendered: Rendered) -> str:
    """The address, number or messaging service that it comes from; "" of a webhook."""
    if isinstance(rendered, Email):
        return rendered.from_address
    return "" if isinstance(rendered, Call) else rendered.sender


def _trouble(state: State) -> Trouble:
    kind = cast("Any", state.kind)
    return Trouble(kind, state.reason, state.since, state.until, state.probes)
