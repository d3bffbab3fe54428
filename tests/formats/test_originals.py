"""The networks of `originals`: against each other and the published counts, each fact ignored once; no library code."""

import dataclasses
import math
import re

import numpy as np
import pytest
import torch

from formats.originals import blocks, caffe2, imagenet, mmaction2, slowfast
from formats.originals.layers import difference

# Parameters at 400 classes that the released Caffe2 networks count: (depth, i3d, blocks) -> number.
PUBLISHED = {
    (50, False, 0): 24_327_632,
    (50, False, 5): 31_686_096,
    (50, True, 0): 28_043_472,
    (50, True, 5): 35_401_936,
    (101, False, 0): 43_319_760,
    (101, False, 5): 50_678_224,
    (101, True, 0): 51_754_192,
    (101, True, 5): 59_112_656,
}
BUFFERS = ("_rm", "_riv", "running_mean", "running_var", "num_batches_tracked")


def clip(frames: int = 4, size: int = 64, *, batch: int = 2, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(batch, 3, frames, size, size, dtype=dtype)


def small(graph: caffe2.Graph) -> caffe2.Graph:
    """The graph with the head of a 64-pixel crop, so that a small frame will do."""
    return dataclasses.replace(graph, head_size=2)


# ---- names and counts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("depth", "i3d", "count"), PUBLISHED)
def test_the_parameters_are_as_many_as_published(depth, i3d, count):
    """Shapes alone at full width: nothing is allocated."""
    wanted = caffe2.shapes(depth=depth, i3d=i3d, nonlocal_blocks=count)
    assert parameters(wanted) == PUBLISHED[depth, i3d, count]
    location = slowfast.FIVE_BLOCKS if count else ((), (), (), ())
    cfg = slowfast.make_cfg(
        arch="i3d" if i3d else "c2d", depth=depth, width=64, num_classes=400, nonlocal_location=location
    )
    assert parameters(slowfast.shapes(cfg)) == PUBLISHED[depth, i3d, count]


def parameters(wanted: dict) -> int:
    return sum(math.prod(shape) for name, shape in wanted.items() if not name.endswith(BUFFERS))


CAFFE2_NAME = re.compile(
    r"conv1_w|res_conv1_bn_(s|b|rm|riv)|res[2-5]_\d+_branch2[abc]_(w|bn_(s|b|rm|riv))|res[2-5]_0_branch1_(w|bn_(s|b|rm|riv))"
    r"|nonlocal_conv[34]_\d+_((theta|phi|g|out)_[wb]|bn_(s|b|rm|riv))|pred_[wb]"
)
BN = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
SLOWFAST_NAME = re.compile(
    rf"s1\.pathway0_stem\.(conv\.weight|bn\.{BN})|s[2-5]\.pathway0_res\d+\.(branch1\.weight|branch1_bn\.{BN}"
    rf"|branch2\.[abc]\.weight|branch2\.[abc]_bn\.{BN})"
    rf"|s[34]\.pathway0_nonlocal\d+\.(conv_(theta|phi|g|out)\.(weight|bias)|bn\.{BN})|head\.projection\.(weight|bias)"
)
MMACTION2_NAME = re.compile(
    rf"backbone\.(conv1|layer[1-4]\.\d+\.(conv[123]|downsample))\.(conv\.weight|bn\.{BN})|cls_head\.fc_cls\.(weight|bias)"
    rf"|backbone\.layer[23]\.\d+\.non_local_block\.((theta|(g|phi)(\.0)?)\.conv\.(weight|bias)"
    rf"|conv_out\.(conv\.weight|bn\.{BN})|concat_project\.conv\.weight)"
)


@pytest.mark.parametrize("depth", [50, 101])
def test_the_names_are_the_programs(depth):
    blobs = caffe2.make_blobs(depth=depth, i3d=True, nonlocal_blocks=5, bookkeeping=False)
    assert all(CAFFE2_NAME.fullmatch(name) for name in blobs)
    places = {name.removesuffix("_theta_w") for name in blobs if name.endswith("_theta_w")}
    last = (1, 3, 5) if depth == 50 else (6, 13, 20)
    assert places == {f"nonlocal_conv3_{i}" for i in (1, 3)} | {f"nonlocal_conv4_{i}" for i in last}
    state = slowfast.make_state(slowfast.make_cfg(depth=depth, nonlocal_location=slowfast.FIVE_BLOCKS))
    assert all(SLOWFAST_NAME.fullmatch(name) for name in state)
    for mode in blocks.MODES:
        state = mmaction2.make_state(mmaction2.make_model(depth=depth, mode=mode))
        assert all(MMACTION2_NAME.fullmatch(name) for name in state), mode


def test_an_affine_model_has_no_statistics_and_its_blocks_no_norm():
    blobs = caffe2.make_blobs(nonlocal_blocks=5, affine=True, momentum=True)
    assert not any(name.endswith(("_rm", "_riv")) for name in blobs)
    assert not any(name.startswith("nonlocal") and "_bn_" in name for name in blobs)
    assert "res2_0_branch2a_bn_s" in blobs
    assert "res2_0_branch2a_bn_s_momentum" not in blobs  # frozen
    assert "pred_b_momentum" in blobs
    assert blobs["lr"].shape == ()
    assert isinstance(blobs["model_iter"], int)


# ---- the networks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [50, 101])
def test_values_stay_of_order_one_and_float32_is_precise_enough(depth):
    """What the loaded networks are held to, 1e-5, the oracles must reach themselves."""
    x = clip(8)
    blobs = caffe2.make_blobs(depth=depth, i3d=True, nonlocal_blocks=5)
    graph = small(caffe2.CLIPS["8x8"])
    exact = caffe2.logits(blobs, x, clip="8x8", graph=graph)
    assert 0.1 < exact.abs().mean() < 10
    assert difference(caffe2.logits(blobs, x.float(), clip="8x8", graph=graph).double(), exact) < 1e-5
    for instantiation in ("softmax", "dot_product"):
        cfg = slowfast.make_cfg(
            depth=depth, nonlocal_location=slowfast.FIVE_BLOCKS, instantiation=instantiation, train_crop_size=64
        )
        state = slowfast.make_state(cfg)
        exact = slowfast.logits(state, cfg, x)
        assert 0.1 < exact.abs().mean() < 10
        assert difference(slowfast.logits(state, cfg, x.float()).double(), exact) < 1e-5


@pytest.mark.parametrize("mode", blocks.MODES)
def test_mmaction2s_values_stay_of_order_one(mode):
    model = mmaction2.make_model(mode=mode)
    state, x = mmaction2.make_state(model), clip(8)
    exact = mmaction2.logits(state, model, x)
    assert 0.1 < exact.abs().mean() < 10
    assert difference(mmaction2.logits(state, model, x.float()).double(), exact) < 1e-5


IGNORED = {
    "scale": {"scaled": False},
    "pooling order": {"pool_first": False},
    "subsampling": {"subsample": False},
    "pool padding": {"pool1_padding": (0, 1, 1)},
    "stride's place": {"stride_on": "branch2a"},
    "eps": {"eps": 1e-3},
    "pairwise function": {"pairwise": "dot_product"},
    "stem's stride": {"conv1_stride_t": 2},
}


@pytest.mark.parametrize("name", IGNORED)
def test_a_quirk_of_caffe2_ignored_shows(name):
    blobs, x, graph = caffe2.make_blobs(i3d=True, nonlocal_blocks=5), clip(8), small(caffe2.CLIPS["8x8"])
    said = caffe2.logits(blobs, x, clip="8x8", graph=graph)
    other = caffe2.logits(blobs, x, clip="8x8", graph=dataclasses.replace(graph, **IGNORED[name]))
    assert difference(other, said) > 1e-4


def test_the_two_stems_of_caffe2_differ_and_reach_the_same_length():
    blobs, x = caffe2.make_blobs(i3d=True), clip(32)
    short = caffe2.logits(blobs, x, clip="32x2", graph=small(caffe2.CLIPS["32x2"]))
    long = caffe2.logits(blobs, x[:, :, ::4], clip="8x8", graph=small(caffe2.CLIPS["8x8"]))
    assert short.shape == long.shape == (2, 5, 1, 1, 1)
    assert difference(short, long) > 1e-3


def test_temporal_groups_are_the_programs_transposes():
    """(N, C, T, H, W) -> (N, T, C, H, W) -> (N * groups, 4, C, H, W) -> (N * groups, C, 4, H, W), and back."""
    blobs = caffe2.make_blobs(nonlocal_blocks=5, affine=True)
    network = caffe2._Network(blobs, caffe2.CLIPS["32x4"])
    x = torch.randn(2, 32, 8, 4, 4).double()
    folded = x.permute(0, 2, 1, 3, 4).reshape(4, 4, 32, 4, 4).permute(0, 2, 1, 3, 4)
    folded = network.nonlocal_block(folded, "nonlocal_conv3_1")
    expected = folded.permute(0, 2, 1, 3, 4).reshape(2, 8, 32, 4, 4).permute(0, 2, 1, 3, 4)
    torch.testing.assert_close(network.nonlocal_in_groups(x, "nonlocal_conv3_1", 2), expected)
    assert difference(network.nonlocal_block(x, "nonlocal_conv3_1"), expected) > 1e-5


def test_temporal_groups_ignored_show_in_an_affine_model_alone():
    x = clip(16, batch=1)
    for affine in (True, False):
        blobs = caffe2.make_blobs(nonlocal_blocks=5, affine=affine)
        graph = small(caffe2.CLIPS["32x4"])
        said = caffe2.logits(blobs, x, clip="32x4", graph=graph)
        other = caffe2.logits(blobs, x, clip="32x4", graph=dataclasses.replace(graph, group_frames=None))
        assert (difference(other, said) > 2e-5) == affine


def test_an_affine_model_is_its_bn_model_folded():
    """The release's conversion: s / sqrt(var + 1e-5), b - mean * s / sqrt(var + 1e-5)."""
    blobs, x = caffe2.make_blobs(i3d=True), clip(8)
    folded = {name: blob for name, blob in blobs.items() if not name.endswith(("_rm", "_riv"))}
    for prefix in (name.removesuffix("_riv") for name in blobs if name.endswith("_riv")):
        deviation = np.sqrt(blobs[f"{prefix}_riv"].astype(np.float64) + 1e-5)
        folded[f"{prefix}_s"] = blobs[f"{prefix}_s"] / deviation
        folded[f"{prefix}_b"] = blobs[f"{prefix}_b"] - blobs[f"{prefix}_rm"] * folded[f"{prefix}_s"]
    graph = small(caffe2.CLIPS["8x8"])
    y = caffe2.logits(folded, x, clip="8x8", graph=graph)
    assert difference(y, caffe2.logits(blobs, x, clip="8x8", graph=graph)) < 1e-12


def test_the_head_of_a_larger_frame_has_positions():
    blobs, x = caffe2.make_blobs(), clip(8, 256, batch=1)
    logits = caffe2.logits(blobs, x, clip="8x8")
    assert logits.shape == (1, 5, 1, 2, 2)
    scores = caffe2.scores(blobs, x, clip="8x8")
    torch.testing.assert_close(scores.sum(1), torch.ones(1).double())
    assert difference(logits.mean((2, 3, 4)).softmax(1), scores) > 1e-4  # softmax first, mean second
    cfg = slowfast.make_cfg(arch="c2d")
    assert slowfast.logits(slowfast.make_state(cfg), cfg, x).shape == (1, 5, 1, 2, 2)


def as_slowfast(name: str) -> str:
    """A blob's name in PySlowFast, by the rules its checkpoint code states."""
    name = re.sub(r"^res_conv1_bn_", "s1.pathway0_stem.bn_", re.sub(r"^conv1_", "s1.pathway0_stem.conv_", name))
    name = re.sub(r"^res(\d)_(\d+)_branch1", r"s\1.pathway0_res\2.branch1", name)
    name = re.sub(r"^res(\d)_(\d+)_branch2([abc])", r"s\1.pathway0_res\2.branch2.\3", name)
    name = re.sub(r"^nonlocal_conv(\d)_(\d+)_(theta|phi|g|out)", r"s\1.pathway0_nonlocal\2.conv_\3", name)
    name = re.sub(r"^nonlocal_conv(\d)_(\d+)_bn", r"s\1.pathway0_nonlocal\2.bn", name)
    name = re.sub(r"^pred_", "head.projection_", name)
    ends = {"w": "weight", "b": "bias", "s": "weight", "rm": "running_mean", "riv": "running_var"}
    head, _, end = name.rpartition("_")
    return f"{head}.{ends[end]}"


@pytest.mark.parametrize("i3d", [False, True])
@pytest.mark.parametrize("depth", [50, 101])
def test_slowfasts_graph_is_caffe2s_8x8_but_for_the_stems_padding(i3d, depth):
    places = {3: (1, 3), 4: (1, 3, 5)}
    blobs = caffe2.make_blobs(depth=depth, i3d=i3d, nonlocal_blocks=places, bookkeeping=False)
    state = {as_slowfast(name): torch.from_numpy(blob) for name, blob in blobs.items()}
    cfg = slowfast.make_cfg(
        arch="i3d" if i3d else "c2d", depth=depth, nonlocal_location=slowfast.FIVE_BLOCKS, train_crop_size=64
    )
    assert sorted(state) == sorted(key for key in slowfast.shapes(cfg) if "num_batches" not in key)
    x, graph = clip(8), small(caffe2.CLIPS["8x8"])
    padded = caffe2.logits(blobs, x, clip="8x8", graph=dataclasses.replace(graph, pool1_padding=(0, 1, 1)))
    torch.testing.assert_close(slowfast.logits(state, cfg, x), padded)
    torch.testing.assert_close(
        slowfast.logits(state, cfg, x, stem_padding=0), caffe2.logits(blobs, x, clip="8x8", graph=graph)
    )


@pytest.mark.parametrize(
    "ignored", [{"eps": 1e-3}, {"scaled": False}, {"pool_first": False}, {"stem_padding": 0}], ids=str
)
def test_a_quirk_of_slowfast_ignored_shows(ignored):
    cfg = slowfast.make_cfg(nonlocal_location=slowfast.FIVE_BLOCKS, train_crop_size=64)
    state, x = slowfast.make_state(cfg), clip(8)
    assert difference(slowfast.logits(state, cfg, x, **ignored), slowfast.logits(state, cfg, x)) > 1e-4


@pytest.mark.parametrize(
    "other",
    [
        {"arch": "i3d_nopool"},
        {"instantiation": "dot_product"},
        {"nonlocal_group": (1, 2, 1, 1)},
        {"nonlocal_pool": (2, 2, 2)},
        {"stride_1x1": True},
    ],
    ids=str,
)
def test_what_slowfasts_cfg_alone_says_shows(other):
    """Fields that neither names nor shapes tell apart: the same state, another output."""
    said = {"nonlocal_location": slowfast.FIVE_BLOCKS, "train_crop_size": 64}
    cfg, changed = slowfast.make_cfg(**said), slowfast.make_cfg(**{**said, **other})
    assert slowfast.shapes(cfg) == slowfast.shapes(changed)
    state, x = slowfast.make_state(cfg), clip(8)
    assert difference(slowfast.logits(state, changed, x), slowfast.logits(state, cfg, x)) > 2e-5


def test_slowfasts_head_pools_the_training_crop():
    cfg, x = slowfast.make_cfg(arch="c2d", train_crop_size=64), clip(8, 96)
    state = slowfast.make_state(cfg)
    assert slowfast.logits(state, cfg, x).shape == (2, 5, 1, 2, 2)
    whole = slowfast.scores(state, slowfast.make_cfg(arch="c2d", short_cycle=True), x)
    assert difference(whole, slowfast.scores(state, cfg, x)) > 1e-4
    sigmoid = slowfast.scores(state, slowfast.make_cfg(arch="c2d", train_crop_size=64, head_act="sigmoid"), x)
    torch.testing.assert_close(sigmoid, slowfast.logits(state, cfg, x).sigmoid().mean((2, 3, 4)))


def as_mmaction2(name: str) -> str:
    name = re.sub(r"^s1\.pathway0_stem\.", "backbone.conv1.", name)
    for stage in (2, 3, 4, 5):
        name = name.replace(f"s{stage}.pathway0_res", f"backbone.layer{stage - 1}.")
        name = name.replace(f"s{stage}.pathway0_nonlocal", f"backbone.layer{stage - 1}.")
    name = name.replace(".branch1_bn.", ".downsample.bn.").replace(".branch1.", ".downsample.conv.")
    for i, letter in enumerate("abc", 1):
        name = name.replace(f".branch2.{letter}_bn.", f".conv{i}.bn.").replace(f".branch2.{letter}.", f".conv{i}.conv.")
    return name.replace("head.projection", "cls_head.fc_cls")


@pytest.mark.parametrize("arch", ["i3d_heavy", "c2d"])
def test_mmaction2s_graphs_are_the_others_where_they_should_be(arch):
    """ResNet3d without strides in time has PySlowFast's stem and pools; the class C2D has Caffe2's, unpadded."""
    i3d = arch != "c2d"
    cfg = slowfast.make_cfg(arch="i3d" if i3d else "c2d", train_crop_size=64)
    state = slowfast.make_state(cfg)
    pattern = ((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0))
    model = mmaction2.make_model(arch=arch, **({"inflate": pattern} if i3d else {}))
    renamed = {as_mmaction2(key): value for key, value in state.items()}
    if not i3d:
        renamed = {key: value[:, :, 0] if value.dim() == 5 else value for key, value in renamed.items()}
        model["backbone"]["base_channels"] = 4
    wanted = mmaction2.make_state(model)
    assert {key: value.shape for key, value in renamed.items()} == {key: value.shape for key, value in wanted.items()}
    x = clip(8)
    expected = slowfast.logits(state, cfg, x, stem_padding=1 if i3d else 0)[..., 0, 0, 0]
    torch.testing.assert_close(mmaction2.logits(renamed, model, x), expected)


@pytest.mark.parametrize("ignored", [{"eps": 1e-3}, {"stem_padding": 0}, {"pool_first": True}], ids=str)
def test_a_quirk_of_mmaction2_ignored_shows(ignored):
    model = mmaction2.make_model(mode="embedded_gaussian")
    state, x = mmaction2.make_state(model), clip(16, 96)
    said = mmaction2.logits(state, model, x)
    assert difference(mmaction2.logits(state, model, x, **ignored), said) > 1e-4


@pytest.mark.parametrize(
    "other",
    [{"use_scale": True}, {"conv1_stride_t": 1}, {"pool1_stride_t": 1}, {"style": "caffe"}, {"mode": "dot_product"}],
    ids=str,
)
def test_what_mmaction2s_config_alone_says_shows(other):
    said = {"mode": "embedded_gaussian"}
    model, changed = mmaction2.make_model(**said), mmaction2.make_model(**{**said, **other})
    state, x = mmaction2.make_state(model), clip(16)
    assert difference(mmaction2.logits(state, changed, x), mmaction2.logits(state, model, x)) > 2e-5


@pytest.mark.parametrize("depth", [50, 101])
def test_the_2d_network_is_c2d_on_a_still_clip(depth):
    blobs, image = imagenet.make_blobs(depth=depth), torch.randn(2, 3, 64, 64).double()
    still = {
        name: blob[:, :, None] if name != "pred_w" and np.ndim(blob) in (2, 4) else blob for name, blob in blobs.items()
    }
    expected = imagenet.logits(blobs, image)
    y = caffe2.logits(still, image[:, :, None].expand(-1, -1, 8, -1, -1), clip="8x8", graph=small(caffe2.CLIPS["8x8"]))
    torch.testing.assert_close(y.flatten(1), expected)
    assert difference(imagenet.logits(blobs, image, pool_padding=1), expected) > 1e-3


def test_a_clean_imagenet_file_has_neither_statistics_nor_a_classifier():
    blobs = imagenet.make_blobs(clean=True)
    assert blobs["conv1_w"].ndim == 4
    assert "res2_0_branch2a_bn_s" in blobs
    assert not any(name.endswith(("_rm", "_riv")) or name.startswith("pred") for name in blobs)
