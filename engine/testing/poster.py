"""Posts a simulator's reports, from the simulator's own thread."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp

#: In place of a status: no connection came about; no answer came in time.
UNREACHED, UNANSWERED = 0, -1


class Poster:
    """Does things later and posts them; counts what came of the posts.

    ``posts``     posts made, repeats included.
    ``statuses``  how many were answered how (``UNREACHED``, ``UNANSWERED`` for none).
    ``repeats``   how many of them were repeats of a post that failed.
    ``given_up``  how many reports were given up after the last repeat.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float, at_once: int = 16) -> None:
        self._loop, self._timeout, self._at_once = loop, timeout, at_once
        self._session: aiohttp.ClientSession | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = threading.Condition()
        self._pending = 0
        self.posts = self.repeats = self.given_up = 0
        self.statuses: Counter[int] = Counter()

    @property
    def accepted(self) -> int:
        """Posts that were answered with 2xx."""
        return sum(count for status, count in self.statuses.items() if 200 <= status < 300)

    @property
    def refused(self) -> int:
        """Posts that were not."""
        return sum(self.statuses.values()) - self.accepted

    @property
    def pending(self) -> int:
        """How many things are still to be done."""
        return self._pending

    def later(self, delay: float, do: Callable[[], Awaitable[None]]) -> None:
        """Do something ``delay`` seconds from now. Only from the simulator's own thread."""
        with self._idle:
            self._pending += 1

        def start() -> None:
            self._timers.discard(timer)
            task = self._loop.create_task(self._run(do))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        timer = self._loop.call_later(delay, start)
        self._timers.add(timer)

    def soon(self, do: Callable[[], Awaitable[None]]) -> None:
        """Do something now. From any thread."""
        with self._idle:
            self._pending += 1  # before the loop comes to it, so that ``drain`` waits for it

        def start() -> None:
            self.later(0, do)
            with self._idle:
                self._pending -= 1

        self._loop.call_soon_threadsafe(start)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Post once: the status of the answer, ``UNREACHED`` or ``UNANSWERED``."""
        import aiohttp
        from yarl import URL

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._at_once),
                # A post's time begins when it has a connection: there may be thousands waiting.
                timeout=aiohttp.ClientTimeout(sock_connect=self._timeout, sock_read=self._timeout),
            )
        self.posts += 1
        try:
            # As it was written: what is signed is the address letter for letter.
            async with self._session.post(
                URL(url, encoded=True), data=body, headers=headers, allow_redirects=False
            ) as answer:
                await answer.read()
                status = answer.status
        except aiohttp.ClientConnectorError:
            status = UNREACHED
        except (aiohttp.ClientError, TimeoutError, OSError):
            status = UNANSWERED
        self.statuses[status] += 1
        return status

    def drain(self, timeout: float) -> bool:
        """Wait until nothing is to be done, at most ``timeout`` seconds. From another thread."""
        with self._idle:
            return self._idle.wait_for(lambda: self._pending == 0, timeout)

    async def stop(self) -> None:
        """Forget what is still to be done."""
        for timer in self._timers:
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _run(self, do: Callable[[], Awaitable[None]]) -> None:
        try:
            await do()
        finally:
            with self._idle:
                self._pending -= 1
                if not self._pending:
                    self._idle.notify_all()
