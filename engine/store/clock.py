"""What the clock asks each second."""

from __future__ import annotations

from datetime import datetime

from engine.store.database import Connection


def hold_lease(connection: Connection, name: str, holder: str, seconds: float) -> bool:
    """Take or renew the lease; False while another holds it. PostgreSQL's own clock decides, so
    the machines' clocks need not agree."""
    row = connection.execute(
        """
        insert into lease as l (name, holder, until)
        values (%(name)s, %(holder)s, clock_timestamp() + make_interval(secs => %(seconds)s))
        on conflict (name) do update set holder = excluded.holder, until = excluded.until
         where l.holder = excluded.holder or l.until < clock_timestamp()
        returning 1
        """,
        {"name": name, "holder": holder, "seconds": seconds},
    ).fetchone()
    return row is not None


def holds_lease(connection: Connection, name: str, holder: str) -> bool:
    row = connection.execute(
        "select 1 from lease where name = %s and holder = %s and until > clock_timestamp()",
        [name, holder],
    ).fetchone()
    return row is not None


def give_up_lease(connection: Connection, name: str, holder: str) -> None:
    """Let the next clock begin at once instead of after the lease."""
    connection.execute("delete from lease where name = %s and holder = %s", [name, holder])


def timers_due(connection: Connection, now: datetime) -> bool:
    row = connection.execute(
        "select 1 from enrollment where status = 'active' and wake_at <= %s limit 1", [now]
    ).fetchone()
    return row is not None
