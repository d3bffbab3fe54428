"""Where a non-local block looks: its affinities for a chosen position, and pictures of them."""

from nonlocalnet.explain.figure import draw_look
from nonlocalnet.explain.look import Look, look

__all__ = ["Look", "draw_look", "look"]
