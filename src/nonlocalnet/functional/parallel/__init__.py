"""One sequence over several processes: each holds a part of the positions, and they sum over all of them.

    process 0    x_0 ... x_4 | process 1    x_5 x_6 | process 2    x_7 ... x_11       parts need not be equal

dot product      the C x D states are summed over the group
concatenation    b (one number a key) and g are gathered, then sorted as ever
Gaussian forms   phi and g are gathered; or go round a ring, where memory holds one part and not all

The gradients are exact: each collective's derivative is one too, so all processes must go through the backward pass.
"""
