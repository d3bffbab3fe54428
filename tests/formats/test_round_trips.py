"""Networks written in every format and read back."""

import dataclasses
import io

import pytest
import torch
import yaml

from formats.originals import caffe2, mmaction2, slowfast
from models.video.helpers import randomise_norms
from nonlocalnet import formats, from_checkpoint, models, nonlocal_blocks
from nonlocalnet.formats.reading.read_pickle import read_pickle
from nonlocalnet.models.video.network import fresh_card

SUFFIX = {"nonlocalnet": "safetensors", "slowfast": "pyth", "mmaction2": "pth", "caffe2": "pkl"}


@torch.no_grad()
def trained(factory, **arguments):
    """A tiny network whose norms, blocks and biases all do something."""
    torch.manual_seed(0)
    network = randomise_norms(factory(**{"width": 4, "num_classes": 5, **arguments})).eval()
    for block in nonlocal_blocks(network).values():
        for name, parameter in block.named_parameters():
            if "norm" not in name:
                parameter.normal_(std=0.1)
    return network


def through_a_file(network, tmp_path, to, **asked):
    path = tmp_path / f"network_32x4.{SUFFIX[to]}"
    path.write_bytes(formats.encode(network, to=to))
    return from_checkpoint(path, **asked)


@torch.no_grad()
def assert_same(network, other, frames=8):
    x = torch.randn(1, 3, frames, 64, 72)
    torch.testing.assert_close(other(x), network(x), rtol=1e-5, atol=1e-5)
    x = torch.randn(1, 3, frames, 256, 288)
    torch.testing.assert_close(other.scores(x), network.scores(x), rtol=1e-5, atol=1e-6)


CASES = [
    ("slowfast", "i3d_resnet50", {"variant": "slowfast", "clip": "8x8", "nonlocal_blocks": 5}),
    (
        "slowfast",
        "c2d_resnet50",
        {"variant": "slowfast", "clip": "8x8", "nonlocal_blocks": 5, "pairwise": "dot_product"},
    ),
    ("slowfast", "c2d_resnet101", {"variant": "slowfast-nopool", "clip": "4x16", "crop": 160}),
    ("slowfast", "i3d_resnet50", {"variant": "slowfast-nopool", "clip": "8x8", "inflated": "late", "crop": None}),
    (
        "slowfast",
        "i3d_resnet50",
        {
            "variant": "slowfast",
            "clip": "16x4",
            "nonlocal_blocks": 5,
            "subsample": {"res3": (1, 2, 2), "res4": None},
            "temporal_group_frames": {"res3": 4},
        },
    ),
    ("mmaction2", "i3d_resnet50", {"variant": "mmaction2", "nonlocal_blocks": 5}),
    ("mmaction2", "i3d_resnet50", {"variant": "mmaction2", "nonlocal_blocks": 5, "scale": "rsqrt", "subsample": None}),
    ("mmaction2", "i3d_resnet50", {"variant": "mmaction2", "nonlocal_blocks": 1, "pairwise": "gaussian", "norm": None}),
    ("mmaction2", "i3d_resnet101", {"variant": "mmaction2", "nonlocal_blocks": 5, "pairwise": "concatenation"}),
    ("mmaction2", "i3d_resnet50", {"variant": "mmaction2-heavy", "inflated": "all", "inflate": "3x3x3", "clip": "8x8"}),
    (
        "mmaction2",
        "i3d_resnet50",
        {"variant": "mmaction2-slowonly", "inflated": "late", "clip": "8x8", "nonlocal_blocks": ["res3.0", "res4.2"]},
    ),
    ("mmaction2", "c2d_resnet50", {"variant": "mmaction2-c2d", "clip": "8x8", "width": 64}),
    ("caffe2", "c2d_resnet50", {"nonlocal_blocks": 5, "clip": "32x4", "norm": "batch", "temporal_group_frames": None}),
    ("caffe2", "i3d_resnet101", {"nonlocal_blocks": 5, "clip": "32x4", "trunk_norm": "affine"}),
    ("nonlocalnet", "i3d_resnet50", {"variant": "paper", "nonlocal_blocks": 1, "pairwise": "concatenation"}),
    ("nonlocalnet", "i3d_resnet50", {"nonlocal_blocks": 5, "clip": "128x1", "trunk_norm": "affine"}),
]


@pytest.mark.parametrize(("to", "factory", "arguments"), CASES)
def test_a_network_comes_back_with_the_same_outputs(tmp_path, to, factory, arguments):
    network = trained(getattr(models, factory), **arguments)
    other = through_a_file(network, tmp_path, to)
    frames = 16 if arguments.get("clip") in ("32x4", "16x4", "128x1") or network.geometry.pool1.stride[0] == 2 else 8
    assert_same(network, other, frames=32 if arguments.get("clip") == "128x1" else frames)


@pytest.mark.parametrize(
    ("factory", "arguments", "arch"),
    [
        ("c2d_resnet50", {"variant": "slowfast"}, "c2d"),
        ("c2d_resnet101", {"variant": "slowfast-nopool"}, "2d"),
        ("i3d_resnet101", {"variant": "slowfast"}, "i3d"),
        ("i3d_resnet50", {"variant": "slowfast-nopool"}, "slow_i3d"),
        ("i3d_resnet101", {"variant": "slowfast-nopool", "inflated": "late"}, "slow"),
    ],
)
def test_pyslowfast_builds_the_shapes_that_are_written_for_it(factory, arguments, arch):
    """By its own rule, which truncates the kernels that span time by a setting whose default is a ResNet-50's."""
    network = trained(getattr(models, factory), clip="8x8", nonlocal_blocks=5, **arguments)
    content = torch.load(io.BytesIO(formats.encode(network, to="slowfast")), weights_only=True)
    cfg = yaml.safe_load(content["cfg"])
    assert cfg["MODEL"]["ARCH"] == arch
    assert cfg["RESNET"]["NUM_BLOCK_TEMP_KERNEL"] == [[3], [4], [23 if "101" in factory else 6], [3]]
    assert {name: tuple(t.shape) for name, t in content["model_state"].items()} == slowfast.shapes(cfg)


@pytest.mark.parametrize("to", ["slowfast", "mmaction2", "nonlocalnet"])
@pytest.mark.parametrize("several", [False, True])
def test_whether_a_video_may_have_several_classes_comes_back(tmp_path, to, several):
    variant = "mmaction2" if to == "mmaction2" else "slowfast"
    network = trained(models.i3d_resnet50, variant=variant, clip="8x8")
    network.card = dataclasses.replace(fresh_card(network), multi_label=several)
    other = through_a_file(network, tmp_path, to)
    assert other.card.multi_label is several
    assert_same(network, other, frames=16 if to == "mmaction2" else 8)


def test_scores_are_those_of_the_card():
    network = trained(models.c2d_resnet50, clip="8x8")
    x = torch.randn(2, 3, 8, 64, 64)
    with torch.no_grad():
        logits = network(x)
        torch.testing.assert_close(network.scores(x), logits.softmax(1))
        network.card = dataclasses.replace(fresh_card(network), multi_label=True)
        torch.testing.assert_close(network.scores(x), logits.sigmoid())
        torch.testing.assert_close(network.scores(x, multi_label=False), logits.softmax(1))


def test_the_originals_files_come_back_name_by_name(tmp_path):
    """Each name table is bijective on a whole network: what is written has the original's names and values."""
    cfg = slowfast.make_cfg(nonlocal_location=slowfast.FIVE_BLOCKS)
    state = slowfast.make_state(cfg)
    network = from_checkpoint(slowfast.write_pyth(tmp_path / "in.pyth", state, cfg))
    (tmp_path / "out.pyth").write_bytes(formats.encode(network, to="slowfast"))
    written = torch.load(tmp_path / "out.pyth", weights_only=True)["model_state"]
    assert written.keys() == state.keys()
    assert all(torch.equal(written[name], state[name]) for name in state)

    config = mmaction2.make_model(mode="concatenation")
    state = mmaction2.make_state(config)
    path = mmaction2.write_pth(tmp_path / "in.pth", state, mmaction2.config_text(config))
    (tmp_path / "out.pth").write_bytes(formats.encode(from_checkpoint(path), to="mmaction2"))
    written = torch.load(tmp_path / "out.pth", weights_only=True)["state_dict"]
    assert written.keys() == state.keys()
    assert all(torch.equal(written[name], state[name]) for name in state)

    blobs = caffe2.make_blobs(i3d=True, nonlocal_blocks=5, bookkeeping=False)
    network = from_checkpoint(caffe2.write_pickle(tmp_path / "in.pkl", blobs), clip="8x8")
    (tmp_path / "out.pkl").write_bytes(formats.encode(network, to="caffe2"))
    written = read_pickle(tmp_path / "out.pkl")["blobs"]
    assert written.keys() == blobs.keys()
    assert all((written[name] == blobs[name]).all() for name in blobs)


def test_python_2_finds_its_own_names_in_a_written_caffe2_file(tmp_path):
    content = formats.encode(trained(models.c2d_resnet50, clip="8x8"), to="caffe2")
    assert b"cnumpy.core.multiarray\n_reconstruct\n" in content
    assert b"numpy._core" not in content


def test_a_bias_before_a_norm_goes_into_the_running_mean(tmp_path):
    network = trained(models.i3d_resnet50, variant="mmaction2", nonlocal_blocks=5)
    block = next(iter(nonlocal_blocks(network).values()))
    assert block.out.bias.abs().max() > 0.05
    other = next(iter(nonlocal_blocks(through_a_file(network, tmp_path, "mmaction2")).values()))
    assert torch.equal(other.out.bias, torch.zeros_like(block.out.bias))
    torch.testing.assert_close(other.norm.running_mean, block.norm.running_mean - block.out.bias)


@pytest.mark.parametrize(
    ("to", "arguments", "named"),
    [
        ("slowfast", {"clip": "8x8"}, "pool1 padding is (0, 0, 0) here and (0, 1, 1) there"),
        ("mmaction2", {"clip": "32x2"}, "pool1 kernel is (2, 3, 3) here and (1, 3, 3) there"),
        ("caffe2", {"variant": "slowfast", "clip": "8x8"}, "pool1 padding is (0, 1, 1) here and (0, 0, 0) there"),
        ("caffe2", {"variant": "paper"}, "pool1 kernel is (3, 3, 3) here and (2, 3, 3) there"),
        (
            "mmaction2",
            {"variant": "mmaction2", "nonlocal_blocks": 1, "subsample_first": True},
            "res4.4_nonlocal: subsampling before phi and g is True here and False or None there",
        ),
        (
            "slowfast",
            {"variant": "slowfast", "clip": "8x8", "nonlocal_blocks": 1, "scale": 1.0},
            "res4.4_nonlocal: scale of the logits is 1.0 here and 'rsqrt' or None there",
        ),
        (
            "caffe2",
            {"nonlocal_blocks": 1, "pairwise": "dot_product"},
            "res4.4_nonlocal: pairwise is 'dot_product' here and 'embedded_gaussian' there",
        ),
        (
            "mmaction2",
            {"variant": "mmaction2-c2d", "clip": "8x8", "nonlocal_blocks": 1},
            "kernel that spans time is '3x1x1' here and None there; channels of conv1 is 2 here and 64 there; "
            "non-local blocks is 1 here and 0 there",
        ),
        ("mmaction2", {"variant": "slowfast", "clip": "8x8"}, "rows that the head averages is 7 here and 'all' there"),
    ],
)
def test_another_graph_is_refused_by_its_difference(to, arguments, named):
    network = models.i3d_resnet50(width=2, num_classes=3, **arguments)
    with pytest.raises(ValueError, match="would build another graph") as error:
        formats.encode(network, to=to)
    assert named in str(error.value)


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match="to must be one of nonlocalnet, slowfast, mmaction2, caffe2, got 'onnx'"):
        formats.encode(models.c2d_resnet50(width=2), to="onnx")
