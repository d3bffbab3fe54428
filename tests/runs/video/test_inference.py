"""Scoring faster: memory order, folded BatchNorm, bfloat16, compilation."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from torch import nn

from nonlocalnet.models import VideoResNet, c2d_resnet50_control, i3d_resnet50
from nonlocalnet.models.video.folding import fold_batch_norm
from nonlocalnet.runs.video.inference import Inference, for_inference, views_at_once
from nonlocalnet.runs.video.results.summary import measure_movement
from nonlocalnet.runs.video.score_videos import score_videos

CPU = torch.device("cpu")


def lively(model: VideoResNet) -> VideoResNet:
    """Statistics, scales and a classifier as after training, so that every BatchNorm and block counts."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm3d):
                for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
                    assert tensor is not None
                    tensor.uniform_(0.5, 1.5)
        model.head.projection.weight.normal_(std=0.02)
    return model.eval()


@pytest.fixture(scope="module")
def model() -> VideoResNet:
    torch.manual_seed(0)
    return lively(i3d_resnet50(num_classes=3, width=4, clip="8x8", crop=32, nonlocal_blocks=5))


def frames() -> torch.Tensor:
    return torch.randn(2, 3, 8, 40, 48)


def test_folding_leaves_no_batch_norm_and_the_same_scores(model: VideoResNet) -> None:
    double = lively(i3d_resnet50(num_classes=3, width=4, clip="8x8", crop=32, nonlocal_blocks=5)).double()
    x = frames().double()
    before = {name: tensor.clone() for name, tensor in double.state_dict().items()}
    folded = fold_batch_norm(double)
    assert not any(isinstance(module, nn.BatchNorm3d) for module in folded.modules())
    assert isinstance(folded, VideoResNet)
    torch.testing.assert_close(folded.scores(x), double.scores(x), rtol=1e-9, atol=1e-12)
    # Folding did something, and not to the network itself.
    assert not torch.equal(folded.stem.conv.weight, double.stem.conv.weight)
    assert all(torch.equal(tensor, before[name]) for name, tensor in double.state_dict().items())


def test_folding_reaches_the_control_and_long_clips_without_norms() -> None:
    x = frames()
    for network in (
        c2d_resnet50_control(num_classes=3, width=4, clip="8x8", crop=32, residual_blocks=1),
        i3d_resnet50(num_classes=3, width=4, clip="32x4", crop=32, nonlocal_blocks=1),
    ):
        lively(network)
        folded = fold_batch_norm(network)
        assert not any(isinstance(module, nn.BatchNorm3d) for module in folded.modules())
        assert isinstance(folded, VideoResNet)
        torch.testing.assert_close(folded.scores(x), network.scores(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("options", [Inference(), Inference(channels_last=False), Inference(fold_bn=True)])
@pytest.mark.parametrize("multi_label", [False, True])
def test_options_move_scores_by_rounding_only(model: VideoResNet, options: Inference, multi_label: bool) -> None:
    x = frames()
    fast, exact = for_inference(model, options)
    assert exact is None
    with torch.inference_mode():
        torch.testing.assert_close(
            fast.scores(x, multi_label=multi_label), model.scores(x, multi_label=multi_label), rtol=1e-3, atol=1e-4
        )
    assert fast.num_classes == 3


def test_probabilities_in_bf16_are_taken_in_float32(model: VideoResNet) -> None:
    fast, _ = for_inference(model, Inference(bf16=True))
    with torch.inference_mode():
        scores = fast.scores(frames())
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores.sum(dim=-1), torch.ones(len(scores)), rtol=0, atol=1e-6)


def test_views_at_once() -> None:
    assert views_at_once(CPU) == 2
    assert views_at_once(torch.device("cuda", 1)) == 10


def items(count: int) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(1)
    shape = (2, 8, 40, 40, 3)
    views = [torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator) for _ in range(count)]
    return [{"views": v, "label": 0, "index": i, "error": "gone" if i == 1 else ""} for i, v in enumerate(views)]


def test_bf16_is_compared_with_float32_on_some_videos(model: VideoResNet) -> None:
    fast, exact = for_inference(model, Inference(bf16=True))
    assert exact is not None
    results = list(
        score_videos(
            fast,
            items(4),
            prepare=lambda views: views.permute(0, 4, 1, 2, 3).float() / 64 - 2,
            device=CPU,
            batch_views=2,
            float32_model=exact,
            compared={0, 1, 3},
            progress=False,
        )
    )
    assert [r.float32_mean is not None for r in results] == [True, False, False, True]  # 1 cannot be read
    movement = measure_movement(results)
    assert movement is not None
    pairs = [(results[i].mean, results[i].float32_mean) for i in (0, 3)]
    changes = torch.stack([(a - b).abs() for a, b in pairs if b is not None])
    assert (movement.videos, movement.largest_change) == (2, pytest.approx(changes.max().item()))
    assert movement.mean_change == pytest.approx(changes.mean().item())
    assert 0 < movement.largest_change < 0.5
    assert "bfloat16 against float32 on 2 videos" in str(movement)
    plain = list(
        score_videos(
            for_inference(model, Inference())[0],
            items(1),
            prepare=lambda views: views.permute(0, 4, 1, 2, 3).float() / 64 - 2,
            device=CPU,
            batch_views=2,
            progress=False,
        )
    )
    assert measure_movement(plain) is None
    assert torch.allclose(plain[0].mean, pairs[0][1])  # pyright: ignore[reportArgumentType]


def test_a_processor_without_bf16_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "nonlocalnet")
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert Inference().on(CPU).bf16 is False
    assert Inference(bf16=True).on(torch.device("cuda")).bf16
    assert not caplog.records
    assert Inference(bf16=True).on(CPU).bf16
    assert "no bfloat16 arithmetic" in caplog.text


def test_a_gpu_with_bf16_scores_in_it_unless_told_not_to(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nonlocalnet")
    gpu = torch.device("cuda")
    for fast in (False, True):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda fast=fast, **_: fast)
        assert Inference().on(gpu).bf16 is fast
        assert Inference(bf16=False).on(gpu).bf16 is False
    assert "scoring in bfloat16" in caplog.text


def test_compared_must_be_positive() -> None:
    with pytest.raises(ValueError, match=r"compared \(--compared\) must be at least 1, got 0"):
        Inference(compared=0)


class Small(nn.Module):
    """As little to compile as a scorer can have."""

    num_classes = 3

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 3, 1)

    def scores(self, x: torch.Tensor, *, multi_label: bool = False) -> torch.Tensor:
        return self.conv(x).mean((2, 3, 4)).softmax(1)


@pytest.mark.slow
def test_compiled_scores_are_the_same() -> None:
    small, x = Small(), torch.randn(2, 3, 2, 4, 4)
    fast, _ = for_inference(small, Inference(compile=True))
    with torch.inference_mode():
        torch.testing.assert_close(fast.scores(x), small.scores(x))
