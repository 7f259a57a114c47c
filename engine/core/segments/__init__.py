"""Segments, pure: who is a member, until when that cannot change by time alone, and what makes
it worth asking again. The shell loads a ``Subject``, asks ``judge`` or lets ``follow`` work
through what happened, and writes the changes."""

from engine.core.segments.judge import Verdict, judge
from engine.core.segments.standing import Book, Change, Held, Standing, Step, follow, look_now
from engine.core.segments.subject import Stay, Subject, stays_of
from engine.core.segments.touch import Touch, touch_of

__all__ = [
    "Book",
    "Change",
    "Held",
    "Standing",
    "Stay",
    "Step",
    "Subject",
    "Touch",
    "Verdict",
    "follow",
    "judge",
    "look_now",
    "stays_of",
    "touch_of",
]
