"""Padded batches keep every sequence, its length and its target."""

import pytest
import torch

from nonlocalnet.data.padded import IGNORED, collate, index_of, item_of


def test_a_batch_of_tokens_with_a_class_each():
    items = [item_of(torch.tensor([5, 6, 7]), 1, 4), item_of(torch.tensor([8]), 0, 9)]
    batch = collate(items, padding=256)
    assert batch["x"].tolist() == [[5, 6, 7], [8, 256, 256]]
    assert batch["x"].dtype == torch.int64
    assert batch["lengths"].tolist() == [3, 1]
    assert batch["lengths"].dtype == torch.int64
    assert batch["target"].tolist() == [1, 0]
    assert batch["index"].tolist() == [4, 9]
    assert batch["replaced"].tolist() == [False, False]
    assert batch["error"] == ["", ""]


def test_a_class_for_each_position_ends_with_the_sequence():
    items = [item_of(torch.ones(2, 3), torch.tensor([1, 2]), 0), item_of(torch.ones(3, 3), torch.tensor([0, 0, 1]), 1)]
    batch = collate(items)
    assert batch["x"].shape == (2, 3, 3)
    assert batch["x"][0, 2].tolist() == [0, 0, 0]
    assert batch["target"].tolist() == [[1, 2, IGNORED], [0, 0, 1]]
    loss = torch.nn.functional.cross_entropy(torch.zeros(2, 3, 3), batch["target"], reduction="none")
    assert loss[0, 2] == 0


def test_a_value_each():
    batch = collate([item_of(torch.ones(2, 2), torch.tensor(0.5), 0), item_of(torch.ones(1, 2), torch.tensor(1.5), 1)])
    assert batch["target"].tolist() == [0.5, 1.5]
    assert batch["target"].dtype == torch.float32


def test_what_is_no_batch():
    with pytest.raises(ValueError, match="a batch needs at least one sequence, got none"):
        collate([])
    with pytest.raises(ValueError, match="sequence 7 has no position"):
        collate([item_of(torch.ones(3), 0, 1), item_of(torch.ones(0), 0, 7)])


def test_keys():
    assert index_of(3, 4) == index_of((9, 3), 4) == 3
    for key in (4, -1, (0, 4)):
        with pytest.raises(IndexError, match="out of range: 4 sequences"):
            index_of(key, 4)
