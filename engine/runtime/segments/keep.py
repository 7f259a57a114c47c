"""Membership kept up to date with what happens, in the same transaction: a shopper is in a segment
as soon as the event that puts them there is worked, and a crash loses both or neither."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from engine.core.segment_story import Story, steps_of
from engine.core.segments import Change, Standing, Step, follow
from engine.core.segments.windows import TICK
from engine.runtime.segments import load
from engine.runtime.segments.write import report, write
from engine.runtime.shell import Shell
from engine.store import segments as segments_store
from engine.store.database import Connection


def keep_up(
    shell: Shell,
    connection: Connection,
    stories: Mapping[int, Story],
    now: datetime,
    writer: str,
    *,
    until: Mapping[int, datetime] | datetime | None = None,
    doubled: Mapping[str, int] | None = None,
) -> int:
    """Work the stories of locked shoppers into where they stand, and let time pass for them to
    ``until``, each to their own where there is one for each. To be called before their events are
    written into the history. Gives how many events ("Segment Entered", "Segment Left") it put into
    the inbox."""
    book = shell.segments.book(connection)
    if not book.held or not stories:
        return 0
    steps = {id: steps_of(book, story, now) for id, story in stories.items()}
    touched = {id: _union(mine) for id, mine in steps.items()}
    ends = until if isinstance(until, Mapping) else dict.fromkeys(stories, until)
    moments = [end for end in ends.values() if end is not None]
    moments += [step.at for mine in steps.values() for step in mine]
    standings: dict[int, dict[str, Standing]] = {id: {} for id in stories}
    for row in segments_store.standings(
        connection, stories, _every(touched), max(moments, default=now)
    ):
        standings[row.profile_id][row.segment] = Standing(row.member, row.since, row.look_at)
    before = {id: dict(mine) for id, mine in standings.items()}
    moving = {
        id: touched[id] | {name for name, one in mine.items() if one.look_at is not None}
        for id, mine in standings.items()
        if touched[id] or mine
    }
    changes: list[Change] = []
    if moving:
        names = _every(moving) & book.every
        subjects = load.subjects(
            connection,
            book,
            names,
            {id: stories[id].before for id in moving},
            _earliest(steps, standings, moving, now),
            changed={id: stories[id].runs for id in moving},
            new=[id for id in moving if stories[id].new],
        )
        for id, subject in subjects.items():
            mine, new = standings[id], stories[id].new
            changes += follow(book, subject, mine, steps[id], until=ends[id], new=new)
        report(subjects)
    if not moving and not doubled:
        return 0
    zone = shell.book().timezone
    return write(connection, before, standings, changes, now, writer, zone, doubled=doubled)


def _union(steps: list[Step]) -> frozenset[str]:
    return frozenset().union(*(step.touched for step in steps))


def _every(names: Mapping[int, frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*names.values())


def _earliest(
    steps: Mapping[int, list[Step]],
    standings: Mapping[int, Mapping[str, Standing]],
    moving: Mapping[int, frozenset[str]],
    now: datetime,
) -> datetime:
    """No shopper is looked at as of an earlier moment."""
    moments = [now, *(step.at for id in moving for step in steps[id])]
    moments += [one.look_at for id in moving for one in standings[id].values() if one.look_at]
    return min(moments) - TICK
