"""Killed in the middle of a sync of many members, and run again: the platform's list is the wanted
one, and nobody is sent twice but who was in the very call that was cut short."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from engine.clock import SystemClock
from engine.store.database import Database
from engine.testing.google import GoogleSimulator
from tests.integration.ad_kit import GOOGLE, AdShop, google_of, h

MANY = int(os.environ.get("WINBACK_TEST_MEMBERS", "20000"))
#: The platform's own is 10,000; smaller ones give a smaller run as many calls to be killed in.
BATCH = min(10_000, MANY // 20)
ROOT = Path(__file__).resolve().parents[2]

CHILD = """
import sys
from engine.audiences.google import Google
from engine.clock import SystemClock
from engine.store.database import Database
from tests.integration.ad_kit import AdShop
url, google, token, batch = sys.argv[1:]
platform = Google(google, lambda: token)
platform.batch = int(batch)
with Database(url) as database:
    shop = AdShop(database, {"google": platform}, clock=SystemClock())
    shop.pusher.settled = 3.0
    while True:
        shop.pusher.push(only=["google/left-behind"])
"""


def start(url: str, google: GoogleSimulator) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", CHILD, url, google.url, google.token, str(BATCH)]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, text=True)


def until(child: subprocess.Popen[str], done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60 + MANY / 500
    while not done():
        assert child.poll() is None, "it has died by itself"
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.005)


def test_killed_in_the_middle_and_run_again(database_url: str) -> None:
    with Database(database_url) as database, GoogleSimulator(latency=0.02, keep=0) as google:
        shop = AdShop(database, {"google": google_of(google)}, clock=SystemClock())
        shop.shoppers(MANY)
        kills = 0
        for goal in range(3, 20, 4):
            child = start(database_url, google)
            # Now in the call, now before it, now behind it: the delay moves through the cycle.
            until(child, lambda goal=goal: google.count >= goal)
            time.sleep(0.011 * kills)
            child.send_signal(signal.SIGKILL)
            child.wait()
            kills += 1
            for buyer in range(kills, MANY, MANY // 7):
                shop.buys(buyer)
        child = start(database_url, google)
        try:
            until(
                child,
                lambda: (
                    not shop.sql(
                        """select 1 from audience_listing where status not in
                               ('confirmed', 'removed') union all
                           select 1 from audience_member where wanted <> listed limit 1"""
                    )
                ),
            )
        finally:
            child.kill()
            child.wait()
        wanted = {
            h(f"s{profile}@example.com")
            for (profile,) in shop.sql("select profile_id from audience_member where wanted")
        }
        assert len(wanted) > MANY * 0.9
        assert google.lists.on(GOOGLE.list) == wanted
        repeated = [times for times in google.lists.asked.values() if times > 1]
        assert len(repeated) <= kills * BATCH, "only who was in a call that was cut short"
        [(cut,)] = shop.sql(
            """select coalesce(sum(members), 0) from audience_request
                where status in ('lost', 'failed') and action = 'add'"""
        )
        assert len(repeated) <= cut
        assert not google.wrong
