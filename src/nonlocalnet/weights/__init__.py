"""Weights from elsewhere: names as tables, safe reading, and what a network or a block needs done to them."""

from nonlocalnet.weights.blocks import block_from_state_dict
from nonlocalnet.weights.catalogue import CATALOGUE, ReleasedFile
from nonlocalnet.weights.inflate import InflationReport, inflate

__all__ = ["CATALOGUE", "InflationReport", "ReleasedFile", "block_from_state_dict", "inflate"]
