"""A renderer for what is not about messages: no templates, no words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.model.message import Email, Message, Rendered, Sms
from engine.model.profile import Profile


class PlainRenderer:
    """As little as a message can be: whom it is for, and the names of template and key."""

    def render(
        self,
        message: Message,
        traits: Mapping[str, Any] | Profile,
        properties: Mapping[str, Any],
        key: str = "",
        address: str = "",
    ) -> Rendered:
        known = traits.traits if isinstance(traits, Profile) else traits
        if message.channel == "sms":
            return Sms(message.id, address or known["phone"], "shop", message.template)
        return Email(message.id, address or known["email"], "s@x.de", "", message.template, key, "")
