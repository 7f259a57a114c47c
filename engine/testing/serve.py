"""Run one simulator as a process of its own: ``python -m engine.testing.serve sendgrid --tls``.

For benchmarks, where a simulator inside the process that is measured would take its share of
it. The first line printed is JSON: ``{"url", "ca_file"}``. It serves until its standard input
ends, then prints ``{"count"}``: the messages taken.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from engine.testing.sendgrid import SendGridSimulator
from engine.testing.smtp import SmtpSink
from engine.testing.twilio import TwilioSimulator


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m engine.testing.serve", description=__doc__)
    parser.add_argument("provider", choices=("sendgrid", "twilio", "smtp"))
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--tls", action="store_true", help="HTTPS (not for smtp)")
    parser.add_argument("--spec", type=Path, help="the provider's OpenAPI file to judge by")
    given = parser.parse_args(arguments)
    simulator: SendGridSimulator | TwilioSimulator | SmtpSink
    if given.provider == "smtp":
        simulator = SmtpSink(port=given.port, latency=given.latency, keep=0, ledger=None)
    else:
        kind = SendGridSimulator if given.provider == "sendgrid" else TwilioSimulator
        simulator = kind(
            port=given.port,
            latency=given.latency,
            tls=given.tls,
            keep=0,
            spec=given.spec,
            ledger=None,
        )
    with simulator:
        if isinstance(simulator, SmtpSink):
            place = {"url": f"smtp://{simulator.host}:{simulator.port}", "ca_file": None}
        else:
            ca_file = str(simulator.ca_file) if simulator.ca_file else None
            place = {"url": simulator.url, "ca_file": ca_file}
        print(json.dumps(place), flush=True)
        sys.stdin.read()
        print(json.dumps({"count": simulator.count}), flush=True)


if __name__ == "__main__":
    main()
