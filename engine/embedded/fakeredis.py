"""Redis in Python, where there is no other: ``python -m engine.embedded.fakeredis PORT``.

fakeredis's own server answers a command that failed and then hangs up, although Redis goes on
listening; RQ relies on that (it asks for a script by its hash and loads it when it is told that
there is none), so here an error is an answer like any other. And it writes a client's address
in a form that clients cannot read.
"""

from __future__ import annotations

import sys
from typing import Any

from fakeredis import TcpFakeServer
from redis.exceptions import ResponseError


def server(port: int) -> TcpFakeServer:
    """A server on 127.0.0.1, for ``serve_forever``."""
    made = TcpFakeServer(("127.0.0.1", port), server_type="redis")
    made.daemon_threads = True
    handler: Any = made.RequestHandlerClass

    class Patient(handler):  # type: ignore[misc]
        disable_nagle_algorithm = True  # else each answer waits 40 ms for the next

        def setup(self) -> None:
            super().setup()
            read = self.current_client.read_response

            def read_response(*args: Any, **kwargs: Any) -> Any:
                try:
                    return read(*args, **kwargs)
                except ResponseError as error:
                    return error

            self.current_client.read_response = read_response
            client = self.current_client.get_socket()._client_info
            for end in ("addr", "laddr"):
                client[end] = ":".join(str(part) for part in client[end])

    made.RequestHandlerClass = Patient
    return made


if __name__ == "__main__":
    server(int(sys.argv[1])).serve_forever()
