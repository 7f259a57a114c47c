"""Several senders of one channel: each with its name, its limits, its warm-up and its pause."""

from __future__ import annotations

import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.model.message import Email
from engine.model.policy import From, Policy, Shop, Topic
from engine.model.sending import AutoPause, Rate, Sending, WarmUp
from engine.rendering.renderer import Renderer
from engine.runtime.deliver import Deliverer
from engine.runtime.watch import watch
from engine.store import senders as senders_store
from tests.integration.runtime_kit import NOW, Make, Pipeline, accepts
from tests.unit.core.build import at, event, journey, send, stop, view

JOURNEY = NOW
SHOP, OFFERS, NEWS = "shop@x.de", "offers@x.de", "news@x.de"
TOPICS = {
    "offers": Topic("offers", consent="opt-out", sender=From(OFFERS, "Offers", "+4915100001")),
    "news": Topic("news", consent="opt-out", sender=From(NEWS)),
    "orders": Topic("orders", consent="none"),
}
EACH = [
    journey(send(topic=topic), name=topic, stops=[stop()]) for topic in ("offers", "news", "orders")
]


@pytest.fixture
def start(make: Make, tmp_path: Path) -> Any:
    """A shop whose mails are rendered as they are in earnest."""
    folder = tmp_path / "hello"
    folder.mkdir()
    (folder / "email.en.txt").write_text("Hello {{ unsubscribe_url }}\n")
    (folder / "email.en.mjml").write_text(
        "---\nsubject: Hello\n---\n<mjml><mj-body><mj-section><mj-column><mj-text>Hello"
        ' <a href="{{ unsubscribe_url }}">no more</a></mj-text></mj-column></mj-section>'
        "</mj-body></mjml>"
    )
    (folder / "sms.en.txt").write_text("Hello\n")

    def start(*journeys: Any, people: int = 0, **sending: Any) -> Pipeline:
        shop = Shop(name="Shop", email_from=SHOP, sms_from="+4915100000")
        policy = Policy(shop=shop, topics=TOPICS, sending=Sending(**sending))
        pipeline = make(*(journeys or EACH), policy=policy)
        pipeline.shell.renderer = Renderer(
            tmp_path, policy, public_url="https://x.de", secret="s" * 32
        )
        shoppers(pipeline, people)
        return pipeline

    return start


def shoppers(shop: Pipeline, people: int) -> None:
    for n in range(people):
        shop.accept(view(who=(f"user:{n}", f"email:{n}@x.de", f"phone:+49151123{n:05}")))
    shop.drain()


def sent(shop: Pipeline) -> dict[str, int]:
    """How many went, by sender."""
    return dict(
        shop.rows("select sender, count(*)::int from message where status = 'sent' group by 1")
    )


def test_each_topic_goes_from_its_own(start: Any) -> None:
    texts = journey(send("sms", topic="offers"), send("sms", topic="news"), name="texts")
    shop = start(*EACH, texts, people=1)
    shop.deliver()
    mails = [mail for mail in shop.email.handed if isinstance(mail, Email)]
    assert sorted((mail.from_address, mail.from_name) for mail in mails) == [
        (NEWS, "Shop"),
        (OFFERS, "Offers"),
        (SHOP, "Shop"),
    ]
    assert sorted(text.sender for text in shop.sms.handed) == ["+4915100000", "+4915100001"]
    assert sent(shop) == dict.fromkeys(("+4915100000", "+4915100001", SHOP, OFFERS, NEWS), 1)


def test_a_limit_that_is_used_up_holds_no_other_sender_back(start: Any) -> None:
    shop = start(people=9, limits={OFFERS: Rate(1, timedelta(hours=1))})
    for _ in range(2):
        done = shop.deliver()
    assert sent(shop) == {OFFERS: 1, NEWS: 9, SHOP: 9}
    assert done.claimed == 0


def test_nor_does_a_warm_up(start: Any) -> None:
    shop = start(people=9, warm_up={OFFERS: WarmUp(date(2026, 3, 2), 4)})
    shop.deliver()
    assert sent(shop) == {OFFERS: 4, NEWS: 9, SHOP: 9}
    shop.at(at(days=1)).deliver()
    assert sent(shop)[OFFERS] == 9


def test_the_providers_limit_holds_for_all_its_senders(start: Any) -> None:
    shop = start(EACH[0], EACH[1], people=9, limits={"provider": Rate(1, timedelta(hours=1))})
    shop.deliver()
    assert sum(sent(shop).values()) == 1


def test_a_slow_backlog_stands_in_nobodys_way(start: Any) -> None:
    """What waits for its slot, a moment away, must not keep the threads from another's."""
    shop = start(EACH[0], people=120, limits={OFFERS: Rate(50, timedelta(seconds=10))})
    for n in range(60):
        shop.accept(event("Note", at(seconds=1), who=(f"user:{n}",)))
    shop.drain()
    with shop.database.connection() as connection:
        connection.execute(
            "insert into message (id, enrollment_id, profile_id, journey, version, step, channel,"
            " template, topic, event_id, created_at, due_at, on_unknown, offer, status)"
            " select gen_random_uuid(), enrollment_id, profile_id, journey, version, step, channel,"
            " template, 'news', event_id, created_at, due_at + interval '1 minute', on_unknown,"
            " offer, status from message limit 60"
        )
    shop.at(at(minutes=2))
    deliverer = Deliverer(shop.shell, threads=4)
    end = time.monotonic() + 30
    while sent(shop).get(NEWS, 0) < 60 and time.monotonic() < end:
        deliverer.deliver(0, 1, seconds=1)
    deliverer.close()
    assert sent(shop)[NEWS] == 60
    assert sent(shop)[OFFERS] < 60


def test_a_sender_pauses_itself_and_the_others_go_on(start: Any) -> None:
    rule = AutoPause(bounces=0.2, at_least=5)
    shop = start(people=9, auto_pause=rule)
    shop.email.answer = accepts
    shop.deliver()
    for n in range(9):
        (id,) = shop.rows(
            "select id::text from message where sender = %s and profile_id = %s",
            OFFERS,
            shop.profile(f"user:{n}"),
        )[0]
        name = "Email Bounced" if n % 2 else "Email Delivered"
        said = event(name, at(minutes=1), who=(f"user:{n}",), message_id=id, permanent=True)
        shop.accept(msgspec.structs.replace(said, context={"made_by": "sendgrid"}))
    shop.drain()
    watch(shop.shell)
    with shop.database.connection() as connection:
        paused = {pause.subject for pause in senders_store.pauses(connection)}
    assert f"sender:{OFFERS}" in paused
    assert not paused & {f"sender:{NEWS}", f"sender:{SHOP}", "provider:provider"}
