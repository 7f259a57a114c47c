"""Whatever happens in whatever order, an ad platform's list comes to be the wanted one.

Shoppers view, buy, come back, say no and yes, share addresses and change them; calls fail, are cut
short, overtake each other; processes die between any two steps. At the end of every history the
list holds exactly the hashes of those who are wanted, and whoever never faltered was sent once.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from engine.clock import ManualClock
from engine.runtime.reconcile import reconcile
from engine.store import listing_calls
from engine.store.database import Database
from engine.testing.google import GoogleSimulator
from engine.testing.simulator import CUT, DROP, answering
from tests.integration.ad_kit import GOOGLE, NOW, AdShop, google_of, h

EXAMPLES = int(os.environ.get("WINBACK_TEST_EXAMPLES", "60"))
PEOPLE = st.integers(1, 6)
#: 1 and 2 share their address, 2 and 3 their phone.
TRAITS: dict[int, dict[str, str]] = {
    1: {"email": "home@example.com"},
    2: {"email": "home@example.com", "phone": "+923001234567"},
    3: {"email": "3@example.com", "phone": "+923001234567"},
    4: {"email": "4@example.com"},
    5: {"email": "5@example.com"},
    6: {"phone": "+923007654321"},
}
_TABLES = (
    "profile, identity, enrollment, event, inbox, consent, suppression, audience_member,"
    " audience_listing, audience_request, audience_hold, audience_size"
)


class Killed(BaseException):
    """The process died here."""


class Lists(RuleBasedStateMachine):
    """``calm`` until something goes wrong on purpose."""

    database: Database
    google: GoogleSimulator

    @initialize()
    def begin(self) -> None:
        google = self.google
        for number in list(google.working):
            google.finish(number)
        google.lists.__init__()  # type: ignore[misc]
        google.faults.clear()
        google.passing.clear()
        google.processing = lambda number, action: 0.0
        platform = google_of(google)
        platform.batch, platform.per_minute = 2, 10**6
        clock = ManualClock(NOW)
        self.shop = AdShop(self.database, {"google": platform}, clock=clock)
        self.shop.sql(f"truncate {_TABLES}")
        self.emails = {n: traits.get("email", "") for n, traits in TRAITS.items()}
        for profile, traits in TRAITS.items():
            self.shop.shopper(profile, **traits)
        self.runs: dict[int, int] = dict.fromkeys(TRAITS, 0)
        self.keys = itertools.count()
        self.no: set[int] = set()
        self.waiting: dict[int, str] = {}

    @rule(profile=PEOPLE)
    def views(self, profile: int) -> None:
        self.shop.on(1)
        self.shop.run(profile, key=f"k{next(self.keys)}")
        self.runs[profile] += 1

    @rule(profile=PEOPLE)
    def order_is_accepted(self, profile: int) -> None:
        if profile not in self.waiting:
            self.waiting[profile] = self.shop.accept(profile)

    @rule(profile=PEOPLE)
    def order_is_drained(self, profile: int) -> None:
        if profile in self.waiting:
            self.shop.on(1)
            self.shop.drain(profile, self.waiting.pop(profile))
            self.runs[profile] = 0

    @rule(profile=PEOPLE, yes=st.booleans())
    def decides(self, profile: int, yes: bool) -> None:
        self.shop.on(1)
        self.shop.consent(profile, yes)
        (self.no.discard if yes else self.no.add)(profile)

    @rule(profile=st.sampled_from([3, 4, 5]), n=st.integers(1, 2))
    def moves(self, profile: int, n: int) -> None:
        """A new address, found by the daily look."""
        self.emails[profile] = f"new{n}-{profile}@example.com"
        self.shop.sql(
            "update profile set traits = traits || jsonb_build_object('email', %s::text)"
            " where id = %s",
            *(self.emails[profile], profile),
        )

    @rule()
    def day(self) -> None:
        reconcile(self.shop.pusher, [GOOGLE.audience])

    @rule(fault=st.sampled_from([CUT, DROP, answering(503, b"{}"), answering(429, b"{}")]))
    def goes_wrong(self, fault: Any) -> None:
        self.google.script([fault])

    @rule(n=st.integers(0, 5))
    def fails_in_part(self, n: int) -> None:
        who = h([*self.emails.values()][n]) if [*self.emails.values()][n] else ""
        if who:
            self.google.passing.add(who)

    @rule(slow=st.booleans())
    def takes_its_time(self, slow: bool) -> None:
        self.google.processing = lambda number, action: 3600.0 if slow else 0.0

    @rule(newest=st.booleans())
    def is_done_with_one(self, newest: bool) -> None:
        if self.google.working:
            numbers = sorted(self.google.working)
            self.google.finish(numbers[-1] if newest else numbers[0])

    @rule()
    def push(self) -> None:
        self.shop.on(2)
        self.shop.pusher.push(10.0, [GOOGLE.audience])

    @rule(where=st.sampled_from(["taken", "settle", "place", "unknown", "not_taken"]))
    def push_and_die(self, where: str) -> None:
        """The call was made; what came of it is never written down."""
        real = getattr(listing_calls, where)

        def die(*_: Any, **__: Any) -> None:
            raise Killed

        setattr(listing_calls, where, die)
        try:
            self.push()
        except Killed:
            pass
        finally:
            setattr(listing_calls, where, real)

    def teardown(self) -> None:
        if not hasattr(self, "shop"):
            return
        google, shop = self.google, self.shop
        google.faults.clear()
        google.processing = lambda number, action: 0.0
        for profile in list(self.waiting):
            self.order_is_drained(profile)
        for number in list(google.working):
            google.finish(number)
        reconcile(shop.pusher, [GOOGLE.audience])
        for _ in range(12):
            shop.on(100)
            shop.pusher.push(10.0, [GOOGLE.audience])
        wanted = {n for n, runs in self.runs.items() if runs and n not in self.no}
        expected = {h(self.emails[n]) for n in wanted if self.emails[n]}
        expected |= {h(TRAITS[n]["phone"]) for n in wanted if "phone" in TRAITS[n]}
        assert google.lists.on(GOOGLE.list) == expected
        assert shop.states().keys() <= {"confirmed", "removed"}
        requests = google.count
        for _ in range(3):
            self.push()
        assert google.count == requests, "what is as it should be is left alone"
        open_hashes = shop.sql(
            "select 1 from audience_listing where status = 'removed' and member is not null"
        )
        assert not open_hashes


@pytest.fixture(scope="module")
def machine(postgres_url: str, _template: str) -> Iterator[type[Lists]]:
    from tests.integration.runtime_kit import module_database

    with module_database(postgres_url, _template) as database, GoogleSimulator() as google:
        yield type("Machine", (Lists,), {"database": database, "google": google})


def test_the_list_comes_to_be_the_wanted_one(machine: type[Lists]) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
