"""The scripted shoppers who come and go while a person tries the demo."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from itertools import count

from rich.console import Console

from engine import bootstrap
from engine.cli._once import goods, leave_list
from engine.clock import from_environment
from engine.embedded.supervisor import Supervisor
from engine.store import views
from engine.testing.play import Play, PlayFailed
from engine.testing.shoppers import Shopper, cast

#: How many in one cast, and how far apart they come by the demo's clock.
COMPANY, APART = 400, timedelta(minutes=80)
#: The first ones fill a cart and leave it, so that there is a mail to see within seconds.
OPENING = ("fills a cart and leaves",) * 3


def keep(running: Supervisor, console: Console, began: float) -> None:
    """Send shoppers into the shop until interrupted. ``began``: ``time.monotonic()`` of the
    command's start, to tell how soon the first mail came."""
    settings = running.settings
    play = Play(
        running.urls["web"],
        settings.write_key,
        from_environment(settings.clock),
        leave_list=lambda address: leave_list(settings, address),
    )
    ended = threading.Event()
    first = threading.Thread(
        target=_tell_first_mail, args=(running, console, began, ended), name="first-mail"
    )
    first.start()
    try:
        for number in count():
            play.perform(company(number, settings.public_url))
    except PlayFailed as error:
        console.print(f"The scripted shoppers have gone home: {error}", markup=False)
        threading.Event().wait()
    finally:
        ended.set()
        first.join()
        play.close()


def company(number: int, public_url: str) -> list[Shopper]:
    """The ``number``th cast: other people than in every other."""
    things = goods(public_url)
    first = number * (COMPANY + len(OPENING))
    opening = cast(
        len(OPENING), seed=number, over=timedelta(0), goods=things, first=first, plots=OPENING
    )
    rest = cast(
        COMPANY, seed=number + 1, over=APART * COMPANY, goods=things, first=first + len(OPENING)
    )
    return [*opening, *rest]


def _tell_first_mail(
    running: Supervisor, console: Console, began: float, ended: threading.Event
) -> None:
    with bootstrap.database(running.settings, connections=1) as store:
        while not ended.wait(0.25):
            with store.connection() as connection:
                sent = views.counts(connection).sent
            if sent:
                took = time.monotonic() - began
                where = f"{running.urls['web']}/mailbox/"
                console.print(f"The first mail is there, {took:.0f} s after the start: {where}")
                return
