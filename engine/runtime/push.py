"""Keep the lists of ad platforms as they are wanted, by their APIs.

One audience at a time belongs to one process (a lock in PostgreSQL that dies with it). In turn:
mark who is to come off, ask how far the platform is, send removals, and only then one batch of
additions, and begin again, so that a purchase waits for one call at most. Each call is one
request row: claimed and committed before, settled after. A process that is killed leaves it
claimed; whoever has the audience next makes the call again, for its members alone, which is the
only case in which a member is sent twice.

Not pure, and cannot be: the claim asks the fence (P3) in one statement. What a stop can no longer
hold is the one call that is on the wire; its removal follows at once, and once more when the
platform says that it is done with the addition, for nothing promises that it keeps their order.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import NAMESPACE_OID, uuid4, uuid5

from engine.errors import ConfigError, DeliveryError, OutcomeUnknown
from engine.model.adlaw import may_be_told
from engine.model.audience import AdList, Listed, Progress, Taken
from engine.model.policy import Policy
from engine.ports import AdPlatform
from engine.runtime.letting_go import letting_go
from engine.runtime.replacing import go_on
from engine.runtime.shell import Shell
from engine.store import listing_calls as calls_store
from engine.store import listing_feed as feed_store
from engine.store import listing_off as off_store
from engine.store import listings as listings_store
from engine.store.database import Connection
from engine.store.listings import Coming, Fresh, Member
from engine.store.replacing import session_open

#: Members read, hashed and made ready at a time.
PREPARED = 2_000
#: Longer than the longest call: it waits 5 s for a connection and 30 s for the answer.
SETTLED = 90.0
#: Real seconds before a platform is asked for its progress again, and the most.
LOOK, LOOK_MOST = 1.0, 300.0
LOOKS = 20
#: Real seconds that a row which failed for the moment waits, and an audience that is refused.
AGAIN, REFUSED = 5.0, 600.0
#: The part of a platform's requests a minute that additions may use.
ADDITIONS = 0.75
#: How far back suppressions are looked at each time; the daily look sees all.
SUPPRESSIONS = timedelta(days=1)


@dataclass(slots=True)
class Pushed:
    """What one turn did, in members; ``problem`` says why it could not go on, "" if it could."""

    audience: str
    ready: int = 0
    added: int = 0
    removed: int = 0
    let_go: int = 0
    requests: int = 0
    busy: bool = False
    problem: str = ""


@dataclass(slots=True)
class Pusher:
    """Pushes to the platforms that ``platform`` gives by name; it raises ``ConfigError`` for one
    whose keys are missing, which is reported and keeps no other audience back."""

    shell: Shell
    platform: Callable[[str], AdPlatform]
    #: real time, in seconds
    timer: Callable[[], float] = time.monotonic
    #: real seconds after which nothing of a call can arrive any more, whoever made it
    settled: float = SETTLED
    _open: dict[str, AdPlatform] = field(default_factory=dict)

    def audiences(self) -> Mapping[str, AdList]:
        return self.shell.policy().audiences

    def letting_go(self) -> bool:
        """Whether somebody waits to be let go whom a platform may be told of now."""
        return letting_go(self.shell)

    def open(self, name: str) -> AdPlatform:
        """The platform of that name, opened once. Raises ``ConfigError``."""
        if name not in self._open:
            self._open[name] = self.platform(name)
        return self._open[name]

    def push(
        self, seconds: float = 3.0, only: Sequence[str] = (), *, additions: bool = True
    ) -> list[Pushed]:
        """Bring the audiences (``only`` those named) as far as ``seconds`` of real time allow.
        Before each round of ``additions``, one batch an audience, all let go whom they must."""
        lists = {n: a for n, a in self.audiences().items() if not only or n in only}
        deadline = self.timer() + seconds
        done = {name: Pushed(name) for name in lists}
        more = True
        while more:
            more = False
            for adding in (False, True) if additions else (False,):
                # One call each in turn: a list that loses somebody all the time holds up no other.
                for name, ad_list in lists.items():
                    more |= self._turn(ad_list, done[name], adding)
            more &= self.timer() < deadline
        return list(done.values())

    def _turn(self, ad_list: AdList, done: Pushed, additions: bool) -> bool:
        """Let go one batch, then add one if ``additions``; whether there was any."""
        if done.problem or done.busy:
            return False
        with listings_store.locked(self.shell.database, ad_list.audience) as have:
            if not have:
                done.busy = True
                return False
            if ad_list.segment and not additions:
                self._feed(ad_list)  # whether or not the platform can be told of it
            try:
                platform = self.open(ad_list.platform)
                turn = _Turn(self.shell, platform, ad_list, self.shell.policy(), done, self.timer)
                turn.recover(self.settled)
                removed = turn.remove()
                added = additions and not done.problem and go_on(turn)
                return removed or added
            except (DeliveryError, OutcomeUnknown, ConfigError) as error:
                done.problem = str(error)
                return False

    def _feed(self, ad_list: AdList) -> None:
        """Want the members of the segment on the list, and nobody else on its account."""
        place = place_of(ad_list.segment)
        with self.shell.database.probing() as connection:
            now = self.shell.clock.now()
            feed_store.feed(connection, ad_list.audience, ad_list.segment, place, now)


@dataclass(slots=True)
class _Turn:
    """One audience, held by this process."""

    shell: Shell
    platform: AdPlatform
    ad_list: AdList
    policy: Policy
    done: Pushed
    timer: Callable[[], float]
    #: when the claim began whose call is to come
    start: float = 0.0

    @property
    def audience(self) -> str:
        return self.ad_list.audience

    def recover(self, settled: float) -> None:
        now = self.shell.clock.now()
        with self.shell.database.probing() as connection:
            calls_store.recover(connection, self.audience, now, now - self.shell.real(settled))

    def remove(self) -> bool:
        """Mark who is to come off, hear what the platform has done, and send one batch of
        removals; False when there was none, or nothing may be sent."""
        consent = self.policy.ads_consent
        with self.shell.database.probing() as connection:
            now = self.shell.clock.now()
            gone = off_store.let_go(connection, self.audience, now)
            since = now - SUPPRESSIONS
            gone += off_store.refused(connection, self.audience, consent, now, since)
            self.done.let_go += gone
            off_store.drop_unsent(connection, self.audience, now)
            waits = session_open(connection, self.audience)
        self._look()
        return not waits and self.may_call() and self._remove()

    def add(self) -> bool:
        """Send one batch of additions, after making it ready; False when there is none."""
        request = str(uuid4())
        members = self.claim(request)
        if not members:
            return False
        told = [Listed(m.cells, m.consented) for m in members]
        if self.call(request, lambda: self.platform.add(self.ad_list, told, request)):
            self.done.added += len(members)
        return True

    def claim(self, request: str) -> list[Member]:
        """Make a batch of additions ready and claim it for a request; nobody when there is none,
        or nothing may be sent."""
        if not self.may_call(ADDITIONS):
            return []
        while True:
            with self.shell.database.probing() as connection:
                listings_store.adopt(connection, self.audience)
                now = self.shell.clock.now()
                rows = listings_store.ready(connection, self.audience, now, self.platform.batch)
            if len(rows) >= self.platform.batch or not self._prepare():
                break
        if not rows:
            return []
        self.start = self.timer()
        with self.shell.database.probing() as connection:
            return listings_store.claim_additions(
                connection, self.audience, request, rows, self.policy.ads_consent, now
            )

    def may_call(self, share: float = 1.0) -> bool:
        """Whether the platform may be called now. Of its requests a minute additions leave a part
        to removals, and these are spread out once half are made, lest they run out; and so of
        its requests a day, which are counted back from now, so that they are never too many by
        whatever clock the platform begins its day."""
        most, platform = self.platform.per_minute, self.platform.name
        long, seconds = self.platform.longer
        with self.shell.database.probing() as connection:
            now = self.shell.clock.now()
            self.done.problem = calls_store.held(connection, self.audience, now)
            made = calls_store.made_since(connection, platform, now - self.shell.real(60.0))
            lists = sum(one.platform == platform for one in self.policy.audiences.values())
            apart = now - self.shell.real(120.0 * lists / most)
            rest = made >= most / 2 and calls_store.called_since(connection, self.audience, apart)
            lately = calls_store.made_since(connection, platform, now - self.shell.real(seconds))
        if not self.done.problem and made >= most * share:
            self.done.problem = f"{platform} takes no more requests this minute"
        if not self.done.problem and lately >= long * share:
            what = "all but removals wait" if share < 1.0 else "all wait"
            self.done.problem = (
                f"{platform} has had {lately:,} of {long:,} requests in {seconds / 3600:.0f} "
                f"hours: {what} until it takes more"
            )
        return not self.done.problem and not (rest and share == 1.0)

    def _prepare(self) -> int:
        """Hash some of those who are coming and make them ready; gives how many."""
        after, made = 0, 0
        with self.shell.database.probing() as connection:
            now = self.shell.clock.now()
            while not made and (
                found := listings_store.coming(
                    connection, self.audience, self.policy.ads_consent, after, PREPARED
                )
            ):
                after = found[-1].profile_id
                fresh = [row for one in found if (row := self._hashed(one)) is not None]
                made = listings_store.prepare(connection, self.audience, fresh, now)
                unusable = {one.profile_id for one in found} - {f.profile_id for f in fresh}
                if unusable:
                    listings_store.leave_out(connection, self.audience, list(unusable), now)
        self.done.ready += made
        return made

    def _hashed(self, one: Coming) -> Fresh | None:
        """None for one whom the platform could not find, or whose law wants a yes."""
        row = self.platform.row(one.profile_id, one.traits, self.policy.shop.country)
        if row is None or not may_be_told(row.region, one.yes):
            return None
        return Fresh(
            one.profile_id,
            one.enrollment_id,
            digest_of(row.cells),
            row.cells,
            row.email,
            row.phone,
            one.yes,
        )

    def _remove(self) -> bool:
        request = str(uuid4())
        self.start = self.timer()
        with self.shell.database.probing() as connection:
            now = self.shell.clock.now()
            members = listings_store.claim_removals(
                connection, self.audience, request, now, self.platform.batch
            )
            known = [m for m in members if any(_without(m))]
            silent = [(m.profile_id, m.id) for m in members if not any(_without(m))]
            if silent:
                calls_store.nothing_to_say(connection, silent, now)
                calls_store.place(connection, [(m.profile_id, m.id) for m in known])
                self.done.removed += len(silent)
            if members and not known:
                calls_store.drop_request(connection, request)
        if not known:
            return bool(members)
        told = [Listed(_without(m)) for m in known]
        if self.call(request, lambda: self.platform.remove(self.ad_list, told, request)):
            self.done.removed += len(known)
        return True

    def call(self, request: str, call: Callable[[], Taken]) -> bool:
        """Make the call and write down what came of it; False when some members kept it from
        being taken, and the others may go alone. Raises what stops this audience for now."""
        self.done.requests += 1
        wire = (self.timer() - self.start) * 1000
        try:
            taken = call()
        except OutcomeUnknown as error:
            with self.shell.database.probing() as connection:
                now = self.shell.clock.now()
                calls_store.unknown(connection, request, now, str(error))
                self._hold(connection, AGAIN, str(error), self.audience)
            raise
        except DeliveryError as error:
            places: Mapping[int, str] = getattr(error, "places", {})
            with self.shell.database.probing() as connection:
                now = self.shell.clock.now()
                calls_store.not_taken(connection, request, now, str(error), places, now)
                if not places:
                    self._leave_alone(connection, error)
            if places:
                return False
            raise
        with self.shell.database.probing() as connection:
            now = self.shell.clock.now()
            look_at = now + self.shell.real(LOOK)
            calls_store.taken(
                connection, request, taken.reference, taken.detail, wire, now, look_at
            )
            calls_store.release(connection, self.audience)
        return True

    def _leave_alone(self, connection: Connection, error: DeliveryError) -> None:
        wait = error.retry_after.total_seconds() if error.retry_after else REFUSED
        subject = self.platform.name if error.fault else self.audience
        self._hold(connection, wait, str(error), subject)

    def _hold(self, connection: Connection, seconds: float, reason: str, subject: str) -> None:
        until = self.shell.clock.now() + self.shell.real(seconds)
        calls_store.hold(connection, subject, until, reason)

    def _look(self) -> None:
        """Ask how far the platform is with what it has taken."""
        with self.shell.database.probing() as connection:
            now = self.shell.clock.now()
            due = calls_store.to_look_at(connection, self.audience, now, LOOKS)
        for one in due:
            try:
                progress = self.platform.status(one.reference)
            except OutcomeUnknown:
                progress = Progress("processing")
            except DeliveryError as error:
                with self.shell.database.probing() as connection:
                    self._leave_alone(connection, error)
                raise
            with self.shell.database.probing() as connection:
                now = self.shell.clock.now()
                if progress.state == "processing":
                    wait = min(LOOK * 2.0**one.looks, LOOK_MOST)
                    calls_store.look_later(connection, one.id, now + self.shell.real(wait))
                    continue
                calls_store.settle(
                    connection,
                    one.id,
                    now,
                    progress.refused,
                    progress.again,
                    now + self.shell.real(AGAIN),
                    progress.detail,
                    failed=progress.state == "failed",
                )


def place_of(segment: str) -> str:
    """The UUID that stands where a run would stand, of a place that a segment holds."""
    return str(uuid5(NAMESPACE_OID, f"segment:{segment}"))


def digest_of(cells: Sequence[str]) -> bytes:
    """16 bytes that stand for a row: equal for equal rows, and for no others."""
    return hashlib.blake2b("\x1f".join(cells).encode(), digest_size=16).digest()


def _without(member: Member) -> list[str]:
    """The member's row for a removal. Where somebody who stays shares its email or phone (they
    stand first in every platform's row), only the other one is named: names and address are the
    household's too."""
    if not member.blank:
        return member.cells
    found = [cell if cell not in member.blank else "" for cell in member.cells[:2]]
    return found + [""] * (len(member.cells) - 2)
