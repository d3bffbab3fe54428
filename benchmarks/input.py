"""Video input: what a loader worker does for a sample, against two simpler readers in the same run.

    python benchmarks/input.py [--quick]

A clip is 32 frames at stride 2 from a random place of a 10-second H.264 video of 30 frames a second. Everything runs
on one core, as a loader's worker does, and processor time is counted, so that other work on the machine disturbs less;
every sample opens and scans its file anew, as if each were another video. The others do the same work: `plain` seeks to
the keyframe before the clip and converts each wanted frame to RGB (the loop of PyAV's examples, with its defaults);
`whole` decodes the video from its first frame to its last, as video-nonlocal-net does.

- frames: the clip's RGB frames in full size. All three give the same bytes.
- training clip: uint8 32 x 224 x 224 x 3, short side 256 to 320, random crop and flip; the others crop the clip of full
  frames, cut first and resized by torchvision v2. The resized bytes agree to within rounding.
- 30 views: all frames of 10 clips at short side 256, decoded once and three crops each, against once a view.

All readers read the same clips, taking turns; of each clip the fastest pass counts, the least disturbed one.
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import av.video.stream
import numpy as np
import torch
from torchvision.transforms.v2 import functional as v2

from nonlocalnet.data.annotations import VideoEntry, VideoList
from nonlocalnet.data.clips.datasets import TestVideos
from nonlocalnet.data.clips.windows import ClipGeometry, evenly_spaced_clips, random_clip
from nonlocalnet.data.pixels.crops import CropBox, draw_crop
from nonlocalnet.data.video.reader import count_frames, read_frames

GEOMETRY = ClipGeometry(32, 2)
FPS, SECONDS = 30, 10
Reader = Callable[[Path, list[int]], torch.Tensor]


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


def read_ours(path: Path, indices: list[int]) -> torch.Tensor:
    """`read_frames`, its memory of earlier scans of this file made useless."""
    os.utime(path)
    return read_frames(path, indices)


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


def crop_ours(path: Path, indices: list[int], box: CropBox) -> torch.Tensor:
    """Crop while decoding, as `TrainVideos` does."""
    os.utime(path)
    return read_frames(path, indices, crop=lambda *_: box)


def crop_after(read: Reader, path: Path, indices: list[int], box: CropBox) -> torch.Tensor:
    """Read the clip in full size, then crop it."""
    return crop_by_v2(read(path, indices).permute(0, 3, 1, 2), box)


def crop_by_v2(clip_TCHW: torch.Tensor, box: CropBox) -> torch.Tensor:
    """Crop, resize and flip by torchvision's transforms; (T, crop, crop, 3)."""
    crops = v2.resized_crop(
        clip_TCHW, box.top, box.left, box.height, box.width, size=[box.crop, box.crop], antialias=True
    )
    return (v2.horizontal_flip(crops) if box.mirrored else crops).permute(0, 2, 3, 1).contiguous()


def fastest(calls: dict[str, list[Callable[[], torch.Tensor]]], *, passes: int, tolerance: int) -> dict[str, float]:
    """Processor seconds of each kind of call for all samples, each sample in its fastest pass.

    The kinds take turns sample by sample, so that other work on the machine meets all of them; their results for a
    sample must agree to within `tolerance`.
    """
    samples = len(next(iter(calls.values())))
    seconds: dict[str, list[float]] = {kind: [float("inf")] * samples for kind in calls}
    for _ in range(passes):
        for sample in range(samples):
            oracle: torch.Tensor | None = None
            for kind in random.sample(sorted(calls), len(calls)):
                start = time.process_time()
                result = calls[kind][sample]()
                seconds[kind][sample] = min(seconds[kind][sample], time.process_time() - start)
                oracle = result if oracle is None else oracle
                assert (result.int() - oracle.int()).abs().max() <= tolerance, kind
    return {kind: sum(values) for kind, values in seconds.items()}


def measure_frames(path: Path, *, passes: int, clips: int) -> dict[str, float]:
    """Clips per second of each reader."""
    wanted = draw_clips(path, clips)
    readers: dict[str, Reader] = {"ours": read_ours, "plain": read_plain, "whole": read_whole}
    calls = {kind: [partial(read, path, indices) for indices in wanted] for kind, read in readers.items()}
    return {kind: clips / seconds for kind, seconds in fastest(calls, passes=passes, tolerance=0).items()}


def measure_training(path: Path, *, passes: int, clips: int) -> dict[str, float]:
    """Training clips per second of each reader."""
    wanted = draw_clips(path, clips)
    generator = torch.Generator().manual_seed(1)
    height, width = read_frames(path, [0]).shape[1:3]
    boxes = [draw_crop(height, width, generator=generator) for _ in wanted]
    readers: dict[str, Callable[[Path, list[int], CropBox], torch.Tensor]] = {
        "ours": crop_ours,
        "plain": partial(crop_after, read_plain),
        "whole": partial(crop_after, read_whole),
    }
    calls = {
        kind: [partial(read, path, *sample) for sample in zip(wanted, boxes, strict=True)]
        for kind, read in readers.items()
    }
    return {kind: clips / seconds for kind, seconds in fastest(calls, passes=passes, tolerance=1).items()}


def measure_augmentation(path: Path, *, passes: int) -> dict[str, float]:
    """Milliseconds to crop, resize and flip one clip that is decoded: as here, frame by frame, and by torchvision."""
    clip_THWC = read_frames(path, draw_clips(path, 1)[0])
    height, width = clip_THWC.shape[1:3]
    box = draw_crop(height, width, generator=torch.Generator().manual_seed(1))._replace(mirrored=True)
    clip_TCHW = clip_THWC.permute(0, 3, 1, 2)
    calls: dict[str, list[Callable[[], torch.Tensor]]] = {
        "clip together": [lambda: box.cut(clip_THWC)],
        "frame by frame": [lambda: torch.cat([box.cut(frame[None]) for frame in clip_THWC])],
        "v2 on bytes": [lambda: crop_by_v2(clip_TCHW, box)],
        "v2 on floats": [lambda: crop_by_v2(clip_TCHW.float(), box)],
    }
    return {kind: 1000 * seconds for kind, seconds in fastest(calls, passes=2 * passes, tolerance=2).items()}


def measure_views(path: Path) -> tuple[float, float]:
    """Processor seconds for 30 views of a video: decoded once for all of them, and once for each."""
    videos = TestVideos(VideoList((VideoEntry(path, 0),), None, ""), GEOMETRY)
    os.utime(path)
    start = time.process_time()
    views = videos[0]["views"]
    once = time.process_time() - start
    start = time.process_time()
    place = 0
    for clip in evenly_spaced_clips(count_frames(path), GEOMETRY, num_clips=10):
        for crop in range(3):
            os.utime(path)
            frames = read_frames(path, clip, short_side=256)
            top, left = (crop * (side - 256) // 2 for side in frames.shape[1:3])
            view = frames[:, top : top + 256, left : left + 256].contiguous()
            assert torch.equal(view, views[place])
            place += 1
    return once, time.process_time() - start


def draw_clips(path: Path, count: int) -> list[list[int]]:
    """The same random clips for every reader."""
    generator = torch.Generator().manual_seed(0)
    return [random_clip(count_frames(path), GEOMETRY, generator=generator) for _ in range(count)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Clips per second of video input.")
    parser.add_argument("--quick", action="store_true", help="one pass of few clips")
    passes, clips = (1, 2) if parser.parse_args().quick else (5, 8)
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(f"{'video':17}{'product':>15}{'ours':>8}{'plain':>8}{'whole':>8}  clips/s{'vs plain':>11}{'vs whole':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for height, width in ((256, 340), (720, 1280)):
            for gop in (250, 30):
                path = Path(folder) / f"{width}x{height}_gop{gop}.mp4"
                write_moving_scene(path, height=height, width=width, gop=gop)
                for product, measure in (("frames", measure_frames), ("training clip", measure_training)):
                    rate = measure(path, passes=passes, clips=clips)
                    ours, plain, whole = rate["ours"], rate["plain"], rate["whole"]
                    print(
                        f"{path.stem:17}{product:>15}{ours:8.1f}{plain:8.1f}{whole:8.1f}"
                        f"{ours / plain:19.2f}x{ours / whole:9.2f}x",
                        flush=True,
                    )
                once, per_view = measure_views(path)
                print(
                    f"{path.stem:17}{'30 views':>15}  {once:.2f} s decoded once, {per_view:.2f} s once a view: "
                    f"{per_view / once:.1f}x"
                )
            times = measure_augmentation(path, passes=passes)
            print(f"{path.stem:17}{'crop a clip':>15}  " + ", ".join(f"{k}: {v:.1f} ms" for k, v in times.items()))


if __name__ == "__main__":
    main()
