"""Redis in Python, where there is no other: ``python -m engine.embedded.fakeredis PORT``."""

from __future__ import annotations

import sys

from fakeredis import TcpFakeServer


def main() -> None:
    server = TcpFakeServer(("127.0.0.1", int(sys.argv[1])), server_type="redis")
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
