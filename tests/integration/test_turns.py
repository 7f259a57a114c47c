"""Of one run on one channel nothing goes before what is older and due as well."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.model.policy import Policy
from engine.model.sending import Sending, WarmUp
from engine.runtime import gate
from engine.runtime.prepare import prepare
from engine.store import messages as messages_store
from engine.store import senders as senders_store
from engine.store.messages import EVERYTHING, Candidate
from engine.store.senders import Pause
from tests.integration.runtime_kit import TOPICS, WHO, Make, Pipeline, accepts, silent
from tests.unit.core.build import at, journey, overdue, send, stop, view, wait

#: Late mails go all the same: nothing here is decided by how late they are.
LATE = {"overdue": overdue()}
TWO = journey(
    send(template="first", **LATE), wait(minutes=1), send(template="second", **LATE), stops=[stop()]
)
RISKY = journey(
    send(template="first", on_unknown="retry", **LATE),
    wait(minutes=1),
    send(template="second", on_unknown="retry", **LATE),
    stops=[stop()],
)
TEXT = journey(
    send(template="first", **LATE), wait(minutes=1), send("sms", "second", **LATE), stops=[stop()]
)
RECEIPT = journey(
    send(template="first", **LATE), wait(minutes=1),
    send(template="second", topic="orders", **LATE), stops=[stop()],
)  # fmt: skip
JOURNEY = TWO


def late(shop: Pipeline, people: int = 1, minutes: int = 1) -> Pipeline:
    """Nothing went until both messages were due."""
    for n in range(people):
        shop.accept(view(who=(f"user:{n}", f"email:{n}@x.de", f"phone:+491511234{n:04}")))
    shop.drain()
    shop.at(at(minutes=minutes)).wake()
    return shop


def found(shop: Pipeline) -> list[str]:
    with shop.database.connection() as connection:
        these = messages_store.candidates(connection, shop.clock.now(), 100)
    return sorted(each.message.template for each in these)


def all_due(shop: Pipeline) -> list[Candidate]:
    """Both, as if the one had been found before the other came."""
    rows = shop.rows("select profile_id, id::text from message where status = 'due'")
    with shop.database.connection() as connection:
        taken = []
        for row in rows:
            others = [r[1] for r in rows if r != row]
            connection.execute("update message set held = 'x' where id = any(%s::uuid[])", [others])
            now = shop.clock.now()
            taken += messages_store.fresh_candidates(connection, [row], now)
            connection.rollback()
    return taken


def test_each_is_claimed_after_the_older_one(make: Make) -> None:
    shop = late(make(), people=6)
    assert found(shop) == ["first"] * 6
    shop.deliver()
    turns = shop.rows(
        "select a.xmin::text::bigint, b.xmin::text::bigint from delivery a"
        " join message f on f.id = a.message_id and f.template = 'first'"
        " join message s on s.profile_id = f.profile_id and s.template = 'second'"
        " join delivery b on b.message_id = s.id"
    )
    assert len(turns) == 6
    words = [(mail.to, mail.subject) for mail in shop.email.handed]  # type: ignore[union-attr]
    for n in range(6):
        assert words.index((f"{n}@x.de", "first")) < words.index((f"{n}@x.de", "second"))


def test_nor_at_the_gate(make: Make) -> None:
    shop = late(make())
    both = all_due(shop)
    assert sorted(each.message.template for each in both) == ["first", "second"]
    ids = {each.message.template: each.message.id for each in both}
    assert list(gate.claim(shop.shell, both)) == [ids["first"]]
    assert list(gate.claim(shop.shell, both)) == [ids["second"]]


def test_what_has_just_become_due_does_not_overtake_the_backlog(make: Make) -> None:
    shop = late(make())
    fresh = shop.rows("select profile_id, id::text from message where template = 'second'")
    assert shop.deliverer.deliver_fresh(fresh).claimed == 0
    first = shop.rows("select profile_id, id::text from message where template = 'first'")
    assert shop.deliverer.deliver_fresh(first).sent == 1
    assert shop.deliverer.deliver_fresh(fresh).sent == 1


@pytest.mark.parametrize(
    "aside",
    [
        "status = 'unknown'",
        "status = 'failed'",
        "held = 'left-behind'",
        "due_at = due_at + interval '1 day'",
    ],
)
def test_nobody_waits_for_what_stands_aside(make: Make, aside: str) -> None:
    shop = late(make())
    shop.run_sql(f"update message set {aside} where template = 'first'")
    assert "second" in found(shop)
    with shop.database.connection() as connection:
        these = messages_store.candidates(connection, shop.clock.now(), 100)
    second = [each for each in these if each.message.template == "second"]
    assert len(gate.claim(shop.shell, second)) == 1


@pytest.mark.parametrize("story", [TEXT, RECEIPT], ids=["another channel", "a receipt"])
def test_nor_on_another_channel_nor_a_receipt_for_promotion(make: Make, story: Any) -> None:
    shop = late(make(story))
    with shop.database.connection() as connection:
        look = EVERYTHING._replace(urgent=["orders"], topics=list(TOPICS))
        these = messages_store.candidates(connection, shop.clock.now(), 100, look=look)
    assert sorted(each.message.template for each in these) == ["first", "second"]
    shop.deliver()
    assert shop.one("select count(*) from message where status = 'sent'") == 2


def test_nor_for_a_retry_that_is_bound_to_a_provider_that_is_down(make: Make) -> None:
    shop = make(RISKY)
    shop.email.answer = silent
    shop.drain(view(who=WHO))
    shop.deliver()
    assert shop.one("select attempts from message") == 1
    shop.at(at(hours=1)).wake()
    assert found(shop) == ["first", "second"]


def test_what_is_full_for_today_keeps_only_its_own_waiting(make: Make) -> None:
    """Two topics in one run: the one whose sender has had its share does not block the other."""
    story = journey(
        send(template="first", **LATE), wait(minutes=1),
        send(template="second", topic="news", **LATE), stops=[stop()],
    )  # fmt: skip
    warm = {"provider": WarmUp(at().date(), 1, timedelta(days=1))}
    shop = late(make(story, policy=Policy(topics=TOPICS, sending=Sending(warm_up=warm))), people=3)
    with shop.database.connection() as connection:
        look = EVERYTHING._replace(topics=["offers"], closed=[("email", "offers")])
        these = messages_store.candidates(connection, shop.clock.now(), 100, look=look)
    assert [each.message.template for each in these] == ["second"] * 3


def test_a_pause_and_its_end(make: Make) -> None:
    shop = late(make(), people=2)
    with shop.database.connection() as connection:
        told = Pause("journey:left-behind", shop.clock.now(), "ann", "to look", {})
        senders_store.pause(connection, told._replace(subject=f"journey:{TWO.name}"))
    assert shop.deliver().claimed == 0
    with shop.database.connection() as connection:
        senders_store.resume(connection, f"journey:{TWO.name}", shop.clock.now(), "ann")
    shop.email.answer = accepts
    shop.deliver()
    assert shop.one("select count(*) from message where status = 'sent'") == 4


def test_prepared_but_behind_stays_due(make: Make) -> None:
    shop = late(make())
    ready, broken = prepare(shop.shell, all_due(shop), shop.clock.now())
    assert (len(ready), broken) == (2, 0)
    assert len(gate.claim(shop.shell, [candidate for candidate, _ in ready])) == 1
    assert shop.one("select count(*) from message where status = 'due'") == 1
