"""A shopper of the shop, as a template would see them."""

from __future__ import annotations

from typing import Any

from engine.cli._changes import shop
from engine.language import load_policy
from engine.runtime.explain import explain
from engine.settings import Settings


def somebody(settings: Settings, asked: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Traits of the shopper called ``asked``, and the properties of the last event that started a
    run of theirs; None where no run of theirs is known. Raises ``Nobody``, and what the database
    raises where it cannot be reached."""
    policy, _ = load_policy(settings.project_dir / "config" / "winback.yaml")
    with shop(settings) as (database, _), database.connection() as connection:
        found = explain(connection, asked, policy.shop.country)
    profile = found.profile
    traits = {
        **profile.traits,
        "orders": profile.orders,
        "lifetime_value": profile.lifetime_value.get(policy.shop.currency, 0),
        "first_seen": profile.first_seen,
        "last_seen": profile.last_seen,
        "last_order_at": profile.last_order_at,
    }
    began = {story.run.event_id for story in found.stories}
    last = [logged.event for logged in found.log if logged.event.id in began]
    return traits, dict(last[-1].properties) if last else None
