"""What becomes of the links in messages. Read from ``links:`` in config/winback.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LinkRules:
    """``track``    links lead over the shop's own address, which counts the click.
    ``shorten``  those in text messages become short.
    ``utm``      parameters for the shop's analytics, by their name without ``utm_``; the values
                 may hold ``{journey}``, ``{channel}``, ``{template}`` and ``{step}``. They are
                 put onto links to the shop alone, and never over one that the link has already.
    """

    track: bool = False
    shorten: bool = True
    utm: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ShortLink:
    """A short address that is ours to remember. ``code``: what stands after ``/s/``."""

    code: str
    url: str
