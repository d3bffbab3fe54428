from __future__ import annotations

import math

import pytest
import torch
from torchmetrics.functional.classification import multilabel_average_precision

from nonlocalnet.engine.confusion import confusion_matrix
from nonlocalnet.runs.video.results.metrics import (
    average_precision,
    mean_average_precision,
    topk_correct,
)


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


def official_ap(scores: list[float], positive: list[bool]) -> float:
    """One class of the official script, as it is written: a loop over the ranking."""
    ranking = sorted(range(len(scores)), key=lambda i: -scores[i])
    found, total = 0, 0.0
    for seen, i in enumerate(ranking, start=1):
        if positive[i]:
            found += 1
            total += found / seen
    return total / found if found else float("nan")


@pytest.mark.parametrize("rarity", [0.5, 0.1, 0.02])
def test_average_precision_is_the_official_scripts(rarity: float) -> None:
    scores, labels = torch.rand(60, 30), torch.rand(60, 30) < rarity
    empty = ~labels.any(1)
    assert empty.any() or rarity > 0.1
    ours = average_precision(scores, labels).tolist()
    fixed = scores.double().masked_fill(empty[:, None], -torch.inf)
    expected = [official_ap(fixed[:, k].tolist(), labels[:, k].tolist()) for k in range(30)]
    assert ours == pytest.approx(expected, nan_ok=True, abs=1e-12)
    assert any(not labels[:, k].any() for k in range(30)) == any(value != value for value in ours)


def test_average_precision_agrees_with_an_independent_implementation() -> None:
    scores, labels = torch.rand(100, 20), torch.rand(100, 20) < 0.2
    labels[:, 3], labels[:, 4] = False, labels[:, 4] | ~labels.any(1)
    assert labels.any(1).all()
    kept = [k for k in range(20) if k != 3]  # the other implementation has no answer of its own for an empty class
    theirs = multilabel_average_precision(scores[:, kept], labels[:, kept].int(), num_labels=19, average=None)
    assert theirs is not None
    ours = average_precision(scores, labels)
    torch.testing.assert_close(ours[kept].float(), theirs)
    assert ours[3].isnan()
    assert mean_average_precision(scores, labels) == pytest.approx(100 * theirs.double().mean().item(), rel=1e-5)


def test_videos_without_a_class_or_a_score_rank_last() -> None:
    scores = torch.tensor([[0.9], [0.5], [-torch.inf], [0.4]])
    labels = torch.tensor([[0], [1], [1], [0]])
    # Ranks: the second video, then those at -inf in the list's order: first (no class), third (no score), fourth.
    assert average_precision(scores, labels).item() == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_no_class_with_positives_gives_no_number() -> None:
    assert math.isnan(mean_average_precision(torch.rand(4, 3), torch.zeros(4, 3)))


@pytest.mark.parametrize("k", [1, 3, 9])
def test_topk_with_several_classes_needs_one_of_them(k: int) -> None:
    scores, labels = torch.randint(0, 4, (200, 7)).float(), torch.rand(200, 7) < 0.2
    expected = []
    for row, true in zip(scores.tolist(), labels.tolist(), strict=True):
        order = sorted(range(7), key=lambda i: (-row[i], i))[:k]
        expected.append(any(true[i] for i in order))
    assert topk_correct(scores, labels, k=k).tolist() == expected
    single = torch.randint(0, 7, (200,))
    hot = torch.nn.functional.one_hot(single, 7)
    assert torch.equal(topk_correct(scores, hot, k=k), topk_correct(scores, single, k=k))
