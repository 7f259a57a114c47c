"""Codes out of a pool, on a real PostgreSQL: one shopper, one code, whatever goes wrong."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import time
from typing import Any

import pytest

from engine.intake.lanes import LANES
from engine.language import load_journey
from engine.model.journey import Journey
from engine.model.policy import Policy, QuietHours
from engine.runtime import load, save
from engine.runtime.audit import audit
from engine.runtime.deliver import Deliverer
from engine.runtime.drain import drain
from engine.runtime.explain import explain
from engine.runtime.in_force import Past
from engine.runtime.replay import Replay
from engine.runtime.retrace import differences
from engine.runtime.simulate import Simulation
from engine.store import coupons
from engine.store.database import Database
from tests.integration.runtime_kit import LEFT, TOPICS, Make, Pipeline, busy, identify, silent
from tests.unit.core.build import at, event, order, view

JOURNEY = LEFT
NONE = "no code left in pool winter"
HEAD = """
journey: left
trigger: {event: Product Viewed, key: event.product_id}
stop: {event: Order Completed, goal: true}
steps:
"""
STEP = f"""{HEAD}
  - wait: 1 hour
  - offer: {{coupon: pool winter, percent: 10, valid: 3 days}}
  - send: email
    template: first
  - wait: 1 hour
  - send: email
    template: second
"""
AT_ONCE = f"""{HEAD}
  - send: email
    template: now
    offer: {{coupon: pool winter, valid: 3 days}}
"""


def journey(text: str) -> Journey:
    found, findings = load_journey(text)
    assert found is not None, findings
    return found


def stocked(shop: Pipeline, *codes: str, pool: str = "winter") -> Pipeline:
    with shop.database.connection() as connection:
        assert coupons.add(connection, pool, codes) == (len(codes), {})
    return shop


def offers(shop: Pipeline) -> list[tuple[str, str]]:
    """(template, coupon) of every message."""
    return sorted(shop.rows("select template, offer->>'coupon' from message"))


def claimed(shop: Pipeline) -> dict[str, str]:
    return dict(shop.rows("select code, claim::text from coupon where claim is not null"))


def differs(shop: Pipeline, who: str) -> list[str]:
    with shop.database.connection() as connection:
        past = Past(connection, shop.shell.book().current)
        found = explain(connection, who, "DE")
        for story in found.stories:
            assert found.traces[story.run.id], "the trace is there"
        versions = {(j.name, j.version): j for j in shop.journeys}
        known = type(found)(**{**fields(found), "versions": versions})
        return differences(known, past, "EUR", "UTC")


def fields(found: Any) -> dict[str, Any]:
    return {name: getattr(found, name) for name in found.__dataclass_fields__}


class TestClaims:
    def test_one_each_in_the_order_of_the_import(self, make: Make) -> None:
        shop = stocked(make(journey(STEP)), "W3", "W1", "W2")
        shop.drain(*(view(product=p, who=("user:1",)) for p in ("a", "b")))
        assert claimed(shop) == {}
        shop.at(at(hours=1)).wake()
        taken = claimed(shop)
        assert set(taken) == {"W3", "W1"}
        assert offers(shop) == [("first", "W1"), ("first", "W3")]
        shop.at(at(hours=2)).wake()
        assert offers(shop)[2:] == [("second", "W1"), ("second", "W3")]
        assert claimed(shop) == taken
        runs = dict(shop.rows("select id::text, offer->>'coupon' from enrollment"))
        owners = dict(
            shop.rows("select enrollment_id::text, code from coupon where claim is not null")
        )
        assert runs == owners

    def test_the_claim_of_a_message_is_its_id(self, make: Make) -> None:
        shop = stocked(make(journey(AT_ONCE)), "W1")
        shop.drain(view())
        ((id, offer),) = shop.rows("select id::text, offer from message")
        assert offer["coupon"] == offer["code"] == "W1"
        assert claimed(shop) == {"W1": id} and offer["claim"] == id

    def test_of_two_pools(self, make: Make) -> None:
        other = AT_ONCE.replace("winter", "spring").replace("journey: left", "journey: other")
        shop = stocked(make(journey(AT_ONCE), journey(other)), "W1", "W2")
        stocked(shop, "S1", "S2", pool="spring")
        shop.drain(view(), view(product="b"))
        assert sorted(shop.rows("select journey, offer->>'coupon' from message")) == [
            *(("left", "W1"), ("left", "W2")),
            *(("other", "S1"), ("other", "S2")),
        ]

    def test_a_rollback_burns_none(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        shop = stocked(make(journey(AT_ONCE)), "W1", "W2")
        shop.accept(view())
        write = save.save

        def breaks(*given: Any, **more: Any) -> Any:
            write(*given, **more)
            raise KeyboardInterrupt

        monkeypatch.setattr(save, "save", breaks)
        for lane in range(LANES):
            try:
                drain(shop.shell, lane)
            except KeyboardInterrupt:
                break
        else:
            pytest.fail("nothing was worked")
        assert claimed(shop) == {}
        monkeypatch.undo()
        shop.drain()
        assert offers(shop) == [("now", "W1")] and len(claimed(shop)) == 1

    def test_a_claim_asked_for_again_gets_the_same(self, make: Make) -> None:
        shop = stocked(make(), "W1", "W2")
        ids = ["00000000-0000-0000-0000-00000000000" + n for n in "123"]
        asks = [coupons.Asked(id, "winter", ids[0]) for id in ids]
        for _ in range(2):
            with shop.database.connection() as connection:
                found = coupons.claim(connection, asks, at())
                coupons.note_missed(connection, [a for a in asks if found[a.claim] is None], at())
            assert found == {ids[0]: "W1", ids[1]: "W2", ids[2]: None}
        stocked(shop, "W3")
        with shop.database.connection() as connection:
            assert coupons.claim(connection, asks, at())[ids[2]] is None
            assert coupons.of_runs(connection, ids[:1]) == found

    def test_a_merge_changes_no_code(self, make: Make) -> None:
        shop = stocked(make(journey(STEP)), *(f"W{n}" for n in range(9)))
        one, other = ("user:1",), ("email:a@b.de",)
        shop.drain(view(product="a", who=one), view(product="b", who=other))
        shop.at(at(hours=1)).wake()
        before = claimed(shop)
        shop.drain(identify(*one, *other, time=at(hours=1, minutes=1)))
        assert shop.one("select count(*) from profile") == 1
        shop.at(at(hours=2)).wake()
        assert claimed(shop) == before and len(before) == 2
        assert shop.one("select count(distinct offer->>'coupon') from message") == 2
        assert differs(shop, "user:1") == []


class TestNoneLeft:
    def test_skip(self, make: Make) -> None:
        shop = stocked(make(journey(STEP)), "W1")
        shop.drain(view(product="a"), view(product="b", who=("user:2",)))
        shop.at(at(hours=1)).wake()
        shop.at(at(hours=2)).wake()
        assert offers(shop) == [("first", "W1"), ("second", "W1")]
        assert shop.one("select count(*) from coupon_missed") == 1
        marks = shop.rows(
            "select m->>1, m->>2, count(*)::int from enrollment, jsonb_array_elements(trace) m"
            " where m->>1 in ('none left', 'skips') group by 1, 2 order by 1"
        )
        assert marks == [("none left", NONE, 1), ("skips", NONE, 2)]
        assert differs(shop, "user:1") == differs(shop, "user:2") == []

    def test_exit_and_everybodys_code(self, make: Make) -> None:
        leaves = AT_ONCE + "    if none left: exit\n  - send: sms\n    template: later\n"
        instead = AT_ONCE.replace("journey: left", "journey: other") + "    if none left: SORRY5\n"
        shop = make(journey(leaves), journey(instead))
        shop.drain(view())
        assert shop.rows("select journey, status, reason from enrollment order by 1") == [
            ("left", "finished", NONE),
            ("other", "finished", "finished"),
        ]
        assert offers(shop) == [("now", "SORRY5")]
        assert differs(shop, "user:1") == []

    def test_what_an_exit_would_have_claimed_goes_back(self, make: Make) -> None:
        steps = f"""{HEAD}
  - offer: {{coupon: pool dry}}
    if none left: exit
  - send: email
    template: later
    offer: {{coupon: pool winter}}
"""
        shop = stocked(make(journey(steps)), "W1")
        shop.drain(view())
        assert claimed(shop) == {} and shop.messages() == []
        assert shop.rows("select pool from coupon_missed") == [("dry",)]

    def test_whoever_bought_in_the_same_batch(self, make: Make) -> None:
        """A late order stops the run at the door, where it asks for nothing."""
        shop = stocked(make(journey(AT_ONCE)), "W1")
        shop.drain(order(at(minutes=5), "p1", revenue=1, currency="EUR"))
        shop.drain(view(at(minutes=1)))
        assert shop.runs() == [("left", "p1", "stopped")] and claimed(shop) == {}

    def test_the_last_codes_of_another_worker_are_waited_for(self, make: Make) -> None:
        """They are not gone before it commits: here it does not."""
        shop = stocked(make(), "W1")
        ask = coupons.Asked("00000000-0000-0000-0000-000000000001", "winter", "0" * 32)
        mine = coupons.Asked("00000000-0000-0000-0000-000000000002", "winter", "0" * 32)

        def claim() -> Any:
            with shop.database.connection() as connection:
                return coupons.claim(connection, [mine], at())

        with ThreadPoolExecutor(1) as pool:
            with shop.database.connection() as connection:
                assert coupons.claim(connection, [ask], at()) == {ask.claim: "W1"}
                waiting = pool.submit(claim)
                until_blocked(shop.database)
                connection.rollback()
            assert waiting.result() == {mine.claim: "W1"}


def until_blocked(database: Database) -> None:
    with database.connection() as connection:
        connection.autocommit = True
        while not connection.execute(
            "select 1 from pg_stat_activity where wait_event_type = 'Lock'"
            " and datname = current_database()"
        ).fetchone():
            pass
        connection.autocommit = False


class TestRefused:
    """The gate gives back the code of a message that will never go."""

    def refuse(self, shop: Pipeline, who: str) -> None:
        no = event("Consent Withdrawn", who=(who,), channel="email", topic="*")
        shop.drain(no)

    def test_its_code_is_the_next_ones(self, make: Make) -> None:
        shop = stocked(make(journey(AT_ONCE)), "W1")
        shop.drain(view(who=("user:1", "email:1@x.de")))
        self.refuse(shop, "user:1")
        assert shop.deliver().sent == 0
        assert claimed(shop) == {}
        assert [status for _, status, _ in shop.messages()] == ["skipped"]
        shop.drain(view(who=("user:2", "email:2@x.de")))
        assert shop.deliver().sent == 1
        assert len(claimed(shop)) == 1
        assert differs(shop, "user:1") == differs(shop, "user:2") == []
        assert audit(shop.database, shop.shell.book(), shop.policy).ok

    def test_while_a_message_only_waits_it_keeps_its_code(self, make: Make) -> None:
        night = {"email": QuietHours(time(0), time(23))}
        shop = stocked(make(journey(AT_ONCE), policy=Policy(topics=TOPICS, quiet_hours=night)), "W")
        shop.drain(view(who=("user:1", "email:1@x.de")))
        shop.deliver()
        assert shop.messages()[0][1] == "due"
        assert list(claimed(shop)) == ["W"]

    def test_a_code_that_somebody_may_have_read_does_not_go_back(self, make: Make) -> None:
        text = AT_ONCE.replace("template: now", "template: now\n    on_unknown: retry")
        shop = stocked(make(journey(text)), "W1")
        shop.email.answer = silent
        shop.drain(view(who=("user:1", "email:1@x.de")))
        shop.deliver()
        self.refuse(shop, "user:1")
        shop.at(at(hours=1)).deliver()
        assert shop.messages()[0][1] == "skipped"
        assert list(claimed(shop)) == ["W1"]

    def test_nor_does_one_that_the_run_was_offered(self, make: Make) -> None:
        shop = stocked(make(journey(STEP)), "W1")
        shop.drain(view(who=("user:1", "email:1@x.de")))
        shop.at(at(hours=1)).wake()
        self.refuse(shop, "user:1")
        shop.deliver()
        assert list(claimed(shop)) == ["W1"]

    def test_eight_workers_give_back_and_take(self, make: Make) -> None:
        """Half of the shoppers are refused while all ask: no code is in two mails that went."""
        codes = [f"W{n}" for n in range(40)]
        shop = stocked(make(journey(AT_ONCE)), *codes)
        for n in range(0, 80, 2):
            shop.run_sql(
                "insert into suppression values (%s, 'email', 'bounce', now())", f"email:{n}@x.de"
            )
        for n in range(80):
            shop.accept(view(who=(f"user:{n}", f"email:{n}@x.de")))
        workers = [Deliverer(shop.shell, 4) for _ in range(4)]

        def work(n: int) -> None:
            for _ in range(20):
                for lane in range(LANES):
                    drain(shop.shell, lane, 3)
                if n < 4:
                    workers[n].deliver(n, 4)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
            while shop.one("select count(*) from message where status = 'due'"):
                list(pool.map(work, range(4)))
        for worker in workers:
            worker.close()
        sent = shop.rows("select offer->>'coupon' from message where status = 'sent'")
        assert len(sent) == len(set(sent)) <= 40
        kept = {code for (code,) in shop.rows("select code from coupon where claim is not null")}
        assert kept == {code for (code,) in sent}
        assert audit(shop.database, shop.shell.book(), shop.policy).ok


class TestManyAtOnce:
    @pytest.mark.parametrize("codes", [40, 400])
    def test_eight_workers(self, make: Make, codes: int) -> None:
        shop = stocked(make(journey(AT_ONCE)), *(f"W{n}" for n in range(codes)))
        people = 120
        for n in range(people):
            names = (f"user:{n}", f"email:{n}@x.de")
            shop.accept(
                view(product="a", who=names[:1]),
                view(product="b", who=names[1:]),
                event("Note", at(seconds=n), who=names),
            )

        def work(first: int) -> None:
            for turn in range(LANES):
                while drain(shop.shell, (first + turn) % LANES, 7).taken:
                    pass

        with ThreadPoolExecutor(8) as pool:
            for future in [pool.submit(work, 2 * n) for n in range(8)]:
                future.result()
        shop.drain()
        assert shop.one("select count(*) from profile") == people
        assert len(shop.runs()) == 2 * people
        sent = offers(shop)
        taken = claimed(shop)
        assert len(sent) == len({code for _, code in sent}) == len(taken) == min(codes, 2 * people)
        assert {code for _, code in sent} == set(taken)
        missed = shop.one("select count(*) from coupon_missed")
        assert missed == 2 * people - len(taken)


def test_simulation_and_event_time_replay_take_no_codes_and_agree(database_url: str) -> None:
    written = [journey(STEP)]
    events = [identify("user:1", email="a@b.de"), view(at(minutes=1)), view(at(minutes=2), "p2")]
    with Database(database_url) as database:
        replayed = Replay(database, written, Policy(topics=TOPICS)).run(events, at(days=9) - at())
        with database.connection() as connection:
            found = connection.execute("select offer->>'code' from enrollment").fetchall()
    simulated = Simulation(written, Policy(topics=TOPICS)).run(events, at(days=9) - at())
    assert replayed["left"].messages == simulated["left"].messages == 4
    assert len({code for (code,) in found}) == 2
    assert all(code.startswith("STANDIN-") for (code,) in found)


class TestStopped:
    """What a stop keeps from going gives its code back."""

    def test_a_message_that_never_went(self, make: Make) -> None:
        shop = stocked(make(journey(AT_ONCE)), "W1")
        shop.drain(view(who=("user:1", "email:1@x.de")))
        shop.drain(order(at(minutes=1), who=("user:1",)))
        assert [status for _, status, _ in shop.messages()] == ["cancelled"]
        assert claimed(shop) == {}
        shop.drain(view(at(minutes=2), who=("user:2", "email:2@x.de")))
        assert shop.deliver().sent == 1 and list(claimed(shop)) == ["W1"]
        assert differs(shop, "user:1") == differs(shop, "user:2") == []
        assert audit(shop.database, shop.shell.book(), shop.policy).ok

    def test_an_offer_that_no_message_has_told_of(self, make: Make) -> None:
        shop = stocked(make(journey(STEP)), "W1", "W2")
        for n in "12":
            shop.drain(view(who=(f"user:{n}", f"email:{n}@x.de")))
        shop.at(at(hours=1)).wake()
        shop.run_sql("insert into suppression values ('email:1@x.de', 'email', 'bounce', now())")
        shop.deliver()
        assert len(claimed(shop)) == 2
        both = [order(at(hours=1, minutes=1), id=f"o{n}", who=(f"user:{n}",)) for n in "12"]
        shop.drain(*both)
        # The other has read it.
        (code,) = shop.rows("select offer->>'coupon' from message where status = 'sent'")[0]
        assert list(claimed(shop)) == [code]
        assert differs(shop, "user:1") == differs(shop, "user:2") == []

    def test_not_while_a_provider_may_have_it(self, make: Make) -> None:
        shop = stocked(make(journey(AT_ONCE)), "W1")
        shop.email.answer = silent
        shop.drain(view(who=("user:1", "email:1@x.de")))
        shop.deliver()
        shop.drain(order(at(minutes=1), who=("user:1",)))
        assert shop.messages()[0][1] == "unknown" and list(claimed(shop)) == ["W1"]

    def test_one_that_the_provider_put_off_meanwhile(self, make: Make) -> None:
        shop = stocked(make(journey(AT_ONCE)), "W1")

        def answer(mail: Any) -> Any:
            shop.drain(order(at(seconds=1), who=("user:1",)))
            assert list(claimed(shop)) == ["W1"]
            return busy(mail)

        shop.email.answer = answer
        shop.drain(view(who=("user:1", "email:1@x.de")))
        shop.deliver()
        assert shop.messages()[0][1] == "cancelled" and claimed(shop) == {}


class TestDry:
    def test_whoever_asks_an_empty_pool_is_worked_once(
        self, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worked: list[int] = []
        shoppers = load.shoppers

        def counting(*given: Any, **more: Any) -> Any:
            found = shoppers(*given, **more)
            worked.append(len(found.shoppers))
            return found

        monkeypatch.setattr(load, "shoppers", counting)
        shop = make(journey(AT_ONCE))
        for n in range(6):
            shop.drain(view(who=(f"user:{n}",)))
        # The first is a surprise.
        assert worked == [1, 1, *[1] * 5]
        assert shop.one("select count(*) from coupon_missed") == 6
        assert shop.messages() == []

    def test_until_there_are_codes_again(self, make: Make) -> None:
        shop = make(journey(AT_ONCE))
        shop.drain(view(who=("user:1",)))
        stocked(shop, "W1")
        shop.drain(view(who=("user:2",)))
        assert offers(shop) == [("now", "W1")]
        assert differs(shop, "user:1") == differs(shop, "user:2") == []
