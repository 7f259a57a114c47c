"""The live page: events, runs and messages as they happen, beside the demo's clock."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template

from engine.store import listing_views, views
from engine.web.demo.parts import parts
from engine.web.demo.safety import protect

#: Lines of each stream. More than fit on a screen only cost.
LINES = 14


blueprint = Blueprint("live", __name__, url_prefix="/live")
blueprint.after_request(protect)


@blueprint.get("/")
def page() -> str:
    return render_template("live.html", here="live", **_board())


@blueprint.get("/board")
def fragment() -> str:
    return render_template("live_board.html", **_board())


def _board() -> dict[str, Any]:
    demo = parts()
    with demo.database.connection() as connection:
        return {
            "now": demo.clock.now(),
            "speed": demo.clock.speed,
            "counts": views.counts(connection),
            "lists": listing_views.on_lists(connection),
            "journeys": views.journeys(connection),
            "events": views.latest_events(connection, LINES),
            "runs": views.latest_runs(connection, LINES),
            "messages": views.latest_messages(connection, LINES),
        }
