"""Watch the rates of complaint and bounce, and pause what goes beyond its limit.

A pause stops sending, not watching: what is due waits, and stops, goals and timers work on. A
person resumes it (`winback resume`); then each message's own `if overdue` decides.
"""

from __future__ import annotations

import logging
from dataclasses import asdict

from engine.core.autopause import Figures, Share, too_bad
from engine.runtime.shell import Shell
from engine.store import report_counts, senders
from engine.store.senders import WINBACK, Pause

log = logging.getLogger(__name__)


def watch(shell: Shell) -> list[Pause]:
    """Count what was reported since the last time, and pause what must be; gives the new pauses.
    It costs what came in and a row for each journey and hour, not what there is."""
    limits = shell.policy().sending.auto_pause
    now = shell.clock.now()
    new: list[Pause] = []
    with shell.database.connection() as connection:
        report_counts.fold(connection, now)
        if limits is None:
            return new
        shares = [
            Share(journey, provider, sender, Figures(*figures))
            for journey, provider, sender, *figures in report_counts.since(
                connection, now - limits.within
            )
        ]
        paused = {pause.subject for pause in senders.pauses(connection)}
        for subject, (why, figures) in too_bad(shares, paused, limits).items():
            pause = Pause(subject, now, WINBACK, why, asdict(figures))
            if senders.pause(connection, pause):
                new.append(pause)
    for pause in new:
        log.warning(
            "%s has paused itself: %s. Resume it: winback resume %s",
            pause.subject.replace(":", " "),
            pause.reason,
            pause.subject,
        )
    return new
