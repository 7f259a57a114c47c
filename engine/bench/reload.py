"""Journeys applied under load: whether a timer is late for it, or lost."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine.bench import rows, shop, timers
from engine.bench.load import Order, Sending
from engine.bench.report import Figure, number, percentile
from engine.bench.sink import Sink
from engine.bench.sizes import Sizes, Tell
from engine.bench.stage import Stage
from engine.errors import WinbackError
from engine.language import load_journeys, load_policy
from engine.runtime.apply import apply
from engine.runtime.plan import Wanted
from engine.store.database import Database

#: A second: events that come in, timers that run out.
_EVENTS, _TIMERS = 100, 100
#: Seconds that the processes get to come up, and mails to arrive.
_AHEAD, _SECONDS = 4.0, 60.0


def measure(stage: Stage, sizes: Sizes, tell: Tell) -> list[Figure]:
    """Twenty journeys, shoppers waiting, events coming in, timers running out. After so many
    seconds of that every journey is edited and applied once a second, for as many seconds."""
    half = sizes.reloads
    count = _TIMERS * 2 * half
    waiting = max(sizes.reload_waiting, count)
    tell(f"reload, making {number(waiting)} waiting runs")
    folder = shop.write(stage.home / "shop", _journeys(0), provider="smtp")
    with stage.database() as database, Sink() as sink:
        rows.add_profiles(database, waiting)
        timers.add_runs(database, waiting, count)
        settings = stage.settings(database, folder, smtp_port=sink.port)
        _apply(database, folder, 0)
        with stage.everything(settings):
            # Shoppers of their own: they begin runs that wait, and get no mail meanwhile.
            order = Order(
                *(settings.port, "view", _EVENTS * 2 * half, uuid.uuid4().hex[:8]),
                connections=8,
                rate=_EVENTS,
                first=waiting,
            )
            coming = Sending(order)
            start = datetime.now(UTC) + timedelta(seconds=_AHEAD)
            timers.wake_soon(database, count, start, 2 * half)
            tell("reload, undisturbed")
            _sleep_until(start)
            coming.go()
            middle = start + timedelta(seconds=half)
            _sleep_until(middle)
            for edit in range(1, half + 1):
                tell(f"reload, apply {edit} of {half}")
                _apply(database, folder, edit)
                _sleep_until(middle + timedelta(seconds=edit))
            if coming.wait().failed:
                raise WinbackError("the collector refused events")
            arrived = sink.wait_for(count, _SECONDS)
            rows.settle(database, _SECONDS)
        found = timers.lateness(database, "written_at")
    calm = [late for wake, late in found if wake < middle]
    busy = [late for wake, late in found if wake >= middle]
    pace = f"{_TIMERS} timers and {_EVENTS} events a second, {number(waiting)} wait"
    often = f"{half} times applied, one a second, 20 journeys each; {pace}"
    return [
        Figure("timers lost by it", count - min(arrived, len(found)), "timers", at_most=0),
        *_figures("timer to message, undisturbed", calm, pace),
        *_figures("timer to message, while applying", busy, often),
    ]


def _figures(what: str, late: Sequence[float], note: str) -> list[Figure]:
    if not late:
        raise WinbackError(f"{what}: no timer ran out")
    return [
        Figure(f"{what}, p50", percentile(late, 0.5), "ms", note=note),
        Figure(f"{what}, p99", percentile(late, 0.99), "ms", at_most=1_000),
    ]


def _journeys(edit: int) -> dict[str, str]:
    """The journeys after so many edits. ``later`` is new with the first: who waits in it finishes
    on the version before."""
    found = {name: text for name, text in shop.twenty().items() if name != "at-once"}
    found["later"] = timers.JOURNEY
    if not edit:
        return found
    return {
        name: text.replace("\ntrigger:", f"\ntitle: Edit {edit}\ntrigger:")
        for name, text in found.items()
    }


def _apply(database: Database, folder: Path, edit: int) -> None:
    """As ``winback apply`` does it."""
    for name, text in _journeys(edit).items():
        (folder / "journeys" / f"{name}.yaml").write_text(text)
    policy, _ = load_policy(folder / "config" / "winback.yaml")
    wanted = load_journeys(folder / "journeys", policy=policy, templates=folder / "templates")
    if len(wanted.journeys) != len(_journeys(edit)):
        raise WinbackError(f"the bench's journeys do not load: {wanted.diagnostics[0]}")
    apply(database, Wanted(wanted.journeys), lambda: datetime.now(UTC), "bench")


def _sleep_until(moment: datetime) -> None:
    time.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))
