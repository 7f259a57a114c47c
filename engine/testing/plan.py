"""Which requests go wrong, and how: a mix of faults by shares, the same in every run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from engine.testing.chance import chance, check_shares, choose, read_shares

#: What can happen to an HTTP request, and whether the provider takes the message.
#:
#: ``429``  too many requests, with the headers that say until when     not taken
#: ``500`` ``502`` ``503`` ``504``  the provider fails                  not taken
#: ``400`` ``401`` ``403`` ``413``  refused for good                    not taken
#: ``drop``   the connection is closed at once                          not taken
#: ``cut``    the connection is closed without an answer                TAKEN
#: ``hang``   no answer ever comes                                      TAKEN
#: ``lie``    500, although it was taken                                TAKEN
#: ``slow``   the answer comes late                                     TAKEN
HTTP_FAULTS = frozenset(
    {"429", "500", "502", "503", "504", "400", "401", "403", "413"}
    | {"drop", "cut", "hang", "lie", "slow"}
)
#: What can happen to a mail at an SMTP server.
#:
#: ``450``  the recipient is put off (greylisting)      not taken
#: ``421``  the server closes                           not taken
#: ``451`` ``452``  put off at the end of the mail      not taken
#: ``550`` ``554``  no such user; refused for good      not taken
#: ``drop``   disconnected when the mail is to begin    not taken
#: ``cut`` ``hang`` ``slow``  after the end of the mail TAKEN
SMTP_FAULTS = frozenset({"450", "421", "451", "452", "550", "554", "drop", "cut", "hang", "slow"})
#: After these nobody but the provider knows whether the message was taken.
TAKEN_BUT_UNSAID = frozenset({"cut", "hang", "lie"})


class Plan:
    """Faults by shares of the requests: ``Plan({"429": 0.02, "hang": 0.01}, seed=7)``.

    What befalls a request hangs on the seed, the message's id and which try of it this is,
    never on the order of threads: the same messages meet the same faults in every run. One
    plan belongs to one simulator. ``drawn`` counts what came up.
    """

    def __init__(self, shares: Mapping[str, float], seed: int = 0) -> None:
        unknown = sorted(set(shares) - HTTP_FAULTS - SMTP_FAULTS)
        if unknown:
            known = ", ".join(sorted(HTTP_FAULTS | SMTP_FAULTS))
            raise ValueError(f"There is no fault {', '.join(unknown)}: use {known}.")
        check_shares(shares)
        self.shares, self.seed = dict(shares), seed
        self.drawn: Counter[str] = Counter()
        self._tries: Counter[str] = Counter()

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> Plan:
        """From ``"429=2%,500=2%,hang=1%"``. Raises ``ValueError``."""
        return cls(read_shares(text), seed)

    def among(self, known: Iterable[str]) -> Plan:
        """A fresh plan with the faults that ``known`` names only: a provider's own."""
        return Plan(
            {name: share for name, share in self.shares.items() if name in known}, self.seed
        )

    def must_be_among(self, known: Iterable[str]) -> None:
        """Raises ``ValueError`` for a fault that ``known`` does not name."""
        unknown = sorted(set(self.shares) - set(known))
        if unknown:
            raise ValueError(f"This provider has no fault {', '.join(unknown)}.")

    def draw(self, key: str) -> str:
        """What befalls the next try of ``key``: the name of a fault, "" when all goes well."""
        number = self._tries[key]
        self._tries[key] = number + 1
        name = choose(self.shares, chance(self.seed, key, number))
        if name:
            self.drawn[name] += 1
        return name
