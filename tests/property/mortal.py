"""A worker that can be killed around any commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from engine.store.database import Connection, Database


class Killed(BaseException):
    """The worker is gone, as after SIGKILL: nobody may tidy up."""


Moment = Literal["before", "after"]


class MortalDatabase(Database):
    """Kills the worker at a given use of a connection, before or after its commit."""

    doom: tuple[int, Moment] | None = None

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        with super().connection() as connection:
            yield connection
            if self._strikes("before"):
                raise Killed
        if self._strikes("after"):
            raise Killed

    def _strikes(self, moment: Moment) -> bool:
        if self.doom is None or self.doom[1] != moment:
            return False
        left, _ = self.doom
        self.doom = (left - 1, moment) if left else None
        return not left
