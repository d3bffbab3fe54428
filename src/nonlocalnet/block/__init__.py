"""The non-local block, around any of the four operations of `nonlocalnet.functional`."""

from nonlocalnet.block.nonlocal_block import AffinityRows, NonLocalBlock
from nonlocalnet.block.options import Domain, Norm

__all__ = ["AffinityRows", "Domain", "NonLocalBlock", "Norm"]
