"""What Granian serves: ``granian --interface wsgi workers.web:app``.

It stands with the workers because it is where the web meets RQ: after each commit the lanes
that have work are hinted to the queue. A request waits in its thread for its commit, so give
the process as many threads as requests should share one (``--blocking-threads 32``); they
sleep while they wait.
"""

from __future__ import annotations

from engine import bootstrap
from engine.errors import ConfigError
from engine.intake.hints import LaneHints
from engine.runtime.memory import look_for_cycles_seldom
from engine.settings import Settings
from workers.queues import WorkQueue, connect

_settings = Settings.from_environment()
if not _settings.redis_url:
    raise ConfigError("REDIS_URL is not set: start everything with `winback up`.")

look_for_cycles_seldom()
app = bootstrap.web_app(_settings, LaneHints(WorkQueue(connect(_settings.redis_url)).drain))
