"""The audience files that went to their places: one row of ``audience_request`` each."""

from __future__ import annotations

from datetime import datetime

from engine.store.database import Connection


def begin(connection: Connection, request: str, audience: str, members: int, at: datetime) -> None:
    """Note a hand-over of a list of ``members`` before it is made."""
    connection.execute(
        """
        insert into audience_request (id, audience, platform, action, members, status, claimed_at,
               gate_snapshot)
        values (%s, %s, %s, 'file', %s, 'claimed', %s, pg_current_snapshot())
        """,
        [request, audience, audience.partition("/")[0], members, at],
    )


def end(connection: Connection, request: str, at: datetime, detail: str, *, failed: bool) -> None:
    """Note what came of it. Those that a crash left behind are settled too: what they put there
    is put there again by this one."""
    connection.execute(
        """
        update audience_request set status = %s, settled_at = %s, sent_at = %s, detail = %s
         where id = %s
        """,
        ["failed" if failed else "done", at, None if failed else at, detail, request],
    )
    connection.execute(
        """
        update audience_request set status = 'failed', settled_at = %s,
               detail = 'its process died'
         where action = 'file' and status = 'claimed' and id <> %s
           and audience = (select audience from audience_request where id = %s)
        """,
        [at, request, request],
    )


def held(connection: Connection, audience: str, now: datetime) -> bool:
    """Whether the place of the audience's files has just refused, and is left alone."""
    row = connection.execute(
        "select exists (select from audience_hold where subject = %s and until > %s)",
        [audience, now],
    ).fetchone()
    return row is not None and bool(row[0])


def release(connection: Connection, audience: str) -> None:
    """The place has taken the files: nothing is held against it any more."""
    connection.execute("delete from audience_hold where subject = %s", [audience])
