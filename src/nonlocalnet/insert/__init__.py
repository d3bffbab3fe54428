"""Non-local blocks inside any network: `insert_nonlocal` puts them in, `nonlocal_blocks` finds them."""

from nonlocalnet.insert.insert import insert_nonlocal, nonlocal_blocks

__all__ = ["insert_nonlocal", "nonlocal_blocks"]
