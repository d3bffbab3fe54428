"""The non-local operation of equation 1, exact, without a large N x M matrix.

    y_i = 1/C(x) sum_j f(x_i, x_j) g_j

A function per pairwise f of the paper; `affinity` for the weights of a few asked positions; `algorithm`, which says the
form that a sum of some size takes on some device. Beyond the paper: `causal_sum` for sequences that are read in order,
`resume_sum` and `resume_windowed` for their pieces, and sums over fewer positions: `windowed_sum`, `chosen_sum` (with
`sparsek`, the choice), `causal_chosen_sum`, `key_blocks_sum`; `parallel_sum` over a sequence that several processes
share.
"""

from nonlocalnet.functional.causal_sum import causal_sum
from nonlocalnet.functional.index_sets.causal_chosen import causal_chosen_sum
from nonlocalnet.functional.index_sets.chosen import chosen_sum
from nonlocalnet.functional.index_sets.key_blocks import key_blocks_sum
from nonlocalnet.functional.index_sets.sparsek import sparsek
from nonlocalnet.functional.index_sets.windows import windowed_sum
from nonlocalnet.functional.pairwise import PAIRWISE, Pairwise, PairwiseFunction, algorithm
from nonlocalnet.functional.parallel.processes import SequenceParallel
from nonlocalnet.functional.parallel.sums import parallel_sum
from nonlocalnet.functional.product_form import dot_product
from nonlocalnet.functional.relu_form import concatenation
from nonlocalnet.functional.rows import affinity
from nonlocalnet.functional.softmax_form import embedded_gaussian, gaussian
from nonlocalnet.functional.streaming import Store, Total, resume_sum, resume_windowed

__all__ = [
    "PAIRWISE",
    "Pairwise",
    "PairwiseFunction",
    "SequenceParallel",
    "Store",
    "Total",
    "affinity",
    "algorithm",
    "causal_chosen_sum",
    "causal_sum",
    "chosen_sum",
    "concatenation",
    "dot_product",
    "embedded_gaussian",
    "gaussian",
    "key_blocks_sum",
    "parallel_sum",
    "resume_sum",
    "resume_windowed",
    "sparsek",
    "windowed_sum",
]
