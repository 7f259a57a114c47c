"""DNS records: as somebody wrote them into a file, or as the world sees them now."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Protocol

import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
import dns.zonefile

from engine.errors import ConfigError

#: Seconds that one question to the DNS may take, all tries together.
_PATIENCE = 5.0
_LONGEST_CHAIN = 8


class Unanswered(Exception):
    """Nobody can say what the record is: the DNS did not answer, or the file does not have the
    name of somebody else's domain."""


class Records(Protocol):
    """Answers about names. ``kind``: "TXT", "MX", "A", "AAAA", "CNAME".

    Gives [] where there is none; the strings of one TXT record joined (RFC 7208, 3.3). Raises
    ``Unanswered``.
    """

    def look(self, name: str, kind: str) -> list[str]: ...


class FileRecords:
    """Records in a zone file, as ``dig`` prints them and DNS providers export them (RFC 1035,
    5). Names without a dot at their end are below ``domain``, "@" is the domain itself.

    Raises ``ConfigError`` with about the line that cannot be read.
    """

    def __init__(self, file: Path, domain: str) -> None:
        self._domain = _name(domain)
        self._found: dict[tuple[dns.name.Name, str], list[str]] = defaultdict(list)
        try:
            text = file.read_text("utf-8")
            sets = dns.zonefile.read_rrsets(
                text, origin=self._domain, relativize=False, default_ttl=3600, rdclass=None
            )
        except (OSError, UnicodeDecodeError, dns.exception.DNSException) as error:
            why = re.sub(r"^<input>:(\d+)", r"near line \1", str(error))
            raise ConfigError(
                f"{file} cannot be read as DNS records: {why}. Write them as `dig` prints them, "
                'for example: @ 3600 IN TXT "v=spf1 include:sendgrid.net -all"'
            ) from None
        for found in sets:
            kind = dns.rdatatype.to_text(found.rdtype)
            self._found[found.name, kind] += [_text(one) for one in found]

    def look(self, name: str, kind: str) -> list[str]:
        here = _name(name)
        for _ in range(_LONGEST_CHAIN):
            if (here, kind) in self._found:
                return self._found[here, kind]
            alias = self._found.get((here, "CNAME"))
            if not alias:
                break
            here = _name(alias[0])
        if not here.is_subdomain(self._domain):
            raise Unanswered(f"{here.to_text(omit_final_dot=True)} is not in the records given")
        return []


class LiveRecords:
    """What the resolver of this machine answers."""

    def __init__(self) -> None:
        self._resolver = dns.resolver.Resolver()
        self._resolver.lifetime = _PATIENCE

    def look(self, name: str, kind: str) -> list[str]:
        try:
            answer = self._resolver.resolve(_name(name), kind)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except dns.exception.DNSException as error:
            raise Unanswered(f"the DNS did not answer about {name}: {error}") from None
        return [_text(one) for one in answer]


def _name(text: str) -> dns.name.Name:
    try:
        return dns.name.from_text(text)
    except (dns.exception.DNSException, UnicodeError):
        raise ConfigError(f"{text!r} is not the name of a domain.") from None


def _text(data: object) -> str:
    strings = getattr(data, "strings", None)
    if strings is not None:
        return b"".join(strings).decode("utf-8", "replace")
    return str(data)
