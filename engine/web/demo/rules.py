"""The shop's rules as the demo plays by them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from engine.model.policy import Policy

NAME = "Chinar & Clay"


def demo_policy(rules: Callable[[], Policy], public_url: str) -> Callable[[], Policy]:
    """The rules of config/winback.yaml, except that links lead to the demo shop and every
    channel is the local mailbox: a demo writes to nobody, whatever keys it finds."""

    def policy() -> Policy:
        real = rules()
        shop = replace(
            real.shop,
            name=NAME,
            email_name=NAME,
            url=f"{public_url}/shop",
            sms_from=real.shop.sms_from or "Chinar",
        )
        channels = {"email", "sms", *real.providers}
        sending = replace(real.sending, fallbacks={}, limits={}, warm_up={})
        files = dict.fromkeys(channels, "file")
        return replace(real, shop=shop, providers=files, sending=sending)

    return policy
