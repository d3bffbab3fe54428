from __future__ import annotations

import pytest
import torch

from nonlocalnet.engine.metrics import confusion_matrix, topk_correct


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_topk_equals_sorting(k: int) -> None:
    # Few distinct values, so that there are ties.
    scores = torch.randint(0, 4, (200, 7)).float()
    labels = torch.randint(0, 7, (200,))
    expected = []
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        order = sorted(range(7), key=lambda i: (-row[i], i))
        expected.append(label in order[:k])
    assert topk_correct(scores, labels, k=k).tolist() == expected


def test_top1_agrees_with_argmax() -> None:
    scores, labels = torch.randn(100, 5), torch.randint(0, 5, (100,))
    assert torch.equal(topk_correct(scores, labels, k=1), scores.argmax(1) == labels)


def test_nan_scores_are_wrong() -> None:
    scores = torch.tensor([[torch.nan, 1.0], [0.0, 1.0]])
    assert topk_correct(scores, torch.tensor([1, 1]), k=5).tolist() == [False, True]


def test_confusion_matrix() -> None:
    labels, predicted = torch.tensor([0, 0, 2, 2, 2]), torch.tensor([0, 1, 2, 2, 0])
    assert confusion_matrix(labels, predicted, num_classes=3).tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 2]]
