"""A click: from the message over the shop's own address to where it leads, counted once judged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from engine.model.event import Event
from engine.model.links import LinkRules
from engine.model.message import Message, Rendered
from engine.model.policy import Shop
from engine.rendering.clicks import ClickLinks
from engine.settings import Settings
from engine.testing.renderer import PlainRenderer
from engine.web import app as web
from engine.web.clicks import create_blueprint
from tests.integration.runtime_kit import (
    NOW,
    WHO,
    Make,
    Pipeline,
    emptied,
    identify,
)
from tests.unit.core.build import T0, event, journey, send, view

TEXTS = journey(send("sms", template="text"), name="texts", trigger="Product Added")
JOURNEY = NOW
BASE = "https://go.shop.example"
URL = "https://shop.example/lamp?a=1&b=آ"
PERSON = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1"
LINKS = ClickLinks("s" * 32, BASE, LinkRules(track=True), Shop(url="https://shop.example"))


class Linking(PlainRenderer):
    """One link in every message."""

    def render(self, message: Message, *rest: Any, **more: Any) -> Rendered:
        plain = super().render(message, *rest, **more)
        if message.channel == "sms":
            body, links = LINKS.in_text(f"See {URL}", message)
            return msgspec.structs.replace(plain, body=body, short_links=links)
        href = URL.replace("&", "&amp;")
        return msgspec.structs.replace(
            plain, html=LINKS.in_html(f'<a href="{href}">x</a>', message)
        )


@dataclass
class Desk:
    client: FlaskClient
    shop: Pipeline
    hints: list[set[int]] = field(default_factory=list)

    def click(self, path: str, agent: str = PERSON, method: str = "GET") -> tuple[int, str]:
        answer = self.client.open(path, method=method, headers={"User-Agent": agent})
        return answer.status_code, answer.headers.get("Location", "")

    def waiting(self) -> list[tuple[str, str]]:
        return self.shop.rows("select name, sender from inbox order by seq")

    def history(self) -> list[str]:
        self.shop.drain()
        names = self.shop.rows("select name from event where name ~ 'Click' order by time, id")
        return [name for (name,) in names]

    def reached(self) -> tuple[int, int]:
        ((reached, trouble),) = self.shop.rows("select reached, trouble from message")
        return reached, trouble


@pytest.fixture
def desk(make: Make, tmp_path: Path) -> Iterator[Desk]:
    shop = make(NOW, TEXTS)
    shop.shell.renderer = Linking()
    desk = Desk(FlaskClient(None), shop)  # type: ignore[arg-type]
    deps = web.Dependencies(
        Settings(project_dir=tmp_path, home=tmp_path, write_key="k"),
        shop.clock,
        shop.database,
        desk.hints.append,
    )
    app = web.create_app(replace(deps, pages=[create_blueprint(deps, LINKS)]))
    desk.client = app.test_client()
    try:
        yield desk
    finally:
        web.close(app)


def mailed(desk: Desk) -> str:
    """Have a mail sent; gives the path of its link."""
    desk.shop.drain(identify(*WHO, email="a@b.de"), view(who=WHO))
    desk.shop.deliver()
    (mail,) = desk.shop.email.handed
    found = re.search(r'href="([^"]+)"', mail.html)  # type: ignore[union-attr]
    assert found is not None
    return found[1].replace("&amp;", "&").removeprefix(BASE)


def test_a_click_leads_on_and_is_counted(desk: Desk) -> None:
    link = mailed(desk)
    desk.shop.at(T0 + timedelta(hours=1))
    assert desk.click(link) == (302, "https://shop.example/lamp?a=1&b=%D8%A2")
    assert desk.waiting() == [("Email Clicked", "user:1")]
    assert len(desk.hints) == 1
    assert desk.history() == ["Email Clicked"]
    assert desk.reached() == (5, 0)


@pytest.mark.parametrize(
    ("agent", "after"), [("python-requests/2.32", 3600), ("Mozilla/5.0", 2)], ids=["bot", "at once"]
)
def test_a_scanner_is_led_on_and_not_counted(desk: Desk, agent: str, after: int) -> None:
    link = mailed(desk)
    desk.shop.at(T0 + timedelta(seconds=after))
    assert desk.click(link, agent)[0] == 302
    assert desk.history() == ["Email Clicked By Machine"]
    assert desk.reached() == (3, 0)


def test_only_asking_for_the_head_counts_nothing(desk: Desk) -> None:
    link = mailed(desk)
    assert desk.click(link, method="HEAD")[0] == 302
    assert desk.waiting() == []


def test_a_link_that_is_not_ours_leads_nowhere(desk: Desk) -> None:
    link = mailed(desk)
    before, _, _ = link.partition("?")
    for bad in (
        f"{before}?u=https%3A%2F%2Fevil.example",
        before,
        "/c/x?u=https://e.example",
        "/s/x",
    ):
        assert desk.click(bad) == (404, "")
    assert desk.waiting() == []


def test_a_text_message_has_a_short_link_that_is_kept_before_it_goes(desk: Desk) -> None:
    added = event("Product Added", T0, who=WHO)
    desk.shop.drain(identify(*WHO, phone="+4930123456"), added)
    desk.shop.deliver()
    (text,) = desk.shop.sms.handed
    (link,) = text.short_links  # type: ignore[union-attr]
    assert text.body == f"See {BASE}/s/{link.code}"  # type: ignore[union-attr]
    desk.shop.at(T0 + timedelta(hours=1))
    assert desk.click(f"/s/{link.code}") == (302, "https://shop.example/lamp?a=1&b=%D8%A2")
    assert desk.history() == ["SMS Clicked"]


def test_the_reader_goes_on_where_the_click_cannot_be_counted(desk: Desk) -> None:
    link = mailed(desk)
    desk.shop.run_sql("delete from identity")
    assert desk.click(link)[0] == 302
    assert desk.waiting() == []


REPORTS = st.lists(
    st.sampled_from(
        ["Email Processed", "Email Deferred", "Email Delivered", "Email Opened", "Email Clicked",
         "Email Bounced", "Email Spam Reported", "Email Unsubscribed", "Email Opened By Machine"]
    ),
    min_size=1,
    max_size=6,
)  # fmt: skip


@hypothesis(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(reports=REPORTS, order=st.randoms(use_true_random=False), batches=st.integers(1, 3))
def test_reports_may_come_twice_and_in_any_order(
    desk: Desk, reports: list[str], order: Any, batches: int
) -> None:
    emptied(desk.shop.database)
    desk.shop.email.handed.clear()
    mailed(desk)
    (message,) = desk.shop.email.ids
    sent = desk.shop.clock.now()
    said: list[Event] = [
        msgspec.structs.replace(
            event(name, sent + timedelta(minutes=1 + n), who=WHO, message_id=message),
            context={"made_by": "sendgrid"},
        )
        for n, name in enumerate(reports)
    ]
    wanted = _furthest(desk, message, said)
    twice = said * 2
    order.shuffle(twice)
    size = -(-len(twice) // batches)
    for start in range(0, len(twice), size):
        desk.shop.drain(*twice[start : start + size])
    assert desk.reached() == wanted


def _furthest(desk: Desk, message: str, said: list[Event]) -> tuple[int, int]:
    from engine.core.receipts import progress

    told = [found for event in said if (found := progress(event))]
    return max(t[1] for t in told), max(t[2] for t in told)
