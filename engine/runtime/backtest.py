"""A backtest: what journeys would have done on recorded events, in the words of their owner.

``Watch`` sees one simulation and counts; ``Backtest`` runs one or two of them over the same
events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from engine.core.decision import Outcome
from engine.core.durations import DurationError, parse_duration
from engine.core.facts import product_ids
from engine.core.gate import Verdict
from engine.core.history import bought_product
from engine.core.profiles import ORDER, money
from engine.core.refusals import MEANINGS, OVERDUE, meaning
from engine.core.shopper import Shopper
from engine.core.zones import zone_named
from engine.model.event import Event
from engine.model.journey import Journey
from engine.model.message import Message
from engine.model.policy import Policy
from engine.runtime.observer import Fault
from engine.runtime.simulate import Observer, Simulation, Tally, undisturbed
from engine.runtime.simulate_segments import (
    Crossings,
    Segments,
    SegmentSimulation,
    simulation_of,
)
from engine.runtime.texts import Bill, Biller

#: How long a coupon without ``valid`` is taken to be used, and how far back a purchase makes a
#: message about the same product a mistake.
MONTH = timedelta(days=30)

#: Verdicts of a trace of which also the reason is counted: there are only a few of each.
_DETAILED = frozenset({"branches", "exits", "jumps", "sends", "splits"})

Place = tuple[str, str, str]


@dataclass(slots=True)
class Account:
    """What one journey did, beside its ``Tally``.

    ``messages``      sent, by channel. ``skipped`` by reason; ``waited`` by reason, each message
                      once. ``held_back``: not even asked for, because of the holdout.
    ``places``        runs that came by, per (path, verdict, detail): arms, exits, sends.
    ``by_day``        messages per day, ``by_hour`` per hour of the day, by the shop's clock.
    ``offered``       messages with a percentage off. ``used``: coupons that were used, at a
                      ``cost`` in the shop's currency. ``codes`` taken, by pool.
    ``too_late``      messages about a product that the shopper had bought already.
    ``webhooks``      calls of the shop's own machines; they are no messages.
    ``texts``         what the text messages come to, where they were written to find that out.
    """

    messages: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    waited: Counter[str] = field(default_factory=Counter)
    held_back: int = 0
    places: Counter[Place] = field(default_factory=Counter)
    by_day: Counter[date] = field(default_factory=Counter)
    by_hour: Counter[int] = field(default_factory=Counter)
    offered: int = 0
    used: int = 0
    cost: Decimal = Decimal(0)
    codes: Counter[str] = field(default_factory=Counter)
    too_late: int = 0
    webhooks: int = 0
    texts: Bill = field(default_factory=Bill)


@dataclass(slots=True)
class _Coupon:
    journey: str
    percent: Decimal
    until: datetime
    price: Decimal | None


class Watch(Observer):
    """Counts what a simulation does.

    A coupon is taken to be used on the shopper's first order after the message while it is valid
    (``MONTH`` where it says nothing), the highest one if there are several; it costs its percent
    of that order's revenue, or, where the order tells none in the shop's currency, of the price of
    the product that the run is about.
    """

    def __init__(
        self,
        journeys: Iterable[Journey],
        policy: Policy,
        bought_within: timedelta = MONTH,
        biller: Biller | None = None,
    ) -> None:
        self._biller = biller
        self.accounts: dict[str, Account] = {}
        self._after_order: set[str] = set()
        for journey in journeys:
            self.accounts[journey.name] = Account()
            if journey.trigger.event == ORDER:
                self._after_order.add(journey.name)
        #: messages sent, by shopper
        self.shoppers: Counter[int] = Counter()
        self._zone: ZoneInfo = zone_named(policy.shop.timezone)
        self._currency = policy.shop.currency
        self._bought_within = bought_within
        self._shopper: Shopper | None = None
        self._waiting: set[tuple[str, str]] = set()
        self._coupons: dict[int, list[_Coupon]] = {}

    def happened(self, shopper: Shopper, event: Event) -> None:
        if event.name == ORDER and shopper.profile.id in self._coupons:
            self._redeem(shopper.profile.id, event)

    def about(self, shopper: Shopper) -> None:
        self._shopper = shopper

    def merged(self, gone: int, into: int) -> None:
        if gone in self.shoppers:
            self.shoppers[into] += self.shoppers.pop(gone)
        if gone in self._coupons:
            self._coupons.setdefault(into, []).extend(self._coupons.pop(gone))

    def decided(self, shopper: Shopper, outcome: Outcome) -> None:
        for id, marks in outcome.traces.items():
            run = outcome.enrollments.get(id) or shopper.live.get(id)
            account = None if run is None else self.accounts.get(run.journey)
            if account is None:
                continue
            for mark in marks:
                detail = mark.why if mark.verdict in _DETAILED else ""
                account.places[mark.path, mark.verdict, detail] += 1
                if mark.verdict == "withheld":
                    account.held_back += 1
                elif mark.verdict == "skips":
                    # The step was too late itself, so there was no message for the gate to judge.
                    account.skipped[MEANINGS[OVERDUE]] += 1

        for claim in outcome.claims.values():
            run = outcome.enrollments.get(claim.enrollment_id)
            if run is not None and run.journey in self.accounts:
                self.accounts[run.journey].codes[claim.pool] += 1

    def judged(self, message: Message, verdict: Verdict) -> None:
        account = self.accounts[message.journey]
        if verdict.action == "skip":
            account.skipped[meaning(verdict.code)] += 1
        elif verdict.action == "wait":
            reason = meaning(verdict.code)
            if (message.id, reason) not in self._waiting:
                self._waiting.add((message.id, reason))
                account.waited[reason] += 1
        elif message.channel == "webhook":
            account.webhooks += 1
        else:
            self._sent(account, message)

    def _sent(self, account: Account, message: Message) -> None:
        account.messages[message.channel] += 1
        local = message.due_at.astimezone(self._zone)
        account.by_day[local.date()] += 1
        account.by_hour[local.hour] += 1
        shopper = self._shopper
        assert shopper is not None
        trigger = shopper.triggers.get(message.event_id, {})
        self.shoppers[shopper.profile.id] += 1
        if message.channel == "sms" and self._biller is not None:
            self._biller.add(account.texts, shopper, message)
        if message.journey not in self._after_order and any(
            bought_product(shopper.history, product, self._bought_within, message.due_at)
            for product in product_ids(trigger)
        ):
            account.too_late += 1
        percent = _number(message.offer.get("percent"))
        if percent:
            account.offered += 1
            coupon = _Coupon(
                message.journey, percent, _ends(message), _number(trigger.get("price"))
            )
            self._coupons.setdefault(shopper.profile.id, []).append(coupon)

    def _redeem(self, profile: int, order: Event) -> None:
        valid = [c for c in self._coupons.pop(profile) if c.until >= order.time]
        if not valid:
            return
        best = max(valid, key=lambda coupon: coupon.percent)
        valid.remove(best)
        if valid:
            self._coupons[profile] = valid
        spent = money(order.properties)
        value = spent[0] if spent and spent[1] == self._currency else best.price
        account = self.accounts[best.journey]
        account.used += 1
        if value is not None:
            account.cost += value * best.percent / 100


def _number(value: Any) -> Decimal | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _ends(message: Message) -> datetime:
    """When the offer in a message ends."""
    ends_at, valid = message.offer.get("ends_at"), message.offer.get("valid")
    try:
        if isinstance(ends_at, str):
            return datetime.fromisoformat(ends_at)
        if isinstance(valid, timedelta):
            return message.due_at + valid
        if isinstance(valid, str):
            return message.due_at + parse_duration(valid)
    except (ValueError, DurationError):
        pass  # words for the shopper, not for us
    return message.due_at + MONTH


@dataclass(slots=True)
class Side:
    """One set of journeys and what it did: ``tallies`` and ``accounts`` by journey, messages by
    shopper, who entered and left the ``segments`` that the journeys hear of."""

    tallies: dict[str, Tally]
    accounts: dict[str, Account]
    shoppers: Counter[int]
    segments: dict[str, Crossings] = field(default_factory=dict)


@dataclass(slots=True)
class Balance:
    """Who gets how many messages more or less: numbers of shoppers, and the largest differences
    as (shopper, before, after)."""

    more: int
    less: int
    same: int
    largest: list[tuple[int, int, int]]


class Backtest:
    """Runs ``journeys``, and with ``against`` those too, over the same events.

    ``watch``  whether to look closer than the tallies; two sets are always watched.
    ``since``  events before it only teach who the shoppers are; no run starts.
    ``biller`` finds out what text messages come to, where the journeys are watched.
    ``segments`` are the shop's; ``others`` those of ``against``, where they are not the same.
    """

    def __init__(
        self,
        journeys: Iterable[Journey],
        policy: Policy,
        *,
        against: Iterable[Journey] | None = None,
        bare: bool = False,
        watch: bool = False,
        since: datetime | None = None,
        bought_within: timedelta = MONTH,
        biller: Biller | None = None,
        segments: Segments | None = None,
        others: Segments | None = None,
    ) -> None:
        self._watches: list[Watch | None] = []
        self._simulations: list[Simulation] = []
        self._since = since
        self.bills = biller is not None and (watch or against is not None)
        self.events = 0
        for one, shop in ((journeys, segments), (against, others or segments)):
            if one is None:
                continue
            chosen = list(one)
            seen = watch or against is not None
            watcher = Watch(chosen, policy, bought_within, biller) if seen else None
            self._watches.append(watcher)
            written = biller is not None
            made = simulation_of(chosen, policy, shop, bare=bare, observer=watcher, written=written)
            self._simulations.append(made)

    def run(
        self,
        events: Iterable[Event],
        until: timedelta,
        progress: Callable[[int], None] = lambda worked: None,
    ) -> list[Side]:
        """Feed ``events`` (in order of their time), let the clock run on for ``until``; gives the
        side of the journeys and, with ``against``, the other. ``progress`` is told every thousand
        events."""
        with undisturbed():
            feeds = [simulation.feed for simulation in self._simulations]
            for event in self._learned(self._counted(events, progress)):
                for feed in feeds:
                    feed(event)
            tallies = [simulation.finish(until) for simulation in self._simulations]
        progress(self.events)
        sides = [
            Side(tally, {}, Counter())
            if watch is None
            else Side(tally, watch.accounts, watch.shoppers)
            for tally, watch in zip(tallies, self._watches, strict=True)
        ]
        for side, made in zip(sides, self._simulations, strict=True):
            if isinstance(made, SegmentSimulation):
                side.segments = made.crossings
        return sides

    def _counted(self, events: Iterable[Event], progress: Callable[[int], None]) -> Iterator[Event]:
        count = self.events
        for event in events:
            yield event
            count += 1
            if not count % 1000:
                progress(count)
        self.events = count

    def _learned(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events from ``since`` on; those before have been learned."""
        since = self._since
        if since is None:
            yield from events
            return
        for event in events:
            if event.time < since:
                for simulation in self._simulations:
                    simulation.learn(event)
            else:
                yield event

    def called(self, profile: int) -> str:
        """What a shopper is called where they may be named: a user id before a cookie, never an
        address."""
        return self._simulations[0].called(profile)

    @property
    def failures(self) -> Counter[Fault]:
        """What the journeys raised, and how often."""
        return sum((one.failures for one in self._simulations), Counter())


def in_order(place: tuple[str, str, str]) -> tuple[list[tuple[int, int, str]], str, str]:
    """As the steps stand in the file: the trigger, the stops, the steps, by number."""
    rank = {"trigger": 0, "stop": 2}
    parts = [
        (rank.get(part, 1), int(part) if part.isdigit() else -1, part)
        for part in place[0].split("/")
    ]
    return parts, place[1], place[2]


def balance(before: Mapping[int, int], after: Mapping[int, int], shown: int = 10) -> Balance:
    """Compare messages by shopper. Whoever gets none on either side is not counted."""
    differences = [
        (shopper, before.get(shopper, 0), after.get(shopper, 0)) for shopper in {*before, *after}
    ]
    more = sum(now > then for _, then, now in differences)
    less = sum(now < then for _, then, now in differences)
    differences.sort(key=lambda d: (-abs(d[2] - d[1]), d[0]))
    largest = [d for d in differences[:shown] if d[1] != d[2]]
    return Balance(more, less, len(differences) - more - less, largest)
