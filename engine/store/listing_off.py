"""Who is to come off the lists of ad platforms, and why."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import LiteralString

from engine.store import erasure
from engine.store.ads_consent import BLOCKED, NO_NO, AdsConsent
from engine.store.database import Connection, texts
from engine.store.listing_feed import bought
from engine.store.listings import _WANTED

_LIVE: LiteralString = "l.off_at is null and l.status not in ('removing', 'removed')"


def let_go(connection: Connection, audience: str, now: datetime) -> int:
    """Mark those off whose runs have given up their places; gives how many.

    Reads only what has changed (a partial index). ``off_at`` is when the order was accepted that
    stopped the last of the runs, or that led out of the segment; without one, when the place was
    given up.
    """
    rows = connection.execute(
        f"""
        with free as (
            select m.ctid from audience_member m
             where m.audience = %(audience)s and m.listed and not m.wanted
               for update skip locked),
        given_up as (
            update audience_member m set listed = false, synced_at = null
              from free where m.ctid = free.ctid
            returning m.profile_id, m.enrollment_id, m.changed_at, m.segment),
        gone as (
            select g.profile_id,
                   (array_agg(coalesce(v.received_at, g.changed_at)
                        order by g.changed_at desc))[1] as off_at,
                   bool_or(v.id is not null or {bought("g")}) as stopped
              from given_up g
              left join enrollment r on r.profile_id = g.profile_id and r.id = g.enrollment_id
              left join event v on v.id = r.stopped_by and r.status = 'stopped'
             group by g.profile_id)
        update audience_listing l set off_at = gone.off_at, try_at = %(now)s, tries = 0,
               off_reason = case when gone.stopped then 'stopped' else 'left' end
          from gone
         where l.profile_id = gone.profile_id and l.audience = %(audience)s and {_LIVE}
           and not {_WANTED}
        """,
        {"audience": audience, "now": now},
    )
    return rows.rowcount


def refused(
    connection: Connection, audience: str, consent: AdsConsent, now: datetime, since: datetime
) -> int:
    """Mark those off who said no to ads, or whose address was suppressed after ``since``."""
    parameters = {
        "audience": audience,
        "now": now,
        "since": since,
        "opt_out": consent == "opt-out",
    }
    said_no = connection.execute(
        f"""
        update audience_listing l set off_reason = 'consent', try_at = %(now)s, tries = 0,
               off_at = coalesce((select max(c.at) from consent c where c.profile_id = l.profile_id
                    and c.channel = 'ads' and not c.granted), %(now)s)
          from profile p
         where p.id = l.profile_id and l.audience = %(audience)s and {_LIVE}
           and l.profile_id in (
                select profile_id from consent where channel = 'ads' and not granted)
           and not {NO_NO}
        """,
        parameters,
    ).rowcount
    blocked = connection.execute(
        f"""
        update audience_listing l set off_at = s.at, off_reason = 'suppressed', try_at = %(now)s,
               tries = 0
          from suppression s join identity i on i.identifier = s.address
         where s.at >= %(since)s and l.profile_id = i.profile_id and l.audience = %(audience)s
           and {_LIVE}
        """,
        parameters,
    ).rowcount
    if said_no + blocked:
        forget(connection, audience)
    return said_no + blocked


def unwanted(connection: Connection, audience: str, consent: AdsConsent, now: datetime) -> int:
    """Look at every row, and mark off whom nothing keeps on: a profile that is gone, a run whose
    stop was missed, a yes that opt-in needs. For the daily look; some 10 µs a row."""
    count = connection.execute(
        f"""
        update audience_listing l set off_at = %(now)s, try_at = %(now)s, tries = 0,
               off_reason = case when exists (select from profile p where p.id = l.profile_id)
                                 then 'left' else 'erased' end
         where l.audience = %(audience)s and {_LIVE}
           and not (exists (select from profile p where p.id = l.profile_id
                              and {NO_NO} and not {BLOCKED})
                    and {_WANTED})
        """,
        {"audience": audience, "now": now, "opt_out": consent == "opt-out"},
    ).rowcount
    if count:
        forget(connection, audience)
    return count


def forget(connection: Connection, audience: str) -> int:
    """Open the places of those who have no row that stays, so that they can come again."""
    return connection.execute(
        """
        update audience_member m set listed = false, synced_at = null
         where m.audience = %s and m.listed and m.wanted
           and not exists (select from audience_listing l where l.profile_id = m.profile_id
                              and l.audience = m.audience and l.off_at is null
                              and l.status not in ('removing', 'removed'))
        """,
        [audience],
    ).rowcount


def drop_unsent(connection: Connection, audience: str, now: datetime) -> int:
    """Take back rows that no platform was ever told of, or has refused, and forget who was erased
    and is off."""
    count = connection.execute(
        """
        update audience_listing set status = 'removed', removed_at = %s, member = null,
               email = '', phone = '', off_reason = off_reason || ' before it was sent'
         where audience = %s and off_at is not null and not maybe
           and status in ('ready', 'refused')
        """,
        [now, audience],
    ).rowcount
    erasure.forget(connection, audience)
    return count


def letting_go(connection: Connection, audiences: Iterable[str], now: datetime) -> bool:
    """Whether somebody is to be let go of one of ``audiences`` whose platform does not know it
    yet, and may be told. A few index probes."""
    row = connection.execute(
        """
        select exists (
            select from unnest(%s::text[]) as a(audience)
             where exists (select from audience_member m
                            where m.audience = a.audience and m.listed and not m.wanted)
               and not exists (select from audience_hold h where h.until > %s
                           and h.subject in (a.audience, split_part(a.audience, '/', 1))))
        """,
        [texts(audiences), now],
    ).fetchone()
    return row is not None and bool(row[0])


def refusing(
    connection: Connection,
    audiences: Iterable[str],
    consent: AdsConsent,
    now: datetime,
    since: datetime,
) -> bool:
    """Whether somebody on one of ``audiences``, whose platform may be told, has said no to ads or
    was suppressed after ``since``, and is not marked off yet. Reads who did so since then."""
    row = connection.execute(
        f"""
        with news as materialized (
            select profile_id from consent
             where channel = 'ads' and not granted and at >= %(since)s
            union
            select i.profile_id from suppression s join identity i on i.identifier = s.address
             where s.at >= %(since)s)
        select exists (
            select from news n
              join audience_listing l on l.profile_id = n.profile_id
              join profile p on p.id = n.profile_id
             where l.audience = any(%(audiences)s::text[]) and {_LIVE}
               and (not {NO_NO} or {BLOCKED})
               and not exists (select from audience_hold h where h.until > %(now)s
                           and h.subject in (l.audience, split_part(l.audience, '/', 1))))
        """,
        {
            "audiences": texts(audiences),
            "now": now,
            "since": since,
            "opt_out": consent == "opt-out",
        },
    ).fetchone()
    return row is not None and bool(row[0])
