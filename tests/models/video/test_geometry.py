"""The sizes of Table 1 and of the release, layer by layer, and the smallest input."""

import pytest
import torch

from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.geometry import GEOMETRIES, geometry_of, head_window, inflated_blocks, minimum_input

LAYERS = ("stem", "pool1", "res2", "pool2", "res3", "res4", "res5")

# (variant, clip) -> frames and rows after each of LAYERS, for the clip's own length at 224 x 224. The paper's are
# Table 1; the release's follow from the kernels, strides and (absent) padding of the released networks.
TABLE_1 = {
    ("paper", "32x2"): ([16, 8, 8, 4, 4, 4, 4], [112, 56, 56, 56, 28, 14, 7]),
    ("paper", "128x1"): ([64, 32, 32, 16, 16, 16, 16], [112, 56, 56, 56, 28, 14, 7]),
    ("release", "32x2"): ([16, 8, 8, 4, 4, 4, 4], [112, 55, 55, 55, 28, 14, 7]),
    ("release", "128x1"): ([64, 32, 32, 16, 16, 16, 16], [112, 55, 55, 55, 28, 14, 7]),
    ("release", "8x8"): ([8, 8, 8, 4, 4, 4, 4], [112, 55, 55, 55, 28, 14, 7]),
    ("release", "32x4"): ([32, 32, 32, 16, 16, 16, 16], [112, 55, 55, 55, 28, 14, 7]),
}


@pytest.mark.parametrize("inflate", [None, "3x1x1", "3x3x3"])
@pytest.mark.parametrize(("variant", "clip"), TABLE_1)
def test_output_sizes_are_those_of_table_1(variant, clip, inflate):
    shapes = {}
    with torch.device("meta"):
        model = VideoResNet(variant=variant, clip=clip, inflate=inflate, width=8)
        for name in LAYERS:
            layer = model.get_submodule(name)
            layer.register_forward_hook(lambda _m, _i, out, name=name: shapes.update({name: tuple(out.shape)}))
        model(torch.empty(1, 3, int(clip.split("x")[0]), 224, 224))
    frames, rows = TABLE_1[variant, clip]
    channels = [8, 8, 32, 32, 64, 128, 256]
    expected = [(1, c, t, s, s) for c, t, s in zip(channels, frames, rows, strict=True)]
    assert [shapes[name] for name in LAYERS] == expected


@pytest.mark.parametrize(("variant", "clip"), GEOMETRIES)
def test_smallest_input_runs_and_anything_smaller_is_refused(variant, clip):
    with torch.device("meta"):
        model = VideoResNet(variant=variant, clip=clip, width=2).eval()
        least = minimum_input(geometry_of(variant=variant, clip=clip))
        assert model(torch.empty(1, 3, *least)).shape == (1, 400)
        for axis in range(3):
            smaller = list(least)
            smaller[axis] -= 1
            with pytest.raises(ValueError, match=f"at least {least[0]} frames of {least[1]}x{least[2]} pixels"):
                model(torch.empty(1, 3, *smaller))


def test_smallest_inputs_are_tight():
    """One less along an axis would leave a pool nothing to pool (checked with the layers themselves)."""
    with torch.device("meta"):
        model = VideoResNet(width=2)
        for shape in [(6, 5, 5), (7, 4, 5), (7, 5, 4)]:
            with pytest.raises(RuntimeError, match="too small"):
                model.pool2(model.pool1(model.stem(torch.empty(1, 3, *shape))))


def test_inflated_blocks_are_the_released_ones():
    # [C2]: res2 [1,1,1], res3 [1,0,1,0], res4 alternating from 1, res5 [0,1,0].
    as_bits = {stage: [int(b) for b in inflated_blocks(stage, depth=50)] for stage in ("res2", "res3", "res4", "res5")}
    assert as_bits == {"res2": [1, 1, 1], "res3": [1, 0, 1, 0], "res4": [1, 0, 1, 0, 1, 0], "res5": [0, 1, 0]}
    assert [int(b) for b in inflated_blocks("res4", depth=101)] == [1, 0] * 11 + [1]


@pytest.mark.parametrize(("variant", "clip"), GEOMETRIES)
def test_the_heads_window_is_the_map_of_the_training_crop(variant, clip):
    geometry = geometry_of(variant=variant, clip=clip)
    assert [head_window(geometry, crop=32 * rows) for rows in range(1, 12)] == list(range(1, 12))
    with torch.device("meta"):
        model = VideoResNet(variant=variant, clip=clip, width=2).eval()
        for crop in (5, 48, 80, 112, 200):
            assert model.feature_map(torch.empty(1, 3, 8, crop, crop)).shape[3] == head_window(geometry, crop=crop)


def test_unknown_variant_or_clip_is_refused():
    with pytest.raises(ValueError, match=r"variant must be one of release, paper, slowfast, .*, got 'slow'"):
        geometry_of(variant="slow", clip="8x8")
    with pytest.raises(ValueError, match="clip must be one of 8x8, 32x2, 32x4, 128x1, got '16x4'"):
        geometry_of(variant="release", clip="16x4")
    with pytest.raises(ValueError, match="clip must be frames x frame stride, such as 8x8, got '16x0'"):
        geometry_of(variant="slowfast", clip="16x0")


@pytest.mark.parametrize("clip", ["8x8", "32x4"])
def test_the_paper_has_two_clips(clip):
    with pytest.raises(ValueError, match=f"no clip='{clip}'.* 32x2 and 128x1 only; use variant='release'"):
        geometry_of(variant="paper", clip=clip)
