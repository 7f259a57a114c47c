"""What the text messages of a backtest would come to, in segments and money."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal

from engine.core.prices import estimate
from engine.core.shopper import Shopper
from engine.errors import RenderError
from engine.model.message import Message, Sms
from engine.model.policy import Policy
from engine.ports import Renderer


@dataclass(slots=True)
class Bill:
    """Of one journey. ``cost`` by currency. ``unpriced``: messages to countries without a price;
    ``unwritten``: those that could not be rendered from what was recorded."""

    segments: int = 0
    cost: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    unpriced: int = 0
    unwritten: int = 0


@dataclass(frozen=True, slots=True)
class Biller:
    """Writes each text message as it would have been sent, and counts what is billed for it."""

    renderer: Renderer
    policy: Policy

    def add(self, bill: Bill, shopper: Shopper, message: Message) -> None:
        run = shopper.live.get(message.enrollment_id)
        trigger = shopper.triggers.get(message.event_id, {})
        try:
            sms = self.renderer.render(message, shopper.profile, trigger, run.key if run else "")
        except RenderError:
            bill.unwritten += 1
            return
        assert isinstance(sms, Sms)
        bill.segments += sms.segments
        price = estimate(sms, self.policy)
        if price is None:
            bill.unpriced += 1
        else:
            bill.cost[price.currency] += price.amount
