"""What the runtime needs of the rooms it does not import: a few methods each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol, runtime_checkable

from engine.model.audience import AdList, Hashed, Listed, Progress, Size, Taken
from engine.model.lookup import Asked, Found
from engine.model.message import Message, Receipt, Rendered
from engine.model.profile import Profile


class Channel(Protocol):
    """A message provider. ``send`` may be called from several threads at once.

    Raises ``DeliveryError`` when the provider is known not to have the message, and
    ``OutcomeUnknown`` when nobody can know.
    """

    name: str

    def send(self, rendered: Rendered) -> Receipt: ...


@runtime_checkable
class LooksUp(Protocol):
    """A channel whose provider can be asked about a message. It is asked for ``trace`` before
    the call, and by that trace afterwards; neither holds an address."""

    def trace(self, rendered: Rendered) -> str: ...

    def look_up(self, asked: Asked) -> Found: ...


@runtime_checkable
class LooksUpTogether(LooksUp, Protocol):
    """One whose provider is asked about ``at_once`` messages in one request, and takes
    ``per_minute`` of those. It has listed what it has after ``listed_after``, in real time.

    That it lacks a message is believed only where the same answer holds ``known``, one that it
    is known to have taken later."""

    at_once: int
    per_minute: int
    listed_after: timedelta

    def look_up_all(self, asked: Sequence[Asked], known: Asked | None) -> list[Found]: ...


class Renderer(Protocol):
    """Makes what a shopper will see. Raises ``RenderError``."""

    def render(
        self,
        message: Message,
        traits: Mapping[str, Any] | Profile,
        properties: Mapping[str, Any],
        key: str = "",
        address: str = "",
    ) -> Rendered: ...


class AdPlatform(Protocol):
    """The API of an ad platform.

    ``batch`` members at most in a request, ``per_minute`` requests at most, and so many in so
    many seconds of a ``longer`` time. ``add`` and
    ``remove`` raise ``DeliveryError`` when the platform is known not to have the members, and
    ``OutcomeUnknown`` when nobody can know; to do either twice is the same as once. ``request``
    is our id of it (a UUID). A row is hashes only.
    """

    @property
    def name(self) -> str: ...
    @property
    def batch(self) -> int: ...
    @property
    def per_minute(self) -> int: ...
    @property
    def longer(self) -> tuple[int, float]: ...

    def row(self, profile_id: int, traits: Mapping[str, Any], region: str) -> Hashed | None: ...
    def add(self, ad_list: AdList, members: Sequence[Listed], request: str) -> Taken: ...
    def remove(self, ad_list: AdList, members: Sequence[Listed], request: str) -> Taken: ...
    def status(self, reference: str) -> Progress: ...
    def size(self, ad_list: AdList) -> Size: ...
