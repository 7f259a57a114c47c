"""SPF (RFC 7208): which machines may send with this domain as the envelope's sender."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.deliverability.records import Records, Unanswered
from engine.model.check import Check

#: Terms that make the receiver ask the DNS, and how many it asks for (4.6.4).
_ASKING = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})
_MOST, _MOST_VOID = 10, 2
_TERM = re.compile(r"([+?~-]?)([a-z0-9]+)(?:([:=])([^/\s]*))?((?:/\d+){0,2}|//\d+)$", re.I)
_KNOWN = _ASKING | {"all", "ip4", "ip6", "exp"}


@dataclass(slots=True)
class _Walk:
    """What a receiver meets on its way through a record and those that it includes."""

    records: Records
    lookups: int = 0
    void: int = 0
    wrong: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    included: set[str] = field(default_factory=set)
    path: tuple[str, ...] = ()


def examine(records: Records, domain: str, include: str = "") -> Iterator[Check]:
    """Checks of the SPF record of ``domain``. ``include``: what the provider that sends says
    must be in it, such as "sendgrid.net". Raises nothing: what cannot be asked is a note."""
    try:
        found = _spf(records, domain)
    except Unanswered as error:
        yield Check("SPF", "note", str(error))
        return
    if not found:
        wanted = f"v=spf1 include:{include} ~all" if include else "v=spf1 mx ~all"
        yield Check("SPF", "finding", f"{domain} has no SPF record", f'add: @ TXT "{wanted}"')
        return
    if len(found) > 1:
        yield Check(
            "SPF",
            "finding",
            f"{domain} has {len(found)} SPF records: receivers use none of them (RFC 7208, 4.5)",
            "put all their terms into one and delete the others",
        )
        return
    walk = _Walk(records)
    _follow(walk, domain, found[0])
    yield from _judged(walk, domain, found[0], include)


def _judged(walk: _Walk, domain: str, record: str, include: str) -> Iterator[Check]:
    for wrong in walk.wrong:
        yield Check("SPF", "finding", wrong, "correct the term: one that is wrong breaks it all")
    if walk.lookups > _MOST:
        yield Check(
            "SPF",
            "finding",
            f"it makes receivers ask the DNS {walk.lookups} times; past {_MOST} it fails for all",
            "take out services that no longer send, or write their addresses as ip4:",
        )
    if walk.void > _MOST_VOID:
        yield Check(
            "SPF",
            "finding",
            f"{walk.void} of its names do not exist; past {_MOST_VOID} receivers give up",
            "take the names out that are gone",
        )
    ends = [term for term in record.lower().split() if term.lstrip("+?~-") == "all"]
    redirects = "redirect=" in record.lower()
    if not ends and not redirects:
        yield Check("SPF", "note", "it has no end, so it forbids nobody", "end it with ~all")
    elif ends and ends[0] in ("all", "+all"):
        yield Check("SPF", "finding", "it allows the whole world to send as you", "write ~all")
    elif ends and ends[0] == "?all":
        yield Check("SPF", "note", "?all says nothing about others", "write ~all")
    for name in walk.unseen:
        yield Check("SPF", "note", f"{name}: what it includes could not be looked at")
    if include and include not in walk.included:
        yield Check(
            "SPF",
            "finding",
            f"it does not allow your provider: include:{include} is missing",
            f"write include:{include} before the end of the record",
        )
    elif not walk.wrong and walk.lookups <= _MOST and walk.void <= _MOST_VOID:
        yield Check("SPF", "ok", f"{record} ({walk.lookups} of {_MOST} questions to the DNS)")


def _spf(records: Records, domain: str) -> list[str]:
    texts = records.look(domain, "TXT")
    return [text for text in texts if text.lower().split(" ")[0] == "v=spf1"]


def _follow(walk: _Walk, domain: str, record: str) -> None:
    if domain in walk.path:
        walk.wrong.append(f"{domain} includes itself")
        return
    walk.path += (domain,)
    for term in record.split()[1:]:
        wrong = _wrong(term)
        if wrong:
            walk.wrong.append(f"{domain}: {term!r} {wrong}")
            continue
        match = _TERM.match(term)
        if match is None or match[2].lower() not in _ASKING:
            continue
        walk.lookups += 1
        kind, target = match[2].lower(), (match[4] or domain).lower().rstrip(".")
        if "%{" not in target:  # a macro depends on who sends
            _ask(walk, kind, target)
    walk.path = walk.path[:-1]


def _ask(walk: _Walk, kind: str, target: str) -> None:
    try:
        if kind in ("include", "redirect"):
            walk.included.add(target)
            found = _spf(walk.records, target)
            if found:
                _follow(walk, target, found[0])
            else:
                walk.wrong.append(f"{kind} {target}: that domain has no SPF record")
        elif kind in ("a", "exists"):
            there = walk.records.look(target, "A") or walk.records.look(target, "AAAA")
            walk.void += not there
        elif kind == "mx":
            walk.void += not walk.records.look(target, "MX")
    except Unanswered:
        walk.unseen.append(target)


def _wrong(term: str) -> str:
    """What is wrong with a term, "" if nothing is."""
    match = _TERM.match(term)
    if match is None:
        # A name of one's own with "=" is allowed and means nothing (6).
        return "" if re.fullmatch(r"[a-z][\w.-]*=\S*", term, re.I) else "is no SPF term"
    _, kind, mark, value, size = match.groups()
    kind = kind.lower()
    if kind not in _KNOWN:
        return "" if mark == "=" else "is no SPF term"
    if kind in ("ip4", "ip6"):
        try:
            network = ipaddress.ip_network((term.partition(":")[2]), strict=False)
        except ValueError:
            return "is no address"
        return "" if f"ip{network.version}" == kind else f"is an IPv{network.version} address"
    if kind in ("include", "exists", "redirect", "exp") and not value:
        return "names no domain"
    if kind == "all" and (mark or size):
        return "takes nothing after it"
    if (kind in ("redirect", "exp")) != (mark == "=") and mark:
        return f"wants {'=' if kind in ('redirect', 'exp') else ':'}"
    return ""
