"""Pictures of every kind become RGB, the right way up."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from make_images import picture
from nonlocalnet.data.pixels.read_image import MOST_PIXELS, ImageError, read_image
from nonlocalnet.data.video.errors import VideoError
from nonlocalnet.data.video.sources import _read_frame


def save(path: Path, image: Image.Image, *, orientation: int | None = None) -> Path:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    image.save(path, exif=exif)
    return path


def test_an_rgb_picture_is_itself(tmp_path: Path) -> None:
    pixels = picture(20, 30)
    found = read_image(save(tmp_path / "a.png", Image.fromarray(pixels)))
    assert torch.equal(found, torch.from_numpy(pixels).permute(2, 0, 1))


def test_other_modes_become_rgb(tmp_path: Path) -> None:
    grey = picture(20, 30)[..., 0]
    found = read_image(save(tmp_path / "grey.png", Image.fromarray(grey)))
    assert torch.equal(found, torch.from_numpy(grey).expand(3, 20, 30))
    deep = grey.astype(np.uint16) * 257  # 16 bits: 65535 is white
    assert torch.equal(read_image(save(tmp_path / "deep.png", Image.fromarray(deep))), found)
    colours = Image.new("RGB", (30, 20), (200, 30, 60))
    for mode, name in (("CMYK", "cmyk.jpg"), ("P", "palette.png"), ("RGBA", "clear.png"), ("L", "grey.jpg")):
        path = save(tmp_path / name, colours.convert(mode))
        expected = torch.tensor([200, 30, 60] if mode != "L" else [84, 84, 84])
        assert (read_image(path).float().mean((1, 2)) - expected).abs().max() < 4, mode


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "deep.pgm"])
def test_16_bits_are_scaled_by_their_range(tmp_path: Path, name: str) -> None:
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    if name == "deep.pgm":  # which older Pillows read and do not write
        (tmp_path / name).write_bytes(b"P5 4 1 65535\n" + values.astype(">u2").tobytes())
    else:
        Image.fromarray(values).save(tmp_path / name)
    assert read_image(tmp_path / name)[0].tolist() == [[0, 1, 128, 255]]


def test_floats_are_scaled_from_0_to_1_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "float.tif"
    Image.fromarray(np.array([[0, 0.5, 1]], np.float32)).save(path)
    assert read_image(path)[0].tolist() == [[0, 128, 255]]
    for values, seen in (([0, 200], "from 0 to 200"), ([-1, 1], "from -1 to 1"), ([0, np.nan], "from nan to nan")):
        Image.fromarray(np.array([values], np.float32)).save(path)
        with pytest.raises(ImageError, match=rf"float\.tif holds floats {seen}, .*save it with 8 bits, or with floats"):
            read_image(path)
    Image.fromarray(np.array([[0, 1 << 20]], np.int32)).save(path)
    with pytest.raises(ImageError, match=r"float\.tif holds integers of 32 bits.*save it with 8 or 16 bits"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "gif", "bmp", "webp"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), min_size=1, max_size=6))
def test_mutated_headers_are_read_or_refused(tmp_path: Path, suffix: str, places: list[tuple[int, int]]) -> None:
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(picture(12, 16)), orientation=6)
    data = bytearray(path.read_bytes())
    for place, value in places:
        data[place % len(data)] = value
    path.write_bytes(data)
    refusal = path.name
    try:
        assert read_image(path).shape[0] == 3
    except ImageError as error:
        refusal = str(error)
    assert path.name in refusal


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_unless_the_annotations_are_of_the_stored_picture(
    tmp_path: Path, orientation: int
) -> None:
    pixels = picture(20, 30)
    path = save(tmp_path / "turned.png", Image.fromarray(pixels), orientation=orientation)
    stored = torch.from_numpy(pixels).permute(2, 0, 1)
    turned = orientation >= 5
    # The first row of the shown picture is, in order of the orientations, this edge of the stored one.
    first_row = [
        stored[:, 0],
        stored[:, 0].flip(1),
        stored[:, -1].flip(1),
        stored[:, -1],
        stored[:, :, 0],
        stored[:, :, 0].flip(1),
        stored[:, :, -1].flip(1),
        stored[:, :, -1],
    ][orientation - 1]
    for size in (None, (30, 20) if turned else (20, 30)):
        assert torch.equal(read_image(path, size=size)[:, 0], first_row)
    if turned:
        assert torch.equal(read_image(path, size=(20, 30)), stored)


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(picture(20, 30)), orientation=6)
    with pytest.raises(
        ImageError, match=r"a.png is 30 x 20 pixels, 20 x 30 by its EXIF rotation, but its annotations are of 40 x 40"
    ):
        read_image(path, size=(40, 40))
    with pytest.raises(FileNotFoundError, match=r"no\.png: there is no such image"):
        read_image(tmp_path / "no.png")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ImageError, match=r"a\.png cannot be read as an image: .*truncated"):
        read_image(path)
    path.write_bytes(b"not a picture")
    with pytest.raises(ImageError, match=r"a\.png cannot be read as an image"):
        read_image(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png is a pipe or a device"):
        read_image(tmp_path / "a.png")


def png_of(path: Path, *, width: int, height: int) -> Path:
    """A PNG whose header says this size; one bit a pixel, compressed to nearly nothing."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + -(-width // 8)) * height), 1)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("width", [10_000, 12_000, 16_000])
def test_pictures_of_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, width):
    path = png_of(tmp_path / "a.png", width=width, height=9000)
    refusal = rf"a\.png is {width} x 9000 pixels, of which at most {MOST_PIXELS:,} are read: make it smaller"
    with pytest.raises(ImageError, match=refusal):
        read_image(path)
    with pytest.raises(VideoError, match=refusal):
        _read_frame(path)


def test_pillows_own_bound_is_an_error_by_name(tmp_path):
    with pytest.raises(ImageError, match=r"a\.png cannot be read as an image"):
        read_image(png_of(tmp_path / "a.png", width=40_000, height=9000))


def test_a_picture_at_the_bound_is_read(tmp_path):
    assert read_image(png_of(tmp_path / "a.png", width=MOST_PIXELS // 6000, height=6000)).shape[1] == 6000


@pytest.mark.parametrize("size", [(5000, 1), (1, 700), (10_100, 100)])
def test_pictures_too_thin_for_a_network_are_refused(tmp_path, size):
    Image.new("RGB", size).save(tmp_path / "thin.png")
    with pytest.raises(ImageError, match=rf"thin.png is {size[0]} x {size[1]} pixels: too thin for any network"):
        read_image(tmp_path / "thin.png")
    Image.new("RGB", (1000, 10)).save(tmp_path / "wide.png")
    assert read_image(tmp_path / "wide.png").shape == (3, 10, 1000)


def test_exif_data_that_are_cut_off_are_no_warning_without_a_name(tmp_path):
    path = tmp_path / "a.jpg"
    ends_early = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\x40\0\0\0\xff\xff\0\0"
    Image.new("RGB", (8, 6)).save(path, exif=ends_early)
    with pytest.warns(UserWarning), Image.open(path) as picture:  # noqa: PT030  Pillow's words have changed
        picture.getexif()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(path).shape == (3, 6, 8)
