"""What every part of the runtime is handed: one bundle, made by bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from engine.clock import Clock
from engine.core.book import JourneyBook
from engine.model.policy import Policy
from engine.ports import Channel, Renderer
from engine.runtime.segments.shelf import SegmentShelf
from engine.store.database import Database

#: Messages are delivered in this many shards, one worker a shard, so that no two workers
#: render the same candidates.
SHARDS = 4


@dataclass(slots=True)
class Shell:
    """``book`` and ``policy`` are called for each batch, so an edited journey is picked up
    without a restart; ``book`` may be given the (journey, version)s that it must know.
    ``channels`` maps a channel ("email") to the provider that serves it, ``fallbacks`` to those
    that stand in for it, in their order."""

    database: Database
    clock: Clock
    book: Callable[..., JourneyBook]
    policy: Callable[[], Policy]
    renderer: Renderer | None = None
    channels: Mapping[str, Channel] = field(default_factory=dict)
    #: leave out consent, caps, quiet hours (``replay --bare``)
    bare: bool = False
    #: event-time replay: timers and messages are judged at their own time, whatever the clock says
    exact: bool = False
    fallbacks: Mapping[str, Sequence[Channel]] = field(default_factory=dict)

    def carriers(self, channel: str) -> tuple[Channel, ...]:
        """Who may carry the messages of a channel, its own provider first."""
        return (self.channels[channel], *self.fallbacks.get(channel, ()))

    #: answers to claims of coupon codes; of those that are not in it the shop's pools are asked
    codes: Mapping[str, str | None] = field(default_factory=dict)
    #: pools that this worker has lately found without a code
    dry: set[str] = field(default_factory=set)
    #: the segments in force
    segments: SegmentShelf = field(default_factory=SegmentShelf)
    #: the shop's, by which those are known again who were erased
    secret: str = field(default="", repr=False)
    #: (journey, version, path, error) of the faults that this process has logged
    told: set[tuple[str, str, str, str]] = field(default_factory=set)

    def at(self, due: datetime) -> datetime:
        """The time by which something that is due at ``due`` is judged."""
        return due if self.exact else self.clock.now()

    def real(self, seconds: float) -> timedelta:
        """``seconds`` of real time, on this clock."""
        return timedelta(seconds=seconds * self.clock.speed)
