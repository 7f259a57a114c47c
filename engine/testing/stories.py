"""What becomes of a message once it is taken, and how the provider reports it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.testing.chance import chance, check_shares, choose

#: Words of a SendGrid story. ``bounce`` may say its type: bounce, bounce:blocked,
#: bounce:expired; ``open:machine`` is Apple's; ``dropped`` may say why (dropped:Spam Content).
SENDGRID_WORDS = frozenset(
    """processed delivered deferred bounce dropped open click spamreport unsubscribe
    group_unsubscribe group_resubscribe""".split()  # noqa: SIM905
)
#: Words of a Twilio story: statuses, ``undelivered:30005`` with an error code; and what the
#: shopper then writes: ``stop``, ``start``, ``help``, ``says:any text``.
TWILIO_WORDS = frozenset(
    "sending sent delivered undelivered failed read stop start help says".split()  # noqa: SIM905
)
SENDGRID = {
    "processed delivered": 0.62,
    "processed delivered open": 0.15,
    "processed delivered open click": 0.06,
    "processed delivered open:machine": 0.05,
    "processed deferred delivered": 0.05,
    "processed bounce:bounce": 0.02,
    "processed bounce:blocked": 0.02,
    "processed deferred bounce:expired": 0.01,
    "processed delivered spamreport": 0.005,
    "processed delivered open unsubscribe": 0.01,
    "processed delivered open group_unsubscribe": 0.005,
}
TWILIO = {
    "sent delivered": 0.9,
    "sent undelivered:30003": 0.03,
    "sent undelivered:30005": 0.02,
    "failed:30007": 0.01,
    "sent delivered stop": 0.02,
    "sent delivered says:Thanks": 0.02,
}


class Stories:
    """A mix of stories by shares; what is left of 1 goes to the first of them.

    A message's story hangs on the seed and its id only. ``told`` names the story of single
    addresses, whatever the shares.
    """

    def __init__(
        self,
        shares: Mapping[str, float],
        seed: int = 0,
        told: Mapping[str, str] | None = None,
    ) -> None:
        check_shares(shares)
        self.shares, self.seed, self.told = dict(shares), seed, dict(told or {})
        for story in (*self.shares, *self.told.values()):
            for word in words(story):
                _check(word)

    def of(self, key: str, address: str) -> list[str]:
        """The words of the story of one message."""
        story = self.told.get(address)
        if story is None:
            story = choose(self.shares, chance(self.seed, "story", key))
            story = story or next(iter(self.shares), "")
        return words(story)


def words(story: str) -> list[str]:
    """A story's words. One that begins with ``says:`` or ``dropped:`` takes the rest."""
    for last in (" says:", " dropped:"):
        head, found, tail = f" {story}".partition(last)
        if found:
            return [*head.split(), f"{found.strip()}{tail}"]
    return story.split()


def _check(word: str) -> None:
    name = word.partition(":")[0]
    if name not in SENDGRID_WORDS | TWILIO_WORDS:
        known = ", ".join(sorted(SENDGRID_WORDS | TWILIO_WORDS))
        raise ValueError(f"No provider reports {name!r}: use {known}.")


@dataclass(frozen=True, slots=True)
class Callbacks:
    """How a provider reports: where to, what, how soon, and how badly.

    ``url``        where to: SendGrid's event webhook, Twilio's address for incoming texts.
                   (Twilio reports statuses to the address that each message names.)
    ``stories``    what becomes of the messages; None for the provider's usual mix.
    ``delay``      seconds between a message's reports, and before the first.
    ``twice``      share of the reports that are sent once more, later.
    ``shuffle``    share of the reports that overtake the one before.
    ``late``       share of the reports that come up to ``late_by`` seconds late.
    ``batch``      most events in one post (SendGrid), posted at the latest after ``every``
                   seconds.
    ``gzip``       compress the posts (SendGrid). What is signed is the body before.
    ``seed``       decides all of it.
    ``again``      seconds to wait before each repeat of a post that was not answered with 2xx
                   (SendGrid; then it is given up). Twilio repeats once, and only what could not
                   connect, unless the address says otherwise (``#rc=3&rp=all``).
    """

    url: str = ""
    stories: Stories | None = None
    delay: float = 0.05
    twice: float = 0.0
    shuffle: float = 0.0
    late: float = 0.0
    late_by: float = 2.0
    batch: int = 1000
    every: float = 0.2
    gzip: bool = False
    seed: int = 0
    again: tuple[float, ...] = field(default=(0.5, 1, 2, 4, 8, 16, 32, 64, 128))
    timeout: float = 15.0
