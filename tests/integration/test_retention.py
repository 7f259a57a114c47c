"""What grows old goes, in small batches; what a promise rests on stays, whatever is configured."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from engine.cli._retention import examine
from engine.cli.main import group
from engine.clock import ManualClock
from engine.model.policy import Policy, Topic
from engine.model.retention import LEAST, Retention
from engine.runtime.explain import Explanation, explain
from engine.runtime.retention import BROWSING, forget
from engine.settings import Settings
from engine.store import retention as store
from tests.integration.audit_kit import judged
from tests.integration.runtime_kit import TOPICS, Make, Pipeline, emptied, identify
from tests.integration.segment_kit import Segments
from tests.unit.core.build import T0, at, event, journey, order, send, stop, view, wait

DAY = timedelta(days=1)
#: All kinds after so many days, but for what a test says.
SOON = Retention(*[LEAST for _ in dataclasses.fields(Retention)])
NEVER = Retention(*[None for _ in dataclasses.fields(Retention)])
WHO = ("user:1", "email:a@b.de")
NOBODY = ("anonymous:n",)

JOURNEY = journey(
    wait(hours=2),
    send(template="left"),
    key="event.product_id",
    stops=[stop(goal=True)],
    name="left",
    if_="event.product_id == 'p1'",
)
LONG = journey(wait(days=300), send(), stops=[stop()], name="long", if_="event.product_id == 'p1'")
REPORTED = {"made_by": "sendgrid"}


def rules(retention: Retention = SOON) -> Policy:
    return Policy(topics=TOPICS, retention=retention)


def run_through(shop: Pipeline) -> str:
    """A shopper is written to; gives the message. All that happens goes into the log."""
    shop.drain(view(T0, who=WHO), view(at(minutes=1), "p2", who=("user:1",)))
    shop.at(at(hours=2)).wake()
    shop.deliver()
    [(message,)] = shop.rows("select id::text from message")
    for name in ("Email Delivered", "Email Opened"):
        said = event(name, at(hours=3), who=("email:a@b.de",), message_id=message)
        shop.drain(msgspec.structs.replace(said, context=REPORTED))
    shop.drain(order(at(hours=4), "p1", who=("user:1",)))
    return str(message)


def names(shop: Pipeline) -> list[str]:
    return [row[0] for row in shop.rows("select name from event order by time, id")]


def explained(shop: Pipeline, who: str = "user:1") -> Explanation:
    with shop.database.connection() as connection:
        return explain(connection, who, "DE")


def old_refusals(shop: Pipeline, count: int, when: datetime = T0) -> None:
    shop.run_sql(
        """
        insert into refusal (profile_id, message_id, at, journey, step, channel, topic, code, waits)
        select n, gen_random_uuid(), %s::timestamptz + n * interval '1 second', 'j', 's', 'sms',
               'offers', 'cap.all', false from generate_series(1, %s) n
        """,
        when,
        count,
    )


def old_rejected(shop: Pipeline, count: int, source: str, when: datetime = T0) -> None:
    shop.run_sql(
        "insert into rejected (received_at, source, reason, body)"
        " select %s, %s, 'r', '{}' from generate_series(1, %s)",
        when,
        source,
        count,
    )


def old_links(shop: Pipeline, count: int, when: datetime = T0, message: str | None = None) -> None:
    shop.run_sql(
        "insert into short_link (code, url, profile_id, message_id, made_at)"
        " select md5(random()::text || n), 'https://s', 1, coalesce(%s::uuid, gen_random_uuid()),"
        " %s from generate_series(1, %s) n",
        message,
        when,
        count,
    )


def left(shop: Pipeline, table: str) -> int:
    return int(shop.one(f"select count(*) from {table}"))


SEEDS: dict[str, tuple[str, Callable[[Pipeline, int, datetime], None]]] = {
    "refusals": ("refusal", old_refusals),
    "rejected events": ("rejected", lambda shop, n, when: old_rejected(shop, n, "collector", when)),
    "short links": ("short_link", old_links),
}


@pytest.mark.parametrize("kind", list(SEEDS))
def test_what_is_too_old_goes_batch_by_batch(make: Make, kind: str) -> None:
    shop = make(policy=rules(), clock=_clock(at(days=200)))
    table, seed = SEEDS[kind]
    seed(shop, 25, T0)
    seed(shop, 3, at(days=199))
    assert forget(shop.shell, 60, rows=10) == {kind: 25}
    assert left(shop, table) == 3
    assert forget(shop.shell, 60) == {}
    with shop.database.connection() as connection:
        [gone] = store.gone(connection)
    assert (gone.kind, gone.n, gone.at) == (kind, 25, at(days=200))


def test_a_batch_is_a_transaction_and_no_larger_than_it_says(make: Make) -> None:
    shop = make(policy=rules(), clock=_clock(at(days=200)))
    old_refusals(shop, 25)
    with shop.database.connection() as connection:
        assert store.forget(connection, "refusals", at(days=100), 10, at(days=200)) == 10
    oldest = shop.one("select min(at) from refusal")
    assert oldest == T0 + timedelta(seconds=11), "the oldest go first"


@pytest.mark.parametrize("kind", list(SEEDS))
def test_never_keeps_all(make: Make, kind: str) -> None:
    shop = make(policy=rules(NEVER), clock=_clock(at(days=9000)))
    table, seed = SEEDS[kind]
    seed(shop, 5, T0)
    assert forget(shop.shell, 60) == {}
    assert left(shop, table) == 5


def test_two_at_once_do_each_row_once(make: Make) -> None:
    shop = make(policy=rules(), clock=_clock(at(days=200)))
    old_refusals(shop, 300)
    start = Barrier(2)

    def work(_: int) -> dict[str, int]:
        start.wait()
        return forget(shop.shell, 60, rows=7)

    with ThreadPoolExecutor(2) as pool:
        done = [found.get("refusals", 0) for found in pool.map(work, range(2))]
    # A batch that is short, for the other holds its rows, ends that worker's turn: no row is lost.
    done.append(forget(shop.shell, 60).get("refusals", 0))
    assert (sum(done), left(shop, "refusal")) == (300, 0)
    assert shop.one("select gone from retention where kind = 'refusals'") == 300


@pytest.mark.parametrize("kind", list(SEEDS))
def test_rows_in_anothers_hands_are_left_and_nobody_waits(make: Make, kind: str) -> None:
    shop = make(policy=rules(), clock=_clock(at(days=200)))
    table, seed = SEEDS[kind]
    seed(shop, 5, T0)
    with shop.database.connection() as holder:
        holder.execute(f"select from {table} limit 2 for update".encode())
        assert forget(shop.shell, 60) == {kind: 3}
    assert left(shop, table) == 2


def test_what_was_accepted_and_failed_stays(make: Make) -> None:
    """P1: it can still be put in again."""
    shop = make(policy=rules(), clock=_clock(at(days=200)))
    old_rejected(shop, 2, "collector")
    old_rejected(shop, 1, "callback:twilio")
    old_rejected(shop, 4, "drain")
    assert forget(shop.shell, 60) == {"rejected events": 3}
    assert shop.rows("select distinct source from rejected") == [("drain",)]
    shop.run_sql("delete from rejected")


def test_a_link_leads_somewhere_as_long_as_its_message_promises_anything(make: Make) -> None:
    soon = rules()
    patient = {"patient": Topic("patient", consent="double opt-in", confirm_within=90 * DAY)}
    shop = make(LONG, policy=dataclasses.replace(soon, topics=TOPICS | patient))
    shop.drain(view(T0, who=WHO))
    shop.at(at(days=100))
    old_links(shop, 3)
    assert forget(shop.shell, 60) == {}, "90 days and 30: a yes may be confirmed so long"
    shop.policy = soon
    profile, run = shop.rows("select profile_id, id from enrollment")[0]
    shop.run_sql(
        "insert into message (profile_id, id, enrollment_id, journey, version, step, channel,"
        " template, topic, event_id, created_at, due_at, status, settled_at)"
        " select %s, gen_random_uuid(), %s, 'long', version, 's', 'sms', 't', 'offers', 'e',"
        " %s, %s, 'cancelled', %s from enrollment",
        *(profile, run, T0, T0, T0),
    )
    shop.run_sql(
        "update short_link set profile_id = %s, message_id = (select id from message)"
        " where code = (select min(code) from short_link)",
        profile,
    )
    assert forget(shop.shell, 60) == {"short links": 2}, "the run of the third goes on"
    shop.run_sql("update enrollment set status = 'finished', live = false, ended_at = %s", T0)
    assert forget(shop.shell, 60)["short links"] == 1


def test_what_the_log_of_a_shopper_keeps(make: Make) -> None:
    """Orders, triggers and identities stay; receipts and what was merely looked at go."""
    shop = make(policy=rules())
    shop.drain(identify(*WHO))
    run_through(shop)
    before = shop.rows("select traits, orders, first_seen, last_seen from profile")
    told = shop.rows("select status, reached from message")
    assert len(names(shop)) == 6
    shop.at(at(days=29))
    assert forget(shop.shell, 60) == {}
    shop.at(at(days=32))
    gone = forget(shop.shell, 60)
    assert gone == {"receipts": 2, "browsing": 1, "traces": 1, "attempts": 1}
    assert sorted(names(shop)) == ["Identify", "Order Completed", "Product Viewed"]
    kept = shop.one("select event_id from enrollment")
    assert shop.rows("select id from event where name = 'Product Viewed'") == [(kept,)]
    assert shop.rows("select traits, orders, first_seen, last_seen from profile") == before
    assert shop.rows("select status, reached from message") == told
    report = judged(shop)
    assert report.ok, report.findings
    assert report.facts["forgotten"] == 3


def test_what_began_and_what_stopped_a_run_stays_though_nothing_was_sent(make: Make) -> None:
    """P6: the audit holds the one against the other."""
    leaves = journey(
        wait(days=3), send(), stops=[stop("Page")], name="leaves", if_="event.product_id == 'p1'"
    )
    shop = make(leaves, policy=rules())
    shop.drain(view(T0, who=WHO))
    shop.drain(event("Page", at(hours=1), who=("user:1",)))
    shop.drain(event("Page", at(hours=2), who=("user:1",)))
    assert shop.runs() == [("leaves", "", "stopped")]
    shop.at(at(days=200))
    assert forget(shop.shell, 60) == {"browsing": 1, "traces": 1}
    named = shop.rows("select unnest(array[event_id, stopped_by]) from enrollment order by 1")
    assert sorted(shop.rows("select id from event")) == sorted(named)
    assert judged(shop).ok


def test_the_audit_still_finds_a_lost_attempt(make: Make) -> None:
    """P4: only attempts older than what went may be missing."""
    shop = make(policy=rules())
    shop.drain(identify(*WHO))
    run_through(shop)
    shop.at(at(days=32))
    assert forget(shop.shell, 60)["attempts"] == 1
    assert judged(shop).promises["P4"] == 0
    shop.run_sql("update message set settled_at = %s", at(days=20))
    assert judged(shop).promises["P4"] > 0
    shop.run_sql("update message set settled_at = %s", T0)


def test_nothing_goes_of_a_shopper_whom_a_run_still_asks_about(make: Make) -> None:
    shop = make(LONG, policy=rules())
    shop.drain(view(T0, who=WHO), view(at(minutes=1), "p2", who=("user:1",)))
    shop.drain(view(T0, "p3", who=NOBODY))
    shop.at(at(days=100))
    assert forget(shop.shell, 60) == {"browsing": 1}
    assert len(names(shop)) == 2
    assert explained(shop).whole_since is None


def test_what_journeys_ask_for_is_kept_as_far_back_as_they_ask(make: Make) -> None:
    asking = journey(
        send(),
        name="asking",
        trigger="Checkout Started",
        if_='did("Page", within="60 days") or did("Screen") or did("Cart Viewed", "2 days")',
    )
    shop = make(asking, policy=rules())
    for name in ("Page", "Screen", "Cart Viewed"):
        shop.drain(event(name, T0, who=NOBODY))
    shop.at(at(days=89))
    assert forget(shop.shell, 60) == {"browsing": 1}
    assert names(shop) == ["Page", "Screen"]
    shop.at(at(days=91))
    assert forget(shop.shell, 60) == {"browsing": 1}
    assert names(shop) == ["Screen"], "it is asked for however old it is"


def test_what_segments_ask_for_is_kept_as_far_back_as_they_ask(make: Make) -> None:
    shop = make(policy=rules())
    for name in ("Page", "Screen", "Cart Viewed"):
        shop.drain(event(name, T0, who=NOBODY))
    segments = Segments(shop)
    segments.put(pages={"did": "Page", "within": "60 days"}, screens={"did": "Screen"})
    shop.at(at(days=89))
    assert forget(shop.shell, 60) == {"browsing": 1}
    assert names(shop) == ["Page", "Screen"]
    shop.at(at(days=91))
    assert forget(shop.shell, 60) == {"browsing": 1}
    assert names(shop) == ["Screen"]
    segments.put(pages={"did": "Page", "within": "60 days"})
    shop.run_sql("update segment set source = '{}', version = 'broken' where name = 'pages'")
    shop.at(at(days=93))
    assert forget(shop.shell, 60) == {}, "nobody knows what a broken one asks for"
    shop.run_sql("delete from segment")
    shop.at(at(days=95))
    assert forget(shop.shell, 60) == {"browsing": 1}


def test_what_stops_a_run_is_kept_as_long_as_the_oldest_run(make: Make) -> None:
    """A merge may bring that run to whoever did it."""
    leaves = journey(
        wait(days=300), send(), stops=[stop("Page")], name="leaves", if_="event.product_id == 'p1'"
    )
    shop = make(leaves, policy=rules())
    shop.drain(event("Page", at(days=-2), who=NOBODY), event("Screen", at(days=-2), who=NOBODY))
    shop.drain(view(at(days=-1), who=WHO))
    shop.drain(event("Page", T0, who=NOBODY))
    shop.at(at(days=200))
    assert forget(shop.shell, 60) == {"browsing": 2}
    assert shop.rows("select name, time from event where name = 'Page'") == [("Page", T0)]


def test_an_event_that_alone_makes_two_identifiers_one_shopper_stays(make: Make) -> None:
    """P3, P5: the audit tells by it who was known to be whom."""
    shop = make(policy=rules())
    shop.drain(event("Page", T0, who=("user:1", "anonymous:a")))
    shop.drain(identify("user:2", "anonymous:b", time=at(minutes=1)))
    shop.drain(event("Page", at(minutes=2), who=("user:2", "anonymous:b")))
    shop.at(at(days=200))
    assert forget(shop.shell, 60) == {"browsing": 1}
    assert sorted(names(shop)) == ["Identify", "Page"]


def test_what_was_said_about_consent_is_kept_for_good(make: Make) -> None:
    shop = make(policy=rules())
    shop.drain(event("Page", T0, who=NOBODY, consent={"email": True}))
    shop.drain(event("Page", T0, who=NOBODY, context={"traits": {"consent": {"sms": True}}}))
    shop.drain(event("Consent Given", T0, who=NOBODY, channel="email", topic="offers"))
    shop.drain(event("Screen", T0, who=NOBODY, id="proof"))
    shop.run_sql(
        "insert into consent_log (profile_id, event_id, channel, topic, word, at, recorded_at,"
        " method, source, identifier) select profile_id, id, 'sms', '*', 'yes', time, time,"
        " 'form', '', 'user:1' from event where id = 'proof'"
    )
    before = shop.rows("select * from consent_log order by event_id")
    shop.run_sql("insert into suppression values ('email:x@y.de', 'email', 'bounce', %s)", T0)
    shop.at(at(days=9000))
    assert forget(shop.shell, 60) == {}
    assert shop.rows("select * from consent_log order by event_id") == before
    assert left(shop, "suppression") == 1


def test_explain_says_that_the_log_is_gone_and_does_not_differ(make: Make) -> None:
    """P8, also after a merge."""
    shop = make(policy=rules())
    run_through(shop)
    assert explained(shop).whole_since is None
    shop.at(at(days=32))
    forget(shop.shell, 60)
    assert explained(shop).whole_since == at(days=2)
    # user:1 becomes part of another, longer known shopper.
    shop.drain(view(at(days=33), "p9", who=("user:0", "cart:1")))
    shop.drain(identify("cart:1", "email:a@b.de", time=at(days=33)))
    assert explained(shop, "email:a@b.de").whole_since == at(days=2)


def test_an_old_message_is_not_judged_by_a_log_that_is_not_whole(make: Make) -> None:
    """P5: what may have permitted it is gone, so nobody can say."""
    shop = make(policy=rules(dataclasses.replace(SOON, attempts=None)))
    run_through(shop)
    opt_in = dataclasses.replace(shop.policy, topics={"offers": Topic("offers", consent="opt-in")})
    assert judged(shop, policy=opt_in).promises["P5"] == 1
    shop.at(at(days=32))
    forget(shop.shell, 60)
    report = judged(shop, policy=opt_in)
    assert report.promises["P5"] == 0
    assert report.unjudged >= 1


def test_since_when_a_log_is_whole_goes_by_what_went(make: Make) -> None:
    """Receipts went until lately; of this shopper only the traces were old enough."""
    shop = make(policy=rules(dataclasses.replace(SOON, traces=40 * DAY, browsing=None)))
    shop.drain(view(T0, who=WHO))
    shop.drain(order(at(hours=4), "p1", who=("user:1",)))
    shop.drain(event("Email Opened", at(hours=5), who=NOBODY))
    shop.at(at(days=50))
    assert forget(shop.shell, 60) == {"receipts": 1, "traces": 1}
    assert explained(shop).whole_since == at(days=10)
    assert explained(shop, "anonymous:n").whole_since == at(days=20)


def test_a_trace_keeps_what_says_how_the_run_began(make: Make) -> None:
    shop = make(policy=rules())
    run_through(shop)
    whole = shop.one("select trace from enrollment")
    assert len(whole) > 1
    shop.at(at(days=32))
    forget(shop.shell, 60)
    assert shop.one("select trace from enrollment") == whole[:1]


def test_the_shoppers_are_gone_through_once_a_day_a_few_at_a_time(make: Make) -> None:
    shop = make(policy=rules())
    for number in range(7):
        shop.drain(event("Page", T0, who=(f"anonymous:{number}",)))
    shop.at(at(days=100))
    assert forget(shop.shell, 60, shoppers=3) == {"browsing": 7}
    assert shop.rows("select place, began_at from retention_walk") == [(None, at(days=100))]
    shop.drain(event("Page", T0, who=NOBODY, received=T0))
    assert forget(shop.shell, 60) == {}, "the next pass begins tomorrow"
    shop.at(at(days=101))
    assert forget(shop.shell, 60) == {"browsing": 1}


def test_two_workers_share_one_pass(make: Make) -> None:
    shop = make(policy=rules())
    for number in range(40):
        shop.drain(event("Page", T0, who=(f"anonymous:{number}",)))
    shop.at(at(days=100))
    start = Barrier(2)

    def work(_: int) -> int:
        start.wait()
        return forget(shop.shell, 60, shoppers=2).get("browsing", 0)

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(work, range(2))) == 40
    assert shop.ledger()["forgotten"] == 40


def test_a_shopper_in_anothers_hands_waits_for_tomorrow_and_nobody_waits(make: Make) -> None:
    shop = make(policy=rules())
    shop.drain(event("Page", T0, who=("anonymous:1",)), event("Page", T0, who=("anonymous:2",)))
    shop.at(at(days=100))
    with shop.database.connection() as drain:
        drain.execute("select from profile order by id limit 1 for update")
        assert forget(shop.shell, 60) == {"browsing": 1}
    shop.at(at(days=101))
    assert forget(shop.shell, 60) == {"browsing": 1}


def test_a_message_that_nobody_knows_of_keeps_its_attempts(make: Make) -> None:
    """P4: a report may still settle it."""
    shop = make(policy=rules())
    run_through(shop)
    shop.run_sql("update message set status = 'unresolved'")
    shop.at(at(days=300))
    assert "attempts" not in forget(shop.shell, 60)
    shop.run_sql("update message set status = 'sent'")


def test_a_hundred_thousand_rows_are_found_by_their_indexes(make: Make) -> None:
    shop = make(policy=rules(), clock=_clock(at(days=200)))
    _fill(shop)
    parameters: dict[str, Any] = {
        "before": at(days=1),
        "limit": 1000,
        "profiles": list(range(200)),
        "names": sorted(BROWSING),
        "befores": [at(days=100)] * len(BROWSING),
        "traces": at(days=100),
        "attempts": at(days=100),
    }
    statements = {
        **store._BY_TIME,
        "events": "select e.profile_id " + store._OLD_EVENTS,
        "traces": "select r.profile_id " + store._OLD_TRACES,
        "attempts": "select d.profile_id " + store._OLD_ATTEMPTS,
    }
    plans: dict[str, str] = {}
    with shop.database.connection() as connection:
        for name, statement in statements.items():
            rows = connection.execute(f"explain {statement}".encode(), parameters).fetchall()
            plans[name] = "\n".join(row[0] for row in rows)
    emptied(shop.database)
    assert not {name: plan for name, plan in plans.items() if "Seq Scan" in plan}


def _fill(shop: Pipeline) -> None:
    for statement in (
        "insert into profile (id, born_of) select n, 'x' from generate_series(1, 20000) n",
        """insert into event (profile_id, id, kind, name, time, received_at, processed_at,
                              properties, context, accept_xid, identifiers)
           select 1 + n %% 20000, 'e' || n, 'track',
                  (array['Page', 'Product Viewed', 'Order Completed', 'Identify'])[1 + n %% 4],
                  t, t, t, '{}', '{}', '1', '{user:1}'
             from (select n, %(t0)s::timestamptz + n * interval '1 minute' as t
                     from generate_series(1, 100000) n) s""",
        """insert into enrollment (profile_id, id, journey, version, key, bucket, event_id,
                                   entered_at, status, live, ended_at, trace)
           select 1 + n %% 20000, gen_random_uuid(), 'j', 'v', n::text, 0, 'e' || n, %(t0)s,
                  'finished', n %% 50 = 0, %(t0)s, '[[1], [2]]'
             from generate_series(1, 100000) n""",
        """insert into message (profile_id, id, enrollment_id, journey, version, step, channel,
                                template, topic, event_id, created_at, due_at, status, settled_at)
           select profile_id, gen_random_uuid(), id, 'j', 'v', 's', 'sms', 't', 'offers', event_id,
                  %(t0)s, %(t0)s, 'sent', %(t0)s from enrollment""",
        """insert into consent_log (profile_id, event_id, channel, topic, word, at, recorded_at,
                                    method, source, identifier)
           select profile_id, id, 'email', '*', 'yes', time, time, 'form', '', 'user:1'
             from event where name = 'Identify'""",
        "insert into former_profile select n, n %% 20000 from generate_series(30000, 60000) n",
        """insert into delivery (profile_id, message_id, attempt, handed_at)
           select profile_id, id, 1, created_at from message""",
    ):
        with shop.database.connection() as connection:
            connection.execute(statement.encode(), {"t0": T0})
    for _, seed in SEEDS.values():
        seed(shop, 100_000, T0)
    # Not all at one time: the old ones are few.
    shop.run_sql("update short_link set made_at = made_at + random() * interval '200 days'")
    shop.run_sql("update rejected set received_at = received_at + random() * interval '200 days'")
    shop.run_sql("update refusal set at = at + random() * interval '200 days'")
    with shop.database.connection() as connection:
        connection.execute("analyze")


def _clock(when: datetime) -> ManualClock:
    return ManualClock(when)


def test_explain_and_doctor_tell_what_is_gone(make: Make, tmp_path: Path) -> None:
    shop = make(policy=rules())
    run_through(shop)
    shop.at(at(days=32))
    forget(shop.shell, 60)
    env = {"DATABASE_URL": shop.database.url, "WINBACK_SECRET": "s" * 32}
    said = CliRunner(env=env).invoke(
        group, ["--project-dir", str(tmp_path), "explain", "user:1", "--verify"]
    )
    assert said.exit_code == 0, said.output
    assert "Not replayed: the log before 2026-03-04" in said.output
    assert "differences" not in said.output
    [check] = examine(Settings.from_environment(env))
    assert check.says.startswith(
        "deleted, for they were old: 1 attempts, 1 browsing, 2 receipts, 1 traces; last 2026-04-03"
    )
    shop.run_sql("delete from retention")
    assert not list(examine(Settings.from_environment(env))), "nothing has gone: nothing is said"
