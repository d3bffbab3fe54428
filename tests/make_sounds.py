"""Small real sound files for the tests."""

import wave
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]


def tone(hertz: float, *, seconds: float = 0.5, sample_rate: int = 8000, volume: float = 0.5) -> Samples:
    """float32 (T,) of a sine."""
    times = np.arange(round(seconds * sample_rate)) / sample_rate
    return (volume * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def write_wav(path: Path, channels_CT: npt.ArrayLike, *, sample_rate: int = 8000, bits: int = 16) -> Path:
    """Integer wav of 8, 16, 24 or 32 bits, by Python's `wave`; samples from -1 to 1, (T,) or (C, T)."""
    samples = np.atleast_2d(np.asarray(channels_CT, np.float64)).T
    whole = np.clip(np.rint(samples * 2 ** (bits - 1)), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1).astype("<i8")
    if bits == 8:
        whole += 128
    data = np.ascontiguousarray(whole).view(np.uint8).reshape(-1, 8)[:, : bits // 8].tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(bits // 8)
        file.setframerate(sample_rate)
        file.writeframes(data)
    return path


def encode_sound(
    path: Path, samples: Samples, *, codec: str, sample_rate: int = 16000, options: dict[str, str] | None = None
) -> Path:
    """Mono sound by any of FFmpeg's encoders; the suffix chooses the container."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=sample_rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="fltp", layout="mono")
        frame.sample_rate = sample_rate
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=sample_rate)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            part.pts = None
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path
