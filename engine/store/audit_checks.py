"""The violations that the rows alone can tell: one query for each kind of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString


@dataclass(frozen=True, slots=True)
class Check:
    """``query`` gives one row, a text that names it, for each violation of ``promise``."""

    promise: str
    words: str
    query: LiteralString


#: An attempt after which the provider has the message, or may have it.
MAY_HAVE: LiteralString = "(d.outcome is null or d.outcome <> 'refused')"
OF: LiteralString = "d.profile_id = m.profile_id and d.message_id = m.id"
_MESSAGE: LiteralString = "'message ' || m.id"
_RUN: LiteralString = "'run ' || r.id"
RUN_OF: LiteralString = "enrollment r on r.profile_id = m.profile_id and r.id = m.enrollment_id"
#: All attempts at the message may have been deleted by now (`retention`).
_GONE: LiteralString = f"""(
    coalesce(m.settled_at < (select before from retention where kind = 'attempts'), false)
    and not exists (select from delivery d where {OF}))"""

#: What can be told from the rows alone.
CHECKS = (
    Check(
        "P2",
        "events counted more than once",
        "select 'event ' || id from event group by id having count(*) > 1",
    ),
    Check(
        "P2",
        "profiles whose orders are not the orders in their history",
        """
        select 'profile ' || coalesce(p.id, e.profile_id)
          from (select id, orders from profile) p
          full join (select profile_id, count(*) as orders from event
                      where name = 'Order Completed' group by 1) e on e.profile_id = p.id
         where coalesce(p.orders, 0) <> coalesce(e.orders, 0)""",
    ),
    Check(
        "P2",
        "events that began more than one run of a journey",
        """
        select 'event ' || event_id || ' in ' || journey
          from enrollment
         where trace #>> '{0,1}' is distinct from 'arrives'  -- jumps may lead there besides
         group by journey, event_id having count(*) > 1""",
    ),
    Check(
        "P2",
        "rows of profiles that do not exist",
        """
        select 'profile ' || t.profile_id || ' in ' || t.kind
          from (select distinct 'event' as kind, profile_id from event
                union all select distinct 'enrollment', profile_id from enrollment
                union all select distinct 'message', profile_id from message
                union all select distinct 'identity', profile_id from identity) t
         where not exists (select from profile p where p.id = t.profile_id)""",
    ),
    Check(
        "P2",
        "messages there twice",
        "select 'message ' || id from message group by id having count(*) > 1",
    ),
    Check(
        "P2",
        "messages with the code of a pool that was not claimed for their run",
        f"""
        select {_MESSAGE} from message m
         where m.offer ? 'claim' and not exists (
               select from coupon c
                where c.claim = (m.offer->>'claim')::uuid and c.code = m.offer->>'coupon'
                  and c.enrollment_id = m.enrollment_id)
           and not exists (
               select from coupon_missed c where c.claim = (m.offer->>'claim')::uuid)
           and not exists (
               select from coupon_returned c
                where c.claim = (m.offer->>'claim')::uuid and c.code = m.offer->>'coupon'
                  and m.status in ('skipped', 'failed', 'cancelled'))""",
    ),
    Check(
        "P3",
        "messages cancelled and handed over all the same",
        f"""
        select {_MESSAGE} from message m
         where m.status = 'cancelled' and exists (
               select from delivery d where {OF}
                  and (d.outcome = 'accepted' or (d.outcome is null and d.attempt = m.attempts)))
        """,
    ),
    Check(
        "P3",
        "messages of ended runs that still wait to go",
        f"""
        select {_MESSAGE} from message m join {RUN_OF}
         where m.status = 'due' and r.status in ('stopped', 'merged')""",
    ),
    Check(
        "P3",
        "audience places that ended runs still hold",
        f"""
        select {_RUN} || ' on ' || a.audience from audience_member a
          join enrollment r on r.profile_id = a.profile_id and r.id = a.enrollment_id
         where a.wanted and r.status in ('stopped', 'merged')""",
    ),
    Check(
        "P3",
        "shoppers put on an audience after they were to come off it",
        """
        select 'run ' || a.enrollment_id || ' on ' || a.audience from audience_member a
         where a.listed and not a.wanted and a.synced_at > a.changed_at""",
    ),
    Check(
        "P3",
        "shoppers handed to an ad platform after their stop was accepted",
        f"""
        select {_RUN} || ' on ' || l.audience from audience_listing l
          join audience_request q on q.id = l.add_request
          join enrollment r on r.profile_id = l.profile_id and r.id = l.enrollment_id
          join event e on e.id = r.stopped_by and e.profile_id = r.profile_id
          join event t on t.id = r.event_id
         where r.status = 'stopped' and e.identifiers && t.identifiers
           and pg_visible_in_snapshot(e.accept_xid, q.gate_snapshot)
           and not exists (
               select from audience_member o where o.profile_id = l.profile_id
                  and o.audience = l.audience and o.segment <> '')
           and not exists (
               select from audience_member o
                 join enrollment s on s.profile_id = o.profile_id and s.id = o.enrollment_id
                 left join event x on x.id = s.stopped_by and x.profile_id = s.profile_id
                where o.profile_id = l.profile_id and o.audience = l.audience and s.id <> r.id
                  and s.entered_at <= q.claimed_at
                  and (x.id is null or not pg_visible_in_snapshot(x.accept_xid, q.gate_snapshot)))
        """,
    ),
    Check(
        "P4",
        "messages claimed without a record of the attempt",
        f"""
        select {_MESSAGE} from message m
         where (m.attempts <> (select count(*) from delivery d where {OF}) and not {_GONE})
            or (m.status in ('claimed', 'sent', 'unknown', 'unresolved') and m.attempts = 0)""",
    ),
    Check(
        "P4",
        "attempts without their message",
        f"""
        select 'message ' || d.message_id from delivery d
         where not exists (select from message m where {OF})""",
    ),
    Check(
        "P4",
        "messages that would be sent again though the provider may have them",
        f"""
        select {_MESSAGE} from message m
         where m.status = 'due' and exists (
               select from delivery d where {OF} and {MAY_HAVE}
                  and not (coalesce(d.outcome, '') = 'unknown' and m.on_unknown = 'retry'))""",
    ),
    Check(
        "P4",
        "messages called sent that no provider took",
        f"""
        select {_MESSAGE} from message m
         where m.status = 'sent' and not exists (
               select from delivery d where {OF} and d.outcome = 'accepted') and not {_GONE}""",
    ),
    Check(
        "P5",
        "messages of runs that are held out",
        f"""
        select {_MESSAGE} from message m join {RUN_OF}
         where r.held_out and exists (select from delivery d where {OF})""",
    ),
    Check(
        "P6",
        "runs stopped by an event that is not after their start",
        f"""
        select {_RUN} from enrollment r
          left join event e on e.id = r.stopped_by and e.profile_id = r.profile_id
         where r.status = 'stopped'
           and (e.id is null or (e.time, e.id collate "C") <= (r.entered_at, r.event_id))""",
    ),
)

#: A message handed over again after the provider had it, or may have had it (P4).
DOUBLED = Check(
    "P4",
    "messages handed over again though the provider may have had them",
    f"""
    select {_MESSAGE} from message m
     where exists (
           select from delivery d where {OF} and {MAY_HAVE}
              and d.attempt < (select max(l.attempt) from delivery l
                                where l.profile_id = m.profile_id and l.message_id = m.id)
              and not (coalesce(d.outcome, '') = 'unknown' and m.on_unknown = 'retry'))""",
)
