"""The doctor's look at services, keys and content, which takes Winback's packages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

import redis

from engine import bootstrap
from engine.audiences import open_platform
from engine.channels import open_channel
from engine.cli import _pace, _retention, _sending
from engine.embedded.postgres import find_binaries
from engine.embedded.redis import find_program
from engine.errors import ConfigError, WinbackError
from engine.language import journey_files, load_policy
from engine.model.check import Check
from engine.model.policy import Policy
from engine.settings import Settings
from engine.store import failures as failures_store
from engine.store import rejected as rejected_store
from engine.store.database import Database, wait_until_ready

OLDEST_POSTGRES = 15


def examine(settings: Settings, env: Mapping[str, str]) -> Iterator[Check]:
    """Services first: without them nothing else matters."""
    postgres = _postgres(settings)
    yield postgres
    yield _redis(settings)
    yield _write_key(settings)
    yield _secret(settings, env)
    policy, diagnostics = load_policy(settings.project_dir / "config" / "winback.yaml")
    errors = [found for found in diagnostics if found.severity == "error"]
    if errors:
        yield Check("config/winback.yaml", "finding", errors[0].message, "winback lint")
    else:
        yield Check("config/winback.yaml", "ok", policy.shop.name)
    yield from _content(settings)
    if settings.database_url is not None and postgres.state == "ok":
        yield from _troubles(settings.database_url)
    yield from _channels(settings, policy)
    yield _public_url(settings, policy)
    yield from _ad_platforms(settings, policy)
    yield from _sending.examine(settings)
    yield from _pace.examine(settings, policy)
    yield from _retention.examine(settings)
    yield _browser()


def _postgres(settings: Settings) -> Check:
    if settings.database_url is None:
        try:
            find_binaries()
        except WinbackError as error:
            return Check("postgresql", "finding", str(error), "export DATABASE_URL=postgresql://…")
        if os.geteuid() == 0 and not shutil.which("useradd"):
            return Check(
                "postgresql",
                "finding",
                "the embedded one does not run as root, and there is no useradd",
                "run Winback as an ordinary user, or export DATABASE_URL=postgresql://…",
            )
        return Check("postgresql", "ok", "embedded")
    try:
        # Asked first without the pool, which would wait and hide the reason.
        wait_until_ready(settings.database_url, timeout=0)
        with (
            Database(settings.database_url, connections=1) as database,
            database.connection() as connection,
        ):
            row = connection.execute("show server_version_num").fetchone()
    except Exception as error:  # whatever keeps us out is the finding
        return Check(
            "postgresql",
            "finding",
            f"not reached: {_first_line(error)}",
            "start it, correct DATABASE_URL, or unset it for the embedded one",
        )
    assert row is not None
    major = int(row[0]) // 10000
    if major < OLDEST_POSTGRES:
        return Check(
            "postgresql", "finding", f"{major} is too old", f"upgrade it to {OLDEST_POSTGRES}"
        )
    return Check("postgresql", "ok", f"yours, {major}")


def _troubles(url: str) -> Iterator[Check]:
    """What went wrong in a shop that has been at work: journeys that raise, events set aside."""
    with Database(url, connections=1) as database, database.connection() as connection:
        row = connection.execute("select to_regclass('journey_failure')").fetchone()
        if row is None or row[0] is None:
            return  # nothing has run here yet
        faults = failures_store.found(connection, standing_only=True)
        aside = sum(group.n for group in rejected_store.groups(connection))
    for fault in faults:
        said = f"{fault.error}: {fault.text}" if fault.text else fault.error
        yield Check(
            f"journey {fault.journey}",
            "finding",
            f"version {fault.version} fails at {fault.path}: {said} ({fault.raised_at}); "
            f"{fault.standing:,} runs stand there and are tried again",
            f"update winback, or edit the journey; see winback explain {fault.profile_id}",
        )
    if aside:
        says = f"{aside:,} were refused or could not be worked"
        yield Check("events set aside", "note", says, "winback rejected")


def _redis(settings: Settings) -> Check:
    if settings.redis_url is None:
        program = find_program()
        if program is not None:
            return Check("redis", "ok", f"embedded, {program.name}")
        return Check(
            "redis",
            "note",
            "fakeredis stands in: fine for a try, slow in earnest",
            "apt-get install redis-server",
        )
    try:
        with redis.Redis.from_url(
            settings.redis_url, socket_connect_timeout=3, socket_timeout=3
        ) as client:
            client.ping()
    except (redis.RedisError, OSError) as error:
        return Check(
            "redis",
            "finding",
            f"not reached: {_first_line(error)}",
            "start it, correct REDIS_URL, or unset it for the embedded one",
        )
    return Check("redis", "ok", "yours")


def _write_key(settings: Settings) -> Check:
    if settings.write_key:
        return Check("write key", "ok", "set")
    return Check(
        "write key",
        "finding",
        "none, so no storefront can send events",
        "export WINBACK_WRITE_KEY=<a text of your own>",
    )


def _secret(settings: Settings, env: Mapping[str, str]) -> Check:
    if env.get("WINBACK_SECRET"):
        return Check("secret", "ok", "from the environment")
    if settings.database_url is not None:
        return Check(
            "secret",
            "note",
            f"kept in {settings.home / 'secret'}: a second machine would make another, and the "
            "links in mails would work on one of them only",
            "export WINBACK_SECRET=<a long random text, the same everywhere>",
        )
    return Check("secret", "ok", f"kept in {settings.home / 'secret'}")


def _content(settings: Settings) -> Iterator[Check]:
    journeys = settings.project_dir / "journeys"
    count = len(journey_files(journeys)) if journeys.is_dir() else 0
    if count:
        yield Check("journeys", "ok", f"{count} in {journeys}")
    else:
        yield Check("journeys", "finding", f"none in {journeys}", "winback --project-dir <shop> …")
    templates = settings.project_dir / "templates"
    if templates.is_dir():
        yield Check("templates", "ok", str(templates))
    else:
        yield Check("templates", "finding", f"no {templates}", "winback --project-dir <shop> …")


def _channels(settings: Settings, policy: Policy) -> Iterator[Check]:
    chosen = [(c, name) for c, names in bootstrap.providers(policy).items() for name in names]
    for channel, provider in sorted(chosen):
        name = f"channel {channel}"
        if provider == "file":
            yield Check(name, "note", "goes to the local mailbox, to nobody else")
            continue
        try:
            open_channel(provider, settings, lambda: datetime.now(UTC))
        except ConfigError as error:
            yield Check(name, "finding", str(error), "export the variable that it names")
            continue
        if provider == "sendgrid" and not settings.sendgrid_webhook_public_key:
            yield Check(
                name,
                "finding",
                "bounces and complaints would not be believed: no key to check them with",
                "export SENDGRID_WEBHOOK_PUBLIC_KEY=<from the event webhook's settings>",
            )
        else:
            yield Check(name, "ok", provider)


def _ad_platforms(settings: Settings, policy: Policy) -> Iterator[Check]:
    for platform in sorted({ad_list.platform for ad_list in policy.audiences.values()}):
        try:
            open_platform(platform, settings).close()
        except ConfigError as error:
            key = "GOOGLE_APPLICATION_CREDENTIALS" if platform == "google" else "META_ACCESS_TOKEN"
            yield Check(f"ads {platform}", "finding", str(error), f"export {key}=…")
        else:
            yield Check(f"ads {platform}", "ok", "lists are kept up to date by its API")
    for ad_file in policy.audience_files.values():
        if not ad_file.to:
            continue
        from engine.audiences.places import open_place  # 0.2 s, which most shops need not spend

        try:
            open_place(ad_file.to, settings.home, settings)
        except ConfigError as error:
            hint = "export the variable that it names"
            yield Check(f"audience {ad_file.audience}", "finding", str(error), hint)
        else:
            yield Check(f"audience {ad_file.audience}", "ok", f"its files go to {ad_file.to}")


def _public_url(settings: Settings, policy: Policy) -> Check:
    local = urlsplit(settings.public_url).hostname in ("127.0.0.1", "localhost", "::1")
    carriers = {*policy.providers.values()}.union(*policy.sending.fallbacks.values())
    real = bool(carriers - {"file"})
    if local and real:
        return Check(
            "public url",
            "finding",
            f"links in mails would lead to {settings.public_url}, which shoppers cannot reach",
            "export WINBACK_PUBLIC_URL=https://<where the world reaches this>",
        )
    return Check("public url", "ok", settings.public_url)


def _browser() -> Check:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return Check("browser", "ok", found)
    return Check(
        "browser", "note", "none; only the tests of the snippet use it", "apt-get install chromium"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
