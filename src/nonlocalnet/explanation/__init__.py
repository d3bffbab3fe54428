"""Where a non-local block looks: its affinities for a chosen position, and pictures of them."""

from nonlocalnet.explanation.figure import draw_look
from nonlocalnet.explanation.look import Look, look

__all__ = ["Look", "draw_look", "look"]
