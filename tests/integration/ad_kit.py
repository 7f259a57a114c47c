"""Shoppers in the tables as the drain would put them there, and a pusher on a simulator."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from engine.audiences.google import Google
from engine.audiences.meta import Meta
from engine.clock import Clock, ManualClock
from engine.core.book import JourneyBook
from engine.model.audience import AdList
from engine.model.policy import Policy, Shop
from engine.ports import AdPlatform
from engine.runtime.push import Pushed, Pusher
from engine.runtime.shell import Shell
from engine.store.database import Database
from engine.testing.google import GoogleSimulator
from engine.testing.meta import MetaSimulator

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
GOOGLE = AdList("google/left-behind", "7700", "1234567890")
META = AdList("meta/left-behind", "238500")
LISTS = {GOOGLE.audience: GOOGLE, META.audience: META}


def h(text: str) -> str:
    return sha256(text.encode()).hexdigest()


@dataclass
class AdShop:
    """``push`` moves a manual clock on by two seconds before each turn."""

    database: Database
    platforms: dict[str, AdPlatform]
    clock: Clock = field(default_factory=lambda: ManualClock(NOW))
    policy: Policy = field(default_factory=lambda: Policy(shop=Shop(country="PK"), audiences=LISTS))

    def __post_init__(self) -> None:
        shell = Shell(self.database, self.clock, lambda *_: JourneyBook(), lambda: self.policy)
        self.pusher = Pusher(shell, lambda name: self.platforms[name])

    def sql(self, statement: Any, *values: Any) -> list[tuple[Any, ...]]:
        with self.database.connection() as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def shopper(self, profile: int, **traits: Any) -> None:
        self.sql(
            "insert into profile (id, born_of, traits) values (%s, %s, %s::jsonb)",
            *(profile, f"user:{profile}", json.dumps(traits)),
        )
        names = [f"user:{profile}"]
        names += [f"{kind}:{traits[kind]}" for kind in ("email", "phone") if kind in traits]
        for name in names:
            self.sql("insert into identity values (%s, %s) on conflict do nothing", name, profile)

    def shoppers(self, many: int, audience: str = GOOGLE.audience, first: int = 1) -> None:
        """That many shoppers, each with a run that wants them on the audience."""
        with self.database.connection() as connection:
            span = {"first": first, "last": first + many - 1, "at": self.clock.now()}
            connection.execute(
                """insert into profile (id, born_of, traits)
                   select n, 'user:' || n, jsonb_build_object('email', 's' || n || '@example.com')
                     from generate_series(%(first)s::bigint, %(last)s) n""",
                span,
            )
            connection.execute(
                """insert into identity select 'user:' || n, n
                     from generate_series(%(first)s::bigint, %(last)s) n""",
                span,
            )
            self._runs(connection, audience, span)

    def _runs(self, connection: Any, audience: str, span: dict[str, Any]) -> None:
        connection.execute(
            """with r as (
                  insert into enrollment (profile_id, id, journey, version, key, bucket,
                         event_id, entered_at, status)
                  select n, gen_random_uuid(), 'j', 'v', 'k', 0, 'e', %(at)s, 'active'
                    from generate_series(%(first)s::bigint, %(last)s) n
                  returning profile_id, id)
               insert into audience_member select profile_id, %(audience)s, id, true, false, %(at)s
                 from r""",
            {**span, "audience": audience},
        )

    def run(self, profile: int, audience: str = GOOGLE.audience, key: str = "k1") -> uuid.UUID:
        run = uuid.uuid4()
        self.sql(
            """insert into enrollment (profile_id, id, journey, version, key, bucket, event_id,
               entered_at, status) values (%s, %s, %s, 'v', %s, 0, 'e', %s, 'active')""",
            *(profile, run, audience, key, self.clock.now()),
        )
        self.sql(
            "insert into audience_member values (%s, %s, %s, true, false, %s)",
            *(profile, audience, run, self.clock.now()),
        )
        return run

    def accept(self, profile: int) -> str:
        """An order that is accepted and not yet drained; gives its id."""
        order = str(uuid.uuid4())
        self.sql(
            """insert into inbox (lane, sender, links, name, identifiers, id, time, received_at,
               body) values (0, %s, false, 'Order Completed', %s, %s, %s, %s, '{}')""",
            f"user:{profile}",
            [f"user:{profile}"],
            order,
            self.clock.now(),
            self.clock.now(),
        )
        return order

    def drain(self, profile: int, order: str) -> None:
        """What the drain does with an accepted order, in one transaction."""
        with self.database.connection() as connection:
            taken = connection.execute(
                "delete from inbox where id = %s returning received_at, accept_xid::text", [order]
            ).fetchone()
            assert taken is not None
            connection.execute(
                """insert into event (profile_id, id, kind, name, time, received_at, processed_at,
                   properties, context, accept_xid)
                   values (%s, %s, 'track', 'Order Completed', %s, %s, %s, '{}', '{}', %s)""",
                [profile, order, taken[0], taken[0], self.clock.now(), taken[1]],
            )
            connection.execute(
                """update enrollment set status = 'stopped', stopped_by = %s, live = false
                    where profile_id = %s and status = 'active'""",
                [order, profile],
            )
            connection.execute(
                """update audience_member set wanted = false, changed_at = %s
                    where profile_id = %s and wanted""",
                [self.clock.now(), profile],
            )

    def buys(self, profile: int) -> None:
        self.drain(profile, self.accept(profile))

    def consent(self, profile: int, granted: bool, topic: str = "*") -> None:
        self.sql(
            """insert into consent values (%s, 'ads', %s, %s, %s)
               on conflict (profile_id, channel, topic)
               do update set granted = excluded.granted, at = excluded.at""",
            *(profile, topic, granted, self.clock.now()),
        )

    def on(self, seconds: float) -> None:
        assert isinstance(self.clock, ManualClock)
        self.clock.move_to(self.clock.now() + timedelta(seconds=seconds))

    def push(self, times: int = 1, *, seconds: float = 60.0) -> dict[str, Pushed]:
        done: list[Pushed] = []
        for _ in range(times):
            if isinstance(self.clock, ManualClock):
                self.on(2)
            done = self.pusher.push(seconds)
        return {one.audience: one for one in done}

    def states(self, audience: str = GOOGLE.audience) -> dict[str, int]:
        rows = self.sql(
            "select status, count(*) from audience_listing where audience = %s group by 1",
            audience,
        )
        return {status: count for status, count in rows}


def google_of(simulator: GoogleSimulator, **more: Any) -> Google:
    return Google(simulator.url, lambda: simulator.token, **more)


def meta_of(simulator: MetaSimulator, **more: Any) -> Meta:
    return Meta(simulator.url, simulator.token, simulator.secret, **more)
