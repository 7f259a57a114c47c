"""What the runtime needs of the rooms it does not import: a few methods each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

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
