"""Log-mels against the definition as literal loops in float64, and against what its words say of a tone."""

from __future__ import annotations

import cmath
import math

import pytest
import torch

from nonlocalnet.models.sequence import LogMel
from nonlocalnet.models.sequence.log_mel import mel_filters

SMALL = {"sample_rate": 1000, "n_fft": 16, "hop_length": 6, "n_mels": 3, "f_min": 20.0, "mean": 1.0, "std": 2.0}


def loops(samples, *, sample_rate, n_fft, hop_length, n_mels, f_min, f_max, mean, std):
    """T lists of n_mels numbers: the definition in the file's docstring, sample by sample."""
    low, high = (2595 * math.log10(1 + f / 700) for f in (f_min, f_max))
    corners = [700 * (10 ** ((low + (high - low) * m / (n_mels + 1)) / 2595) - 1) for m in range(n_mels + 2)]
    frames = []
    for i in range(1 + len(samples) // hop_length):
        power = []
        for k in range(n_fft // 2 + 1):
            total = 0j
            for n in range(n_fft):
                place = i * hop_length + n - n_fft // 2
                sample = samples[place] if 0 <= place < len(samples) else 0.0
                hann = 0.5 - 0.5 * math.cos(2 * math.pi * n / n_fft)
                total += sample * hann * cmath.exp(-2j * math.pi * k * n / n_fft)
            power.append(abs(total) ** 2)
        bands = []
        for m in range(n_mels):
            left, centre, right = corners[m : m + 3]
            band = 0.0
            for k, strength in enumerate(power):
                f = k * sample_rate / n_fft
                band += strength * max(0.0, min((f - left) / (centre - left), (right - f) / (right - centre)))
            bands.append((math.log(band + 1e-6) - mean) / std)
        frames.append(bands)
    return frames


@pytest.mark.parametrize("f_max", [None, 430.0])
@pytest.mark.parametrize("samples", [1, 5, 6, 50])
def test_the_definition_as_loops(samples, f_max):
    sound = torch.rand(2, samples, dtype=torch.float64) * 2 - 1
    expected = [loops(one.tolist(), **SMALL, f_max=f_max or 500.0) for one in sound]
    made = LogMel(**SMALL, f_max=f_max).double()
    got = made(sound)
    # The window and the filters are float32, which double() does not give back their digits.
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), atol=1e-5, rtol=1e-5)
    assert got.shape[1] == made.steps(torch.tensor(samples))


def test_a_tone_is_in_its_band_and_twice_as_loud_is_four_times_the_power():
    front = LogMel(mean=0.0, std=1.0)
    tone = torch.sin(2 * math.pi * 1000 * torch.arange(4000) / 8000)
    logs = front(torch.stack([0.25 * tone, 0.5 * tone]))
    corners = torch.linspace(0, 2595 * math.log10(1 + 4000 / 700), 42)
    nearest = (corners[1:-1] - 2595 * math.log10(1 + 1000 / 700)).abs().argmin()
    assert (logs.argmax(dim=2) == nearest)[:, 3:-3].all()
    torch.testing.assert_close(logs[1, 10, nearest] - logs[0, 10, nearest], torch.tensor(math.log(4)))


def test_the_filters_of_htk():
    """Places of the triangles that are round numbers: 0, 1000 and 8200 mel."""
    filters = mel_filters(sample_rate=8000, n_fft=8000, n_mels=1, f_min=0.0, f_max=4000.0)
    middle = 700 * (10 ** (math.log10(1 + 4000 / 700) / 2) - 1)  # half way in mel
    assert abs(int(filters[:, 0].argmax()) - middle) <= 0.5
    assert (filters[0, 0], filters[4000, 0], filters.dtype) == (0, 0, torch.float64)


def test_silence_half_precision_and_no_sounds():
    front = LogMel()
    assert torch.equal(front(torch.zeros(2, 100)), torch.full((2, 2, 40), (math.log(1e-6) + 5) / 4))
    sound = torch.rand(2, 900) * 2 - 1
    assert torch.equal(front(sound.half()), front(sound.half().float()))
    assert front(torch.zeros(0, 900)).shape == (0, 12, 40)
    assert front.bfloat16()(sound.bfloat16()).dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(LogMel()(sound), LogMel()(sound))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate": 0}, "sample_rate must be a positive integer, got 0"),
        ({"n_fft": 2**20}, "n_fft may be 32768 and n_mels 512 at most, got 1048576 and 40"),
        ({"hop_length": 300}, "hop_length may be n_fft = 256 at most, or samples are left out, got 300"),
        ({"f_max": 5000.0}, r"f_min and f_max must be from 0 to half of sample_rate \(4000 Hz\), f_min the lower, got"),
        ({"f_min": float("nan")}, "f_min and f_max must be from 0"),
        ({"f_min": None}, "f_min and f_max must be from 0"),
        ({"f_max": "x"}, "f_min and f_max must be from 0"),
        ({"std": []}, "mean must be finite and std above 0, got"),
        ({"mean": "x"}, "mean must be finite and std above 0, got 'x'"),
        ({"n_mels": 128}, "n_mels=128 bands are narrower than the spectrum of n_fft=256 .* band 0 has no bin"),
        ({"std": 0.0}, "mean must be finite and std above 0, got -5.0 and 0.0"),
    ],
)
def test_options_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        LogMel(**options)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 2, 900), r"a sound is x \(B, samples\) .* got \(2, 2, 900\): mix the channels of stereo"),
        (torch.zeros(2, 0), "at least one sample"),
        (torch.zeros(2, 900).short(), "a sound is floating point from -1 to 1, got torch.int16"),
    ],
)
def test_sounds_are_refused_by_name(x, message):
    with pytest.raises(ValueError, match=message):
        LogMel()(x)
