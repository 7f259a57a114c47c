"""Segments on a pipeline: put into force, searched, looked at."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from engine.core.segments import touch_of
from engine.runtime.segments.look import Looked, look
from engine.runtime.segments.search import Searched, search
from engine.store import segment_desk
from tests.integration.runtime_kit import Pipeline
from tests.property.segment_strategies import compiled


class Segments:
    """The segments of one pipeline."""

    def __init__(self, shop: Pipeline) -> None:
        self.shop = shop

    def put(self, *, fill: bool = True, **rules: Any) -> list[str]:
        """Put these rules into force, in place of what was; gives those that are new."""
        segments = [compiled(rule, name.replace("_", "-")) for name, rule in rules.items()]
        with self.shop.database.connection() as connection:
            changed = segment_desk.keep(
                connection,
                [(s.name, s.version, s.title, s.source, touch_of(s.rule).scored) for s in segments],
                self.shop.clock.now(),
            )
        if fill:
            self.fill()
        return changed

    def fill(self, batch: int = 500) -> Searched:
        total = Searched()
        while (done := search(self.shop.shell, batch)).place is not None or done.seen:
            total.seen += done.seen
            total.mended += done.mended
            total.emitted += done.emitted
            if done.place is None:
                break
        return total

    def look(self) -> Looked:
        return look(self.shop.shell)

    def at(self, moment: datetime) -> Looked:
        self.shop.at(moment)
        return self.look()

    def members(self, name: str = "it") -> list[int]:
        with self.shop.database.connection() as connection:
            return segment_desk.members(connection, name)

    def told(self) -> list[tuple[str, str]]:
        """(name, segment) of the events told so far, worked or not, in order of time."""
        return self.shop.rows(
            "select name, segment from ("
            " select time, name, properties ->> 'segment' as segment from event union all"
            " select time, name, body::jsonb -> 'properties' ->> 'segment' from inbox) e"
            " where name like 'Segment %%' order by time, name"
        )

    def days(self) -> list[tuple[str, int, int, int]]:
        return self.shop.rows(
            'select segment, sum(entered)::int, sum("left")::int, sum(other)::int'
            " from segment_day group by 1 order by 1"
        )
