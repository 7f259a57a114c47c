"""Erasing one shopper: what there is of them, and its deletion. Within the caller's transaction.

Deleted, not emptied: a run without its events, or an order without its amount, would be a lie to
whoever counts. What tallies need is added up elsewhere first, under nobody's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import LiteralString, NamedTuple

from engine.model.journey import WITHOUT
from engine.store.database import Connection, texts

#: Tables of rows that are the shopper's alone, by what a person calls them.
_OWN: Mapping[str, LiteralString] = {
    "events": "event",
    "messages": "message",
    "deliveries": "delivery",
    "refusals": "refusal",
    "receipts": "report",
    "short links": "short_link",
    "runs": "enrollment",
    "consents": "consent",
    "decisions about consent": "consent_log",
    "segments": "segment_member",
    "audience places": "audience_member",
}
#: Last digits of a number, by which it is found however it was written.
_NATIONAL = 9
#: Texts that somebody else's rows may have taken from a provider's answer, an address in them.
_REMARKS: tuple[tuple[LiteralString, LiteralString], ...] = (
    ("sender_state", "reason"),
    ("pause", "reason"),
    ("audience_hold", "reason"),
    ("audience_request", "detail"),
    ("audience_size", "note"),
    ("audience_replace", "detail"),
    ("journey_failure", "text"),
)

#: An event set aside that names the shopper: by an address or a number anywhere in it, by another
#: identifier as a whole value of one of the keys that identifiers stand under.
_NAMES_THEM: LiteralString = r"""(
    exists (select from unnest(%(mails)s::text[]) v where position(v in lower(body)) > 0
                                                      or position(v in lower(reason)) > 0)
    or exists (select from unnest(%(phones)s::text[]) v
        where position(v in regexp_replace(body, '[-+ ().\/]', '', 'g')) > 0
           or position(v in regexp_replace(reason, '[-+ ().\/]', '', 'g')) > 0)
    or exists (select from unnest(%(names)s::text[]) v where body ~ (
        '"(userId|anonymousId|previousId|groupId|user_?[iI]d|anonymous_?[iI]d|cart_?[iI]d|'
        || 'cart_token|checkout_?[a-z]*|id|token)"\s*:\s*"?'
        || regexp_replace(v, '([^[:alnum:]])', '\\\1', 'g') || '"?\s*[,}]')
        or position('"' || v || '"' in reason) > 0
        or position('"user:' || v || '"' in body) > 0 or position('"cart:' || v || '"' in body) > 0
        or position('"anonymous:' || v || '"' in body) > 0))"""


class Known(NamedTuple):
    """``names`` are the shopper's identifiers, those of their traits among them. ``profile`` None:
    nobody is known by them, but something may lie in wait."""

    profile: int | None
    names: list[str]


def lock(connection: Connection, profile: int | None) -> None:
    """Keep drains, timers and the gate from the shopper until the transaction ends: first the
    lanes, then the profile, as drains do. Waits for those that are at work."""
    connection.execute("select from lane order by id for update")
    connection.execute("select from profile where id = %s for update", [profile])


def names_of(connection: Connection, profile: int) -> list[str]:
    """The identifiers that lead to the profile, and its address and number of today."""
    rows = connection.execute(
        """
        select identifier from identity where profile_id = %(profile)s
        union select 'email:' || lower(traits ->> 'email') from profile
               where id = %(profile)s and traits ->> 'email' <> ''
        union select 'phone:' || (traits ->> 'phone') from profile
               where id = %(profile)s and traits ->> 'phone' <> ''
        order by 1
        """,
        {"profile": profile},
    )
    return [str(row[0]) for row in rows]


def there_is(connection: Connection, known: Known) -> dict[str, int]:
    """Rows by what a person calls them; what there is none of is 0."""
    about = _about(known)
    parts: list[LiteralString] = [
        f"(select count(*) from {table} where profile_id = %(profile)s)" for table in _OWN.values()
    ]
    parts += [
        "(select count(*) from audience_listing where profile_id = %(profile)s"
        " and status <> 'removed')",
        "(select count(*) from coupon c join enrollment e on e.id = c.enrollment_id"
        " where e.profile_id = %(profile)s)",
        "(select count(*) from identity where profile_id = %(profile)s)",
        "(select count(*) from suppression where address = any(%(all)s::text[]))",
        "(select count(*) from segment_list where identifier = any(%(all)s::text[]))",
        "(select count(*) from inbox where identifiers && %(all)s::text[])",
        f"(select count(*) from rejected where {_NAMES_THEM})",
    ]
    row = connection.execute("select " + ", ".join(parts), about).fetchone()
    assert row is not None
    more = ("members on ad lists", "coupon codes", "identifiers", "blocks", "static lists")
    words = (*_OWN, *more, "events waiting", "events set aside")
    return dict(zip(words, row, strict=True))


def in_flight(connection: Connection, profile: int | None, since: datetime) -> int:
    """Messages that have been at their provider's door since then: their call cannot be undone.
    All that is only due is cancelled."""
    connection.execute(
        "update message set status = 'cancelled', reason = 'erased' where profile_id = %s"
        " and status = 'due'",
        [profile],
    )
    row = connection.execute(
        "select count(*) from message where profile_id = %s and status = 'claimed'"
        " and claimed_at > %s",
        [profile, since],
    ).fetchone()
    return int(row[0]) if row else 0


def erase(connection: Connection, known: Known, now: datetime) -> tuple[int, int, list[str]]:
    """Delete all of it; gives how many rows, how many events, and the segments they were in. The
    lock must be held, and nothing in flight.

    On ad lists their hashes stay, marked to be removed first of all, until that is done
    (``forget``)."""
    about = {**_about(known), "now": now}
    count = 0
    segments = [
        str(row[0])
        for row in connection.execute(
            "select segment from segment_member where profile_id = %(profile)s and member", about
        )
    ]
    _add_up(connection, about)
    for statement in (
        # Who it was for is forgotten; the code is used up all the same.
        """update coupon c set claim = gen_random_uuid(), enrollment_id = null
             from enrollment e where e.id = c.enrollment_id and e.profile_id = %(profile)s""",
        """delete from coupon_missed c using enrollment e
            where e.id = c.enrollment_id and e.profile_id = %(profile)s""",
        "update journey_failure set profile_id = 0 where profile_id = %(profile)s",
        "delete from identity where profile_id = %(profile)s",
        "delete from suppression where address = any(%(all)s::text[])",
        "delete from segment_list where identifier = any(%(all)s::text[])",
        f"delete from rejected where {_NAMES_THEM}",
    ):
        count += connection.execute(statement, about).rowcount
    events = 0
    for table in _OWN.values():
        gone = connection.execute(
            f"delete from {table} where profile_id = %(profile)s", about
        ).rowcount
        count += gone
        events += gone if table == "event" else 0
    connection.execute("delete from audience_moved where profile_id = %(profile)s", about)
    connection.execute(
        """
        update audience_listing set off_at = coalesce(off_at, %(now)s), off_reason = 'erased',
               try_at = case when off_at is null then %(now)s else try_at end,
               tries = case when off_at is null then 0 else tries end
         where profile_id = %(profile)s
        """,
        about,
    )
    waiting = connection.execute(
        "delete from inbox where identifiers && %(all)s::text[]", about
    ).rowcount
    count += waiting
    for table, column in _REMARKS:
        connection.execute(
            f"""
            update {table} set {column} = '(erased)'
             where exists (select from unnest(%(mails)s::text[] || %(phones)s::text[]) v
                            where position(v in lower({column})) > 0)
            """,
            about,
        )
    count += connection.execute("delete from profile where id = %(profile)s", about).rowcount
    connection.execute(
        "delete from former_profile where id = %(profile)s or profile_id = %(profile)s", about
    )
    connection.execute(
        """
        insert into ledger (writer, fact, n)
        values ('erase', 'taken', %(waiting)s), ('erase', 'erased', %(waiting)s + %(events)s)
        on conflict (writer, fact) do update set n = ledger.n + excluded.n
        """,
        {"waiting": waiting, "events": events},
    )
    return count, events + waiting, segments


def _add_up(connection: Connection, about: Mapping[str, object]) -> None:
    connection.execute(
        """
        insert into erased_tally as t (journey, runs, held_out, sent, stopped, goals)
        select e.journey, count(*), count(*) filter (where held_out),
               (select count(*) from message m where m.profile_id = %(profile)s
                   and m.journey = e.journey and m.status = 'sent' and m.channel <> 'webhook'),
               count(*) filter (where status = 'stopped'), count(*) filter (where goal)
          from enrollment e
         where e.profile_id = %(profile)s and not starts_with(coalesce(at, ''), %(without)s)
         group by e.journey
        on conflict (journey) do update
           set runs = t.runs + excluded.runs, held_out = t.held_out + excluded.held_out,
               sent = t.sent + excluded.sent, stopped = t.stopped + excluded.stopped,
               goals = t.goals + excluded.goals
        """,
        about,
    )


def forget(connection: Connection, audience: str) -> int:
    """Delete the rows of who was erased and is off the list; gives how many."""
    return connection.execute(
        "delete from audience_listing where audience = %s and off_reason like 'erased%%'"
        " and status = 'removed'",
        [audience],
    ).rowcount


class Listed(NamedTuple):
    """Erased members that a list still has. ``asked``: the platform has been told of so many."""

    audience: str
    members: int
    asked: int


def still_listed(connection: Connection, profile: int | None) -> list[Listed]:
    rows = connection.execute(
        """
        select audience, count(*), count(*) filter (where status = 'removing')
          from audience_listing
         where profile_id = %s and off_reason like 'erased%%' and status <> 'removed'
         group by 1 order by 1
        """,
        [profile],
    )
    return [Listed(*row) for row in rows]


def write_down(
    connection: Connection, id: str, by: str, now: datetime, rows: int, digests: Sequence[str]
) -> None:
    """Keep that it was done, by whom, and the digests of the shopper's identifiers."""
    connection.execute("insert into erasure values (%s, %s, %s, %s)", [id, now, by, rows])
    connection.execute(
        """
        insert into erased (digest, erasure, at) select d, %s, %s from unnest(%s::text[]) as d
        on conflict (digest) do update set erasure = excluded.erasure, at = excluded.at
        """,
        [id, now, texts(digests)],
    )


class Erased(NamedTuple):
    at: datetime
    by: str


def lately(connection: Connection, digests: Sequence[str]) -> Erased | None:
    """The last erasure of somebody with one of these identifiers."""
    row = connection.execute(
        """
        select e.at, a.by from erased e join erasure a on a.id = e.erasure
         where e.digest = any(%s::text[]) order by e.at desc limit 1
        """,
        [texts(digests)],
    ).fetchone()
    return None if row is None else Erased(*row)


def of(connection: Connection, digests: Sequence[str]) -> dict[str, datetime]:
    """Digest -> when, for those of them that were erased."""
    rows = connection.execute(
        "select digest, at from erased where digest = any(%s::text[])", [texts(digests)]
    )
    return {str(digest): at for digest, at in rows}


#: Why an address is blocked whose owner was erased. Their next yes on the channel lifts it.
REASON = "erased"


def block(connection: Connection, found: Sequence[tuple[str, str, datetime]]) -> None:
    """Block (address, channel, since)."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into suppression (address, channel, reason, at) values (%s, %s, %s, %s)"
            " on conflict do nothing",
            [(address, channel, REASON, at) for address, channel, at in found],
        )


def unblock(connection: Connection, yeses: Sequence[tuple[int, str, datetime]]) -> None:
    """Lift the block where its owner (profile, channel, when) has said yes since."""
    connection.execute(
        """
        delete from suppression s
         using unnest(%s::bigint[], %s::text[], %s::timestamptz[]) as t(profile_id, channel, at)
          join identity i on i.profile_id = t.profile_id
         where s.address = i.identifier and s.channel = t.channel and s.reason = %s and t.at > s.at
        """,
        [
            [yes[0] for yes in yeses],
            [yes[1] for yes in yeses],
            [yes[2] for yes in yeses],
            REASON,
        ],
    )


def _about(known: Known) -> dict[str, object]:
    kinds: dict[str, list[str]] = {"email": [], "phone": []}
    others: list[str] = []
    for name in known.names:
        kind, _, value = name.partition(":")
        kinds.get(kind, others).append(value)
    return {
        "profile": known.profile,
        "without": WITHOUT,
        "all": texts(known.names),
        "mails": texts(value.lower() for value in kinds["email"]),
        "phones": texts(value[-_NATIONAL:] for value in kinds["phone"]),
        "names": texts(others),
    }
