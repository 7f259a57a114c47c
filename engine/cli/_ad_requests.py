"""How many requests the ad platforms have had of those that they take."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from engine.audiences import LONGER
from engine.clock import Clock
from engine.model.policy import Policy
from engine.store import listing_calls as calls_store
from engine.store.database import Connection


def ad_requests(connection: Connection, policy: Policy, clock: Clock) -> list[dict[str, Any]]:
    """Of each platform how many requests it has had of those that it takes."""
    now, found = clock.now(), []
    for platform in sorted({one.platform for one in policy.audiences.values()}):
        most, seconds = LONGER[platform]
        since = now - timedelta(seconds=seconds * clock.speed)
        made = calls_store.made_since(connection, platform, since)
        found.append({"platform": platform, "made": made, "most": most, "hours": seconds / 3600})
    return found
