"""What became of one shopper, why and why not; and every decision replayed to the letter (P8)."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from engine.cli.main import group
from engine.core.profiles import ORDER
from engine.intake.lanes import LANES
from engine.model.event import Event
from engine.runtime import shelf as shelf_module
from engine.runtime.apply import follow_files
from engine.runtime.drain import drain
from engine.runtime.explain import Explanation, Nobody, explain, line_of
from engine.runtime.in_force import Past
from engine.runtime.retrace import differences
from engine.runtime.wake import wake
from engine.runtime.why_not import why_not
from engine.store.database import Database
from tests.integration.versions_kit import HOUR, World, event, new_project

T0 = datetime(2026, 11, 20, tzinfo=UTC)

BROWSE = """
journey: browse
on change: move
trigger:
  event: Product Viewed
  if: event.price >= 20 and not bought(event.product_id, within="90 days")
  key: event.product_id
  again: after 1 day
stop:
  - event: Order Completed
    if: key in event.product_ids
    goal: true
  - event: Order Completed
holdout: 10%
steps:
  - wait: 2 hours
    name: pause
  - send: email
    template: hello
    topic: orders
    if overdue: skip after 3 hours
  - wait for: {event: Email Clicked, at most: 1 day}
    name: click
    then:
      - update: {clicks: "= count('Email Clicked')"}
      - exit: came back
  - branch:
      - if: profile.vip
        steps:
          - send: email
            template: hello
            topic: orders
      - else:
          - split: {50% a: [{wait: 5 hours}], 50% b: []}
  - wait: {until: "10:00"}
  - send: email
    template: hello
    topic: orders
"""
WELCOME = """
journey: welcome
trigger: {event: Identify}
stop: {event: Order Completed}
steps:
  - wait: 30 minutes
  - send: email
    template: hello
    topic: orders
  - wait: 40 days
"""


@pytest.fixture
def world(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(shelf_module, "EVERY", 0.0)
    with Database(database_url) as database:
        project = new_project(tmp_path / "shop", browse=BROWSE, welcome=WELCOME)
        made = World(database, project, T0)
        made.apply()
        made.clock.move_to(T0 + timedelta(minutes=1))  # every worker has looked
        yield made


def told(world: World, asked: str) -> Explanation:
    with world.database.connection() as connection:
        return explain(connection, asked, "IN")


def replayed(world: World, asked: str) -> list[str]:
    with world.database.connection() as connection:
        past = Past(connection, world.shelf.book().current)
        return differences(explain(connection, asked, "IN"), past, "USD", "UTC")


def view(user: int, time: datetime, price: int = 30, product: str = "p1") -> Event:
    return event("Product Viewed", user, time, price=price, product_id=product)


def at(hours: float) -> datetime:
    return T0 + timedelta(minutes=1) + hours * HOUR


def happen(world: World, *events: Event) -> None:
    """Each comes in when it happens, and the workers keep up."""
    for one in sorted(events, key=lambda e: e.order_key):
        world.work(one.time)
        world.accept(one)
        world.work(one.time)


def test_every_decision_has_its_place_in_the_file(world: World) -> None:
    happen(world, view(1, at(0)), event("Email Clicked", 1, at(3)))
    (story,) = told(world, "1").stories
    lines = [(line.path, line.file_line, line.verdict, line.why) for line in story.lines]
    assert lines == [
        ("trigger", 4, "enters", "Product Viewed"),
        ("steps/0", 16, "waits", "until 2026-11-20 02:01:00 UTC"),
        ("steps/1", 18, "sends", "email"),
        ("steps/2", 22, "waits", "for Email Clicked"),
        ("steps/2", 22, "came", "Email Clicked"),
        ("steps/2/then/0", 25, "updates", "clicks"),
        ("steps/2/then/1", 26, "exits", "came back"),
    ]
    assert [m.template for m in story.messages] == ["hello"]
    assert (story.run.status, story.run.reason) == ("finished", "came back")


def test_after_an_edit_the_lines_are_those_of_the_version_of_the_time(world: World) -> None:
    happen(world, view(1, at(0)))
    world.write(
        "browse", BROWSE.replace("steps:\n  - wait: 2", "# now slower\nsteps:\n  - wait: 4", 1)
    )
    world.apply()
    world.work(at(5))
    (story,) = told(world, "1").stories
    lines = [(line.path, line.file_line, line.verdict) for line in story.lines]
    assert lines[1:4] == [
        ("steps/0", 16, "waits"),
        ("steps/0", 17, "moves"),
        ("steps/1", 19, "sends"),
    ]
    assert len({line.version for line in story.lines}) == 2


def test_a_shopper_goes_by_many_names_and_none_is_told_that_was_not_given(world: World) -> None:
    who = ("user:7", "email:asha@example.com", "phone:+919812345678", "anonymous:browser")
    seen = Event("e1", "identify", "Identify", at(0), at(0), who, {"email": "asha@example.com"})
    happen(world, seen)
    id = told(world, "7").profile.id
    for asked in (
        "user:7",
        "Asha@Example.com",
        "+91 98123 45678",
        "98123 45678",
        "browser",
        str(id),
    ):
        assert told(world, asked).profile.id == id
    assert told(world, "7").names == (
        *("anonymous:browser", "email:(hidden)", "phone:(hidden)", "user:7"),
    )
    assert "email:asha@example.com" in told(world, "asha@example.com").names
    with pytest.raises(Nobody, match="'nobody'"):
        told(world, "nobody")


@pytest.mark.parametrize(
    ("events", "because"),
    [
        ([], "no Product Viewed ever came of this shopper; the last event was Other"),
        ([view(1, at(1), price=5)], "event.price >= 20 was not so"),
        (
            [event("Product Viewed", 1, at(1), product_id="p1")],
            "event.price >= 20 — event.price is missing",
        ),
        ([event("Product Viewed", 1, at(1), price=30)], "it has no key (event.product_id: "),
        (
            [
                event(ORDER, 1, at(0.5), products=[{"product_id": "p1"}]),
                view(1, at(1)),
            ],
            'not bought(event.product_id, within="90 days") was not so',
        ),
        ([view(1, at(1)), view(1, at(1.5))], "a run about p1 was under way"),
        (
            [view(1, at(1)), event(ORDER, 1, at(2), products=[]), view(1, at(9))],
            "the last run about p1 began 2026-11-20 01:01 (again: after 1 day)",
        ),
    ],
)
def test_why_not(world: World, events: list[Event], because: str) -> None:
    happen(world, event("Other", 1, at(0)), *events)
    answers = {a.journey: a.because for a in why_not(told(world, "1"), world.shelf.book())}
    assert because in answers["browse"]
    assert answers["welcome"].startswith("no Identify ever came of this shopper")


def test_who_entered_at_the_last_occasion_is_not_asked_about(world: World) -> None:
    happen(world, view(1, at(0)), view(1, at(1), product="p2"))
    assert [a.journey for a in why_not(told(world, "1"), world.shelf.book())] == ["welcome"]


def test_what_was_opened_since_is_told(world: World) -> None:
    happen(world, view(1, at(0), price=5))
    world.write("browse", BROWSE.replace("event.price >= 20 and ", ""))
    world.apply()
    (answer, _) = why_not(told(world, "1"), world.shelf.book())
    assert "today it would enter" in answer.because


def lively(world: World, seed: int, shoppers: int = 40) -> None:
    """Two weeks in which shoppers view, click, buy and sign in, events come late and twice,
    workers sleep for hours, and the journey is edited under everybody's feet."""
    dice = random.Random(seed)
    edits = [
        BROWSE.replace("wait: 2 hours", "wait: 1 hour"),
        BROWSE.replace("at most: 1 day", "at most: 3 hours").replace("name: click", "name: tap"),
        BROWSE.replace(
            "  - event: Order Completed\nhold",
            "  - event: Order Completed\n  - event: Help Asked\nhold",
        ),
        BROWSE.replace("on change: move", "on change: leave"),
    ]
    clock, number = world.clock, 0
    while clock.now() < T0 + timedelta(days=6):
        asleep = dice.random() < 0.1
        clock.move_to(clock.now() + timedelta(seconds=dice.randint(1, 40_000 if asleep else 2_000)))
        if edits and clock.now() > T0 + timedelta(days=6 - 1.2 * len(edits)):
            world.write("browse", edits.pop(0))
            world.apply()
            clock.move_to(clock.now() + timedelta(seconds=20))
        for _ in range(dice.randint(0, 5)):
            number += 1
            world.accept(anything(dice, number, clock.now(), shoppers))
        jobs: list[Callable[[], Any]] = [lambda: wake(world.shell)]
        jobs += [
            lambda lane=lane: drain(world.shell, lane, dice.choice((1, 100)))
            for lane in range(LANES)
        ]  # type: ignore[misc]
        dice.shuffle(jobs)
        for job in jobs:
            if dice.random() < 0.9:
                clock.move_to(clock.now() + timedelta(microseconds=7))  # no two at one moment
                job()
    clock.move_to(clock.now() + HOUR)
    world.work(clock.now() + timedelta(days=4))


def anything(dice: random.Random, number: int, now: datetime, shoppers: int) -> Event:
    user = dice.randrange(shoppers)
    late = timedelta(seconds=dice.choice((0, 0, 0, 5, 300, 20_000)))
    names = {
        0: (f"user:{user}",),
        1: (f"anonymous:{user}",),
        2: (f"user:{user}", f"anonymous:{user}"),
    }
    who = names[dice.choices((0, 1, 2), (5, 3, 1))[0]]
    kind = dice.choices(("view", "click", "order", "help", "identify"), (6, 4, 1, 1, 1))[0]
    product = dice.choice(("p1", "p2", "p3"))
    name, properties = {
        "view": ("Product Viewed", {"price": dice.choice((5, 30)), "product_id": product}),
        "click": ("Email Clicked", {}),
        "order": (ORDER, {"total": 30, "currency": "USD", "products": [{"product_id": product}]}),
        "help": ("Help Asked", {}),
        "identify": ("Identify", {"vip": dice.random() < 0.5}),
    }[kind]
    time = max(now - late, T0)
    return Event(
        *(f"m{number:05}", "identify" if kind == "identify" else "track", name, time, now),
        *(who, properties),
    )


@pytest.mark.parametrize("seed", range(2))
def test_every_shopper_replays_to_the_letter(world: World, seed: int) -> None:
    lively(world, seed)
    profiles = [str(row[0]) for row in world.rows("select id from profile order by id")]
    wrong = {profile: found for profile in profiles if (found := replayed(world, profile))}
    assert not wrong, json.dumps(wrong, indent=1)
    # And it was about something.
    verdicts = {line.verdict for p in profiles for s in told(world, p).stories for line in s.lines}
    assert verdicts >= {"enters", "waits", "sends", "came", "time ran out", "goal", "stops"}
    assert verdicts >= {"moves", "leaves", "skips", "splits", "branches", "exits", "withheld"}
    assert world.rows("select 1 from former_profile limit 1")


TAMPERED = {
    "a decision": (
        "update enrollment set trace = jsonb_set(trace, '{1,2}', '\"until never\"')",
        "decision 2 is steps/0 waits (until never)",
    ),
    "a decision less": ("update enrollment set trace = trace - -1", "decisions, replayed"),
    "a state": ("update enrollment set visits = visits + 1", "visits is"),
    "a run less": (
        "with gone as (delete from message returning 1) delete from enrollment",
        "begins, but is not stored",
    ),
    "a message": ("update message set template = 'other'", "template is 'other'"),
    "a message less": ("delete from message", "comes, but is not stored"),
    "an event less": ("delete from event where name = 'Product Viewed'", "does not begin"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_whatever_differs_is_found(world: World, what: str) -> None:
    happen(world, view(1, at(0)), event("Email Clicked", 1, at(3)))
    assert replayed(world, "1") == []
    statement, found = TAMPERED[what]
    world.rows(
        f"with done as ({statement} returning 1) select * from done"
        if "with" not in statement
        else f"{statement} returning 1"
    )
    assert any(found in one for one in replayed(world, "1")), replayed(world, "1")


def test_who_did_not_enter_is_checked_too(world: World) -> None:
    happen(world, view(1, at(0), price=5))
    assert replayed(world, "1") == []
    world.rows('update event set properties = \'{"price": 30, "product_id": "p1"}\' returning 1')
    assert [one for one in replayed(world, "1") if "begins, but is not stored" in one]


def test_under_files_a_later_edit_is_no_difference(world: World) -> None:
    """The database does not know when a file was edited back: who entered is checked all the
    same, by the version that they entered."""
    follow_files(world.database, world.clock.now, "asha")
    happen(world, view(1, at(1)), view(2, at(1), price=5))
    world.write("browse", BROWSE.replace(">= 20", ">= 2"))
    happen(world, view(3, at(2), price=5))
    for user in "123":
        assert replayed(world, user) == []


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("DATABASE_URL", world.database.url)
    happen(world, view(1, at(0)), event("Email Clicked", 1, at(3)))
    monkeypatch.setenv("WINBACK_CLOCK", f"1@{world.clock.now().isoformat()}")
    return lambda *words: CliRunner().invoke(
        group, ["--project-dir", str(world.project), "explain", *words], standalone_mode=False
    )


def test_the_command_tells_a_person(run: Callable[..., Result]) -> None:
    found = run("1", "--verify")
    assert found.return_value == 0, found.output
    assert "browse p1  finished: came back" in found.output
    assert "browse.yaml:18  steps/1  sends  email" in found.output
    assert "email hello (orders) due" in found.output
    assert "welcome: no Identify ever came" in found.output
    assert "Replayed 2 events: the same 1 runs, to the letter." in found.output
    assert "browse.yaml" not in run("1", "--journey", "welcome").output


def test_it_tells_by_whom_a_message_went_and_what_was_reported(
    run: Callable[..., Result], world: World
) -> None:
    (message,) = json.loads(run("1", "--json").stdout)["runs"][0]["messages"]
    with world.database.connection() as connection:
        connection.execute(
            "insert into delivery (profile_id, message_id, attempt, handed_at, outcome, provider)"
            " select profile_id, id, 1, due_at, 'accepted', 'sendgrid' from message where id = %s",
            [message["id"]],
        )
    said = {"message_id": message["id"]}
    reports = [event(f"Email {what}", 1, at(4), **said) for what in ("Opened", "Delivered")]
    forged = event("Email Bounced", 1, at(5), **said)
    happen(world, *(replace(one, context={"made_by": "sendgrid"}) for one in reports), forged)
    shown = run("1").output
    assert "accepted by sendgrid" in shown
    assert "Email Delivered" in shown and "Email Opened" in shown
    assert ":00  Email Bounced" not in shown, "whoever holds the write key can say so"
    (told,) = json.loads(run("1", "--json").stdout)["runs"][0]["messages"]
    assert told["attempts"][0]["provider"] == "sendgrid"
    assert {(r["name"], r["by"]) for r in told["receipts"]} == {
        ("Email Delivered", "sendgrid"),
        ("Email Opened", "sendgrid"),
    }


def test_the_command_tells_a_program(run: Callable[..., Result], world: World) -> None:
    document = json.loads(run("1", "--json", "--verify").stdout)
    (told_run,) = document["runs"]
    assert told_run["trace"][0]["file_line"] == 4
    assert told_run["messages"][0]["template"] == "hello"
    assert document["differences"] == []
    assert [answer["journey"] for answer in document["why_not"]] == ["welcome"]
    world.rows("update enrollment set visits = 9 returning 1")
    found = run("1", "--json", "--verify")
    assert found.return_value == 1
    assert "visits" in json.loads(found.stdout)["differences"][0]


def test_a_scenario_names_nobody(run: Callable[..., Result]) -> None:
    found = run("1", "--as-scenario")
    assert found.return_value == 0, found.output
    assert found.stdout.startswith("- scenario:") and "Product Viewed" in found.stdout


def test_nobody_is_an_error(run: Callable[..., Result]) -> None:
    assert isinstance(run("nobody").exception, Nobody)


def test_line_of_a_place_that_is_not_written() -> None:
    from engine.language.reader import parse
    from engine.language.report import Report

    tree = parse("a: 1\nstop:\n  event: X\nsteps:\n- split:\n    50% a: []\n", Report("x"))
    assert tree is not None
    assert [line_of(tree, path) for path in ("stop/0", "steps/0/split/0/steps/3", "b")] == [3, 6, 1]
