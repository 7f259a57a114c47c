"""An ad audience at a platform's API: where it is, who is on it, and what the platform says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class AdList:
    """A list at an ad platform, as config/winback.yaml names it.

    ``audience``  our name, ``google/left-behind``. ``list`` the platform's id of it.
    ``account``   whose list it is (Google). ``login_account``: the manager account through
                  which it is reached, "" for none.
    ``segment``   the segment whose members are on it besides those of journeys, "" for none.
    """

    audience: str
    list: str
    account: str = ""
    login_account: str = ""
    segment: str = ""

    @property
    def platform(self) -> str:
        return self.audience.partition("/")[0]


@dataclass(frozen=True, slots=True)
class AdFile:
    """An audience that is written to files, as config/winback.yaml names it.

    ``segment``  the segment whose members are on it besides those of journeys, "" for none.
    ``to``       where its files go: a folder, ``sftp://user@host/path`` or ``s3://bucket/path``;
                 "": nowhere, they stay in Winback's home.
    ``format``   what they are there.
    """

    audience: str
    segment: str = ""
    to: str = ""
    format: Literal["csv", "jsonl", "parquet"] = "csv"

    @property
    def platform(self) -> str:
        return self.audience.partition("/")[0]


class Hashed(NamedTuple):
    """One shopper as a platform is told of them: hashes only, in the platform's columns.

    ``email`` and ``phone`` are the hashes by which the platform finds people, "" for none;
    they stand among ``cells`` too. ``region`` is the ISO country whose law counts; see
    ``engine.model.adlaw``.
    """

    cells: tuple[str, ...]
    email: str
    phone: str
    region: str


class Listed(NamedTuple):
    """One row of a request. ``consented``: the shopper said yes, to the use of their data for
    ads and to personal ads; else nothing was said, and nothing is claimed."""

    cells: Sequence[str]
    consented: bool = False


class Taken(NamedTuple):
    """A platform took a request. ``reference`` is what its progress is asked by, "" where there
    is none to ask for: then it counts as done."""

    reference: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a platform is with a request. By place in the request: ``refused`` are those that
    it will never take, with its reason, ``again`` those that failed for the moment."""

    state: Literal["processing", "done", "failed"]
    refused: Mapping[int, str] = field(default_factory=dict)
    again: frozenset[int] = frozenset()
    detail: str = ""


class Size(NamedTuple):
    """How many people a platform says are on a list: a range, for platforms round. None: it
    does not say (Meta hides small lists, Google new ones)."""

    low: int | None
    high: int | None
    note: str = ""
