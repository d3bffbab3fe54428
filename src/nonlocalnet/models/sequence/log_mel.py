"""Log-mel spectrograms: how strong each band of a sound is, over time.

    samples (B, S) --> windows of n_fft samples, hop_length apart --> |DFT|^2 --> triangles on the mel scale --> log

The conventions, of the several in use:

    mel scale    HTK's, 2595 log10(1 + f / 700) (The HTK Book, equation 5.13; O'Shaughnessy 1987), not Slaney's
    triangles    of height 1, at n_mels + 2 places evenly spaced in mel from f_min to f_max; not normalised by area
    window       Hann, periodic, n_fft long
    frames       centred: frame i is about sample i * hop_length, the sound padded with n_fft // 2 zeros at both ends
    logarithm    natural, of the power plus 1e-6, for samples from -1 to 1

The filters are torchaudio's ``MelSpectrogram`` with its defaults, and librosa's with ``htk=True, norm=None``; the
frames are librosa's with its defaults (torchaudio pads with a reflection, in which a sound's end would depend on what
it is padded beside). A frame looks n_fft // 2 samples ahead: a causal network on it is late by as much.

Shapes: B batch, S samples, T frames, F bins of the spectrum, n_fft // 2 + 1.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from nonlocalnet.block.options import positive
from nonlocalnet.functional.precision import without_autocast
from nonlocalnet.system.numeric import is_number

_FLOOR = 1e-6  # of the power, before the logarithm
_MOST_BINS, _MOST_MELS = 2**15, 512  # a file that says more would fill memory


def mel_filters(*, sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float) -> Tensor:
    """The triangles, (F, n_mels) float64 on the CPU: what each bin of the spectrum gives to each band.

    Args:
        sample_rate: Of the sound, in Hz.
        n_fft: Samples of a window.
        n_mels: Bands.
        f_min: Where the lowest begins, in Hz.
        f_max: Where the highest ends, in Hz.

    Raises:
        ValueError: An argument is out of range, or a band is so narrow that it has no bin.
    """
    for name, value in (("sample_rate", sample_rate), ("n_fft", n_fft), ("n_mels", n_mels)):
        positive(name, value)
    if n_fft > _MOST_BINS or n_mels > _MOST_MELS:
        raise ValueError(f"n_fft may be {_MOST_BINS} and n_mels {_MOST_MELS} at most, got {n_fft} and {n_mels}")
    if not (is_number(f_min) and is_number(f_max) and 0 <= f_min < f_max <= sample_rate / 2):
        raise ValueError(
            f"f_min and f_max must be from 0 to half of sample_rate ({sample_rate / 2:g} Hz), f_min the lower, "
            f"got {f_min!r} and {f_max!r}"
        )
    wide = {"dtype": torch.float64, "device": torch.device("cpu")}  # wherever the network is made
    bins = torch.arange(n_fft // 2 + 1, **wide) * (sample_rate / n_fft)
    corners = _hertz(torch.linspace(_mel(f_min), _mel(f_max), n_mels + 2, **wide))
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    rising = (bins.unsqueeze(1) - left) / (centre - left)
    falling = (right - bins.unsqueeze(1)) / (right - centre)
    filters = torch.minimum(rising, falling).clamp(min=0.0)
    empty = (filters.sum(dim=0) == 0).nonzero()
    if len(empty):
        raise ValueError(
            f"n_mels={n_mels} bands are narrower than the spectrum of n_fft={n_fft} samples at {sample_rate} Hz "
            f"resolves: band {int(empty[0])} has no bin; give fewer bands or a longer window"
        )
    return filters


def log_mel(samples_BS: Tensor, *, window: Tensor, filters: Tensor, hop_length: int) -> Tensor:
    """(B, T, n_mels), T = 1 + S // hop_length, of samples (B, S).

    Args:
        samples_BS: From -1 to 1.
        window: (n_fft,)
        filters: (F, n_mels), as `mel_filters` makes them.
        hop_length: Samples from one frame to the next.
    """
    n_fft = len(window)
    spectrum_BFT = torch.stft(
        samples_BS, n_fft, hop_length, window=window, center=True, pad_mode="constant", return_complex=True
    )
    power_BTF = (spectrum_BFT.real.square() + spectrum_BFT.imag.square()).transpose(1, 2)
    return (power_BTF @ filters + _FLOOR).log()


class LogMel(nn.Module):
    """`log_mel` of sounds of different lengths, shifted and scaled by two fixed numbers.

    Args:
        sample_rate: Of the sounds, in Hz.
        n_fft: Samples of a window; 256 is 32 ms at 8 kHz.
        hop_length: Samples from one frame to the next; 80 is 10 ms at 8 kHz.
        n_mels: Bands.
        f_min: Where the lowest begins, in Hz.
        f_max: Where the highest ends, in Hz; None for half of the sample rate.
        mean: Subtracted from the logarithms; about that of speech as it is recorded.
        std: By which they are then divided; likewise.

    Raises:
        ValueError: An argument is out of range, or a band is so narrow that it has no bin.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self,
        *,
        sample_rate: int = 8000,
        n_fft: int = 256,
        hop_length: int = 80,
        n_mels: int = 40,
        f_min: float = 0.0,
        f_max: float | None = None,
        mean: float = -5.0,
        std: float = 4.0,
    ) -> None:
        super().__init__()
        top = positive("sample_rate", sample_rate) / 2 if f_max is None else f_max
        filters = mel_filters(sample_rate=sample_rate, n_fft=n_fft, n_mels=n_mels, f_min=f_min, f_max=top)
        self.sample_rate, self.n_fft, self.n_mels = sample_rate, n_fft, n_mels
        self.hop_length = positive("hop_length", hop_length)
        if hop_length > n_fft:
            raise ValueError(f"hop_length may be n_fft = {n_fft} at most, or samples are left out, got {hop_length}")
        if not (is_number(mean) and is_number(std) and math.isfinite(mean) and 0 < std < math.inf):
            raise ValueError(f"mean must be finite and std above 0, got {mean!r} and {std!r}")
        self.mean, self.std = float(mean), float(std)
        # In the file with the weights, so that a network is filled from its file alone.
        self.register_buffer("window", torch.hann_window(n_fft, device="cpu"))
        self.register_buffer("filters", filters.float())

    @property
    def size(self) -> int:
        """Channels of a frame."""
        return self.n_mels

    def steps(self, lengths: Tensor) -> Tensor:
        """Frames of sounds of so many samples."""
        return 1 + lengths // self.hop_length

    @override
    def extra_repr(self) -> str:
        """The options."""
        names = ("sample_rate", "n_fft", "hop_length", "n_mels", "mean", "std")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)

    def forward(self, x: Tensor, kept_BS: Tensor | None = None) -> Tensor:
        """(B, T, n_mels) in the module's dtype, computed in float32 at least.

        Args:
            x: (B, S) floating point, samples from -1 to 1.
            kept_BS: (B, S) bool, False in the padding, where the sound is silent; None: no padding.

        Raises:
            ValueError: x has the wrong shape or type.
        """
        if x.dim() != 2 or x.shape[1] == 0:
            raise ValueError(
                f"a sound is x (B, samples) with at least one sample, got {tuple(x.shape)}: mix the channels of stereo"
            )
        if not x.is_floating_point():
            raise ValueError(f"a sound is floating point from -1 to 1, got {x.dtype}: divide integers by their largest")
        dtype = cast(torch.dtype, torch.promote_types(x.dtype, torch.float32))
        if len(x) == 0:  # some of PyTorch's FFTs refuse an empty batch
            return self.filters.new_zeros(0, 1 + x.shape[1] // self.hop_length, self.n_mels)
        with without_autocast(x):
            silent = x.to(dtype) if kept_BS is None else x.to(dtype).masked_fill(~kept_BS, 0.0)
            logs = log_mel(
                silent, window=self.window.to(dtype), filters=self.filters.to(dtype), hop_length=self.hop_length
            )
        return ((logs - self.mean) / self.std).to(self.filters.dtype)


def _mel(hertz: float) -> float:
    return 2595.0 * math.log10(1.0 + hertz / 700.0)


def _hertz(mel: Tensor) -> Tensor:
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
