"""Where non-local blocks look: the weights of chosen positions, of all positions, and pictures and a page of them."""

from nonlocalnet.explanation.explain import BlockExplanation, Explanation, explain
from nonlocalnet.explanation.figure import draw_look
from nonlocalnet.explanation.look import Look, look
from nonlocalnet.explanation.survey import Histogram, Survey

__all__ = ["BlockExplanation", "Explanation", "Histogram", "Look", "Survey", "draw_look", "explain", "look"]
