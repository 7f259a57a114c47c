"""A thousand shoppers in flight, and their journey edited in every way: what the plan said is
what happened. On a real PostgreSQL, by the real drain and wake."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import click
import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg.conninfo import conninfo_to_dict

from engine.cli.main import group
from engine.intake.lanes import lane_of
from engine.runtime import shelf as shelf_module
from engine.runtime.apply import Overtaken, TooFar, apply, follow_files, follow_up
from engine.runtime.audit import audit
from engine.runtime.drain import drain
from engine.runtime.plan import NothingToGoBackTo, Plan, before_it
from engine.runtime.shelf import Shelf
from engine.runtime.shell import Shell
from engine.store.database import Database
from tests.integration.versions_kit import HOUR, Run, World, event, new_project

T0 = datetime(2026, 11, 20, tzinfo=UTC)
#: When the journey is edited: after all cohorts came in.
NOW = T0 + 100 * HOUR
SHOPPERS = 1000

CART = """
journey: cart
on change: move
trigger: {event: Product Added}
stop: {event: Order Completed, goal: true}
steps:
  - wait: 10 hours
  - send: email
    template: hello
    topic: orders
  - wait for: {event: Email Clicked, at most: 2 days}
    name: click
    then:
      - wait: 4 days
        name: think
    else:
      - wait: 1 day
      - send: email
        template: hello
        topic: orders
  - wait: 30 days
    name: rest
"""
OTHER = "journey: other\ntrigger: {event: Product Added}\nsteps: [{wait: 90 days}]\n"


def opened(server: str, name: str) -> Database:
    socket = conninfo_to_dict(server)["host"]
    return Database(f"postgresql://postgres:@/{name}?host={socket}")


@pytest.fixture(autouse=True)
def _look_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf_module, "EVERY", 0.0)


@pytest.fixture(scope="module")
def grown(
    postgres_url: str, _template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A database in which a thousand shoppers are in flight, to be copied for each test."""
    name = f"plan_{uuid4().hex[:8]}"
    patch = pytest.MonkeyPatch()
    patch.setattr(shelf_module, "EVERY", 0.0)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"create database {name} template {_template}".encode())
        with opened(postgres_url, name) as database:
            world = World(
                database, new_project(tmp_path_factory.mktemp("grown"), cart=CART, other=OTHER), T0
            )
            world.apply()
            grow(world)
        yield name
        connection.execute(f"drop database {name} with (force)".encode())
    patch.undo()


def grow(world: World) -> None:
    """Ten shoppers an hour, of whom some click, some look for help, some buy."""
    for hour in range(100):
        users = range(hour * 10, hour * 10 + 10)
        at = T0 + hour * HOUR
        events = [event("Product Added", u, at + timedelta(minutes=u % 50)) for u in users]
        for user in range(max(0, hour * 10 - 200), max(0, hour * 10 - 190)):
            if user % 3 == 0:
                events.append(event("Email Clicked", user, at))
            if user % 7 == 0:
                events.append(event("Help Asked", user, at, about="size" if user % 2 else "price"))
            if user % 50 == 0:
                events.append(event("Order Completed", user, at))
        world.accept(*events)
        world.work(at + timedelta(minutes=59))
        world.clock.move_to(at + HOUR)
    world.work(NOW)


@pytest.fixture
def copies(postgres_url: str, grown: str, tmp_path: Path) -> Iterator[Callable[[], World]]:
    """Makes worlds of the thousand shoppers, each with a project of its own."""
    with ExitStack() as stack:
        admin = stack.enter_context(psycopg.connect(postgres_url, autocommit=True))

        def make() -> World:
            name = f"plan_{uuid4().hex[:8]}"
            admin.execute(f"create database {name} template {grown}".encode())
            stack.callback(admin.execute, f"drop database {name} with (force)".encode())
            database = stack.enter_context(opened(postgres_url, name))
            return World(database, new_project(tmp_path / name, cart=CART, other=OTHER), NOW)

        yield make


@pytest.fixture
def world(copies: Callable[[], World]) -> World:
    return copies()


def edited(*replacements: str) -> str:
    text = CART
    for old, new in zip(replacements[::2], replacements[1::2], strict=True):
        assert old in text
        text = text.replace(old, new)
    return text


STOP = "stop: {event: Order Completed, goal: true}"
EDITS = {
    "wait shorter": edited("wait: 10 hours", "wait: 4 hours"),
    "wait shorter than the shortest": edited("wait: 10 hours", "wait: 1 minute"),
    "wait longer": edited("wait: 10 hours", "wait: 20 hours"),
    "all waits shorter": edited(
        *("wait: 10 hours", "wait: 3 hours", "at most: 2 days", "at most: 1 day"),
        *("wait: 4 days", "wait: 2 days", "wait: 1 day\n", "wait: 6 hours\n"),
    ),
    "waits for another event": edited("Email Clicked", "Email Opened"),
    "named step renamed": edited("name: think", "name: ponder"),
    "step deleted": edited("      - wait: 4 days\n        name: think\n", "      - exit: done\n"),
    "branch deleted": edited(
        "    else:\n      - wait: 1 day\n      - send: email\n        template: hello\n"
        "        topic: orders\n",
        "",
    ),
    "step inserted in front": edited("steps:\n", "steps:\n  - update: {seen: true}\n"),
    "stop added": edited(STOP, f"stop:\n  - {STOP[6:]}\n  - {{event: Help Asked}}"),
    "stop added with a condition": edited(
        STOP, f"stop:\n  - {STOP[6:]}\n  - {{event: Help Asked, if: event.about == 'size'}}"
    ),
    "stop added and waits shorter": edited(
        *(STOP, f"stop:\n  - {STOP[6:]}\n  - {{event: Help Asked}}"),
        *("wait: 10 hours", "wait: 3 hours", "at most: 2 days", "at most: 1 day"),
    ),
    "leave": edited("on change: move", "on change: leave"),
    "finish": edited("on change: move", "on change: finish", "10 hours", "4 hours"),
    "trigger changed": edited("Product Added", "Product Viewed"),
}


def what_happened(before: Run, after: Run, new: str) -> str:
    """The fate of a run, told from its rows alone."""
    if after.status == "stopped":
        return "stops"
    if after.status == "finished":
        return "leaves"
    if after.version != new:
        return "finishes"
    if after.wake_at == before.wake_at:
        return "keeps"
    assert after.wake_at is not None and before.wake_at is not None
    assert after.wake_at < before.wake_at
    return "goes on" if after.wake_at == NOW else "sooner"


def test_there_are_a_thousand_in_flight_at_every_step(world: World) -> None:
    waiting = Counter(run.at for run in world.runs().values() if run.status == "active")
    assert sum(waiting.values()) > 950
    places = ("steps/0", "steps/2", "steps/2/then/0", "steps/2/else/0", "steps/3")
    assert set(waiting) == set(places)
    assert min(waiting.values()) > 50
    assert world.plan().empty


@pytest.mark.parametrize("edit", EDITS)
def test_what_the_plan_said_is_what_happened(world: World, edit: str) -> None:
    world.write("cart", EDITS[edit])
    said = world.plan()
    before, untouched = world.runs(), world.runs("other")
    assert world.apply(planned=said) == said
    after = world.runs()
    (cart, other) = said.journeys
    new = world.wanted().journeys["cart"].version
    assert (cart.change, cart.wanted, other.change) == ("changed", new, "unchanged")

    happened: dict[tuple[str, str | None], Counter[str]] = {}
    for id, run in before.items():
        if run.status != "active":
            assert after[id] == run
            continue
        place = (run.version, run.at)
        happened.setdefault(place, Counter())[what_happened(run, after[id], new)] += 1
    assert {(g.version, g.at): Counter(g.fates) for g in cart.in_flight} == happened
    assert all(group.waiting == sum(group.fates.values()) for group in cart.in_flight)
    assert world.runs("other") == untouched
    assert world.plan().empty

    # Those who leave or stop leave nothing behind, and no promise is broken.
    world.work(NOW + 2 * HOUR)
    assert not world.rows(
        "select from message m join enrollment e on e.id = m.enrollment_id"
        " where m.status = 'due' and not e.live and e.journey = 'cart'"
        " and e.reason in ('stopped', 'the journey was edited')"
    )
    found = audit(world.database, world.shelf.book())
    assert found.ok, found.findings


def total(plan: Plan, action: Any) -> int:
    return sum(journey.count(action) for journey in plan.journeys)


def test_each_edit_does_what_it_is_meant_to_show(world: World) -> None:
    """So that the test above is not about nothing."""
    expected = {
        "wait shorter": {"keeps", "goes on", "sooner"},
        "wait longer": {"keeps"},
        "all waits shorter": {"keeps", "goes on", "sooner"},
        "step deleted": {"keeps", "leaves"},
        "branch deleted": {"keeps", "leaves"},
        "step inserted in front": {"keeps", "leaves"},
        "named step renamed": {"keeps"},
        "stop added": {"keeps", "stops"},
        "stop added and waits shorter": {"keeps", "stops", "goes on", "sooner"},
        "leave": {"leaves"},
        "finish": {"finishes"},
        "trigger changed": {"keeps"},
    }
    for edit, fates in expected.items():
        world.write("cart", EDITS[edit])
        (cart, _) = world.plan().journeys
        assert {fate for group in cart.in_flight for fate in group.fates} == fates, edit


def test_stops_by_history_are_those_that_the_condition_finds(world: World) -> None:
    counts = {}
    for edit in ("stop added", "stop added with a condition"):
        world.write("cart", EDITS[edit])
        counts[edit] = total(world.plan(), "stops")
    asked = world.rows(
        "select e.properties ->> 'about' from event e join enrollment r using (profile_id)"
        " where e.name = 'Help Asked' and r.journey = 'cart' and r.status = 'active'"
    )
    assert counts["stop added"] == len(asked)
    assert counts["stop added with a condition"] == asked.count(("size",)) > 0


def test_who_finishes_is_told_whom_the_new_stop_would_have_stopped(world: World) -> None:
    world.write("cart", EDITS["stop added"])
    moving = total(world.plan(), "stops")
    plan = world.plan(world.wanted(rule="finish"))
    assert total(plan, "stops") == 0
    assert sum(g.would_stop for g in plan.journeys[0].in_flight) == moving > 0


def test_a_stopped_run_says_by_what(world: World) -> None:
    world.write("cart", EDITS["stop added"])
    before = {id for id, run in world.runs().items() if run.status == "stopped"}
    world.apply()
    stopped = [r for id, r in world.runs().items() if r.status == "stopped" and id not in before]
    assert all(run.stopped_by.startswith("Help Asked-") for run in stopped)
    assert {run.reason for run in stopped} == {"Help Asked was there first"}


def test_who_moves_on_at_once_gets_the_mail_at_once_and_not_as_overdue(world: World) -> None:
    world.write("cart", EDITS["all waits shorter"])
    plan = world.apply()
    (counted,) = world.rows("select count(*) from message")
    world.work(NOW)
    (later,) = world.rows("select count(*) from message")
    mails = sum(
        g.fates.get("goes on", 0)
        for g in plan.journeys[0].in_flight
        if g.at in ("steps/0", "steps/2/else/0")
    )
    assert later[0] - counted[0] == mails > 0
    assert not world.rows(
        """select from enrollment where trace @? 'strict $[*] ? (@[1] == "skips")'"""
    )


def test_the_trace_says_what_the_edit_did(world: World) -> None:
    world.write("cart", EDITS["all waits shorter"])
    old, new = (world.plan().journeys[0].live, world.plan().journeys[0].wanted)
    world.apply()
    rows = world.rows("select trace -> -1 from enrollment where journey = 'cart' and live")
    whys = {trace[2] for (trace,) in rows if trace[1] == "moves"}
    assert whys == {
        f"from {old} to {new}: {why}"
        for why in ("keeps its timer", "the wait is over", "the wait became shorter")
    }


def test_a_removed_journey_lets_go_of_its_shoppers(world: World) -> None:
    (world.project / "journeys/cart.yaml").unlink()
    plan = world.plan()
    assert plan.journeys[0].change == "removed"
    assert total(plan, "leaves") > 950
    assert world.apply(planned=plan) == plan
    assert {run.status for run in world.runs().values()} <= {"finished", "stopped"}
    assert set(world.shelf.book().current) == {"other"}


def test_the_rule_on_the_command_line_stands_above_the_journeys(world: World) -> None:
    world.write("cart", EDITS["wait shorter"])
    assert total(world.plan(world.wanted(rule="leave")), "leaves") > 950
    assert total(world.plan(world.wanted(rule="finish")), "finishes") > 950


def test_workers_take_the_applied_journeys_not_the_files(world: World) -> None:
    live = world.shelf.book().current["cart"].version
    world.write("cart", EDITS["wait longer"])
    world.write("fresh", OTHER.replace("other", "fresh"))
    assert world.shelf.book().current["cart"].version == live
    assert set(world.shelf.book().current) == {"cart", "other"}
    world.apply()
    assert world.shelf.book().current["cart"].version != live
    assert set(world.shelf.book().current) == {"cart", "other", "fresh"}
    # A broken file changes nothing either, and neither does a restart.
    world.write("cart", "journey: [")
    again = Shelf(world.database, world.clock, world.project)
    assert set(again.book().current) == {"cart", "other", "fresh"}


def test_workers_go_back_to_the_files_when_told(world: World) -> None:
    world.write("fresh", OTHER.replace("other", "fresh"))
    follow_files(world.database, world.clock.now, "asha")
    assert set(world.shelf.book().current) == {"cart", "other", "fresh"}
    assert world.plan().base is None
    with pytest.raises(NothingToGoBackTo):
        back(world)


def back(world: World, **more: Any) -> Plan:
    with world.database.connection() as connection:
        wanted = before_it(connection, **more)
    return world.apply(wanted)


def test_a_rollback_makes_live_what_was_live_and_moves_the_moved_back(world: World) -> None:
    first = world.shelf.book().current["cart"].version
    before = world.runs()
    world.write("cart", EDITS["wait longer"])
    world.apply()
    assert {r.version for r in world.runs().values() if r.status == "active"} != {first}
    plan = back(world)
    assert world.shelf.book().current["cart"].version == first
    assert {fate for group in plan.journeys[0].in_flight for fate in group.fates} == {"keeps"}
    assert world.runs() == before


def test_rollbacks_go_further_and_further_back(world: World) -> None:
    versions = [world.shelf.book().current["cart"].version]
    for edit in ("wait longer", "wait shorter"):
        world.write("cart", EDITS[edit])
        world.apply()
        versions.append(world.shelf.book().current["cart"].version)
    for expected in (versions[1], versions[0]):
        back(world)
        assert world.shelf.book().current["cart"].version == expected
    with pytest.raises(NothingToGoBackTo):
        back(world)


def test_since_when_a_version_is_live(world: World) -> None:
    world.write("cart", EDITS["wait longer"])
    world.apply()
    rows = dict(
        world.rows(
            "select journey, since from live_version where live_set ="
            " (select max(id) from live_set)"
        )
    )
    assert rows == {"cart": NOW, "other": T0}


def test_who_comes_in_by_a_worker_that_has_not_looked_is_treated_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = Shelf(world.database, world.clock, world.project)
    stale.book()
    world.write("cart", EDITS["wait shorter"])
    done = apply(world.database, world.wanted(), world.clock.now, "asha")
    monkeypatch.setattr(shelf_module, "EVERY", 3600.0)
    world.accept(event("Product Added", 5000, NOW))
    drain(Shell(world.database, world.clock, stale.book, stale.policy), lane_of("user:5000"))
    assert done.plan.journeys[0].live in {r.version for r in world.runs().values()}
    late = lambda: follow_up(world.database, done, world.wanted(), world.clock.now)  # noqa: E731
    assert late() == 1
    active = {r.version for r in world.runs().values() if r.status == "active"}
    assert active == {done.plan.journeys[0].wanted}
    assert late() == 0


def test_nothing_is_done_when_somebody_else_was_faster(world: World) -> None:
    world.write("cart", EDITS["wait shorter"])
    plan = world.plan()
    world.apply(world.wanted(rule="finish"))
    before = world.runs()
    with pytest.raises(Overtaken):
        world.apply(planned=plan)
    assert world.runs() == before


def test_too_many_messages_change_nothing(world: World) -> None:
    world.write("cart", EDITS["all waits shorter"])
    before, live = world.runs(), world.shelf.book().current["cart"].version
    plan = world.plan()
    with pytest.raises(TooFar, match=f"--allow {plan.messages}"):
        world.apply(allowed=plan.messages - 1)
    assert world.runs() == before
    assert world.shelf.book().current["cart"].version == live
    assert world.apply(allowed=plan.messages) == plan


def test_the_blast_radius_counts_what_would_not_have_gone_without_the_edit(world: World) -> None:
    """Of the thousand in flight, and of as many new ones as came on the busiest day."""
    parts = lambda: [(p.journey, p.who, p.people, p.messages) for p in world.plan().parts]  # noqa: E731
    world.write("cart", edited("journey: cart", "journey: cart\ntitle: Carts"))
    assert parts() == []
    # The mail after two days and one comes within the day: who waits for the click or after it.
    world.write("cart", edited("at most: 2 days", "at most: 1 hour", "wait: 1 day", "wait: 1 hour"))
    waiting = Counter(run.at for run in world.runs().values() if run.status == "active")
    found = {who: (people, messages) for _, who, people, messages in parts()}
    assert found["new shoppers"] == (240, 240)
    late = world.rows(
        "select count(*) from enrollment where journey = 'cart' and status = 'active'"
        f" and at = 'steps/2/else/0' and wake_at <= '{NOW + 24 * HOUR}'"
    )[0][0]
    assert late == waiting["steps/2/else/0"]  # they were to get it within the day anyway
    assert found["in flight"] == (waiting["steps/0"] + waiting["steps/2"],) * 2
    # Another trigger: whoever comes is somebody new.
    world.write("cart", edited("Product Added}", "Help Asked}"))
    people = world.rows(
        "select max(n) from (select count(distinct profile_id) as n from event"
        f" where name = 'Help Asked' group by ceil(extract(epoch from '{NOW}' - time) / 86400)) d"
    )[0][0]
    assert parts() == [("cart", "new shoppers", people, people)]


def test_the_worst_case_is_never_less_than_what_is_sent(copies: Callable[[], World]) -> None:
    """The same day, with the edit and without it."""
    sent: list[int] = []
    for edit in (False, True):
        world = copies()
        if edit:
            world.write("cart", EDITS["all waits shorter"])
            worst = sum(part.messages for part in world.apply().parts if part.who == "in flight")
        before = world.rows("select count(*) from message")[0][0]
        world.work(NOW + 24 * HOUR)
        sent.append(world.rows("select count(*) from message")[0][0] - before)
    assert sent[0] < sent[1] <= sent[0] + worst


def test_what_went_before_a_stop_was_added_breaks_no_promise(world: World) -> None:
    """The old version did not stop for it, and it is the version that the message is of."""
    world.rows(
        "with sent as (update message set status = 'sent', attempts = 1, claimed_at = due_at,"
        " handed_at = due_at, gate_snapshot = pg_current_snapshot() where enrollment_id in"
        " (select id from enrollment where status = 'active') returning *)"
        " insert into delivery (profile_id, message_id, attempt, handed_at, outcome)"
        " select profile_id, id, 1, due_at, 'accepted' from sent returning 1"
    )
    world.write("cart", EDITS["stop added"])
    assert total(world.apply(), "stops") > 0
    found = audit(world.database, world.shelf.book())
    assert found.ok, found.findings


def test_an_apply_that_dies_has_changed_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.runtime import apply as apply_module

    def die(*_: Any, **__: Any) -> int:
        raise RuntimeError("the machine stops here")

    before = world.runs()
    world.write("cart", EDITS["leave"])
    monkeypatch.setattr(apply_module.versions_store, "write", die)
    with pytest.raises(RuntimeError):
        world.apply()
    assert world.runs() == before
    assert world.rows("select max(id) from live_set") == [(1,)]


def test_before_the_first_apply_the_files_are_live(database_url: str, tmp_path: Path) -> None:
    with Database(database_url) as database:
        world = World(database, new_project(tmp_path / "shop", cart=CART, other=OTHER), T0)
        world.accept(event("Product Added", 1, T0))
        world.work(T0)
        assert world.plan().base is None
        world.write("cart", EDITS["wait shorter"])
        assert world.shelf.book().current["cart"].steps["steps/0"].duration == 4 * HOUR  # type: ignore[union-attr]
        # Who came in before the edit finishes on what they entered, until the first apply.
        plan = world.apply()
        assert [(j.name, j.change) for j in plan.journeys] == [
            ("cart", "changed"),
            ("other", "new"),
        ]
        assert total(plan, "sooner") == 1
        assert plan.messages == 0


class Shop(NamedTuple):
    world: World
    run: Callable[..., Result]


@pytest.fixture
def shop(world: World, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """The commands, as a person runs them in the shop's project at the time of the edit."""
    monkeypatch.setenv("DATABASE_URL", world.database.url)
    monkeypatch.setenv("WINBACK_CLOCK", f"0.001@{NOW.isoformat()}")
    monkeypatch.setattr("engine.cli.apply.EVERY", 0.0)
    return Shop(
        world,
        lambda *words: CliRunner().invoke(
            group, ["--project-dir", str(world.project), *words], standalone_mode=False
        ),
    )


def test_plan_says_in_words_what_becomes_of_whom(shop: Shop) -> None:
    shop.world.write("cart", EDITS["all waits shorter"])
    told = shop.run("plan", "--allow", "5000")
    assert told.return_value == 0, told.output
    assert "changed cart" in told.output
    assert "-  - wait: 10 hours" in told.output and "+  - wait: 3 hours" in told.output
    assert "waiting at step 3 (click) of version" in told.output
    assert "move on at once (the wait is over)" in told.output
    assert "unchanged: other" in told.output
    assert "messages more in the first day; allowed are 5,000." in told.output
    assert shop.run("plan", "--allow", "5").return_value == 1


def test_plan_as_json(shop: Shop) -> None:
    shop.world.write("cart", EDITS["all waits shorter"])
    document = json.loads(shop.run("plan", "--json").stdout)
    (cart, other) = document["journeys"]
    assert (cart["change"], other["change"]) == ("changed", "unchanged")
    assert sum(group["waiting"] for group in cart["in_flight"]) > 800
    assert document["first_day"]["allowed"] == 500
    assert document["live"]["by"] == "asha"


def test_apply_and_back(shop: Shop) -> None:
    world = shop.world
    first = world.shelf.book().current["cart"].version
    world.write("cart", EDITS["wait longer"])
    told = shop.run("apply")
    assert told.return_value == 0, told.output
    assert "Applied. Back: winback apply --rollback" in told.output
    assert world.shelf.book().current["cart"].version != first
    assert "Nothing would change." in shop.run("apply").output
    told = shop.run("apply", "--rollback", "--json")
    assert json.loads(told.stdout)["applied"] == 3
    assert world.shelf.book().current["cart"].version == first
    with pytest.raises(NothingToGoBackTo):
        raise shop.run("apply", "--rollback").exception or AssertionError


def test_apply_asks_nobody_and_does_nothing_when_it_goes_too_far(shop: Shop) -> None:
    shop.world.write("cart", EDITS["all waits shorter"])
    before = shop.world.runs()
    told = shop.run("apply", "--allow", "3")
    assert isinstance(told.exception, TooFar)
    assert "Nothing was changed" in str(told.exception)
    assert shop.world.runs() == before
    (shop.world.project / "config/winback.yaml").write_text("blast radius: 100000\n")
    assert shop.run("apply").return_value == 0


def test_nothing_is_applied_while_a_file_has_errors(shop: Shop) -> None:
    shop.world.write("other", OTHER.replace("90 days", "90 moons"))
    shop.world.write("cart", EDITS["wait longer"])
    told = shop.run("apply")
    assert told.return_value == 1
    assert "other.yaml:3:" in told.output and "Nothing was applied" in told.output
    assert shop.world.rows("select max(id) from live_set") == [(1,)]
    told = shop.run("plan")
    assert told.return_value == 1
    assert "changed cart" in told.output and "removed" not in told.output


def test_apply_lets_go(shop: Shop) -> None:
    assert shop.run("apply", "--follow-files").return_value == 0
    assert "workers follow the files" in shop.run("plan").output
    with pytest.raises(click.UsageError):
        raise shop.run("apply", "--follow-files", "--rollback").exception or AssertionError
