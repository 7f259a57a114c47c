"""The figures of a delivery chaos run: what the shop believes, held against what providers took."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from engine.store.database import Connection
from engine.testing.ledger import Ledger, Taken

#: What the provider took may lie this many seconds after the word that came too late to stop the
#: call that was being made: the way of one request on a machine that has much else to do.
ON_THE_WIRE = 1.5
#: Why a message may have failed without anybody being to blame: its own provider said so.
_FOR_GOOD = ("by the provider's report", "Twilio could not deliver it", "(21610)")


class Row(NamedTuple):
    """A message. ``user`` is the shopper's name, ``code`` why it was given up at the gate."""

    id: str
    user: str
    to: str
    journey: str
    channel: str
    topic: str
    status: str
    reason: str
    attempts: int
    code: str


class Unknown(NamedTuple):
    """An attempt that nobody answered, and what it is known as by now."""

    message: str
    provider: str
    outcome: str
    settled_by: str


@dataclass
class Figures:
    """Violations first: each must be empty.

    ``doubled``     taken more than once, over all providers.
    ``lost``        called sent, and no provider has it.
    ``astray``      taken, and yet the shop calls it something that was never handed over.
    ``unfinished``  messages without an end.
    ``vanished``    shoppers who wanted everything and did not get, or not see failed, all of it.
    ``after_order`` promotion taken long after the order was accepted.
    ``after_stop``  taken long after the address wanted no more of it.
    ``at_the_gate`` let through though the gate could see the stop, to the transaction.
    ``misjudged``   unknown outcomes that were resolved, and wrongly.
    """

    messages: Counter[str]
    taken: Counter[str]
    doubled: Mapping[str, int]
    lost: set[str]
    astray: dict[str, str]
    unfinished: list[str]
    vanished: dict[str, str]
    after_order: list[str]
    after_stop: list[str]
    at_the_gate: list[str]
    misjudged: list[str]
    unknown: Counter[str]
    failed: Counter[str]
    stops: Counter[str]
    latest: float
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def violations(self) -> dict[str, Any]:
        names = ("doubled", "lost", "astray", "unfinished", "vanished", "after_order")
        names += ("after_stop", "at_the_gate", "misjudged")
        return {name: found for name in names if (found := getattr(self, name))}


def figures(
    connection: Connection, truth: Ledger, ordered: Mapping[str, float], sends: int
) -> Figures:
    """``ordered``: by shopper, when the collector's 200 to the order came. ``sends``: how many
    promotional messages each of the others is to get."""
    rows = {row.id: row for row in _rows(connection)}
    taken = truth.by_key()
    promotion: dict[str, list[Row]] = defaultdict(list)
    for row in rows.values():
        if row.topic == "offers":
            promotion[row.user].append(row)
    late = {
        row.id: at - ordered[row.user]
        for row in rows.values()
        if row.topic == "offers" and row.user in ordered
        for at in (each.at for each in taken.get(row.id, ()))
    }
    blocked = {
        (address.partition(":")[2], channel): at.timestamp()
        for address, channel, at in connection.execute(
            "select address, channel, at from suppression"
        )
    }
    unknown, misjudged = _unknown(connection, rows, taken)
    return Figures(
        messages=Counter(row.status for row in rows.values()),
        taken=Counter(each.provider for each in truth),
        doubled=truth.doubled(),
        lost=truth.lost(row.id for row in rows.values() if row.status == "sent"),
        astray={
            key: rows[key].status if key in rows else "nobody's"
            for key in taken
            if key not in rows
            or rows[key].status not in ("sent", "unknown", "unresolved", "failed")
        },
        unfinished=[row.id for row in rows.values() if row.status in ("due", "claimed")],
        vanished={
            user: why
            for user, mine in promotion.items()
            if user not in ordered and (why := _missing(mine, sends, truth, blocked))
        },
        after_order=[id for id, seconds in late.items() if seconds > ON_THE_WIRE],
        after_stop=[
            each.key
            for each in truth.after_stop(ON_THE_WIRE)
            # Who unsubscribes still gets receipts, until the address itself is blocked.
            if rows[each.key].topic == "offers"
            or blocked.get((each.to, rows[each.key].channel), inf) + ON_THE_WIRE < each.at
        ],
        at_the_gate=_let_through(connection),
        misjudged=misjudged,
        unknown=unknown,
        failed=Counter(row.reason for row in rows.values() if row.status == "failed"),
        stops=Counter("text" if address.startswith("+") else "mail" for address in truth.stops),
        latest=max(late.values(), default=0.0),
    )


def _rows(connection: Connection) -> list[Row]:
    found = connection.execute(
        """
        select m.id::text, u.identifier,
               coalesce(p.traits ->> case m.channel when 'email' then 'email' else 'phone' end, ''),
               m.journey, m.channel, m.topic, m.status, m.reason, m.attempts,
               coalesce((select r.code from refusal r where r.profile_id = m.profile_id
                            and r.message_id = m.id and not r.waits
                          order by r.at desc limit 1), '')
          from message m join profile p on p.id = m.profile_id
          join identity u on u.profile_id = m.profile_id and u.identifier like 'user:%'
        """
    )
    return [Row(*row) for row in found]


def _missing(
    mine: list[Row], sends: int, truth: Ledger, blocked: Collection[tuple[str, str]]
) -> str:
    """What is wrong with the messages of a shopper who did not order; "" if nothing is."""
    if len(mine) != sends:
        return f"{len(mine)} of {sends} messages"
    for row in mine:
        if row.status == "skipped":
            left = row.to in truth.stops or (row.to, row.channel) in blocked
            if not (left and row.code.startswith(("consent.", "suppressed."))):
                return f"skipped: {row.reason}"
        elif row.status == "failed":
            if not any(words in row.reason for words in _FOR_GOOD):
                return f"failed: {row.reason}"
        elif row.status not in ("sent", "unknown", "unresolved"):
            return row.status
    return ""


def _let_through(connection: Connection) -> list[str]:
    """Messages whose claim could see, accepted, that their shopper wanted no more of them."""
    found = connection.execute(
        """
        select distinct m.id::text from message m join event e on e.profile_id = m.profile_id
         where m.gate_snapshot is not null and m.attempts > 0
           and pg_visible_in_snapshot(e.accept_xid, m.gate_snapshot)
           and ((m.topic = 'offers' and e.name = 'Order Completed')
                or (m.topic = 'offers' and e.name = 'Consent Withdrawn'
                    and e.properties ->> 'channel' = m.channel)
                or (m.channel = 'email' and e.name = 'Email Spam Reported')
                or (m.channel = 'email' and e.name = 'Email Bounced'
                    and (e.properties ->> 'permanent')::boolean))
        """
    )
    return [id for (id,) in found]


def _unknown(
    connection: Connection, rows: Mapping[str, Row], taken: Mapping[str, list[Taken]]
) -> tuple[Counter[str], list[str]]:
    """Attempts whose outcome was unknown, counted by what became of them; and the messages about
    which that is wrong."""
    found = connection.execute(
        """
        select message_id::text, provider, outcome, settled_by from delivery
         where outcome = 'unknown' or settled_by <> ''
        """
    )
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for each in (Unknown(*attempt) for attempt in found):
        counts["all"] += 1
        had = each.message in taken
        if each.outcome == "unknown":
            row = rows[each.message]
            if row.user.startswith("user:late"):
                continue  # nothing went after it
            state = "closed" if row.status == "unresolved" else "open"
            counts[state] += 1
            counts[f"{state} at {each.provider}, which {'has' if had else 'never had'} it"] += 1
            continue
        if each.outcome == "accepted":
            what = "sent"
            wrong += [] if had else [each.message]
        elif rows[each.message].status == "failed":
            what = "taken and not delivered"
            wrong += [] if had else [each.message]
        else:
            # Had it been taken after all, the second time would show as a double.
            what = "never taken, and sent again"
        counts[f"resolved by a {each.settled_by}: {what}"] += 1
    return counts, wrong


def show(found: Figures) -> None:
    """Print them."""
    table = Table(title="Delivery chaos", title_justify="left", show_header=False)
    table.add_column("", overflow="fold")
    table.add_column("", justify="right", overflow="fold")

    def part(rows: Mapping[str, Any]) -> None:
        for name, value in rows.items():
            table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value))
        table.add_section()

    part(found.more)
    part({f"messages {status}": n for status, n in found.messages.most_common()})
    part({f"taken by {provider}": n for provider, n in found.taken.most_common()})
    part({f"addresses that left: {kind}": n for kind, n in found.stops.items()})
    part({f"unknown outcomes, {what}": n for what, n in sorted(found.unknown.items())})
    part({f"failed: {reason}": n for reason, n in found.failed.most_common()})
    part({"latest taken after its order": f"{found.latest:.2f} s"})
    part(
        {
            "doubled": len(found.doubled),
            "lost": len(found.lost) + len(found.astray) + len(found.vanished),
            "without an end": len(found.unfinished),
            "after the order": len(found.after_order),
            "after stop, STOP, complaint, bounce": len(found.after_stop),
            "let through by a gate that could see the stop": len(found.at_the_gate),
            "unknown outcomes resolved wrongly": len(found.misjudged),
        }
    )
    Console(width=100).print(table)
