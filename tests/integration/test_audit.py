"""The audit on a real PostgreSQL: silent on a healthy pipeline, loud on every broken promise.

A fault is made in the rows, as a bug would leave them, after the real pipeline has run.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from engine.cli.main import group
from engine.core.book import open_book
from engine.embedded.postgres import EmbeddedPostgres
from engine.language import load_journey
from engine.runtime.audit import audit
from engine.store.database import Database, migrate
from tests.integration.audit_kit import Make, breakable, found, healthy, judged, known, mailed
from tests.integration.runtime_kit import (
    Pipeline,
    module_database,
    refuses,
    silent,
)
from tests.unit.core.build import (
    ORDER,
    T0,
    at,
    audience,
    event,
    journey,
    order,
    send,
    stop,
    view,
    wait,
)


@pytest.fixture(scope="module")
def database(postgres_url: str, _template: str) -> Iterator[Database]:
    with module_database(postgres_url, _template) as database:
        yield database


@pytest.fixture
def make(database: Database) -> Iterator[Make]:
    with healthy(database) as make:
        yield make


@pytest.fixture
def broken(database: Database) -> Iterator[Make]:
    with breakable(database) as make:
        yield make


def test_a_healthy_pipeline_has_nothing_to_find(make: Make) -> None:
    shop = make()
    shop.drain(known(), known("user:2"), view(product="p1"), view(product="p1", who=("user:2",)))
    shop.drain(view(id="same"), view(id="same"))
    shop.drain(order(at(hours=1), "p1", who=("user:2",)))
    shop.at(at(hours=2)).wake()
    shop.deliver()
    shop.drain(order(at(hours=3), "p1"))
    steps: list[str] = []
    report = judged(shop, progress=steps.append)
    assert report.ok
    assert not found(report)
    assert report.facts["accepted"] == 8
    assert (report.facts["worked"], report.facts["duplicates"]) == (7, 1)
    assert (report.facts["sent"], report.facts["stopped"]) == (1, 1)
    assert (report.known_late, report.unknown, report.unjudged) == (0, 0, 0)
    assert len(steps) > 15


def test_an_empty_database_is_healthy(make: Make) -> None:
    report = judged(make())
    assert report.ok
    assert set(report.promises) == {"P1", "P2", "P3", "P4", "P5", "P6"}


def test_what_is_left_to_do_is_no_violation(make: Make) -> None:
    shop = make().accept(known(), view())
    report = judged(shop)
    assert report.ok
    assert report.facts["inbox"] == 2
    shop.drain()
    shop.at(at(hours=2)).wake()
    assert judged(shop).facts["due"] == 1


def test_a_provider_that_refuses_or_stays_silent_breaks_no_promise(make: Make) -> None:
    shop = make()
    shop.email.answer = silent
    shop.drain(known(), view())
    shop.at(at(hours=2)).wake()
    shop.deliver()
    report = judged(shop)
    assert report.ok
    assert report.unknown == 1
    shop.email.answer = refuses
    shop.drain(known("user:2"), view(at(hours=2), who=("user:2",)))
    shop.at(at(hours=4)).wake()
    shop.deliver()
    assert judged(shop).ok


# P1 and P2


def test_an_accepted_event_that_is_gone_is_lost(broken: Make) -> None:
    shop = broken().accept(known(), view())
    shop.run_sql("delete from inbox where name = 'Product Viewed'")
    report = judged(shop)
    assert found(report) == {"P1": ["events accepted, yet neither waiting nor taken"]}
    assert report.lost_events == 1
    assert not report.ok


def test_an_event_taken_and_not_worked_is_lost(broken: Make) -> None:
    shop = broken()
    shop.drain(known(), order(T0, "p1"))
    shop.run_sql("delete from event where name = %s", ORDER)
    report = judged(shop)
    assert report.lost_events == 1
    assert report.promises["P1"] == 1
    # ... and the profile that counted it no longer agrees with its history.
    assert "profiles whose orders are not the orders in their history" in found(report)["P2"]


def test_events_that_came_from_nowhere_are_found(broken: Make) -> None:
    shop = broken().accept(known())
    shop.run_sql("update ledger set n = 0")
    assert found(judged(shop)) == {"P1": ["events that nobody counted when they were accepted"]}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            "drop index event_id; insert into event select * from event where name like 'Order%%'",
            "events counted more than once",
        ),
        ("update profile set orders = orders + 1", "orders are not the orders in their history"),
        (
            "insert into enrollment select profile_id, gen_random_uuid(), journey, version, 'p9',"
            " bucket, event_id, entered_at, 'finished' from enrollment",
            "began more than one run",
        ),
        ("update identity set profile_id = 77", "rows of profiles that do not exist"),
        (
            "insert into message (profile_id, id, enrollment_id, journey, version, step, channel,"
            " template, topic, event_id, created_at, due_at, status) select profile_id,"
            " gen_random_uuid(), enrollment_id, journey, version, step, channel, template, topic,"
            " event_id, created_at, due_at, 'skipped' from message",
            "no visit of their step accounts for",
        ),
    ],
)
def test_what_is_counted_twice_is_found(broken: Make, fault: str, words: str) -> None:
    shop = mailed(broken)
    shop.drain(order(at(hours=3), "p1"))
    for statement in fault.split("; "):
        shop.run_sql(statement)
    assert any(words in kind for kind in found(judged(shop))["P2"])
    if "drop index" in fault:
        shop.run_sql("truncate event")
        shop.run_sql("create unique index event_id on event (id)")


# P3


def at_the_wrong_time(shop: Pipeline) -> None:
    """Let the gate of every message have seen all that is accepted by now, as if the claim had
    come after."""
    shop.run_sql("update message set gate_snapshot = pg_current_snapshot(), claimed_at = %s",
                 at(hours=5))  # fmt: skip


def test_a_mail_sent_after_its_stop_was_accepted_is_found(broken: Make) -> None:
    shop = mailed(broken)
    shop.drain(order(at(hours=3), "p1", id="the-order"))
    assert judged(shop).ok  # it came after the claim
    at_the_wrong_time(shop)
    report = judged(shop)
    assert found(report) == {"P3": ["messages sent after their stop was accepted"]}
    assert report.sent_after_stop == 1
    (finding,) = report.findings
    assert finding.examples[0].endswith("after event the-order")


def test_an_order_of_something_else_is_judged_by_the_condition(broken: Make) -> None:
    shop = mailed(broken)
    shop.drain(order(at(hours=1), "p2"), order(at(hours=3), "p3"))
    at_the_wrong_time(shop)
    assert judged(shop).ok


def test_an_order_before_the_run_is_no_stop(broken: Make) -> None:
    shop = broken()
    shop.drain(known(), order(at(hours=-1), "p1"), view(product="p1"))
    shop.at(at(hours=2)).wake()
    shop.deliver()
    at_the_wrong_time(shop)
    assert judged(shop).ok


def test_an_order_known_late_is_counted_apart(make: Make) -> None:
    """It was placed before the mail went, and reached us after."""
    shop = mailed(make)
    shop.drain(order(at(hours=1), "p1", received=at(hours=3)))
    report = judged(shop)
    assert report.ok
    assert report.known_late == 1
    assert report.sent_after_stop == 0


def test_an_order_of_a_profile_not_yet_known_to_be_theirs_is_known_late(broken: Make) -> None:
    """Two devices, one shopper, and the sign-in that says so comes after the mail."""
    shop = broken()
    shop.drain(known("user:1"), view(product="p1", who=("user:1",)))
    shop.drain(order(at(hours=1), "p1", who=("anonymous:phone",)))
    shop.at(at(hours=2)).wake()
    assert shop.deliver().sent == 1
    shop.drain(
        event("Identify", at(hours=3), who=("user:1", "anonymous:phone"), kind="identify"),
    )
    assert shop.one("select count(distinct profile_id) from event") == 1
    report = judged(shop)
    assert report.ok, report.findings
    assert report.known_late == 1
    at_the_wrong_time(shop)  # now the gate could see the sign-in as well
    assert judged(shop).sent_after_stop == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("update message set status = 'cancelled'", "cancelled and handed over"),
        (
            "update message set status = 'due'; update enrollment set status = 'stopped',"
            " stopped_by = 'none'",
            "ended runs that still wait to go",
        ),
    ],
)
def test_messages_of_stopped_runs_that_live_on_are_found(
    broken: Make, fault: str, words: str
) -> None:
    shop = mailed(broken)
    for statement in fault.split("; "):
        shop.run_sql(statement)
    assert any(words in kind for kind in found(judged(shop))["P3"])


def test_audience_places_that_a_stop_left_behind_are_found(broken: Make) -> None:
    advertised = journey(audience("add"), wait(days=9), stops=[stop()])
    shop = broken(advertised)
    shop.drain(known(), view())
    shop.drain(order(at(hours=1), "p1"))
    assert judged(shop).ok
    shop.run_sql("update audience_member set wanted = true")
    assert found(judged(shop)) == {"P3": ["audience places that ended runs still hold"]}
    shop.run_sql(
        "update audience_member set wanted = false, listed = true, changed_at = %s, synced_at = %s",
        at(hours=1),
        at(hours=2),
    )
    words = "shoppers put on an audience after they were to come off it"
    assert found(judged(shop)) == {"P3": [words]}


def test_since_leaves_out_what_went_before(broken: Make) -> None:
    shop = mailed(broken)
    shop.drain(order(at(hours=3), "p1"))
    at_the_wrong_time(shop)
    assert judged(shop, since=at(hours=5)).sent_after_stop == 1
    assert judged(shop, since=at(hours=6)).ok


# P4


def again(shop: Pipeline, outcome: str | None, on_unknown: str = "hold") -> None:
    """Hand the message over a second time after a first attempt that ended with ``outcome``."""
    shop.run_sql("update message set attempts = 2, on_unknown = %s", on_unknown)
    shop.run_sql("update delivery set outcome = %s", outcome)
    shop.run_sql(
        "insert into delivery select profile_id, message_id, 2, handed_at, settled_at, 'accepted'"
        " from delivery"
    )


@pytest.mark.parametrize(
    ("outcome", "on_unknown", "doubled"),
    [
        ("accepted", "hold", 1),
        ("accepted", "retry", 1),
        ("unknown", "hold", 1),
        (None, "retry", 1),
        ("unknown", "retry", 0),
        ("refused", "hold", 0),
    ],
)
def test_a_message_handed_over_twice_is_found(
    broken: Make, outcome: str | None, on_unknown: str, doubled: int
) -> None:
    shop = mailed(broken)
    again(shop, outcome, on_unknown)
    report = judged(shop)
    assert report.duplicate_sends == report.promises["P4"] == doubled


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("delete from delivery", "without a record of the attempt"),
        ("delete from message", "attempts without their message"),
        ("update message set status = 'due'", "would be sent again"),
        ("update delivery set outcome = 'refused'", "no provider took"),
    ],
)
def test_attempts_that_do_not_add_up_are_found(broken: Make, fault: str, words: str) -> None:
    shop = mailed(broken)
    shop.run_sql(fault)
    assert any(words in kind for kind in found(judged(shop))["P4"])


def test_the_wire_is_measured_in_real_time(broken: Make) -> None:
    shop = mailed(broken)
    shop.run_sql("update message set handed_at = claimed_at + interval '1.5 seconds'")
    assert judged(shop).wire_ms == 1500.0
    assert judged(shop, speed=60.0).wire_ms == 25.0


# P6


def test_a_run_that_goes_on_despite_its_stop_is_found(broken: Make) -> None:
    shop = broken()
    shop.drain(known(), view(product="p1"))
    shop.drain(order(at(hours=1), "p2"))
    assert judged(shop).ok
    shop.drain(order(at(hours=1), "p1"))
    shop.run_sql("update enrollment set status = 'active', live = true, stopped_by = ''")
    assert found(judged(shop)) == {"P6": ["runs that go on after their stop was worked"]}


@pytest.mark.parametrize("stopper", ["too-early", "another-product", "missing"])
def test_a_run_stopped_by_what_is_no_stop_of_it_is_found(broken: Make, stopper: str) -> None:
    shop = broken()
    shop.drain(order(at(hours=-1), "p1", id="too-early"))
    shop.drain(known(), view(product="p1"))
    shop.drain(order(at(minutes=1), "p9", id="another-product"))
    shop.drain(order(at(hours=1), "p1"))
    assert judged(shop).ok
    shop.run_sql("update enrollment set stopped_by = %s", stopper)
    assert judged(shop).promises["P6"] == 1


def test_late_and_shuffled_events_leave_nothing_to_find(make: Make) -> None:
    shop = make()
    shop.drain(known())
    shop.drain(order(at(hours=1), "p1", received=at(hours=1)))
    shop.drain(view(product="p1", received=at(hours=2)))  # the view of before the order comes last
    shop.drain(view(at(hours=2), "p2", received=at(hours=2)))
    shop.at(at(hours=4)).wake()
    shop.deliver()
    report = judged(shop)
    assert report.ok, report.findings
    assert (report.facts["stopped"], report.facts["sent"]) == (1, 1)


# What cannot be judged


def test_conditions_on_the_profile_are_counted_as_unjudged(broken: Make) -> None:
    fickle = journey(
        wait(hours=2), send(template="left"), stops=[stop(ORDER, "profile.orders > 1")]
    )
    shop = mailed(broken, fickle)
    shop.drain(order(at(hours=3), "p1"))
    at_the_wrong_time(shop)
    report = judged(shop)
    assert report.ok
    assert report.unjudged == 1


def test_runs_of_a_version_that_nobody_kept_are_counted_as_unjudged(make: Make) -> None:
    shop = mailed(make)
    report = audit(shop.database, open_book([]))
    assert report.ok
    assert report.unjudged == 1


def test_versions_are_found_in_the_database(broken: Make) -> None:
    source = (
        "journey: left-behind\ntrigger: {event: Product Viewed}\n"
        "stop: {event: Order Completed}\nsteps: [{wait: 2 hours}, {send: email, template: left}]\n"
    )
    written, diagnostics = load_journey(source)
    assert written is not None, diagnostics
    shop = mailed(broken, written)
    shop.drain(order(at(hours=3), "p1"))
    at_the_wrong_time(shop)
    shop.run_sql(
        "insert into journey_version values (%s, %s, %s, now())",
        written.name, written.version, written.source,
    )  # fmt: skip
    report = audit(shop.database, open_book([]))
    assert report.sent_after_stop == 1
    assert report.unjudged == 0


# The command


def run(database: Database, project: Path, *words: str) -> Any:
    (project / "config").mkdir(exist_ok=True)
    rules = "topics:\n  offers: {title: Offers, consent: opt-out}\n"
    (project / "config" / "winback.yaml").write_text(rules, "utf-8")
    return CliRunner().invoke(
        group,
        ["--project-dir", str(project), "audit", *words],
        env={"DATABASE_URL": database.url},
    )


def test_the_command_prints_a_line_for_each_promise(make: Make, tmp_path: Path) -> None:
    shop = mailed(make)
    done = run(shop.database, tmp_path)
    assert done.exit_code == 0, done.output
    for promise in ("P1", "P2", "P3", "P4", "P5", "P6"):
        assert promise in done.stdout
    assert "All promises are kept." in done.stdout


def test_the_command_names_what_it_finds_and_exits_1(broken: Make, tmp_path: Path) -> None:
    shop = mailed(broken)
    shop.drain(order(at(hours=3), "p1", id="the-order"))
    again(shop, "accepted")
    done = run(shop.database, tmp_path)
    assert done.exit_code == 1
    assert "messages handed over again" in done.stdout
    assert "All promises are kept." not in done.stdout
    as_json = run(shop.database, tmp_path, "--json")
    assert as_json.exit_code == 1
    report = json.loads(as_json.stdout)
    assert report["ok"] is False
    assert report["duplicate_sends"] == report["promises"]["P4"] == 1
    assert report["findings"][0]["examples"]


def test_the_command_without_a_database_says_what_to_do(tmp_path: Path) -> None:
    done = CliRunner().invoke(group, ["--project-dir", str(tmp_path), "audit"])
    assert "winback up" in str(done.exception)


@pytest.mark.parametrize("since", ["yesterday", "3 fortnights"])
def test_a_since_that_is_no_time_is_wrong_usage(
    database: Database, tmp_path: Path, since: str
) -> None:
    done = run(database, tmp_path, "--since", since)
    assert done.exit_code == 2
    assert "--since" in done.stderr


def test_a_trigger_of_the_same_instant_that_comes_after_its_stop_is_stopped(make: Make) -> None:
    """Of two events of one instant the larger id is the later, in whatever order they come."""
    shop = make()
    shop.drain(known(), order(T0, "p1", id="b"))
    shop.drain(view(T0, "p1", id="a"))
    report = judged(shop)
    assert report.ok, report.findings
    assert report.facts["stopped"] == 1


@pytest.fixture
def home(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """The database that a `winback up` in this project made, migrated and stopped."""
    server = EmbeddedPostgres(tmp_path / "var" / "postgres", durable=False)
    server.start()
    migrate(server.url)
    server.stop()
    yield server
    server.stop(immediate=True)


def test_the_command_starts_the_database_that_up_left_and_stops_it_again(
    home: EmbeddedPostgres, tmp_path: Path
) -> None:
    done = CliRunner().invoke(group, ["--project-dir", str(tmp_path), "audit", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["ok"] is True
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(home.url)


def test_the_command_uses_the_database_of_a_running_up_and_leaves_it_running(
    home: EmbeddedPostgres, tmp_path: Path
) -> None:
    home.start()
    with open(tmp_path / "var" / "lock", "wb") as lock:  # as the supervisor holds it
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = CliRunner().invoke(group, ["--project-dir", str(tmp_path), "audit"])
    assert done.exit_code == 0, done.output
    assert home.running()
    psycopg.connect(home.url).close()
