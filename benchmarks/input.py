"""Video input: clips per second of `read_frames`, against two simpler readers in the same run.

    python benchmarks/input.py [--quick]

A clip is 32 frames at stride 2 from a random place of a 10-second H.264 video of 30 frames a second, one thread.
The others do the same work: `plain` seeks to the keyframe before the clip and converts each wanted frame to RGB
(PyAV's defaults); `whole` decodes the video from its first frame to its last, as video-nonlocal-net does. Each pass
times all three on the same clips, and checks that they give the same bytes; the fastest pass counts, the least
disturbed one on a shared machine. The last lines read a video for 30-view testing: once for all views, against once
per view.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import av.video.stream
import numpy as np
import torch

from nonlocalnet.data.decode import count_frames, read_frames
from nonlocalnet.data.sampling import ClipGeometry, evenly_spaced_clips, random_clip

GEOMETRY = ClipGeometry(32, 2)
FPS, SECONDS = 30, 10


def write_moving_scene(path: Path, *, height: int, width: int, gop: int) -> None:
    """A textured picture that drifts, with noise: about as hard to decode as a filmed one."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, height // 8, width // 8)).astype(np.float32))
    texture = torch.nn.functional.interpolate(coarse, size=(2 * height, 2 * width), mode="bicubic").clamp(0, 255)
    scene = texture[0].permute(1, 2, 0).numpy().astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS), options={"crf": "23", "preset": "medium"})
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = height, width, "yuv420p", gop
        for i in range(FPS * SECONDS):
            top, left = int(height / 2 * (1 + np.sin(i / 40)) / 2), int(width / 2 * (1 + np.cos(i / 55)) / 2)
            frame = scene[top : top + height, left : left + width].astype(np.int16)
            frame = np.clip(frame + rng.integers(-4, 5, (height, width, 1), np.int16), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def read_plain(path: Path, indices: list[int]) -> torch.Tensor:
    """The loop of PyAV's own examples: seek, decode, convert what is wanted; frames found by frame rate."""
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        assert stream.time_base is not None
        container.seek(int(indices[0] / FPS / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            assert frame.pts is not None
            if round(frame.pts * stream.time_base * FPS) in indices:
                frames.append(torch.from_numpy(frame.to_ndarray(format="rgb24")))
            if len(frames) == len(indices):
                break
    return torch.stack(frames)


def read_whole(path: Path, indices: list[int]) -> torch.Tensor:
    """Decode and convert every frame, then pick."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        frames = [torch.from_numpy(frame.to_ndarray(format="rgb24", threads=1)) for frame in container.decode(video=0)]
    return torch.stack([frames[i] for i in indices])


def measure_clips(path: Path, *, passes: int, clips: int) -> dict[str, float]:
    """Clips per second of each reader in its fastest pass; the same clips for all three."""
    readers: dict[str, Callable[[Path, list[int]], torch.Tensor]] = {
        "read_frames": read_frames,
        "plain": read_plain,
        "whole": read_whole,
    }
    rates: dict[str, list[float]] = {name: [] for name in readers}
    generator = torch.Generator().manual_seed(0)
    for _ in range(passes):
        wanted = [random_clip(count_frames(path), GEOMETRY, generator=generator) for _ in range(clips)]
        oracle = None
        for name in random.sample(sorted(readers), len(readers)):
            start = time.perf_counter()
            results = [readers[name](path, indices) for indices in wanted]
            rates[name].append(clips / (time.perf_counter() - start))
            oracle = oracle or results
            assert all(torch.equal(a, b) for a, b in zip(results, oracle, strict=True)), name
    return {name: max(values) for name, values in rates.items()}


def measure_views(path: Path) -> tuple[float, float]:
    """Seconds for the frames of 10 clips, each with 3 crops: all at once, and once a view."""
    clips = evenly_spaced_clips(count_frames(path), GEOMETRY, num_clips=10)
    start = time.perf_counter()
    read_frames(path, sorted({i for clip in clips for i in clip}), short_side=256)
    once = time.perf_counter() - start
    start = time.perf_counter()
    for clip in clips:
        for _ in range(3):
            read_frames(path, clip, short_side=256)
    return once, time.perf_counter() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Clips per second of video input.")
    parser.add_argument("--quick", action="store_true", help="one pass of few clips")
    passes, clips = (1, 3) if parser.parse_args().quick else (5, 8)
    torch.set_num_threads(1)
    print(f"{'video':24}{'read_frames':>12}{'plain':>8}{'whole':>8}   (clips/s)     vs plain  vs whole")
    with tempfile.TemporaryDirectory() as folder:
        for height, width in ((256, 340), (720, 1280)):
            for gop in (250, 30):
                path = Path(folder) / f"{width}x{height}_gop{gop}.mp4"
                write_moving_scene(path, height=height, width=width, gop=gop)
                rate = measure_clips(path, passes=passes, clips=clips)
                ours, plain, whole = rate["read_frames"], rate["plain"], rate["whole"]
                print(
                    f"{path.stem:24}{ours:12.1f}{plain:8.1f}{whole:8.1f}{ours / plain:24.2f}x{ours / whole:9.2f}x",
                    flush=True,
                )
            once, per_view = measure_views(path)
            print(
                f"{path.stem:24}30 views: {once:.2f} s decoded once, {per_view:.2f} s once a view, "
                f"{per_view / once:.1f}x"
            )


if __name__ == "__main__":
    main()
