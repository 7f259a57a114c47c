"""Provider callbacks: signed reports a second, from the post to the inbox."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import urllib3
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from engine.bench import shop
from engine.bench.report import Figure, middle
from engine.bench.rows import number_of
from engine.bench.sizes import Sizes, Tell
from engine.bench.stage import Stage
from engine.errors import WinbackError

#: SendGrid posts what it gathered in 30 seconds or 768 KB: at volume, hundreds of events.
_EACH = 500
_THREADS = 8
_KINDS = ("processed", "delivered", "open", "click")


def measure(stage: Stage, sizes: Sizes, tell: Tell) -> list[Figure]:
    """Posts as SendGrid makes them, signed, from eight connections."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    posts = max(8, sizes.batches // 10)
    rates = []
    with stage.database() as database:
        settings = stage.settings(database, shop.write(stage.home / "shop", {}))
        settings = replace(settings, sendgrid_webhook_public_key=b64encode(public).decode())
        with stage.web(settings) as port:
            for turn in range(sizes.rounds):
                tell(f"callbacks, round {turn + 1}")
                made = list(_posts(key, turn, posts))
                before = number_of(database, "select count(*) from inbox")
                rates.append(_send(port, made) * _EACH)
                kept = number_of(database, "select count(*) from inbox") - before
                if kept != posts * _EACH:
                    raise WinbackError(f"of {posts * _EACH} reports {kept} are in the inbox")
    return [
        Figure(
            "callbacks",
            middle(rates),
            "events/s",
            at_least=10_000,
            note=f"signed posts of {_EACH} reports, each answered after its commit is on disk",
        )
    ]


def _posts(
    key: ec.EllipticCurvePrivateKey, turn: int, posts: int
) -> Iterator[tuple[bytes, dict[str, str]]]:
    now = int(time.time())
    for post in range(posts):
        body = json.dumps(
            [
                {
                    "email": f"shopper{post * _EACH + n}@example.com",
                    "timestamp": now,
                    "event": _KINDS[n % len(_KINDS)],
                    "sg_event_id": f"{turn}-{post}-{n}",
                    "sg_message_id": f"{post}.{n}",
                    "url": "https://shop.example/lamp",
                    "useragent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)",
                    "message_id": f"00000000-0000-0000-{post:04x}-{n:012x}",
                }
                for n in range(_EACH)
            ]
        ).encode()
        signature = key.sign(str(now).encode() + body, ec.ECDSA(SHA256()))
        yield (
            body,
            {
                "Content-Type": "application/json",
                "X-Twilio-Email-Event-Webhook-Signature": b64encode(signature).decode(),
                "X-Twilio-Email-Event-Webhook-Timestamp": str(now),
            },
        )


def _send(port: int, posts: list[tuple[bytes, dict[str, str]]]) -> float:
    """Posts a second."""
    pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=_THREADS, retries=False)

    def one(post: tuple[bytes, dict[str, str]]) -> int:
        body, headers = post
        return pool.request("POST", "/callbacks/sendgrid", body=body, headers=headers).status

    with pool, ThreadPoolExecutor(_THREADS) as threads:
        began = time.perf_counter()
        answers = list(threads.map(one, posts))
        seconds = time.perf_counter() - began
    refused = [status for status in answers if status != 204]
    if refused:
        raise WinbackError(f"{len(refused)} posts were refused, the first with {refused[0]}")
    return len(posts) / seconds
