"""The segments in force, compiled once a definition."""

from __future__ import annotations

import logging
import threading

from engine.core.segments import Book, Held
from engine.language.segments import SegmentError, compile_segment
from engine.model.segment import Scale, Segment
from engine.store import segments as segments_store
from engine.store.database import Connection
from engine.store.segments import InForce

log = logging.getLogger(__name__)


class SegmentShelf:
    """Gives the book for each batch, from what the database says is in force. Safe to share
    between threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._compiled: dict[tuple[str, str], Segment | None] = {}
        self._seen: list[InForce] = []
        self._book = Book([])

    def book(self, connection: Connection) -> Book:
        """Read within the transaction that decides by it, after its shoppers are locked."""
        rows = sorted(segments_store.in_force(connection), key=lambda row: row.name)
        with self._guard:
            if rows != self._seen:
                self._book = self.open(rows)
                self._seen = rows
            return self._book

    def open(self, rows: list[InForce]) -> Book:
        """The book of these segments. One that does not compile is left out, and said so once."""
        held = []
        compiled: dict[tuple[str, str], Segment | None] = {}
        for row in rows:
            place = (row.name, row.version)
            known = self._compiled.get(place)
            if place not in self._compiled:
                try:
                    known = compile_segment(row.source)
                except SegmentError as error:
                    log.error("%s", error)
            compiled[place] = known
            if known is not None:
                scale = None if row.scale is None else Scale.of_json(row.scale)
                # Who enters or leaves by a new scale has done so: they are told, not caught up.
                held.append(Held(known, scale, row.place if row.quiet else None))
        self._compiled |= compiled
        return Book(held)
