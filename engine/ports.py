"""What the runtime needs of the rooms it does not import: a few methods each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from engine.model.message import Message, Receipt, Rendered
from engine.model.profile import Profile


class Channel(Protocol):
    """A message provider. ``send`` may be called from several threads at once.

    Raises ``DeliveryError`` when the provider is known not to have the message, and
    ``OutcomeUnknown`` when nobody can know.
    """

    name: str

    def send(self, rendered: Rendered) -> Receipt: ...


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
