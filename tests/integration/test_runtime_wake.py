"""Waking runs on a real PostgreSQL: events before timers, and nobody holds up the others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from engine.core import react
from tests.integration.runtime_kit import NOW, Make
from tests.unit.core.build import (
    CLICK,
    at,
    event,
    journey,
    order,
    send,
    stop,
    view,
    wait,
    wait_for,
)

JOURNEY = NOW

WHO = ("user:1", "email:a@b.de")


class TestWake:
    slow = journey(wait(hours=2), send(template="late"), stops=[stop()])

    @pytest.mark.parametrize("who", [("user:1",), ("email:a@b.de",), ("user:9", "email:a@b.de")])
    def test_an_undrained_event_holds_the_shopper_and_nobody_else(
        self, make: Make, who: tuple[str, ...]
    ) -> None:
        shop = make(self.slow)
        shop.drain(view(who=WHO), view(who=("user:2",)))
        shop.accept(order(at(hours=1), who=who))
        woken = shop.at(at(hours=2)).wake()
        assert (woken.woken, woken.held, woken.due) == (1, 1, 1)
        assert [status for _, _, status in shop.runs()] == ["active", "finished"]
        shop.drain()
        assert shop.wake().woken == 0
        assert sorted(s for _, _, s in shop.runs()) == ["finished", "stopped"]
        assert shop.messages() == [("late", "due", "")]

    def test_the_click_that_waits_in_the_inbox_is_not_missed(self, make: Make) -> None:
        shop = make(
            journey(
                wait_for(
                    CLICK, hours=2, then=[send(template="came")], otherwise=[send(template="out")]
                )
            )
        )
        shop.drain(view(who=WHO))
        shop.accept(event(CLICK, at(hours=1)))
        assert shop.at(at(hours=3)).wake().held == 1
        shop.drain()
        assert [t for t, _, _ in shop.messages()] == ["came"]

    def test_nothing_is_due(self, make: Make) -> None:
        shop = make(self.slow)
        shop.drain(view(who=WHO))
        assert shop.at(at(hours=1)).wake().woken == 0

    def test_a_shopper_whom_another_worker_holds_is_for_later(self, make: Make) -> None:
        shop = make(self.slow)
        shop.drain(view(who=WHO))
        shop.at(at(hours=2))
        with shop.database.connection() as other:
            other.execute("select 1 from profile for update")
            assert shop.wake().woken == 0
        assert shop.wake().woken == 1

    def test_several_wakers_wake_each_once(self, make: Make) -> None:
        shop = make(self.slow)
        for n in range(80):
            shop.accept(view(who=(f"user:{n}", f"email:{n}@x.de")))
        shop.drain()
        shop.at(at(hours=2))
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: [shop.wake() for _ in range(5)], range(4)))
        while shop.wake().woken:
            pass
        marks = shop.rows("select jsonb_array_length(trace) from enrollment")
        assert marks == [(3,)] * 80  # entered, waited, sent
        assert shop.one("select count(*) from message") == 80

    def test_one_that_fails_stands_still_and_the_others_go_on(
        self, make: Make, monkeypatch: pytest.MonkeyPatch, caplog: Any
    ) -> None:
        caplog.set_level("CRITICAL")
        shop = make(self.slow)
        shop.drain(view(who=WHO), view(who=("user:2",)))
        sick = shop.profile("user:2")
        real = react.on_timers

        def on_timers(book: Any, shopper: Any, *rest: Any) -> None:
            if shopper.profile.id == sick:
                raise RuntimeError("cannot")
            real(book, shopper, *rest)

        monkeypatch.setattr("engine.runtime.wake.on_timers", on_timers)
        woken = shop.at(at(hours=2)).wake()
        assert (woken.failed, woken.due) == (1, 1)
        assert shop.rows(
            "select status, wake_at, reason from enrollment where profile_id = %s", sick
        ) == [("active", None, "RuntimeError: cannot")]
        assert shop.wake().woken == 0
        # A purchase still ends it.
        shop.drain(order(at(hours=3), who=("user:2",)))
        assert sorted(s for _, _, s in shop.runs()) == ["finished", "stopped"]

    def test_downtime_does_not_burst(self, make: Make) -> None:
        """P9: what slept for a week sends nothing stale, and goes on from now."""
        one = journey(wait(hours=2), send(template="first"), wait(days=1), send(template="second"))
        shop = make(one)
        shop.drain(view(who=WHO))
        shop.at(at(days=7)).wake()
        assert shop.messages() == []
        assert shop.one("select wake_at from enrollment") == at(days=8)
        shop.at(at(days=8)).wake()
        assert [t for t, _, _ in shop.messages()] == ["second"]
