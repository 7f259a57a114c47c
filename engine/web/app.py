"""The Flask app: its parts, and what they are given to work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from flask import Blueprint, Flask

from engine.clock import Clock
from engine.intake.committer import Committer
from engine.intake.door import Door
from engine.model.journey import Journey
from engine.model.policy import Policy
from engine.settings import Settings
from engine.web import errors, health, snippet
from engine.web.collector import Collector

_COMMITTER = "winback.committer"


class Database(Protocol):
    """What the pages need of the database (``engine.store.database.Database``)."""

    @property
    def url(self) -> str: ...

    def connection(self) -> AbstractContextManager[Any]:
        """A connection for a ``with`` block, which commits at its end."""
        ...


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What ``engine.bootstrap`` hands to the web.

    ``hint``      is called after each commit with the lanes that have work; must not block.
    ``journeys``  by name, those that run.
    ``pages``     more blueprints, made by bootstrap: those that need what the web may not see.
    """

    settings: Settings
    clock: Clock
    database: Database
    hint: Callable[[set[int]], None]
    policy: Policy = field(default_factory=Policy)
    journeys: Mapping[str, Journey] = field(default_factory=dict)
    pages: Sequence[Blueprint] = ()


def create_app(deps: Dependencies) -> Flask:
    """The whole site as one WSGI app. The hot routes of the collector stand in front of Flask,
    whose routing and request objects cost more than all that they do."""
    app = Flask("engine.web", static_folder="static", template_folder="templates")
    errors.install(app)
    committer = Committer.to_inbox(deps.database.url, deps.hint)
    for page in (health.blueprint(deps, committer), snippet.blueprint(), *deps.pages):
        app.register_blueprint(page)
    door = Door(committer, key=deps.settings.write_key, region=deps.policy.shop.country)
    app.wsgi_app = Collector(app.wsgi_app, door, deps.clock)  # type: ignore[method-assign]
    app.extensions[_COMMITTER] = committer
    return app


def close(app: Flask) -> None:
    """Commit what waits and let go of the database: the end of the app's life."""
    cast(Committer, app.extensions[_COMMITTER]).close()
