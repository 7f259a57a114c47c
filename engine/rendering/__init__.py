"""From a message and a profile to a mail or a text: sandboxed Jinja, MJML, links, locales."""

from engine.rendering.links import Grant, Links
from engine.rendering.renderer import Renderer
from engine.rendering.segments import Segments, segments_of

__all__ = ["Grant", "Links", "Renderer", "Segments", "segments_of"]
