import pytest
import torch
import torch.nn.functional as F

from nonlocalnet.data.clips.views import cut_views
from nonlocalnet.data.pixels.crops import random_crop
from nonlocalnet.data.pixels.normalise import normalise


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramp(frames: int, height: int, width: int) -> torch.Tensor:
    """Red is the row and green the column as shares of 200, blue the frame: a place can be read off a pixel."""
    rows = (torch.arange(height) + 0.5) * 200 / height
    columns = (torch.arange(width) + 0.5) * 200 / width
    clip = torch.empty(frames, height, width, 3)
    clip[..., 0], clip[..., 1] = rows[:, None], columns[None]
    clip[..., 2] = torch.arange(frames)[:, None, None]
    return clip.round().to(torch.uint8)


def resize_then_crop(clip: torch.Tensor, short_side: int, top: int, left: int, crop: int) -> torch.Tensor:
    """The textbook order: the whole clip resized, then cut."""
    height, width = clip.shape[1:3]
    size = [round(side * short_side / min(height, width)) for side in (height, width)]
    resized = F.interpolate(clip.permute(0, 3, 1, 2).float(), size=size, mode="bilinear", antialias=True)
    return resized.permute(0, 2, 3, 1)[:, top : top + crop, left : left + crop]


@pytest.mark.parametrize(("height", "width"), [(256, 340), (340, 256), (120, 160), (257, 257), (360, 640)])
def test_random_crop_equals_resize_then_crop(height, width):
    clip = ramp(2, height, width)
    seen = set()
    for seed in range(12):
        ours = random_crop(clip, short_side=(256, 320), crop=224, flip=0.0, generator=generator(seed))
        # Replays the draws in the order of the documentation: short side, top, left.
        draws = generator(seed)
        short_side = int(torch.randint(256, 321, (), generator=draws))
        tall, wide = (round(side * short_side / min(height, width)) for side in (height, width))
        top = int(torch.randint(tall - 224 + 1, (), generator=draws))
        left = int(torch.randint(wide - 224 + 1, (), generator=draws))
        textbook = resize_then_crop(clip, short_side, top, left, 224)
        # One source pixel of displacement is 200 / side grey levels on the ramp, and one of rounding twice.
        assert (ours.float() - textbook).abs().max() <= 200 / min(height, width) + 1.5
        seen.add((short_side, top, left))
    assert len(seen) == 12


def test_random_crop_draws_every_short_side_place_and_flip():
    clip = ramp(1, 8, 10)
    scales, flips = set(), 0
    for seed in range(300):
        crop = random_crop(clip, short_side=(8, 10), crop=8, flip=0.5, generator=generator(seed)).int()
        columns = crop[0, 0, :, 1]
        flips += int(columns[0] > columns[-1])
        scales.add(int((columns[0] - columns[-1]).abs()))
    assert 110 < flips < 190
    assert len(scales) >= 2
    sides = [int(torch.randint(8, 11, (), generator=generator(seed))) for seed in range(300)]
    assert set(sides) == {8, 9, 10}


def test_random_crop_is_a_function_of_the_generator_alone():
    clip = ramp(3, 60, 80)
    first = random_crop(clip, short_side=(40, 50), crop=32, generator=generator(5))
    torch.rand(3)  # the global generator plays no part
    assert torch.equal(first, random_crop(clip, short_side=(40, 50), crop=32, generator=generator(5)))
    assert not torch.equal(first, random_crop(clip, short_side=(40, 50), crop=32, generator=generator(6)))


def test_random_crop_keeps_the_frames_together():
    crop = random_crop(ramp(4, 60, 80), short_side=(40, 50), crop=32, generator=generator())
    assert crop.shape == (4, 32, 32, 3)
    assert crop.dtype == torch.uint8
    assert crop.is_contiguous()
    assert torch.equal(crop[:1, ..., :2].expand(4, -1, -1, -1), crop[..., :2])  # the same place in every frame
    assert crop[:, 0, 0, 2].tolist() == [0, 1, 2, 3]


def test_random_crop_mirrors_the_same_crop():
    clip = ramp(1, 60, 80)
    plain = random_crop(clip, short_side=(40, 50), crop=32, flip=0.0, generator=generator(3))
    mirrored = random_crop(clip, short_side=(40, 50), crop=32, flip=1.0, generator=generator(3))
    assert torch.equal(plain.flip(2), mirrored)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (3, 2), (17, 1)])
def test_random_crop_of_tiny_frames(size):
    clip = ramp(2, *size)
    assert random_crop(clip, short_side=(32, 40), crop=32, generator=generator()).shape == (2, 32, 32, 3)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"short_side": (320, 256)}, r"short_side must be \(min, max\) with min <= max, got \(320, 256\)"),
        ({"crop": 257}, r"crop must be from 1 to the smallest short_side \(256\), got 257"),
        ({"crop": 0}, "crop must be from 1"),
        ({"flip": 1.5}, "flip must be a probability from 0 to 1, got 1.5"),
        ({"flip": float("nan")}, "flip must be a probability from 0 to 1, got nan"),
    ],
)
def test_random_crop_refuses(sizes, message):
    with pytest.raises(ValueError, match=message):
        random_crop(ramp(1, 30, 30), generator=generator(), **sizes)


@pytest.mark.parametrize("clip", [torch.zeros(2, 30, 30, 3), torch.zeros(30, 30, 3, dtype=torch.uint8)])
def test_frames_must_be_bytes_with_channels_last(clip):
    with pytest.raises(ValueError, match=r"frames must be uint8 of shape \(T, H, W, 3\), got"):
        random_crop(clip, short_side=(20, 20), crop=16, generator=generator())
    with pytest.raises(ValueError, match=r"frames must be uint8 of shape \(T, H, W, 3\), got"):
        cut_views(clip, short_side=20, crop=20)


def test_three_crops_of_a_wide_clip():
    clip = ramp(2, 40, 100)
    views = cut_views(clip, crops="three", short_side=40, crop=40)
    assert views.shape == (3, 2, 40, 40, 3)
    for view, left in zip(views, (0, 30, 60), strict=True):
        assert torch.equal(view, clip[:, :, left : left + 40])


def test_three_crops_of_a_tall_clip_smaller_than_the_short_side():
    clip = ramp(1, 100, 44)
    views = cut_views(clip, crops="three", short_side=44, crop=40)
    for view, top in zip(views, (0, 30, 60), strict=True):
        assert torch.equal(view, clip[:, top : top + 40, 2:42])


def test_centre_and_full():
    clip = ramp(1, 40, 61)
    assert torch.equal(cut_views(clip, crops="centre", short_side=40, crop=30)[0], clip[:, 5:35, 15:45])
    assert torch.equal(cut_views(clip, crops="full", short_side=40), clip[None])
    assert cut_views(clip, crops="full", short_side=80).shape == (1, 1, 80, 122, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"crops": "five"}, "crops must be one of three, centre, full, got 'five'"),
        ({"short_side": 20, "crop": 21}, r"crop must be from 1 to short_side \(20\), got 21"),
        ({"short_side": 0, "crops": "full"}, "short_side must be at least 1, got 0"),
    ],
)
def test_cut_views_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        cut_views(ramp(1, 30, 30), **arguments)


def test_normalise_by_hand():
    batch = torch.zeros(2, 3, 4, 5, 3, dtype=torch.uint8)
    batch[1, 2, 3, 4] = torch.tensor([255, 100, 1], dtype=torch.uint8)
    out = normalise(batch)
    assert out.shape == (2, 3, 3, 4, 5)
    assert out.dtype == torch.float32
    assert out.is_contiguous(memory_format=torch.channels_last_3d)
    assert out[0, 0, 0, 0, 0].item() == -2.0  # -114.75 / 57.375
    expected = [(255 - 114.75) / 57.375, (100 - 114.75) / 57.375, (1 - 114.75) / 57.375]
    assert out[1, :, 2, 3, 4].tolist() == pytest.approx(expected)


def test_normalise_by_channel():
    out = normalise(torch.full((1, 1, 1, 1, 3), 10, dtype=torch.uint8), mean=(0, 5, 10), std=(1, 2, 4))
    assert out.flatten().tolist() == [10, 2.5, 0]


def test_normalise_refuses_floats_and_other_shapes():
    with pytest.raises(ValueError, match=r"batch must be uint8 frames of 0\.\.255, got torch.float32"):
        normalise(torch.full((1, 1, 2, 2, 3), float("nan")))
    with pytest.raises(ValueError, match=r"batch must have shape \(B, T, H, W, 3\), got \(1, 3, 2, 2, 2\)"):
        normalise(torch.zeros(1, 3, 2, 2, 2, dtype=torch.uint8))
