"""Once a day: the lists at the ad platforms against what is wanted.

Our own side is looked at row by row, which finds what no event tells of: a new address, an erased
profile, a stop that was missed. Of the platform's side only its own figure can be had, rounded and
of those it could match, and it is held against that of the day before: where it has fallen and
ours has not, the platform has lost members (Google lets go after 540 days, a person may have
emptied the list), and all are sent again. More than we put there is somebody else's doing, which
only a person can judge; it is said, with the command that replaces the list. Not done by itself:
the figures are of people and devices, rounded and estimated, and whom somebody else has put there
would be lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from engine.errors import ConfigError, DeliveryError, OutcomeUnknown
from engine.model.audience import AdList, Size
from engine.ports import AdPlatform
from engine.runtime.push import Pusher, digest_of, place_of
from engine.runtime.shell import Shell
from engine.store import listing_calls as calls_store
from engine.store import listing_feed as feed_store
from engine.store import listing_off as off_store
from engine.store import listing_views as views_store
from engine.store.database import Connection
from engine.store.listing_views import Day
from engine.store.listings import locked

DAILY = timedelta(days=1)
#: How long removals and requests are remembered.
KEPT = timedelta(days=90)
#: A platform's figure that fell by more than this share, beside ours, has lost members.
FELL = 0.2
#: Platforms round, and a figure is that of people, not of hashes: more than this on top is news.
BEYOND = 1.1
ROUNDED = 1000
#: Rows marked at a time.
MARKED = 1000


def lists_due(shell: Shell) -> bool:
    """Whether a list has not been looked at for a day."""
    audiences = list(shell.policy().audiences)
    if not audiences:
        return False
    with shell.database.connection() as connection:
        since = shell.clock.now() - DAILY
        return not views_store.looked_at_since(connection, audiences, since)


def reconcile(pusher: Pusher, only: Sequence[str] = ()) -> list[Day]:
    """Look at every list (``only`` those named) that no other process has, and put right what
    can be. What is to be sent for that goes with the next push."""
    found: list[Day] = []
    for name, ad_list in pusher.audiences().items():
        if only and name not in only:
            continue
        with locked(pusher.shell.database, name) as have:
            if have:
                found.append(_look(pusher, ad_list))
    return found


def _look(pusher: Pusher, ad_list: AdList) -> Day:
    shell, name = pusher.shell, ad_list.audience
    size, note = Size(None, None), ""
    mended = 0
    try:
        platform = pusher.open(ad_list.platform)
        mended = _own_side(pusher, platform, ad_list)
        size = platform.size(ad_list)
        note = size.note
    except (DeliveryError, OutcomeUnknown, ConfigError) as error:
        note = str(error)
    with shell.database.connection() as connection:
        now = shell.clock.now()
        confirmed = views_store.confirmed(connection, name)
        before = _told_before(connection, name)
        if fell(before, confirmed, size):
            mended += views_store.send_again(connection, name, now)
            note = "the platform has lost members; all are sent again"
        elif beyond(confirmed, size):
            note = (
                "the platform has more people than Winback put there: does somebody else add? "
                f"`winback audience replace {name}` takes them off"
            )
        day = Day(name, now, confirmed, size.low, size.high, mended, note)
        views_store.note_day(connection, day)
        views_store.tidy(connection, name, now - KEPT)
    return day


def _own_side(pusher: Pusher, platform: AdPlatform, ad_list: AdList) -> int:
    shell, audience, segment = pusher.shell, ad_list.audience, ad_list.segment
    policy, settled = shell.policy(), pusher.settled
    marked: list[tuple[int, int]] = []
    with shell.database.connection() as connection:
        now = shell.clock.now()
        calls_store.recover(connection, audience, now, now - shell.real(settled))
        if not segment:  # of one that config/winback.yaml named until now
            feed_store.feed(connection, audience, "", place_of(""), now)
        mended = off_store.unwanted(connection, audience, policy.ads_consent, now)
        for one in views_store.standing(connection, audience):
            row = platform.row(one.profile_id, one.traits, policy.shop.country)
            if row is None or digest_of(row.cells) != one.digest:
                marked.append((one.profile_id, one.id))
        for start in range(0, len(marked), MARKED):
            views_store.changed(connection, marked[start : start + MARKED], now)
        off_store.forget(connection, audience)
    return mended + len(marked)


def _told_before(connection: Connection, audience: str) -> Day | None:
    """The last look at which the platform told a size."""
    told = [day for day in views_store.days(connection, audience) if day.high is not None]
    return told[0] if told else None


def fell(before: Day | None, confirmed: int, size: Size) -> bool:
    """Whether the platform's figure has fallen beside ours since it was last told."""
    if before is None or not before.high or not before.confirmed or size.high is None:
        return False
    if not confirmed:
        return False
    return size.high / confirmed < (1 - FELL) * before.high / before.confirmed


def beyond(confirmed: int, size: Size) -> bool:
    """Whether the platform tells of more people than can be ours."""
    return size.low is not None and size.low > confirmed * BEYOND + ROUNDED
