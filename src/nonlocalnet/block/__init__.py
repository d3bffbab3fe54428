"""The non-local block, around any of the four operations of `nonlocalnet.functional`."""

from nonlocalnet.block.affinities import Affinities
from nonlocalnet.block.nonlocal_block import AffinityRows, NonLocalBlock
from nonlocalnet.block.options import BlockArguments, BlockOptions, Domain, Norm
from nonlocalnet.block.positions import KeyBlocks, LearnedPositions, PositionScorer, auxiliary_loss
from nonlocalnet.block.streaming import StreamState

__all__ = [
    "Affinities",
    "AffinityRows",
    "BlockArguments",
    "BlockOptions",
    "Domain",
    "KeyBlocks",
    "LearnedPositions",
    "NonLocalBlock",
    "Norm",
    "PositionScorer",
    "StreamState",
    "auxiliary_loss",
]
