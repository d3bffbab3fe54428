"""The four networks by name: what `variant` decides about their blocks, and their signatures."""

import copy
import dataclasses
import inspect
import pickle
from typing import get_type_hints

import pytest
import torch

from models.video.helpers import tiny
from nonlocalnet import models
from nonlocalnet.functional import PAIRWISE
from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.models.video.blocks import VideoBlockArguments, VideoBlockOptions
from nonlocalnet.models.video.trunk import VideoTrunk

FACTORIES = ("c2d_resnet50", "c2d_resnet101", "i3d_resnet50", "i3d_resnet101")


def options(model):
    """(path, what its block does) for every block."""
    names = ("pairwise", "scale", "pool_kernel", "subsample_first", "domain", "temporal_group_frames")
    found = {}
    for path, block in nonlocal_blocks(model).items():
        found[path] = {name: getattr(block, name) for name in names} | {"norm": block.norm is not None}
    return found


def test_the_release_pools_first_and_scales():
    found = options(models.c2d_resnet50(nonlocal_blocks=5, width=2))
    assert list(found) == [f"{path}_nonlocal" for path in ("res3.1", "res3.3", "res4.1", "res4.3", "res4.5")]
    for block in found.values():
        assert block == {
            "pairwise": "embedded_gaussian",
            "scale": "rsqrt",
            "pool_kernel": (1, 2, 2),
            "subsample_first": True,
            "domain": "spacetime",
            "temporal_group_frames": None,
            "norm": True,
        }


def test_the_paper_pools_after_and_does_not_scale():
    for block in options(models.c2d_resnet50(nonlocal_blocks=5, width=2, variant="paper", clip="128x1")).values():
        assert (block["scale"], block["subsample_first"], block["pool_kernel"]) == (1.0, False, (1, 2, 2))
        assert (block["temporal_group_frames"], block["norm"]) == (None, True)


@pytest.mark.parametrize(("clip", "is_long"), [("8x8", False), ("32x2", False), ("32x4", True), ("128x1", True)])
def test_the_releases_long_clips_have_no_norm_and_res3_in_groups(clip, is_long):
    for path, block in options(models.i3d_resnet50(nonlocal_blocks=10, width=2, clip=clip)).items():
        assert block["norm"] is not is_long
        assert block["temporal_group_frames"] == (4 if is_long and path.startswith("res3") else None)


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_only_a_softmax_is_scaled_by_the_release(pairwise):
    [block] = options(models.c2d_resnet50(nonlocal_blocks=1, width=2, pairwise=pairwise)).values()
    assert block["scale"] == ("rsqrt" if pairwise in ("gaussian", "embedded_gaussian") else 1.0)


def test_what_a_domain_cannot_have_is_not_its_default():
    [time] = options(models.c2d_resnet50(nonlocal_blocks=1, width=2, domain="time")).values()
    assert time["pool_kernel"] in (None, (1, 1, 1))
    [space] = options(models.c2d_resnet50(nonlocal_blocks=["res3.0"], width=2, domain="space", clip="32x4")).values()
    assert (space["pool_kernel"], space["temporal_group_frames"]) == ((1, 2, 2), None)


def test_every_option_can_be_chosen():
    model = models.i3d_resnet101(
        nonlocal_blocks=["res2.0", "res5.2"],
        clip="128x1",
        width=4,
        inner_channels=3,
        pairwise="gaussian",
        scale=0.5,
        subsample=None,
        subsample_first=False,
        domain="time",
        temporal_group_frames=2,
        norm="batch",
        zero_init=False,
    )
    blocks = nonlocal_blocks(model)
    assert list(blocks) == ["res2.0_nonlocal", "res5.2_nonlocal"]
    assert [block.channels for block in blocks.values()] == [16, 128]
    for block in blocks.values():
        assert (block.inner_channels, block.pairwise, block.scale, block.domain) == (3, "gaussian", 0.5, "time")
        assert (block.subsample, block.subsample_first, block.temporal_group_frames) == (None, False, 2)
        assert block.norm.weight.eq(1).all()


def test_blocks_have_half_the_channels_inside():
    model = models.c2d_resnet50(nonlocal_blocks=["res2.0", "res3.0", "res4.0", "res5.0"], width=4)
    assert [block.inner_channels for block in nonlocal_blocks(model).values()] == [8, 16, 32, 64]


@pytest.mark.parametrize("name", FACTORIES)
def test_a_factory_builds_what_it_is_called(name):
    with torch.device("meta"):
        assert getattr(models, name)(width=2).architecture == name


def test_the_signatures_agree_and_name_every_argument():
    signatures = {name: inspect.signature(getattr(models, name)).parameters for name in FACTORIES}
    for parameters in signatures.values():
        assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters.values())
    c2d, i3d = signatures["c2d_resnet50"], signatures["i3d_resnet50"]
    assert signatures["c2d_resnet101"] == c2d
    assert signatures["i3d_resnet101"] == i3d
    assert i3d["inflate"].default == "3x1x1"
    own = {"inflate", "inflated"}
    assert {name: parameter for name, parameter in i3d.items() if name not in own} == dict(c2d)


def test_the_defaults_are_those_of_the_trunk_and_of_the_blocks():
    trunk = inspect.signature(VideoTrunk).parameters
    options = {field.name: field.default for field in dataclasses.fields(VideoBlockOptions)}
    for name, parameter in inspect.signature(models.i3d_resnet50).parameters.items():
        if name not in ("nonlocal_blocks", "inflate", "block"):
            assert parameter.default == (options[name] if name in options else trunk[name].default), name


def test_block_options_are_declared_once_and_may_come_in_one():
    assert get_type_hints(VideoBlockArguments) == get_type_hints(VideoBlockOptions)
    model = models.c2d_resnet50(nonlocal_blocks=1, width=2, block=VideoBlockOptions(norm=None), scale=0.5)
    assert [(block.norm, block.scale) for block in nonlocal_blocks(model).values()] == [(None, 0.5)]


def test_a_misspelt_argument_is_named():
    with pytest.raises(TypeError, match=r"c2d_resnet50 takes num_classes, .*, got subsampel"):
        models.c2d_resnet50(subsampel=None)


@pytest.mark.parametrize("name", FACTORIES)
def test_fresh_blocks_do_not_change_the_network(name):
    factory = getattr(models, name)
    plain, nonlocal_net = tiny(factory), tiny(factory, nonlocal_blocks=5)
    missing, unexpected = nonlocal_net.load_state_dict(plain.state_dict(), strict=False)
    for block in nonlocal_blocks(nonlocal_net).values():
        block.reset_parameters()
    assert not unexpected
    assert all("_nonlocal." in key for key in missing)
    x = torch.randn(1, 3, 8, 64, 64)
    assert torch.equal(plain(x), nonlocal_net(x))


@pytest.fixture(scope="module", params=PAIRWISE)
def trained(request):
    """A network whose blocks do something, with an input and its logits."""
    torch.manual_seed(0)
    model = tiny(models.i3d_resnet50, nonlocal_blocks=5, pairwise=request.param, clip="8x8", norm=None, zero_init=False)
    for block in nonlocal_blocks(model).values():
        if (
            block.w_f is not None
        ):  # adds |w|^2 to every a_i: a fresh block can have no a_i + b_j above 0, and no gradient
            torch.nn.init.normal_(block.w_f)
            block.theta.bias.data.copy_(block.w_f[: block.inner_channels])
    x = torch.randn(2, 3, 8, 64, 64)
    return model, x, model(x).detach()


def test_every_block_gets_gradients(trained):
    model, x, _ = trained
    model(x).square().sum().backward()
    for block in nonlocal_blocks(model).values():
        assert block.g.weight.grad.abs().sum() > 0
        assert block.out.weight.grad.abs().sum() > 0
    model.zero_grad()


def test_copies_and_pickles_give_the_same_outputs(trained):
    model, x, expected = trained
    assert torch.equal(copy.deepcopy(model)(x), expected)
    assert torch.equal(pickle.loads(pickle.dumps(model))(x), expected)


def test_channels_last_with_blocks_gives_the_same_outputs(trained):
    model, x, expected = trained
    model = copy.deepcopy(model).to(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(model(x.to(memory_format=torch.channels_last_3d)), expected, rtol=1e-4, atol=1e-5)


def test_bfloat16_autocast_with_blocks_is_near_float32(trained):
    model, x, expected = trained
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert (model(x) - expected).norm() < 0.1 * expected.norm()


def test_a_network_with_blocks_compiles():
    model = tiny(models.i3d_resnet50, nonlocal_blocks=5, zero_init=False)
    x = torch.randn(2, 3, 8, 64, 64)
    torch.testing.assert_close(torch.compile(model, backend="eager")(x), model(x))


def test_groups_of_four_frames_do_not_see_each_other():
    """The release's 32x4 network: 16 frames are 8 at res3, two groups of 4."""
    model = tiny(models.c2d_resnet50, nonlocal_blocks=["res3.1"], clip="32x4", zero_init=False)
    x = torch.randn(1, 3, 16, 64, 64)
    changed = x.clone()
    changed[:, :, 8:] += 1.0
    before, after = model.feature_map(x), model.feature_map(changed)
    torch.testing.assert_close(before[:, :, :4], after[:, :, :4])
    assert (before[:, :, 4:] - after[:, :, 4:]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "paper", "clip": "8x8"}, "the paper describes 32x2 and 128x1 only"),
        ({"nonlocal_blocks": 3}, "nonlocal_blocks must be 0, 1, 5, 10 or a list"),
        ({"nonlocal_blocks": ["res4.9"]}, "res4 of ResNet-50 ends with res4.5"),
        ({"nonlocal_blocks": 1, "pairwise": "cosine"}, "pairwise must be one of .*cosine"),
        # Block options are refused where there are no blocks, too.
        ({"pairwise": "x"}, "pairwise must be one of .*'x'"),
        ({"domain": "here"}, "domain must be one of .*'here'"),
        ({"scale": -1.0}, "scale must be a positive finite number"),
        ({"scale": 0.5, "pairwise": "dot_product"}, "scale multiplies the logits of"),
        ({"inner_channels": 0}, "inner_channels must be a positive integer, got 0"),
        ({"subsample": (2, 2)}, "subsample must be None, an integer, or one integer per axis"),
        ({"subsample_first": "varaint"}, "subsample_first must be one of True, False, got 'varaint'"),
        ({"temporal_group_frames": 0}, "temporal_group_frames must be a positive integer, got 0"),
        ({"norm": "layer"}, "norm must be one of 'batch', None, got 'layer'"),
        ({"zero_init": "no"}, "zero_init must be one of True, False, got 'no'"),
        ({"width": -1}, "width must be a whole number"),
    ],
)
def test_a_wrong_argument_is_refused(arguments, message):
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        models.c2d_resnet50(**arguments)
