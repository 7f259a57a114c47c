"""Puts the rooms together. The only module that sees them all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from engine.audiences import PLATFORMS
from engine.channels import make_channels
from engine.clock import from_environment
from engine.errors import ConfigError
from engine.rendering.renderer import Renderer
from engine.runtime.shelf import Shelf
from engine.runtime.shell import Shell
from engine.runtime.sync import SyncReport, sync_audiences
from engine.settings import Settings
from engine.store import lanes as lanes_store
from engine.store.audiences import AudienceStore
from engine.store.database import Database
from engine.web.app import Dependencies


def database(settings: Settings, *, connections: int = 8) -> Database:
    """The database of these settings. Raises ``ConfigError`` when none is given."""
    if settings.database_url is None:
        raise ConfigError(
            "DATABASE_URL is not set: `winback up` starts an embedded PostgreSQL; a process on "
            "its own needs the address of one."
        )
    return Database(settings.database_url, connections=connections)


def shell(settings: Settings, *, bare: bool = False) -> Shell:
    """All that a worker needs."""
    store = database(settings)
    clock = from_environment(settings.clock)
    shelf = _shelf(settings, store)
    policy = shelf.policy()
    renderer = Renderer(
        settings.project_dir / "templates",
        policy,
        public_url=settings.public_url,
        secret=settings.secret,
    )
    channels = make_channels(policy, settings)
    return Shell(store, clock, shelf.book, shelf.policy, renderer, channels, bare)


def web_dependencies(settings: Settings, hint: Callable[[set[int]], None]) -> Dependencies:
    """All that the web needs. ``hint`` tells the workers which lanes have work."""
    store = database(settings)
    shelf = _shelf(settings, store)
    return Dependencies(
        settings=settings,
        clock=from_environment(settings.clock),
        database=store,
        hint=hint,
        policy=shelf.policy(),
        journeys=shelf.book().current,
    )


def audience_sync(settings: Settings, of: Shell) -> Callable[[], SyncReport]:
    """Writes the audience files that have changed, when called."""
    return partial(
        _sync,
        settings,
        of,
    )


def _sync(settings: Settings, of: Shell) -> SyncReport:
    return sync_audiences(
        of.database,
        settings.home,
        of.clock,
        of.policy(),
        book=AudienceStore,
        platforms=PLATFORMS,
        held=lanes_store.touched,
    )


def _shelf(settings: Settings, store: Database) -> Shelf:
    project = settings.project_dir
    return Shelf(
        store,
        from_environment(settings.clock),
        project / "journeys",
        project / "config" / "winback.yaml",
    )
