"""Sums over some of the positions: windows around each, and positions that are learned.

    y_i = 1 / C_i sum_{j in S_i} f(x_i, x_j) p_j g_j          |S_i| in the place of M; p = 1 for windows

Equation 1 with a smaller set of j. The paper takes all of them, or pools; what is here goes beyond it.
"""
