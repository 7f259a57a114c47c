"""Every decision about consent as it was made, with its proof. Lines are only ever added."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from engine.store.database import Connection, texts, to_json
from engine.store.database import ids as array


class Record(Protocol):
    """A decision to be kept (``engine.core.proof.Record``)."""

    @property
    def event_id(self) -> str: ...
    @property
    def channel(self) -> str: ...
    @property
    def topic(self) -> str: ...
    @property
    def word(self) -> str: ...
    @property
    def at(self) -> datetime: ...
    @property
    def method(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def identifier(self) -> str: ...
    @property
    def proof(self) -> dict[str, str]: ...
    @property
    def carried(self) -> bool: ...


class Line(NamedTuple):
    """One decision of a shopper's. ``identifier`` is whom its event named first."""

    profile: int
    channel: str
    topic: str
    word: str
    at: datetime
    recorded_at: datetime
    method: str
    source: str
    identifier: str
    proof: dict[str, Any]
    event_id: str


def write(connection: Connection, records: Sequence[tuple[int, Record]], now: datetime) -> None:
    """Add decisions, by profile, before what they come to is written. One that is there already
    is left alone; one that is ``carried`` is added only where nothing was said before."""
    news = {
        (profile, "" if r.carried else r.event_id, r.channel, r.topic): (profile, r)
        for profile, r in records
    }
    found = list(news.values())
    connection.execute(
        """
        insert into consent_log (profile_id, event_id, channel, topic, word, at, recorded_at,
                                 method, source, identifier, proof)
        select t.profile_id, t.event_id, t.channel, t.topic, t.word, t.at, %s, t.method, t.source,
               t.identifier, t.proof
          from unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[],
                      %s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::jsonb[],
                      %s::bool[])
            as t(profile_id, event_id, channel, topic, word, at, method, source, identifier, proof,
                 carried)
         where not t.carried or not exists (
               select from consent c where c.profile_id = t.profile_id
                  and c.channel = t.channel and c.topic = t.topic)
        on conflict do nothing
        """,
        [
            now,
            array(profile for profile, _ in found),
            texts(r.event_id for _, r in found),
            texts(r.channel for _, r in found),
            texts(r.topic for _, r in found),
            texts(r.word for _, r in found),
            [r.at for _, r in found],
            texts(r.method for _, r in found),
            texts(r.source for _, r in found),
            texts(r.identifier for _, r in found),
            texts(to_json(r.proof) for _, r in found),
            [r.carried for _, r in found],
        ],
    )


_COLUMNS = (
    "profile_id, channel, topic, word, at, recorded_at, method, source, identifier, proof, event_id"
)


def of(connection: Connection, profile: int) -> list[Line]:
    """All that a shopper ever decided, oldest first."""
    rows = connection.execute(
        f"select {_COLUMNS} from consent_log where profile_id = %s order by at, event_id, topic",
        [profile],
    )
    return [Line(*row) for row in rows]


def everything(connection: Connection) -> Iterator[Line]:
    """All decisions of all shoppers, each shopper's together and oldest first."""
    with connection.cursor(name="consent_log") as cursor:
        cursor.itersize = 5000
        cursor.execute(
            f"select {_COLUMNS} from consent_log order by profile_id, at, event_id, topic"
        )
        for row in cursor:
            yield Line(*row)
