"""The sums over what came before: every query takes the first of the keys only, as many as it has seen.

    y_i = 1 / C_i sum_{j < seen_i} f(x_i, x_j) g_j          0 where nothing is seen, or all of it left out

`seen` grows with i: i + 1 for a sequence whose keys are its own positions, whole frames in videos, whole windows where
keys are pooled. No form holds an N x M matrix; each differentiates into itself or makes its blocks again.
"""
