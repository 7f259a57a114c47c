"""The demo's pages on a real database, as a fixture: ``site``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient

from engine.clock import ManualClock
from engine.model.event import Event
from engine.settings import Settings
from engine.store.database import Database
from engine.web.app import Dependencies, close, create_app
from engine.web.demo import pages
from engine.web.demo.parts import Parts

NOW = datetime(2026, 11, 24, 14, 20, tzinfo=UTC)


@dataclass
class Site:
    app: Flask
    database: Database
    home: Path
    clock: ManualClock
    browser: FlaskClient = field(init=False)

    def __post_init__(self) -> None:
        self.browser = self.app.test_client()

    def text(self, path: str, **more: Any) -> str:
        answer = self.browser.get(path, **more)
        assert answer.status_code == 200, answer.text
        return answer.text

    def file(self, path: str) -> tuple[int, str]:
        """Status and type of a static file, which is open until the answer is closed."""
        with self.browser.get(path) as answer:
            return answer.status_code, answer.mimetype

    def accepted(self) -> list[Event]:
        """What the collector has committed, in order."""
        with self.database.connection() as connection:
            rows = connection.execute("select body from inbox order by seq").fetchall()
        return [msgspec.json.decode(row[0], type=Event) for row in rows]

    def do(self, sql: str, values: list[Any]) -> None:
        with self.database.connection() as connection:
            connection.execute(sql, values)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        project_dir=Path(__file__).resolve().parents[1],
        home=tmp_path,
        write_key="the-key",
        secret="0123456789abcdef",
        database_url=database_url,
        demo=True,
    )


@pytest.fixture
def site(settings: Settings) -> Iterator[Site]:
    assert settings.database_url
    clock = ManualClock(NOW)
    with Database(settings.database_url, connections=4) as database:
        app: Flask

        def report(messages: list[dict[str, Any]]) -> None:
            body = msgspec.json.Encoder(decimal_format="number").encode({"batch": messages})
            answer = app.test_client().post("/v1/batch", data=body, auth=("the-key", ""))
            assert answer.status_code == 200 and "errors" not in answer.text, answer.text

        parts = Parts(
            "Chinar & Clay", settings.public_url, "the-key", settings.home, clock, database, report
        )
        app = create_app(
            Dependencies(
                settings=settings,
                clock=clock,
                database=database,
                hint=lambda lanes: None,
                pages=pages(parts, secret=settings.secret),
            )
        )
        yield Site(app, database, settings.home, clock)
        close(app)


class Page(HTMLParser):
    """What matters of a page: its scripts, the words in tags that a strict policy forbids, and
    every address that it loads from."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.loads: list[str] = []
        self.lang = self.direction = ""
        self.data: dict[str, Any] = {}
        self._type = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        if tag == "html":
            self.lang, self.direction = values["lang"], values["dir"]
        if tag == "script":
            self._type = values.get("type", "")
            if "src" not in values and not self._type.endswith("json"):
                self.inline.append("script")
        self.inline += [n for n in values if n == "style" or n.startswith("on")]
        if tag == "style":
            self.inline.append(tag)
        self.loads += [values[n] for n in ("src",) if n in values]
        if tag == "link":
            self.loads.append(values["href"])

    def handle_data(self, data: str) -> None:
        if self._type.endswith("json") and data.strip():
            self.data[self._type] = json.loads(data)
        self._type = ""


EVERY_PAGE = ("/shop/", "/shop/products/rug", "/shop/cart", "/shop/sign-in", "/live/", "/mailbox/")
