"""The journey language: YAML to model, with a diagnostic for every mistake. See README.md."""

from engine.language.codes import CODES, Code
from engine.language.folders import JourneySet, journey_files, load_files, load_journeys
from engine.language.journeys import load_journey
from engine.language.policy import load_policy
from engine.language.segments import SegmentSet, compile_segment, load_segments, segment_files

__all__ = [
    "CODES",
    "Code",
    "JourneySet",
    "SegmentSet",
    "compile_segment",
    "journey_files",
    "load_files",
    "load_journey",
    "load_journeys",
    "load_policy",
    "load_segments",
    "segment_files",
]
