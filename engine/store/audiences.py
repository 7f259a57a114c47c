"""Who is wanted on which ad audience, and who was on the last file.

One row of ``audience_member`` per run: a profile is on a list while any of its runs wants it.
``wanted`` is the journey's word (and false as soon as the run is stopped), ``listed`` what the
last file said. A profile that is wanted is yet kept off while it has neither email nor phone, one
of them is blocked, or without its consent to the channel ``ads``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import msgspec

from engine.store.ads_consent import BLOCKED, NO_NO, YES, AdsConsent
from engine.store.database import Connection

#: Rows that the server-side cursor fetches at a time: some hundreds of kB of traits.
FETCH = 1000

_REACHABLE: LiteralString = "(coalesce(p.traits ->> 'email', p.traits ->> 'phone', '') <> '')"
_ALLOWED: LiteralString = f"({_REACHABLE} and {NO_NO} and not {BLOCKED})"
#: By a run that is not stopped, or by a segment that the shopper is in at this moment.
_WANTED: LiteralString = """(m.wanted and e.status is distinct from 'stopped'
    and (m.segment = '' or exists (select from segment_member s where s.member
        and s.profile_id = m.profile_id and s.segment = m.segment)))"""

_JOINED: LiteralString = """audience_member m
    join profile p on p.id = m.profile_id
    left join enrollment e on e.profile_id = m.profile_id and e.id = m.enrollment_id"""

#: Blocks of the last day before the latest are looked at each time; the daily rewrite sees all.
_DUE: LiteralString = f"""
select distinct m.audience from {_JOINED}
where m.wanted <> m.listed and (
    m.listed
    or ({_WANTED} and {_ALLOWED} and (m.synced_at is null or m.synced_at < m.changed_at
        or exists (select from consent c where c.profile_id = m.profile_id
            and c.channel = 'ads' and c.at >= m.synced_at))))
union
select distinct m.audience from {_JOINED}
where m.listed and not {NO_NO} and m.profile_id in (
    select profile_id from consent where channel = 'ads' and not granted)
union
select distinct m.audience from audience_member m
  join identity i on i.profile_id = m.profile_id
  join suppression s on s.address = i.identifier
 where m.listed and s.at >= (select max(at) - interval '1 day' from suppression)
order by 1"""

_MEMBERS: LiteralString = f"""
select m.profile_id, p.traits,
    bool_or({_WANTED}) and {_ALLOWED}, {YES},
    coalesce(array_agg(m.enrollment_id) filter (where {_WANTED} and not m.listed), '{{}}'),
    coalesce(array_agg(m.enrollment_id) filter (where not {_WANTED} and m.listed), '{{}}'),
    coalesce(array_agg(m.enrollment_id) filter (where {_WANTED} and m.listed), '{{}}')
from {_JOINED}
where m.audience = %(audience)s
group by m.profile_id, p.id
"""

_LISTED: LiteralString = _MEMBERS + "having bool_or(m.listed)"
_OTHERS: LiteralString = (
    _MEMBERS
    + f"""having (not bool_or(m.listed) and bool_or({_WANTED}) and {_ALLOWED})
    or m.profile_id = any(%(also)s)"""
)


class Membership(msgspec.Struct, frozen=True, gc=False):
    """One profile's place on one audience, with the runs that want it.

    ``stays``     it is to be on the next file, if the law of its country lets it; ``yes``: it
    said so itself. ``coming`` runs want it and are not yet on the
    file, ``leaving`` were on it and no longer want it, ``staying`` are on it and want it.
    """

    profile_id: int
    traits: dict[str, Any]
    stays: bool
    yes: bool
    coming: list[UUID]
    leaving: list[UUID]
    staying: list[UUID]


class AudienceStore:
    """The audience tables of one shop, within one transaction of ``connection``."""

    def __init__(self, connection: Connection, ads_consent: AdsConsent) -> None:
        self._connection = connection
        self._opt_out = ads_consent == "opt-out"

    def due(self) -> list[str]:
        """Audiences whose next file would differ from the last one.

        Reads only rows in need of a change (a partial index) and the shoppers who refused
        ads. What changes without either, such as a new email address, is found by the daily
        rewrite of every list (``stale``).
        """
        return self._names(_DUE)

    def all(self) -> list[str]:
        """Every audience that has or had a member."""
        return self._names("select distinct audience from audience_member order by 1")

    def of(self, profile: int | None) -> list[str]:
        """Audiences whose last file, or platform, holds the shopper."""
        return [
            name
            for (name,) in self._connection.execute(
                "select distinct audience from audience_member where profile_id = %s and listed",
                [profile],
            )
        ]

    def stale(self, before: datetime) -> list[str]:
        """Audiences that were last written before that time, though they have no member left."""
        rows = self._connection.execute(
            "select audience from audience_size group by 1 having max(at) < %s order by 1",
            [before],
        ).fetchall()
        return [name for (name,) in rows]

    def written(self, audience: str, at: datetime, members: int) -> None:
        """Note that the list was written as a whole, with that many members."""
        self._connection.execute(
            """
            insert into audience_size (audience, at, confirmed, mended) values (%s, %s, %s, 0)
            on conflict do nothing
            """,
            [audience, at, members],
        )

    def lock(self, audience: str) -> bool:
        """Take the audience until the transaction ends; False when another process has it."""
        row = self._connection.execute(
            "select pg_try_advisory_xact_lock(hashtextextended('audience:' || %s, 0))",
            (audience,),
        ).fetchone()
        return row is not None and bool(row[0])

    def listed(self, audience: str) -> Iterator[Membership]:
        """Profiles that the last file held, streamed."""
        return self._stream("listed", _LISTED, {"audience": audience})

    def others(self, audience: str, also: Sequence[int]) -> Iterator[Membership]:
        """Profiles that come onto the list, and those named in ``also``, streamed."""
        return self._stream("others", _OTHERS, {"audience": audience, "also": list(also)})

    def mark(
        self,
        audience: str,
        at: datetime,
        *,
        on: Sequence[tuple[int, UUID]] = (),
        off: Sequence[tuple[int, UUID]] = (),
        unusable: Sequence[tuple[int, UUID]] = (),
    ) -> None:
        """Record what the new file says of these (profile, run) rows.

        ``unusable`` were wanted but have no address that the platform could know: they come
        up again when their run changes or with the daily rewrite, not every second.

        A row that a drain is just changing is passed over, so that neither waits for the
        other in a circle. It stays as it was, comes up at the next tick, and the file already
        says the right thing of it.
        """
        self._set(audience, on, "listed = true, synced_at = %(at)s", at)
        self._set(
            audience,
            off,
            "listed = false, synced_at = case when m.wanted then null else %(at)s end",
            at,
        )
        self._set(audience, unusable, "listed = false, synced_at = %(at)s", at)

    def _names(self, query: LiteralString) -> list[str]:
        rows = self._connection.execute(query, {"opt_out": self._opt_out}).fetchall()
        return [name for (name,) in rows]

    def _stream(
        self, cursor_name: str, query: LiteralString, parameters: dict[str, Any]
    ) -> Iterator[Membership]:
        with self._connection.cursor(name=cursor_name) as cursor:
            cursor.itersize = FETCH
            cursor.execute(query, {**parameters, "opt_out": self._opt_out})
            for row in cursor:
                yield Membership(*row)

    def _set(
        self,
        audience: str,
        rows: Sequence[tuple[int, UUID]],
        change: LiteralString,
        at: datetime,
    ) -> None:
        if not rows:
            return
        profiles, enrollments = zip(*rows, strict=True)
        self._connection.execute(
            f"""with free as (
                    select m.ctid from audience_member m
                    join unnest(%(profiles)s::bigint[], %(enrollments)s::uuid[]) as seen (p, e)
                      on m.profile_id = seen.p and m.enrollment_id = seen.e
                    where m.audience = %(audience)s
                    for update of m skip locked)
                update audience_member m set {change} from free where m.ctid = free.ctid""",
            {
                "at": at,
                "audience": audience,
                "profiles": list(profiles),
                "enrollments": list(enrollments),
            },
        )
