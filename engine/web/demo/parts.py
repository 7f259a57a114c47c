"""What the demo's pages work with, kept with the app that answers."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from flask import current_app
from flask.sansio.app import App

from engine.clock import Clock
from engine.web.demo.back_end import Report

_KEY = "winback.demo"


class Database(Protocol):
    """What the pages need of ``engine.store.database.Database``."""

    def connection(self) -> AbstractContextManager[Any]: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """``home`` is where the mailbox lies; ``report`` how the shop's back end speaks to the
    collector; ``public_url`` what addresses in JSON-LD begin with."""

    shop_name: str
    public_url: str
    write_key: str
    home: Path
    clock: Clock
    database: Database
    report: Report


def use(app: App, parts: Parts) -> None:
    app.extensions[_KEY] = parts


def parts() -> Parts:
    """Those of the app that answers the current request."""
    return cast(Parts, current_app.extensions[_KEY])
