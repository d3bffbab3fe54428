"""Random values that keep activations of order one through a hundred layers, so that a wrong order, scale or eps shows.

The branches' last BatchNorm has a small, non-zero scale (a zero one would hide its branch), variances lie in [0.5, 2]
except after the non-local blocks' output, whose values are small: there eps shows.
"""

import math

import numpy as np

Array = np.ndarray


class Draws:
    """Draws float32 arrays of the usual kinds from one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def normal(self, shape: tuple[int, ...], std: float) -> Array:
        return self.rng.normal(0.0, std, shape).astype(np.float32)

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> Array:
        return self.rng.uniform(low, high, shape).astype(np.float32)

    def convolution(self, shape: tuple[int, ...]) -> Array:
        """Weights (out, in, kernel...) that keep the variance through a ReLU."""
        return self.normal(shape, math.sqrt(2.0 / math.prod(shape[1:])))

    def embedding(self, shape: tuple[int, ...]) -> Array:
        """Weights of theta, phi or g: unscaled inner products that differ by about one, and stay small when cubed."""
        return self.normal(shape, 0.4 * shape[1] ** -0.5 * shape[0] ** -0.25)

    def output(self, shape: tuple[int, ...]) -> Array:
        """Weights of a block's output convolution: its values are of order 0.1."""
        return self.normal(shape, 0.2 * shape[1] ** -0.5)

    def classifier(self, shape: tuple[int, ...]) -> Array:
        return self.normal(shape, 0.5 * shape[1] ** -0.5)

    def scale(self, channels: int, *, last: bool = False) -> Array:
        """BatchNorm's scale; last, that of a branch's last one."""
        sign = self.rng.choice([-1.0, 1.0], channels) if last else np.ones(channels)
        return (sign * self.rng.uniform(*((0.1, 0.3) if last else (0.7, 1.3)), channels)).astype(np.float32)

    def shift(self, channels: int) -> Array:
        return self.normal((channels,), 0.1)

    def mean(self, channels: int) -> Array:
        return self.normal((channels,), 0.1)

    def var(self, channels: int, *, small: bool = False) -> Array:
        return self.uniform((channels,), *((0.02, 0.1) if small else (0.5, 2.0)))
