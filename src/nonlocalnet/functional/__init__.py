"""The non-local operation of equation 1, exact, without a large N x M matrix.

    y_i = 1/C(x) sum_j f(x_i, x_j) g_j

A function per pairwise f of the paper, `causal_sum` for sequences that are read in order, `affinity` for the weights of
a few asked positions, and `algorithm`, which says the form that a sum of some size takes on some device.
"""

from nonlocalnet.functional.causal_sum import causal_sum
from nonlocalnet.functional.pairwise import PAIRWISE, Pairwise, PairwiseFunction, algorithm
from nonlocalnet.functional.product_form import dot_product
from nonlocalnet.functional.relu_form import concatenation
from nonlocalnet.functional.rows import affinity
from nonlocalnet.functional.softmax_form import embedded_gaussian, gaussian

__all__ = [
    "PAIRWISE",
    "Pairwise",
    "PairwiseFunction",
    "affinity",
    "algorithm",
    "causal_sum",
    "concatenation",
    "dot_product",
    "embedded_gaussian",
    "gaussian",
]
