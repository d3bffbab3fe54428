"""Loaded networks against independent restatements of the programs that trained them (tests/formats/originals)."""

import dataclasses
import logging

import pytest
import torch
from torch import Tensor

from formats.originals import caffe2, mmaction2, slowfast
from nonlocalnet import from_checkpoint

CLASSES = 5


def clip_of(frames: int, size: tuple[int, int]) -> Tensor:
    return torch.randn(1, 3, frames, *size, generator=torch.Generator().manual_seed(frames))


@torch.no_grad()
def assert_equal_logits(model, x: Tensor, expected: Tensor, bound: float = 1e-5) -> None:
    """Relative to the largest logit; the restatement runs in float64 on the same float32 weights."""
    got = model(x.float()).double()
    expected = expected.reshape(got.shape)
    assert expected.abs().max() > 0.1
    assert (got - expected).abs().max() <= bound * expected.abs().max()


@torch.no_grad()
def assert_equal_scores(model, x: Tensor, expected: Tensor) -> None:
    got = model.scores(x.float()).double()
    assert expected.max() - expected.min() > 0.05  # the scores tell the classes apart
    assert (got - expected).abs().max() <= 1e-5


CAFFE2_NETWORKS = [
    # depth, i3d, blocks, affine, clip
    (50, False, 0, False, "8x8"),
    (50, False, 5, False, "8x8"),
    (50, True, 5, False, "8x8"),
    (50, True, 0, False, "32x2"),
    (50, True, 10, False, "32x2"),
    (50, True, 5, True, "32x4"),
    (50, True, 5, True, "128x1"),
    (50, True, 0, True, "128x1"),
    (101, False, 5, False, "32x2"),
    (101, True, 0, False, "8x8"),
    (101, True, 5, True, "32x4"),
]
FRAMES = {"8x8": 8, "32x2": 16, "32x4": 16, "128x1": 32}  # enough for temporal groups; the clips' own are larger


@pytest.mark.parametrize(("depth", "i3d", "blocks", "affine", "clip"), CAFFE2_NETWORKS)
def test_caffe2(tmp_path, depth, i3d, blocks, affine, clip):
    arch = {"depth": depth, "i3d": i3d, "nonlocal_blocks": blocks, "affine": affine, "num_classes": CLASSES}
    blobs = caffe2.make_blobs(**arch, momentum=True, pred_5d=blocks == 5)
    path = caffe2.write_pickle(tmp_path / f"model_{clip}_400k.pkl", blobs)
    model = from_checkpoint(path)
    assert not model.training
    x = clip_of(FRAMES[clip], (224, 224)).double()
    assert_equal_logits(model, x, caffe2.logits(blobs, x, clip=clip))
    if depth == 50:
        larger = clip_of(FRAMES[clip], (256, 288)).double()
        assert caffe2.logits(blobs, larger, clip=clip).shape[3:] == (2, 3)
        assert_equal_scores(model, larger, caffe2.scores(blobs, larger, clip=clip))


def test_caffe2_dot_product_and_unscaled_blocks_are_asked_for(tmp_path):
    blobs = caffe2.make_blobs(nonlocal_blocks=5, num_classes=CLASSES)
    path = caffe2.write_pickle(tmp_path / "model_8x8.pkl", blobs, wrapped=False, protocol=0)
    x = clip_of(8, (224, 224)).double()
    graph = caffe2.CLIPS["8x8"]
    for asked, facts in (
        ({"pairwise": "dot_product"}, {"pairwise": "dot_product", "scaled": False}),
        ({"scale": 1.0}, {"scaled": False}),
    ):
        expected = caffe2.logits(blobs, x, clip="8x8", graph=dataclasses.replace(graph, **facts))
        assert_equal_logits(from_checkpoint(path, **asked), x, expected)


@pytest.mark.parametrize("norm", ["affine", "none", "bn"])
def test_caffe2_blocks_with_each_norm(tmp_path, norm):
    affine = norm != "bn"
    blobs = caffe2.make_blobs(
        i3d=True,
        nonlocal_blocks=5,
        affine=affine,
        nonlocal_norm=norm,
        nonlocal_bias=norm != "none",
        num_classes=CLASSES,
    )
    model = from_checkpoint(caffe2.write_pickle(tmp_path / "x.pkl", blobs, by_python2=False), clip="32x4")
    x = clip_of(16, (224, 224)).double()
    graph = caffe2.CLIPS["32x4"] if affine else dataclasses.replace(caffe2.CLIPS["32x4"], group_frames=None)
    assert_equal_logits(model, x, caffe2.logits(blobs, x, clip="32x4", graph=graph))


def test_caffe2_affine_stays_frozen_in_training(tmp_path):
    blobs = caffe2.make_blobs(i3d=True, nonlocal_blocks=5, affine=True, num_classes=CLASSES)
    model = from_checkpoint(caffe2.write_pickle(tmp_path / "a_32x4.pkl", blobs))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    model(clip_of(8, (64, 64))).square().sum().backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1).step()
    for name, tensor in model.state_dict().items():
        if not name.endswith("phi.bias"):  # moves all logits of a softmax alike
            assert torch.equal(tensor, before[name]) == (".norm" in name), name


SLOWFAST_NETWORKS = [
    # arch, depth, location, instantiation, further settings
    ("c2d", 50, False, "softmax", {}),
    ("c2d", 50, True, "softmax", {}),
    ("c2d", 50, True, "dot_product", {}),
    ("i3d", 50, True, "softmax", {}),
    ("i3d", 50, True, "dot_product", {"nonlocal_pool": (1, 1, 1)}),
    ("i3d", 50, True, "softmax", {"nonlocal_group": (1, 2, 1, 1), "num_frames": 16}),
    ("i3d_nopool", 50, True, "softmax", {}),
    ("c2d_nopool", 50, False, "softmax", {}),
    ("slow_i3d", 50, True, "softmax", {}),
    ("slow_c2d", 50, False, "softmax", {}),
    ("c2d", 50, False, "softmax", {"head_act": "sigmoid"}),
    ("slow", 50, True, "dot_product", {}),
    ("2d", 50, False, "softmax", {}),
    ("i3d", 101, True, "softmax", {}),
    ("c2d", 101, False, "softmax", {}),
    ("i3d", 50, True, "softmax", {"train_crop_size": 160}),
    ("i3d", 50, False, "softmax", {"short_cycle": True}),
]


@pytest.mark.parametrize(("arch", "depth", "blocks", "instantiation", "settings"), SLOWFAST_NETWORKS)
def test_slowfast(tmp_path, arch, depth, blocks, instantiation, settings):
    location = slowfast.FIVE_BLOCKS if blocks else ((), (), (), ())
    cfg = slowfast.make_cfg(
        arch=arch, depth=depth, nonlocal_location=location, instantiation=instantiation, num_classes=CLASSES, **settings
    )
    state = slowfast.make_state(cfg)
    model = from_checkpoint(slowfast.write_pyth(tmp_path / "model.pyth", state, cfg), clip="32x2")  # cfg wins
    crop = settings.get("train_crop_size", 224)
    frames = settings.get("num_frames", 8)
    assert model.card.preprocessing.clip_frames == frames
    x = clip_of(frames, (crop, crop)).double()
    assert_equal_logits(model, x, slowfast.logits(state, cfg, x))
    if depth == 50:
        larger = clip_of(frames, (256, 288)).double()
        assert_equal_scores(model, larger, slowfast.scores(state, cfg, larger))


def test_slowfast_without_settings(tmp_path):
    cfg = slowfast.make_cfg(nonlocal_location=slowfast.FIVE_BLOCKS, instantiation="dot_product", num_classes=CLASSES)
    state = slowfast.make_state(cfg)
    path = slowfast.write_pyth(tmp_path / "bare.pyth", state, plain=True)
    with pytest.raises(ValueError, match=r"embedded Gaussian and the dot product alike.*give pairwise="):
        from_checkpoint(path)
    x = clip_of(8, (224, 224)).double()
    assert_equal_logits(from_checkpoint(path, pairwise="dot_product"), x, slowfast.logits(state, cfg, x))


def test_slowfast_settings_with_the_tuples_of_older_dumps(tmp_path):
    cfg = slowfast.make_cfg(width=2, num_classes=CLASSES)
    older = cfg + "EXTRA:\n  EMPTY: !!python/tuple []\n  PAIR: !!python/tuple [1, 2]\n"
    assert from_checkpoint(slowfast.write_pyth(tmp_path / "x.pyth", slowfast.make_state(cfg), older)).width == 2
    code = cfg + "EXTRA: !!python/object/apply:os.system ['true']\n"
    with pytest.raises(ValueError, match="its entry 'cfg' is no YAML"):
        from_checkpoint(slowfast.write_pyth(tmp_path / "x.pyth", slowfast.make_state(cfg), code))


def test_slowfast_first_version_called_the_norm_of_a_block_norm(tmp_path):
    cfg = slowfast.make_cfg(nonlocal_location=slowfast.FIVE_BLOCKS, num_classes=CLASSES)
    state = slowfast.make_state(cfg)
    first = {name.replace(".bn.", ".norm.") if "nonlocal" in name else name: value for name, value in state.items()}
    x = clip_of(8, (224, 224)).double()
    model = from_checkpoint(slowfast.write_pyth(tmp_path / "first.pyth", first, cfg))
    assert_equal_logits(model, x, slowfast.logits(state, cfg, x))


def test_slowfast_own_caffe2_files_have_slowfast_graph(tmp_path):
    blobs = caffe2.make_blobs(i3d=True, nonlocal_blocks=5, num_classes=CLASSES)
    model = from_checkpoint(caffe2.write_pickle(tmp_path / "I3D_NLN_8x8_R50.pkl", blobs))
    assert model.variant == "slowfast"
    x = clip_of(8, (224, 224)).double()
    graph = dataclasses.replace(caffe2.CLIPS["8x8"], pool1_padding=(0, 1, 1))
    assert_equal_logits(model, x, caffe2.logits(blobs, x, clip="8x8", graph=graph))
    flat = caffe2.write_pickle(tmp_path / "C2D_NOPOOL_8x8_R50.pkl", caffe2.make_blobs(num_classes=CLASSES))
    assert from_checkpoint(flat).variant == "slowfast-nopool"


MMACTION2_NETWORKS = [
    ({}, 50),
    ({"mode": "embedded_gaussian"}, 50),
    ({"mode": "embedded_gaussian", "use_scale": True, "sub_sample": False}, 50),
    ({"mode": "gaussian"}, 50),
    ({"mode": "dot_product"}, 50),
    ({"mode": "concatenation"}, 50),
    ({"mode": "concatenation", "sub_sample": False, "norm": False}, 50),
    ({"mode": "gaussian", "use_scale": True, "sub_sample": False}, 50),
    ({"mode": "embedded_gaussian", "inflate_style": "3x3x3"}, 50),
    ({"arch": "i3d_heavy"}, 50),
    ({"arch": "slowonly", "mode": "embedded_gaussian", "use_scale": True}, 50),
    ({"arch": "c2d"}, 50),
    ({"arch": "c2d_3d"}, 50),
    ({"mode": "dot_product"}, 101),
]


@pytest.mark.parametrize(
    ("settings", "depth", "old"),
    [*((*network, False) for network in MMACTION2_NETWORKS), *((*network, True) for network in MMACTION2_NETWORKS[:3])],
)
def test_mmaction2(tmp_path, settings, depth, old):
    config = mmaction2.make_model(depth=depth, num_classes=CLASSES, **settings)
    state = mmaction2.make_state(config)
    names = ["a", "b", "c", "d", "e"]
    text = mmaction2.config_text(config, clip_len=16, frame_interval=4, old=old)
    path = mmaction2.write_pth(tmp_path / "m.pth", state, text, old=old, classes=names, preprocessor=not old)
    model = from_checkpoint(path)
    assert model.card.class_names == names
    assert dataclasses.asdict(model.card.preprocessing) == {
        "mean": [123.675, 116.28, 103.53],
        "std": [58.395, 57.12, 57.375],
        "colour_order": "RGB",
        "clip_frames": 16,
        "frame_stride": 4,
        "short_side": 256,
        "crop": 256,
    }
    x = clip_of(16, (96, 112)).double()
    assert_equal_logits(model, x, mmaction2.logits(state, config, x))
    assert_equal_scores(model, x, mmaction2.scores(state, config, x))


@pytest.mark.parametrize("name", ["i3d_nl_dot_product_r50.pth", "i3d_imagenet-pretrained-r50-nl-dot-product_8xb8.pth"])
def test_mmaction2_without_settings_reads_the_published_names(tmp_path, name):
    config = mmaction2.make_model(mode="dot_product", num_classes=CLASSES)
    state = mmaction2.make_state(config)
    x = clip_of(8, (96, 96)).double()
    expected = mmaction2.logits(state, config, x)
    assert_equal_logits(from_checkpoint(mmaction2.write_pth(tmp_path / name, state)), x, expected)
    bare = mmaction2.write_pth(tmp_path / "bare.pth", state)
    with pytest.raises(ValueError, match=r"embedded Gaussian and the dot product alike.*give pairwise="):
        from_checkpoint(bare)
    assert_equal_logits(from_checkpoint(bare, pairwise="dot_product"), x, expected)


def test_what_was_taken_from_where_is_in_the_log(tmp_path, caplog):
    blobs = caffe2.make_blobs(nonlocal_blocks=5, num_classes=CLASSES, momentum=True)
    path = caffe2.write_pickle(tmp_path / "c2d_nonlocal_32x2.pkl", blobs)
    with caplog.at_level(logging.INFO, logger="nonlocalnet"):
        from_checkpoint(path)
    assert "clip 32x2, from the file's name" in caplog.text
    assert "pairwise embedded_gaussian, scale rsqrt" in caplog.text
    assert "not used (optimiser state)" in caplog.text
