"""Erasing a shopper: nothing is left that leads to them, and nothing is sent by halves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine.cli.main import group
from engine.core.book import JourneyBook
from engine.core.erased import digest
from engine.intake.lanes import lane_of
from engine.model.event import Event
from engine.model.message import Rendered
from engine.runtime import shelf
from engine.runtime.audit import audit
from engine.runtime.erase import InFlight, WasErased, erase
from engine.runtime.explain import Nobody
from engine.store import tally
from engine.store.database import Database
from engine.testing.simulator import Fault
from tests.integration.ad_kit import h
from tests.integration.bench_kit import work
from tests.integration.runtime_kit import NOW, WHO, Make, identify
from tests.integration.traces_kit import numbered, traces
from tests.integration.two_lists_kit import MAIL, World, two_lists
from tests.unit.core.build import T0, event

JOURNEY = NOW
PHONE = "+923001234567"
ASHA = ("user:u-4711", f"email:{MAIL}", f"phone:{PHONE}", "anonymous:cookie-77", "cart:basket-9")
#: What nobody may find afterwards, in any spelling.
THEIRS = (MAIL, PHONE[1:], "Quintanilla", "u-4711", "cookie-77", "basket-9", h(MAIL))
OTHER = ("user:2", "email:other@shop.example.org")

MAILING = """
journey: thanks
trigger: {event: Product Viewed, again: always}
stop: {event: Order Completed}
steps:
  - send: email
    template: hello
    topic: orders
  - wait: 1 day
  - send: email
    template: hello
    topic: orders
"""
FILED = """
journey: filed
trigger: {event: Product Viewed, again: always}
stop: {event: Order Refunded}
steps:
  - audience: {add: google/filed}
  - wait: 30 days
"""
TEMPLATE = "---\nsubject: Hello\n---\nHello"


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    (tmp_path / "journeys").mkdir()
    (tmp_path / "journeys/thanks.yaml").write_text(MAILING)
    (tmp_path / "templates/hello").mkdir(parents=True)
    (tmp_path / "templates/hello/email.en.html").write_text(TEMPLATE)
    with two_lists(tmp_path, database_url, redis_url) as made:
        yield made


def database(world: World) -> Database:
    return world.bench.shell.database


def winback(world: World, *words: str) -> Result:
    return CliRunner().invoke(
        group, ["--project-dir", str(world.project), *words], standalone_mode=False
    )


def lived(world: World) -> int:
    """A shopper with some of everything, and another who has to stay as they are; gives the
    first one's profile."""
    world.happens("Order Completed", ("user:u-4711", "cart:second"), total=10, currency="USD")
    for who, mail, name in ((ASHA, MAIL, "Quintanilla"), (OTHER, "other@shop.example.org", "Bo")):
        world.happens("Identify", who, email=mail, last_name=name, consent={"email": True})
        world.happens("Product Viewed", who, note=f"for {name}, {mail}")
        world.happens("Consent Given", who, channel="sms", topic="offers")
    world.happens("Product Viewed", ASHA, product_id="p2")
    world.look()
    [(profile,)] = world.sql("select profile_id from identity where identifier = 'user:u-4711'")
    run = f"(select id from enrollment where profile_id = {profile} limit 1)"
    message = f"(select id from message where profile_id = {profile} limit 1)"
    with database(world).connection() as connection:
        for statement in (
            f"insert into coupon (code, pool, claim, enrollment_id, claimed_at)"
            f" values ('C1', 'p', gen_random_uuid(), {run}, now())",
            f"insert into coupon_missed values (gen_random_uuid(), 'p', {run}, now())",
            f"insert into short_link values ('s', 'https://x/?m={MAIL}', {profile}, {message},"
            " now())",
            f"insert into report values ({profile}, {message}, 'delivered')",
            f"insert into segment_list values ('vip', 'email:{MAIL}')",
            f"insert into segment_member values ({profile}, 'vip', true, now(), null)",
            f"insert into suppression values ('phone:{PHONE}', 'sms', 'stop', now())",
            "insert into rejected (received_at, source, reason, body) values"
            f" (now(), 'collector', 'bad', '{{\"email\": \"{MAIL.upper()}\"}}'),"
            " (now(), 'collector', 'bad', '{\"userId\": \"u-4711\"}'),"
            " (now(), 'drain', 'bad', '{\"phone\": \"0300 / 123-4567\"}'),"
            " (now(), 'collector', 'bad', '{\"userId\": \"u-471\", \"n\": 4711}')",
            f"insert into sender_state values ('p', 'away', 'no mailbox {MAIL}', now(), now(), 0)",
            "insert into journey_failure values"
            f" ('j', 'v', 'p', 'E', 'w', 1, now(), now(), 't', 'l', {profile})",
        ):
            connection.execute(statement.encode())
    world.accepted("Product Viewed", ("cart:basket-9",), note="waits in the inbox")
    return int(profile)


def test_nothing_of_the_shopper_is_left_in_any_table(world: World) -> None:
    profile = lived(world)
    found = {needle for _, _, needle in traces(database(world), *THEIRS)}
    assert found == set(THEIRS), "the search can find all of it"
    with database(world).connection() as connection:
        tallies = tally.tallies(connection)
    others = world.sql(f"select count(*) from event where profile_id <> {profile}")

    shown = json.loads(winback(world, "erase", MAIL, "--json").output)
    assert shown["profile"] == profile and not shown["erased"]
    rows = shown["rows"]
    assert not [what for what, n in rows.items() if not n and what != "refusals"], rows
    assert rows["events set aside"] == 3 and rows["events waiting"] == 1
    assert traces(database(world), MAIL), "a dry run changes nothing"

    result = winback(world, "erase", MAIL, "--yes", "--by", "Desk 7", "--json")
    told = json.loads(result.output)
    assert told["erased"] and told["by"] == "Desk 7" and not told["problems"]
    assert world.lists == ({h("other@shop.example.org")},) * 2, "told within the command"
    left = traces(database(world), *THEIRS)
    assert {place[:2] for place in left} <= {("audience_listing", c) for c in ("member", "email")}
    settle(world)
    assert traces(database(world), *THEIRS) == []
    assert numbered(database(world), profile) == []

    with database(world).connection() as connection:
        assert tally.tallies(connection) == tallies, "what journeys did stays counted"
    assert world.sql("select count(*) from event") == others
    assert world.sql("select claim is null, enrollment_id from coupon") == [(False, None)]
    assert world.sql("select by from erasure") == [("Desk 7",)]
    assert world.sql("select userid from (select body as userid from rejected) r") == [
        ('{"userId": "u-471", "n": 4711}',)
    ]
    report = audit(database(world), JourneyBook())
    assert [f for f in report.findings if f.promise in ("P1", "P2", "P4")] == []


def settle(world: World) -> None:
    """Until both platforms have confirmed the removals."""
    deadline = datetime.now(UTC) + timedelta(seconds=30)
    while world.sql("select 1 from audience_listing where off_reason like 'erased%'"):
        assert datetime.now(UTC) < deadline
        world.look()


def test_explain_and_a_second_erasure_say_so(world: World) -> None:
    lived(world)
    assert winback(world, "erase", "u-4711", "--yes", "--by", "Desk 7").return_value == 0
    again = winback(world, "erase", MAIL, "--yes")
    assert again.return_value == 0 and "was erased on" in again.output and "Desk 7" in again.output
    assert json.loads(winback(world, "erase", PHONE, "--json").output)["by"] == "Desk 7"
    for words in (
        ["explain", MAIL],
        ["explain", MAIL, "--verify"],
        ["explain", "u-4711", "--as-scenario"],
        ["segment", "explain", PHONE],
    ):
        told = winback(world, *words)
        assert isinstance(told.exception, WasErased) and "Desk 7" in str(told.exception)
    told = winback(world, "explain", "nobody@shop.example.org")
    assert isinstance(told.exception, Nobody) and not isinstance(told.exception, WasErased)


def test_a_list_that_goes_by_file_is_written_without_them_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (world.project / "journeys/filed.yaml").write_text(FILED)
    monkeypatch.setattr(shelf, "EVERY", 0.0)
    for who, mail in ((ASHA, MAIL), (OTHER, "other@shop.example.org")):
        world.happens("Identify", who, email=mail)
        world.happens("Product Viewed", who)
    world.bench.queue.sync()
    work(world.bench)
    folder = world.project / "var/audiences/google/filed"
    assert h(MAIL) in (folder / "members.csv").read_text()
    told = json.loads(winback(world, "erase", MAIL, "--yes", "--json").output)
    assert told["problems"] == []
    left = (folder / "members.csv").read_text()
    assert h(MAIL) not in left and h("other@shop.example.org") in left
    [removals] = folder.glob("removals-*.csv")
    assert h(MAIL) in removals.read_text(), "for whoever uploads it"


def test_a_platform_that_cannot_be_told_now_is_told_later(world: World) -> None:
    lived(world)
    world.meta.script([Fault("answer", world.meta.refusal(503))] * 3)
    told = winback(world, "erase", MAIL, "--yes", "--json")
    found = json.loads(told.output)
    assert told.return_value == 1 and found["erased"], "it is done here, whoever does not answer"
    assert [p for p in found["problems"] if p.startswith("meta/left-behind")]
    assert "meta/left-behind" in [one["audience"] for one in found["still_listed"]]
    with database(world).connection() as connection:
        connection.execute("delete from audience_hold")  # ten minutes later
    settle(world)
    assert world.lists == ({h("other@shop.example.org")},) * 2
    assert traces(database(world), *THEIRS) == []


def test_nobody_and_wrong_usage(world: World) -> None:
    told = winback(world, "erase", "nobody@shop.example.org", "--json")
    assert told.return_value == 1 and "Nobody" in json.loads(told.output)["problem"]
    assert isinstance(winback(world, "erase", "nobody@shop.example.org").exception, Nobody)
    told = CliRunner().invoke(group, ["erase"])
    assert told.exit_code == 2


def test_a_late_event_begins_anew_and_gets_no_mail_until_a_new_yes(world: World) -> None:
    lived(world)
    assert winback(world, "erase", MAIL, "--yes").return_value == 0
    now = datetime.now(UTC)
    old = now - timedelta(hours=1)

    def sent() -> int:
        return int(world.sql("select count(*) from message where status = 'sent'")[0][0])

    before = sent()
    # An import of what was said before the erasure counts for nothing.
    given = Event(
        "old", "track", "Consent Given", old, now, (f"email:{MAIL}",), {"channel": "email"}
    )
    world.bench.queue.drain(world.accept(given))
    world.happens("Product Viewed", (f"email:{MAIL}", "user:u-4711"))
    assert world.sql(
        "select orders, (select count(*) from event e where e.profile_id = p.id)"
        " from profile p join identity i on i.profile_id = p.id"
        " where i.identifier = 'user:u-4711'"
    ) == [(0, 2)]
    assert sent() == before
    blocks = "select channel, reason from suppression order by 1"
    assert world.sql(blocks) == [("email", "erased")]
    assert world.sql("select status, reason from message order by created_at desc limit 1") == [
        ("skipped", "suppressed: erased")
    ]
    world.happens("Order Completed", ("user:u-4711",))
    world.happens("Consent Given", (f"email:{MAIL}",), channel="email")
    assert world.sql(blocks) == []
    world.happens("Product Viewed", ("user:u-4711",), product_id="p3")
    assert sent() == before + 1


def test_a_provider_s_late_report_brings_nobody_back(world: World) -> None:
    lived(world)
    assert winback(world, "erase", MAIL, "--yes").return_value == 0
    now = datetime.now(UTC)
    delivered = Event(
        *("r", "track", "Email Delivered", now, now, (f"email:{MAIL}",)),
        {"message_id": "00000000-0000-4000-8000-000000000000"},
        {"made_by": "sendgrid"},
    )
    world.bench.queue.drain(world.accept(delivered))
    work(world.bench)
    settle(world)
    assert traces(database(world), MAIL) == []
    assert audit(database(world), JourneyBook()).findings == ()


def test_the_digest_needs_the_secret() -> None:
    assert digest("one secret", f"email:{MAIL}") != digest("another secret", f"email:{MAIL}")
    assert digest("one secret", "email:a@b.de") != digest("one secret", "email:a@b.df")


# Beside deliveries: a pipeline of its own.


def test_a_call_on_the_wire_is_waited_for(make: Make) -> None:
    there, go_on = threading.Event(), threading.Event()

    def slow(_: Rendered) -> str:
        there.set()
        assert go_on.wait(20)
        return "taken"

    shop = make()
    shop.email.answer = slow
    shop.drain(identify(*WHO), event("Product Viewed", T0, who=WHO, product_id="p1"))
    delivering = threading.Thread(target=shop.deliver)
    delivering.start()
    try:
        assert there.wait(20)
        with pytest.raises(InFlight):
            erase(shop.shell, "user:1", "desk", patience=0.0)
        assert shop.one("select status from message") == "claimed"
        waits: list[float] = []

        def wait(seconds: float) -> None:
            waits.append(seconds)
            go_on.set()
            delivering.join(20)

        done = erase(shop.shell, "user:1", "desk", wait=wait)
        assert waits and done.rows
    finally:
        go_on.set()
        delivering.join(20)
    assert len(shop.email.handed) == 1
    assert shop.rows("select 1 from message union all select 1 from delivery") == []


def test_what_is_only_due_never_goes(make: Make) -> None:
    shop = make()
    shop.drain(identify(*WHO), event("Product Viewed", T0, who=WHO, product_id="p1"))
    assert shop.one("select status from message") == "due"
    erase(shop.shell, "user:1", "desk")
    shop.deliver()
    assert shop.email.handed == []


def test_a_worker_that_died_with_the_message_keeps_nobody(make: Make) -> None:
    shop = make()
    shop.drain(identify(*WHO), event("Product Viewed", T0, who=WHO, product_id="p1"))
    shop.run_sql("update message set status = 'claimed', claimed_at = %s", T0)
    shop.at(T0 + timedelta(minutes=3))
    assert erase(shop.shell, "user:1", "desk", patience=0.0).rows


def test_two_at_once_are_one_erasure_and_deliveries_go_or_do_not(make: Make) -> None:
    """Twelve shoppers, erased by two at once, while their messages are delivered."""
    shop = make()
    many = 12
    for n in range(many):
        who = (f"user:{n}", f"email:s{n}@b.de")
        shop.drain(identify(*who), event("Product Viewed", T0, who=who, product_id="p1"))
    gone: dict[str, int] = {}
    done: list[str] = []
    failed: list[BaseException] = []
    shop.email.answer = lambda rendered: f"taken after {len(gone)}"

    def desk(by: str) -> None:
        try:
            for n in range(many):
                try:
                    erase(shop.shell, f"user:{n}", by, wait=lambda _: None)
                    done.append(f"user:{n}")
                except WasErased:
                    pass
                gone.setdefault(f"s{n}@b.de", len(shop.email.handed))
        except BaseException as error:
            failed.append(error)

    desks: list[threading.Thread] = [
        threading.Thread(target=desk, args=(by,)) for by in ("one", "two")
    ]
    desks.append(threading.Thread(target=shop.deliver))
    for each in desks:
        each.start()
    for each in desks:
        each.join(60)
    assert not failed
    assert sorted(done) == sorted(f"user:{n}" for n in range(many)), "each by one of them"
    places: dict[str, int] = {}
    for place, rendered in enumerate(shop.email.handed):
        to: Any = rendered
        places.setdefault(to.to, place)
    assert all(place < gone[who] for who, place in places.items()), "none after its erasure"
    assert len(places) == len(shop.email.handed)
    for table in ("profile", "identity", "event", "enrollment", "message", "delivery"):
        assert shop.one(f"select count(*) from {table}") == 0
    assert shop.one("select count(*) from erasure") == many


def test_an_event_that_a_drain_has_in_hand_is_worked_before_or_after(make: Make) -> None:
    """The drain holds the lane: the erasure waits, and takes what came of it along."""
    shop = make()
    shop.drain(identify(*WHO))
    shop.accept(event("Product Viewed", T0, who=WHO, product_id="p1"))
    lane = lane_of(WHO[0])
    erasing = threading.Thread(target=erase, args=(shop.shell, "user:1", "desk"))
    with shop.database.connection() as connection:
        connection.execute("select from lane where id = %s for update", [lane])
        erasing.start()
        erasing.join(0.2)
        assert erasing.is_alive()
    erasing.join(20)
    assert not erasing.is_alive()
    assert shop.rows("select 1 from inbox union all select 1 from profile") == []
