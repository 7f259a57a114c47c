"""The mailbox and the live page of the demo, and the queries behind them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.channels.file import FileChannel, Letter
from engine.clock import FastClock
from engine.model.message import Email, Sms
from engine.store import views
from engine.web.mailbox import show
from tests.demo_kit import NOW, Site, settings, site

__all__ = ["settings", "site"]


def letters(site: Site, at: datetime = NOW) -> FileChannel:
    return FileChannel(site.home / "mailbox", lambda: at)


def mail(**more: Any) -> Email:
    link = "http://127.0.0.1:8080/u/token"
    values: dict[str, Any] = {
        "message_id": "m1",
        "to": "asha@example.com",
        "from_address": "shop@example.com",
        "from_name": "Chinar & Clay",
        "subject": "Still thinking about it?",
        "text": "Hello Asha",
        "html": f"<!doctype html><html><head><title>x</title></head><body>Hello <a href='{link}'>"
        "<script>alert(1)</script></body></html>",
        "headers": {"List-Unsubscribe": f"<{link}>"},
    }
    return Email(**values | more)


def test_a_mail_is_shown_in_a_sandbox(site: Site) -> None:
    letters(site).send(mail())
    page = site.text("/mailbox/m1.eml")
    assert "Still thinking about it?" in page and "Hello Asha" in page
    assert "List-Unsubscribe: &lt;http://127.0.0.1:8080/u/token&gt;" in page
    frame = re.search(r"<iframe[^>]*>", page)
    assert frame and 'src="/mailbox/m1.eml/html"' in frame[0]
    sandbox = re.search('sandbox="([^"]*)"', frame[0])
    assert sandbox and "scripts" not in sandbox[1] and "same-origin" not in sandbox[1]

    inner = site.browser.get("/mailbox/m1.eml/html")
    policy = inner.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src" not in policy and "sandbox" in policy
    assert inner.text.startswith('<!doctype html><html><head><base target="_blank">')


def test_the_mailbox_opens_on_the_newest_in_any_language(site: Site) -> None:
    letters(site).send(mail(message_id="m1", subject="एक नज़र और?"))
    letters(site).send(mail(message_id="m2", subject="ایک نظر اور؟"))
    letters(site).send(mail(message_id="m2", subject="ایک نظر اور؟"))
    page = site.text("/mailbox/")
    assert page.count('class="face email"') == 3
    assert "m2.2.eml" in page  # the same mail twice is there twice
    assert ">हिन्दी<" in page and ">اردو<" in page


def test_a_text_message_is_a_bubble_with_its_price(site: Site) -> None:
    body = "Chinar: <b>10%</b> off"
    letters(site).send(
        Sms(message_id="s1", to="+447400123456", sender="Chinar", body=body, segments=2)
    )
    page = site.text("/mailbox/s1.json")
    assert "Chinar: &lt;b&gt;10%&lt;/b&gt; off" in page
    assert "Segments: 2 (GSM-7)" in page
    assert site.browser.get("/mailbox/s1.json/html").status_code == 404


def test_a_text_message_is_dated_by_the_demo_s_clock() -> None:
    real = datetime.now(UTC)
    clock = FastClock(real - timedelta(seconds=100), 600)
    letter = Letter("s1", "sms", 1, real - timedelta(seconds=10), None, "+1", "", "", "Hi", "", {})
    expected = clock.now() - timedelta(seconds=10 * 600)
    assert abs(show(letter, clock).at - expected) < timedelta(minutes=30)


@pytest.mark.parametrize("id", ["nothing.eml", "..%2f..%2fsecret", ".hidden.eml", "secret"])
def test_the_mailbox_shows_letters_and_nothing_else(site: Site, id: str) -> None:
    (site.home / "secret").write_text("open sesame")
    answer = site.browser.get(f"/mailbox/{id}")
    assert answer.status_code == 404
    assert "sesame" not in answer.text


Enroll = Callable[..., None]


@pytest.fixture
def enroll(site: Site) -> Enroll:
    """A run with one message, as the pipeline would have written them."""

    def write(number: int, status: str, *, stopped_by: str = "", **message: Any) -> None:
        run = f"00000000-0000-0000-0000-{number:012d}"
        site.do(
            "insert into profile (id, born_of, traits) values (%s, %s, %s)",
            [number, f"anonymous:{number}", json.dumps({"email": f"s{number}@example.com"})],
        )
        site.do(
            """insert into enrollment (profile_id, id, journey, version, key, bucket, event_id,
                 entered_at, status, goal, stopped_by) values (%s, %s, 'left', 'v', 'rug', 1, 'e',
                 %s, %s, %s, %s)""",
            [number, run, NOW, status, bool(stopped_by), stopped_by],
        )
        site.do(
            """insert into message (profile_id, id, enrollment_id, journey, version, step, channel,
                 template, topic, event_id, created_at, due_at, status, reason)
               values (%s, %s, %s, 'left', 'v', 'steps/1', 'email', 'left', 'offers', 'e', %s, %s,
                 %s, %s)""",
            [number, run, run, NOW, NOW, message.get("state", "sent"), message.get("reason", "")],
        )

    return write


def happened(site: Site, number: int, id: str, name: str) -> None:
    site.do(
        """insert into event values (%s, %s, 'track', %s, %s, %s, %s, '{"name": "Kilim <rug>"}',
             '{}', pg_current_xact_id())""",
        [number, id, name, NOW, NOW, NOW],
    )


def counts(site: Site) -> views.Counts:
    with site.database.connection() as connection:
        return views.counts(connection)


def claimed(site: Site, number: int) -> None:
    site.do(
        "update message set gate_snapshot = pg_current_snapshot() where profile_id = %s", [number]
    )


def test_the_live_page_shows_events_runs_and_messages(site: Site, enroll: Enroll) -> None:
    happened(site, 1, "e1", "Product Viewed")
    happened(site, 2, "order", "Order Completed")
    enroll(1, "active")
    enroll(2, "stopped", stopped_by="order", state="cancelled")
    enroll(3, "finished", state="skipped", reason="no consent for email offers")
    site.do("insert into ledger values ('web:1', 'accepted', 3)", [])
    for path in ("/live/", "/live/board"):
        page = site.text(path)
        assert "Kilim &lt;rug&gt;" in page and "s1@example.com" in page
        assert "no consent for email offers" in page
        assert "1 bought" in page and "1 waiting" in page and "1 to the end" in page
        assert re.search(r"<b>1</b><span>stopped by purchase", page)
        assert re.search(r"<b>0</b><span>sent after stop", page)
    assert "<html" not in site.text("/live/board")
    found = counts(site)
    assert (found.accepted, found.processed, found.runs, found.waiting) == (3, 2, 3, 1)
    assert (found.sent, found.refused, found.cancelled) == (1, 1, 1)


def test_sent_before_the_order_was_accepted_is_no_fault(site: Site, enroll: Enroll) -> None:
    enroll(1, "stopped", stopped_by="order")
    claimed(site, 1)
    happened(site, 1, "order", "Order Completed")
    assert counts(site).sent_after_stop == 0


def test_sent_after_the_order_was_accepted_is_counted(site: Site, enroll: Enroll) -> None:
    enroll(1, "stopped", stopped_by="order")
    happened(site, 1, "order", "Order Completed")
    claimed(site, 1)
    assert counts(site).sent_after_stop == 1
    assert "counter never panel broken" in site.text("/live/")


def test_a_stop_by_something_else_is_no_purchase(site: Site, enroll: Enroll) -> None:
    happened(site, 1, "click", "Email Clicked")
    enroll(1, "stopped", stopped_by="click")
    assert counts(site).stopped_by_purchase == 0


def test_the_pipeline_is_dry_when_nothing_is_left_in_hand(site: Site, enroll: Enroll) -> None:
    def progress() -> views.Progress:
        with site.database.connection() as connection:
            return views.progress(connection, NOW)

    assert progress() == (0, 0, 0, 0, None)
    enroll(1, "active", state="due")
    assert progress()[:4] == (0, 1, 0, 0)
    later = NOW + timedelta(hours=2)
    site.do("update message set due_at = %s", [later])
    assert progress() == (0, 0, 0, 1, later)
    site.do("update message set status = 'claimed'", [])
    assert progress()[:4] == (0, 0, 1, 0)


def test_a_database_with_a_shopper_is_not_fresh(site: Site, enroll: Enroll) -> None:
    with site.database.connection() as connection:
        assert views.is_fresh(connection)
    enroll(1, "active")
    with site.database.connection() as connection:
        assert not views.is_fresh(connection)


def test_an_event_is_missing_when_it_is_nowhere(site: Site) -> None:
    happened(site, 1, "worked", "Product Viewed")
    site.do(
        """insert into inbox (lane, sender, links, name, identifiers, id, time, received_at, body)
           values (1, 'user:1', false, 'Page', '{user:1}', 'waiting', %s, %s, '{}')""",
        [NOW, NOW],
    )
    site.do(
        "insert into rejected (received_at, source, reason, body) values (%s, 'drain', 'bad', %s)",
        [NOW, '{"messageId": "aside"}'],
    )
    with site.database.connection() as connection:
        assert views.missing(connection, ["worked", "waiting", "aside"]) == 0
        assert views.missing(connection, ["worked", "lost", "gone"]) == 2


def test_buyers_who_are_still_on_a_list_are_counted_and_how_long_it_takes(
    site: Site, enroll: Enroll
) -> None:
    board = site.text("/live/board")
    assert "<b>0</b><span>bought, still on a list</span>" in board
    happened(site, 1, "o1", "Order Completed")
    enroll(1, "stopped", stopped_by="o1")
    run = f"00000000-0000-0000-0000-{1:012d}"
    site.do(
        "insert into audience_member values (1, 'google/left', %s, false, true, %s)", [run, NOW]
    )
    board = site.text("/live/board")
    assert 'class="counter lists panel late"><b>1</b><span>bought, still on a list</span>' in board
    assert "1 on their way off" in board
    site.do("update audience_member set listed = false", [])
    for seconds in (1, 2, 3):
        site.do(
            """insert into audience_listing (profile_id, audience, enrollment_id, status, digest,
                 email, phone, consented, made_at, try_at, off_at, off_reason, removed_at)
               values (1, 'google/left', %s, 'removed', '', '', '', true, %s, %s, %s, 'stopped',
                 %s)""",
            [run, NOW, NOW, NOW, NOW + timedelta(seconds=seconds)],
        )
    board = site.text("/live/board")
    assert 'class="counter lists panel"><b>0</b>' in board
    assert "off in 2.0 s, 99% in 3.0 s" in board
