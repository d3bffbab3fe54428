"""The non-local block, around any of the four operations of `nonlocalnet.functional`."""

from nonlocalnet.block.nonlocal_block import AffinityRows, NonLocalBlock
from nonlocalnet.block.options import BlockArguments, BlockOptions, Domain, Norm

__all__ = ["AffinityRows", "BlockArguments", "BlockOptions", "Domain", "NonLocalBlock", "Norm"]
