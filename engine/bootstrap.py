"""Puts the rooms together. The only module that sees them all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.audiences import PLATFORMS, open_platform
from engine.channels import find_receiver, open_channel
from engine.clock import Clock, from_environment
from engine.errors import ConfigError
from engine.language.keywords import default_keywords
from engine.model.audience import AdFile
from engine.model.policy import Policy, Shop
from engine.ports import Channel
from engine.rendering.renderer import Renderer
from engine.runtime.handover import Place, hand_over, want_segment
from engine.runtime.push import Pusher
from engine.runtime.shelf import Shelf
from engine.runtime.shell import Shell
from engine.runtime.sync import SyncReport, sync_audiences
from engine.settings import Settings
from engine.store import lanes as lanes_store
from engine.store.audiences import AudienceStore
from engine.store.database import Database
from engine.web import callbacks, clicks, preferences
from engine.web.app import Dependencies, create_app

if TYPE_CHECKING:
    from flask import Blueprint, Flask

log = logging.getLogger(__name__)

#: Where messages go until config/winback.yaml says otherwise. A webhook goes where its step says.
DEFAULT_PROVIDERS = {"email": "file", "sms": "file", "whatsapp": "file", "webhook": "webhook"}


def database(settings: Settings, *, connections: int = 8) -> Database:
    """The database of these settings. Raises ``ConfigError`` when none is given."""
    if settings.database_url is None:
        raise ConfigError(
            "DATABASE_URL is not set: `winback up` starts an embedded PostgreSQL; a process on "
            "its own needs the address of one."
        )
    return Database(settings.database_url, connections=connections)


def shell(settings: Settings, *, bare: bool = False) -> Shell:
    """All that a worker needs. ``bare`` leaves out consent, caps and quiet hours."""
    store = database(settings)
    clock = from_environment(settings.clock)
    shelf = journeys(settings, store)
    rules = policy_of(settings, shelf)
    policy = rules()
    chosen = carriers(settings, policy, clock)
    return Shell(
        store,
        clock,
        shelf.book,
        rules,
        renderer(settings, policy),
        {channel: first for channel, (first, *_) in chosen.items()},
        bare,
        fallbacks={channel: others for channel, (_, *others) in chosen.items()},
        secret=settings.secret,
    )


def journeys(settings: Settings, store: Database) -> Shelf:
    """The journeys and the policy of the project, read again when their files change."""
    return Shelf(store, from_environment(settings.clock), settings.project_dir)


def policy_of(settings: Settings, shelf: Shelf) -> Callable[[], Policy]:
    """The shop's rules, read again when their file changes; in the demo, its own shop's."""
    if not settings.demo:
        return shelf.policy
    from engine.web.demo.rules import demo_policy

    return demo_policy(shelf.policy, settings.public_url)


def renderer(settings: Settings, policy: Policy) -> Renderer:
    """Renders the project's templates."""
    return Renderer(
        settings.project_dir / "templates",
        policy,
        public_url=settings.public_url,
        secret=settings.secret,
    )


def channels(settings: Settings, policy: Policy, clock: Clock) -> dict[str, Channel]:
    """The provider of each channel."""
    return {name: first for name, (first, *_) in carriers(settings, policy, clock).items()}


def carriers(settings: Settings, policy: Policy, clock: Clock) -> dict[str, tuple[Channel, ...]]:
    """For each channel its provider, and behind it those that stand in for it. One that
    config/winback.yaml does not name goes to the local mailbox, so nothing leaves the machine by
    accident."""
    names = providers(policy)
    opened = {
        name: open_channel(name, settings, clock.now)
        for name in {name for each in names.values() for name in each}
    }
    return {channel: tuple(opened[name] for name in each) for channel, each in names.items()}


def providers(policy: Policy) -> dict[str, tuple[str, ...]]:
    """The names of those providers."""
    return {
        channel: (first, *policy.sending.fallbacks.get(channel, ()))
        for channel, first in {**DEFAULT_PROVIDERS, **policy.providers}.items()
    }


def web_app(settings: Settings, hint: Callable[[set[int]], None]) -> Flask:
    """The web. ``hint`` is called after each commit with the lanes that have work."""
    store = database(settings)
    shelf = journeys(settings, store)
    clock = from_environment(settings.clock)
    try:
        policy = policy_of(settings, shelf)()
    except ConfigError as error:  # events are taken all the same; nothing is sent meanwhile
        log.error("%s", error)
        policy = Policy(keywords=default_keywords(Shop()))  # a STOP is heard all the same
    deps = Dependencies(
        settings=settings,
        clock=clock,
        database=store,
        hint=hint,
        policy=policy,
        journeys=shelf.book().current,
    )
    makes = renderer(settings, policy)
    pages = [
        preferences.create_blueprint(deps, makes.links),
        clicks.create_blueprint(deps, makes.clicks),
        callbacks.create_blueprint(deps, find_receiver),
    ]
    if settings.demo:
        pages += demo_pages(settings, policy, clock, store)
    return create_app(replace(deps, pages=pages))


def demo_pages(
    settings: Settings, policy: Policy, clock: Clock, store: Database
) -> Sequence[Blueprint]:
    """The demo's shop, mailbox and live page. Its back end reports to this very server."""
    from engine.web.demo import pages
    from engine.web.demo.back_end import http_report
    from engine.web.demo.parts import Parts

    parts = Parts(
        shop_name=policy.shop.name,
        public_url=settings.public_url,
        write_key=settings.write_key,
        home=settings.home,
        clock=clock,
        database=store,
        report=http_report(f"http://127.0.0.1:{settings.port}", settings.write_key),
    )
    return pages(parts, secret=settings.secret)


def audience_sync(
    settings: Settings, of: Shell, *, again: bool = False, everything: bool = False
) -> Callable[[], SyncReport]:
    """Writes the audience files that have changed, and hands them over, when called. ``again``:
    to places too that have just refused. ``everything``: those too that nothing tells to have
    changed."""

    def sync() -> SyncReport:
        report = sync_audiences(
            of.database,
            settings.home,
            of.clock,
            of.policy(),
            book=AudienceStore,
            platforms=PLATFORMS,
            held=lanes_store.touched,
            feed=lambda ad_file: want_segment(of, ad_file),
            everything=everything,
        )
        if not any(one.to for one in of.policy().audience_files.values()):
            return report
        # They take 0.2 s to load, and most shops have no such place.
        from engine.audiences.formats import convert
        from engine.audiences.places import open_place

        def place(ad_file: AdFile) -> Place:
            return open_place(ad_file.to, settings.home, settings)

        handed = hand_over(of, settings.home, place, convert, again=again)
        problems = [f"{one.audience}: {one.problem}" for one in handed if one.problem]
        return replace(report, problems=(*report.problems, *problems), handed=tuple(handed))

    return sync


def pusher(settings: Settings, of: Shell) -> Pusher:
    """Keeps the audiences that have a list at a platform's API."""
    return Pusher(of, lambda name: open_platform(name, settings))
