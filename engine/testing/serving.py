"""A server in a thread of its own, for as long as a ``with`` block is open."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import threading
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from engine.testing.certificate import write_certificate


class Serving:
    """What the simulators share: the loop, its thread, and the end of both.

    A subclass starts with ``serve`` in its ``__enter__`` and keeps in ``_open`` the transports
    of its connections, which are aborted at the end.
    """

    host: str
    port: int

    def __post_init__(self) -> None:
        self._stack = ExitStack()
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.Transport] = set()
        self._server: asyncio.Server
        self._listen: Callable[[], Coroutine[None, None, None]]

    def tls_context(self) -> tuple[Path, ssl.SSLContext]:
        """A certificate made for the occasion, which is its own authority, and what serves
        with it. Gone with the server."""
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        certificate, key = write_certificate(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return certificate, context

    def serve(
        self, connection: Callable[[], asyncio.Protocol], context: ssl.SSLContext | None = None
    ) -> None:
        """Listen at ``host`` and ``port`` (0: a free one, which ``port`` then is)."""

        async def listen() -> None:
            self._server = await self._loop.create_server(
                connection, self.host, self.port, ssl=context, backlog=512
            )

        self._listen = listen
        try:
            self._loop.run_until_complete(listen())
        except OSError:
            self._loop.close()
            raise
        self.port = self._server.sockets[0].getsockname()[1]
        thread = threading.Thread(target=self._loop.run_forever, name=type(self).__name__)
        thread.start()

        def stop() -> None:
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

        self._stack.callback(stop)

    async def at_end(self) -> None:
        """What a subclass still has to end in the loop, before the loop does."""

    def close_connections(self) -> None:
        """Close what is open, as servers do with idle connections."""
        asyncio.run_coroutine_threadsafe(self._abort(), self._loop).result(10)

    def go_down(self) -> None:
        """Refuse connections, and cut those that there are: what was taken stays taken."""

        async def down() -> None:
            self._server.close()
            await self._abort()

        asyncio.run_coroutine_threadsafe(down(), self._loop).result(10)

    def come_back(self) -> None:
        """Listen again, where it was before."""
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    async def _close(self) -> None:
        self._server.close()
        for transport in list(self._open):
            transport.abort()
        await self._server.wait_closed()
        await self.at_end()
        await asyncio.sleep(0)

    async def _abort(self) -> None:
        for transport in list(self._open):
            transport.abort()
        await asyncio.sleep(0)
