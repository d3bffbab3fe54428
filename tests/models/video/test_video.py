"""The trunk: its initialisation, its three outputs, and the inputs it refuses."""

import copy
import itertools
import math

import pytest
import torch
from torch import nn

from models.video.helpers import tiny
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.bottleneck import Bottleneck

NETWORKS = {"c2d": None, "i3d": "3x1x1", "i3d_3x3x3": "3x3x3"}


@pytest.fixture
def model():
    return tiny(VideoResNet, inflate="3x1x1", clip="8x8")


def test_initialisation_is_the_releases():
    model = VideoResNet(width=32, inflate="3x3x3")
    for module in model.modules():
        if isinstance(module, nn.Conv3d) and module.weight.numel() > 10_000:
            fan_out = module.out_channels * math.prod(module.kernel_size)
            torch.testing.assert_close(module.weight.std().item(), math.sqrt(2 / fan_out), rtol=0.05, atol=0)
        elif isinstance(module, Bottleneck):
            assert module.norm3.weight.eq(0).all()
            assert module.norm1.weight.eq(1).all()
            assert module.norm2.weight.eq(1).all()
            assert module.downsample is None or module.downsample.norm.weight.eq(1).all()
    torch.testing.assert_close(model.head.projection.weight.std().item(), 0.01, rtol=0.05, atol=0)
    assert model.head.projection.bias.eq(0).all()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm3d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-5, 0.1)}
    assert all(module.bias is None for module in model.modules() if isinstance(module, nn.Conv3d))


@pytest.mark.parametrize("depth", [50, 101])
@pytest.mark.parametrize("inflate", NETWORKS.values(), ids=NETWORKS)
def test_one_kernel_is_inflated_in_each_chosen_residual_block(inflate, depth):
    with torch.device("meta"):
        model = VideoResNet(inflate=inflate, depth=depth, width=4)
    frames = {name: m.kernel_size[0] for name, m in model.named_modules() if isinstance(m, nn.Conv3d)}
    spans_time = {name for name, size in frames.items() if size > 1}
    conv = {"3x1x1": "conv1", "3x3x3": "conv2"}.get(inflate)
    num_res4 = {50: 6, 101: 23}[depth]
    chosen = ["res2.0", "res2.1", "res2.2", "res3.0", "res3.2", *(f"res4.{i}" for i in range(0, num_res4, 2)), "res5.1"]
    assert spans_time == ({"stem.conv", *(f"{block}.{conv}" for block in chosen)} if inflate else set())
    assert frames["stem.conv"] == (5 if inflate else 1)
    assert all(size in (1, 3) for name, size in frames.items() if name != "stem.conv")


@pytest.mark.parametrize("variant", ["release", "paper"])
@pytest.mark.parametrize("inflate", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("shape", [(2, 3, 8, 32, 32), (1, 3, 9, 47, 65), (1, 3, 16, 64, 33)])
def test_outputs_have_the_promised_shapes(inflate, variant, shape):
    model = tiny(VideoResNet, inflate=inflate, variant=variant)
    x = torch.randn(shape)
    assert model.feature_map(x).shape[:2] == (shape[0], 256)
    assert model.features(x).shape == (shape[0], 256)
    assert model(x).shape == (shape[0], 5)
    assert model.scores(x).shape == (shape[0], 5)


def test_four_frames_of_32_pixels_run_and_train():
    model = VideoResNet(width=8, num_classes=3, clip="8x8", crop=32)
    model(torch.randn(2, 3, 4, 32, 32)).sum().backward()
    # The zero scales make every residual branch start as zero; the rest of the network learns from the first step.
    assert model.stem.conv.weight.grad.abs().sum() > 0
    assert model.res5[2].norm3.weight.grad.abs().sum() > 0


def test_features_are_the_mean_over_all_positions(model):
    x = torch.randn(2, 3, 8, 64, 64)
    feature_map = model.feature_map(x)
    assert feature_map.shape == (2, 256, 4, 2, 2)
    torch.testing.assert_close(model.features(x), feature_map.flatten(2).mean(-1))
    torch.testing.assert_close(model(x), model.head.projection(model.features(x)))


def test_scores_of_the_training_crop_are_the_softmax_of_the_logits(model):
    x = torch.randn(2, 3, 8, 64, 64)
    torch.testing.assert_close(model.scores(x), model(x).softmax(-1))
    torch.testing.assert_close(model.scores(x, multi_label=True), model(x).sigmoid())


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize(("height", "width"), [(4, 5), (1, 5), (2, 2)])
def test_scores_against_a_literal_loop(model, monkeypatch, height, width, multi_label):
    """A 64-pixel crop means a window of 2 x 2 positions (1 where the map is smaller), over all frames, stride 1."""
    feature_map = torch.randn(2, 256, 3, height, width)  # independent positions, so that places differ in their scores
    monkeypatch.setattr(model, "feature_map", lambda x: feature_map)
    nn.init.normal_(model.head.projection.weight, std=1.0)
    probabilities = []
    for top, left in itertools.product(range(max(height - 1, 1)), range(max(width - 1, 1))):
        window = feature_map[:, :, :, top : top + 2, left : left + 2].mean((2, 3, 4))
        logits = model.head.projection(window)
        probabilities.append(logits.sigmoid() if multi_label else logits.softmax(-1))
    expected = torch.stack(probabilities).mean(0)
    scores = model.scores(torch.empty(0), multi_label=multi_label)
    torch.testing.assert_close(scores, expected)
    pooled_globally = model(torch.empty(0)).softmax(-1)
    assert torch.allclose(pooled_globally, scores, atol=1e-3) == (len(probabilities) == 1 and not multi_label)


def test_scores_drop_nothing_even_in_training_mode():
    model = VideoResNet(width=4, num_classes=3, dropout=0.9, crop=64, clip="8x8")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eval()
    x = torch.randn(1, 3, 4, 64, 64)
    assert model.training
    torch.testing.assert_close(model.scores(x), model.scores(x))
    assert not torch.equal(model(x), model(x))


def test_the_spatial_stride_is_on_the_3x3():
    block = VideoResNet(width=4).res3[0]
    assert (block.conv1.stride, block.conv2.stride) == ((1, 1, 1), (1, 2, 2))


@pytest.mark.parametrize("shape", [(3, 8, 64, 64), (1, 4, 8, 64, 64), (1, 8, 64, 64, 3)])
def test_another_shape_is_refused(model, shape):
    with pytest.raises(ValueError, match=r"must have the shape \(B, 3, T, H, W\), got \(.*\)"):
        model(torch.randn(shape))


def test_integer_frames_are_refused(model):
    with pytest.raises(ValueError, match=r"floating point, got torch.uint8; normalise the frames first"):
        model(torch.zeros(1, 3, 8, 64, 64, dtype=torch.uint8))


def test_too_few_frames_name_the_minimum():
    message = r"at least 7 frames of 5x5 pixels .* variant='release', clip='32x2', got 4 frames of 64x64"
    with pytest.raises(ValueError, match=message):
        tiny(VideoResNet)(torch.randn(1, 3, 4, 64, 64))


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"depth": 34}, "depth must be 50 or 101, got 34"),
        ({"inflate": "5x5x5"}, "inflate must be '3x1x1' or '3x3x3', got '5x5x5'"),
        ({"num_classes": 0}, "num_classes must be a whole number of at least 1, got 0"),
        ({"width": 0}, "width must be a whole number of at least 1, got 0"),
        ({"width": 8.5}, "width must be a whole number of at least 1, got 8.5"),
        ({"crop": 0}, "crop must be a whole number of at least 1, got 0"),
        ({"crop": 1}, "crop must be at least 5, which leaves one place of the map, got 1"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"dropout": "half"}, r"dropout must be in \[0, 1\), got 'half'"),
    ],
)
def test_an_argument_out_of_range_is_refused(argument, message):
    with pytest.raises(ValueError, match=message):
        VideoResNet(**argument)


def test_attributes_and_name():
    model = VideoResNet(depth=101, inflate="3x3x3", num_classes=7, clip="8x8", width=2, crop=288)
    described = (model.architecture, model.num_classes, model.clip, model.variant, model.crop, model.num_features)
    assert described == ("i3d_resnet101", 7, "8x8", "release", 288, 64)
    assert VideoResNet(width=2).architecture == "c2d_resnet50"


def test_copies_and_state_dicts_keep_the_outputs(model):
    x = torch.randn(1, 3, 8, 64, 64)
    assert torch.equal(copy.deepcopy(model)(x), model(x))
    other = tiny(VideoResNet, inflate="3x1x1", clip="8x8")
    assert not torch.equal(other(x), model(x))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(x), model(x))


def test_channels_last_gives_the_same_outputs(model):
    x = torch.randn(2, 3, 8, 64, 64)
    expected = model.scores(x)
    model.to(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(model.scores(x.to(memory_format=torch.channels_last_3d)), expected)


def test_bfloat16_autocast_is_near_float32(model):
    x = torch.randn(2, 3, 8, 64, 64)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        low = model.features(x)
    assert low.dtype == torch.bfloat16
    high = model.features(x)
    assert (low - high).norm() < 0.05 * high.norm()


def test_float64_runs(model):
    assert model.double()(torch.randn(1, 3, 4, 64, 64, dtype=torch.float64)).dtype == torch.float64
