"""Which sample rates there are: apart from the reader, whose library takes a while to import."""

RATES = (100, 768_000)
"""Samples a second that may be asked for, and that a file may have, the ends included."""
