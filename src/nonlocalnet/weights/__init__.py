"""Weights from elsewhere: names as tables, and what a network needs done to them."""

from nonlocalnet.weights.inflate import InflationReport, inflate

__all__ = ["InflationReport", "inflate"]
