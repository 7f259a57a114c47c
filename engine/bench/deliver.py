"""Deliver: messages a second of one worker to a provider that answers in 50 ms over TLS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from uuid import uuid4

import msgspec

from engine import bootstrap
from engine.bench import recipe, rows, shop
from engine.bench.report import Figure, middle
from engine.bench.sizes import Sizes, Tell
from engine.bench.stage import Stage
from engine.channels.http import Pool
from engine.channels.sendgrid import body_of
from engine.errors import WinbackError
from engine.intake.lanes import LANES
from engine.model.message import Email
from engine.runtime.deliver import THREADS, Deliverer
from engine.runtime.drain import drain
from engine.runtime.memory import look_for_cycles_seldom
from engine.runtime.shell import Shell
from engine.store import messages as messages_store

LATENCY = 0.05
_KEY = "SG.bench"
_AUTHORITIES = "SSL_CERT_FILE"


def measure(stage: Stage, sizes: Sizes, tell: Tell) -> list[Figure]:
    """Through render, gate, SDK and records, against the same pool and threads without them."""
    look_for_cycles_seldom()  # as a worker does
    ours, bare = [], []
    folder = shop.write(stage.home / "shop", {"at-once": shop.AT_ONCE}, provider="sendgrid")
    with provider(LATENCY) as url, stage.database() as database:
        settings = replace(
            stage.settings(database, folder), sendgrid_api_key=_KEY, sendgrid_base_url=url
        )
        shell = bootstrap.shell(settings)
        deliverer = Deliverer(shell)
        try:
            for turn in range(sizes.rounds):
                tell(f"deliver, round {turn + 1}")
                _make_due(shell, sizes.delivered, first=turn * sizes.delivered)
                mail = _one(shell)
                ours.append(_deliver(deliverer, sizes.delivered))
                bare.append(_bare(url, mail, sizes.delivered))
        finally:
            deliverer.close()
            shell.database.close()
    return [
        Figure(
            "deliver over TLS, answers in 50 ms",
            middle(ours),
            "messages/s",
            middle(bare),
            f"the same pooled client, bare, {THREADS} threads",
            at_least=500,
            ratio=0.8,
            note=f"at most {THREADS / LATENCY:.0f}/s by {THREADS} threads; one worker",
        )
    ]


@contextmanager
def provider(latency: float) -> Iterator[str]:
    """SendGrid's simulator in a process of its own; gives its URL. Within the block its
    certificate, and no other, is trusted."""
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.testing.serve", "sendgrid", "--tls", f"--latency={latency}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    before = os.environ.get(_AUTHORITIES)
    try:
        place = json.loads(process.stdout.readline())
        os.environ[_AUTHORITIES] = place["ca_file"]
        yield place["url"]
    finally:
        os.environ.pop(_AUTHORITIES)
        if before is not None:
            os.environ[_AUTHORITIES] = before
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def _make_due(shell: Shell, count: int, first: int) -> None:
    run = uuid4().hex[:8]
    rows.accept(shell.database, (recipe.view(n, first + n, run) for n in range(count)))
    for lane in range(LANES):
        while drain(shell, lane).taken:
            pass


def _one(shell: Shell) -> Email:
    """One of the mails that are due, rendered."""
    with shell.database.connection() as connection:
        found = messages_store.candidates(connection, shell.clock.now(), 1)[0]
    assert shell.renderer is not None
    mail = shell.renderer.render(found.message, found.profile, found.properties, found.key)
    assert isinstance(mail, Email)
    return mail


def _deliver(deliverer: Deliverer, count: int) -> float:
    began = time.perf_counter()
    done = deliverer.deliver(shards=1, seconds=60 + count / 50)
    seconds = time.perf_counter() - began
    if done.sent != count:
        raise WinbackError(f"of {count} messages {done.sent} were sent: {done}")
    return count / seconds


def _bare(url: str, mail: Email, count: int) -> float:
    pool = Pool("SendGrid", url)
    body = msgspec.json.encode(body_of(mail))
    headers = {"Authorization": f"Bearer {_KEY}", "Content-Type": "application/json"}

    def post(_number: int) -> int:
        return pool.post(f"{url}/v3/mail/send", body, headers).status

    try:
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(post, range(THREADS)))  # opens the connections
            began = time.perf_counter()
            answers = list(threads.map(post, range(count)))
            seconds = time.perf_counter() - began
    finally:
        pool.close()
    if set(answers) != {202}:
        raise WinbackError(f"the simulated provider answered {sorted(set(answers))}")
    return count / seconds
