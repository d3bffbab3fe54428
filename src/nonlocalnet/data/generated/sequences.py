"""Generated sequences whose answer needs values far apart: the adding problem, copy memory, associative recall.

    adding      value    .3 .8 .1 .5 .9 .2 .7 .4         copy    x       3 1 8 . . . . . . 9 9 9 9
                mark      0  1  0  0  0  0  1  0                 target  . . . . . . . . . . 3 1 8
                target   .8 + .7                                 3 symbols, 7 blanks; . is 0, 9 says that it is time

    recall      x       2 b 0 d 1 a  0 2 1       three keys with a value each, then each key once more;
                target  ~ ~ ~ ~ ~ ~  d b a       ~ is not asked, and every answer stands in another place

Every item is a function of (seed, index), made when it is asked for: a training takes as many as it has samples, a test
another seed. Keys are an index, or (epoch, index), which is the same item.
"""

import numpy as np
import torch
from torch.utils.data import Dataset

from nonlocalnet.data.generated.videos import check_range
from nonlocalnet.data.padded import IGNORED, SequenceItem, index_of, item_of


class AddingProblem(Dataset[SequenceItem]):
    """The adding problem: x float32 (T, 2), values and marks; the target is float32 (), the sum of the marked values.

    Hochreiter and Schmidhuber, "Long short-term memory" (Neural Computation 1997), in the form in which networks
    are compared today: values uniform in [0, 1], two marked, one in each half (Arjovsky, Shah and Bengio, arXiv
    1511.06464). The released code of Bai, Kolter and Koltun (arXiv 1803.01271) draws the two places anywhere; the
    original draws values in [-1, 1] and marks one of the first ten. Always answering 1 has the error 1/6 = 0.167.

    Args:
        num_items: How many, at least 1.
        length: T, at least 2.
        seed: At least 0.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(self, num_items: int, *, length: int, seed: int) -> None:
        for name, value, low in (("num_items", num_items, 1), ("length", length, 2), ("seed", seed, 0)):
            check_range(name, value, low, None)
        self.num_items = num_items
        self.length = length
        self.seed = seed

    def __len__(self) -> int:
        return self.num_items

    def __getitem__(self, key: int | tuple[int, int]) -> SequenceItem:
        index = index_of(key, len(self))
        rng = np.random.default_rng([self.seed, index])
        x = np.zeros((self.length, 2), np.float32)
        x[:, 0] = rng.random(self.length, dtype=np.float32)
        half = self.length // 2
        places = [int(rng.integers(half)), int(rng.integers(half, self.length))]
        x[places, 1] = 1
        return item_of(torch.from_numpy(x), torch.tensor(x[places, 0].sum()), index)


class CopyMemory(Dataset[SequenceItem]):
    """Copy memory: x int64 (T + 2 L,), the target int64 (T + 2 L,): 0, and at the end the L symbols of the start.

    As the released code of Bai, Kolter and Koltun (arXiv 1803.01271) has it, after Hochreiter and Schmidhuber (1997): L
    symbols of 1 to K, T - 1 zeros, L + 1 times K + 1. Classes are the K + 1 numbers 0 to K, inputs the K + 2 up to
    K + 1. Always answering 0 before the end and guessing there has the cross-entropy L ln K / (T + 2 L) a position.

    Args:
        num_items: How many, at least 1.
        blanks: T, at least 1.
        num_symbols: K, at least 2.
        copied: L, at least 1.
        seed: At least 0.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(self, num_items: int, *, blanks: int, num_symbols: int = 8, copied: int = 10, seed: int) -> None:
        for name, value, low in (
            ("num_items", num_items, 1),
            ("blanks", blanks, 1),
            ("num_symbols", num_symbols, 2),
            ("copied", copied, 1),
            ("seed", seed, 0),
        ):
            check_range(name, value, low, None)
        self.num_items = num_items
        self.blanks = blanks
        self.num_symbols = num_symbols
        self.copied = copied
        self.seed = seed

    @property
    def num_inputs(self) -> int:
        """How many numbers x has."""
        return self.num_symbols + 2

    @property
    def num_classes(self) -> int:
        """How many numbers the target has."""
        return self.num_symbols + 1

    def __len__(self) -> int:
        return self.num_items

    def __getitem__(self, key: int | tuple[int, int]) -> SequenceItem:
        index = index_of(key, len(self))
        rng = np.random.default_rng([self.seed, index])
        symbols = torch.from_numpy(rng.integers(1, self.num_symbols + 1, size=self.copied))
        x = torch.zeros(self.blanks + 2 * self.copied, dtype=torch.int64)
        target = torch.zeros_like(x)
        x[: self.copied] = symbols
        x[-self.copied - 1 :] = self.num_symbols + 1
        target[-self.copied :] = symbols
        return item_of(x, target, index)


class AssociativeRecall(Dataset[SequenceItem]):
    """Associative recall: x int64 (3 P,), P keys with a value after each, then the keys again; the target int64 (3 P,).

    As many questions as keys, each for the value that stood after the key; before them the target is `IGNORED`. After
    the multi-query associative recall of Arora et al. ("Zoology", arXiv 2312.04927), whose questions come
    between further tokens and some keys are not asked for. Keys are the numbers 0 to P - 1, each once, in two random
    orders; values are V numbers from P on, classes the V numbers from 0. What knows the values of k of the keys and
    guesses the others is right in (k + (P - k) / V) / P of the cases.

    Args:
        num_items: How many, at least 1.
        pairs: P, at least 1.
        num_values: V, at least 2.
        seed: At least 0.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(self, num_items: int, *, pairs: int, num_values: int = 8, seed: int) -> None:
        for name, value, low in (
            ("num_items", num_items, 1),
            ("pairs", pairs, 1),
            ("num_values", num_values, 2),
            ("seed", seed, 0),
        ):
            check_range(name, value, low, None)
        self.num_items = num_items
        self.pairs = pairs
        self.num_values = num_values
        self.seed = seed

    @property
    def num_inputs(self) -> int:
        """How many numbers x has."""
        return self.pairs + self.num_values

    @property
    def num_classes(self) -> int:
        """How many numbers the target has."""
        return self.num_values

    def __len__(self) -> int:
        return self.num_items

    def __getitem__(self, key: int | tuple[int, int]) -> SequenceItem:
        index = index_of(key, len(self))
        rng = np.random.default_rng([self.seed, index])
        keys, asked = (torch.from_numpy(rng.permutation(self.pairs)) for _ in range(2))
        values = torch.from_numpy(rng.integers(self.num_values, size=self.pairs))
        shown = torch.stack([keys, self.pairs + values], dim=1).flatten()
        value_of = torch.empty_like(values)
        value_of[keys] = values
        target = torch.full((3 * self.pairs,), IGNORED)
        target[2 * self.pairs :] = value_of[asked]
        return item_of(torch.cat([shown, asked]), target, index)
