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

Each pass times all readers on the same clips; the fastest pass counts, the least disturbed one.
"""

import argparse
import os
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
from torchvision.transforms.v2 import functional as v2

from nonlocalnet.data.annotations import VideoEntry, VideoList
from nonlocalnet.data.datasets import TestVideos
from nonlocalnet.data.decode import count_frames, read_frames
from nonlocalnet.data.sampling import ClipGeometry, evenly_spaced_clips, random_clip
from nonlocalnet.data.transforms import CropBox, cut_views, draw_crop

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
    """Read the clip in full size, then crop it by torchvision v2 on bytes."""
    clip_TCHW = read(path, indices).permute(0, 3, 1, 2)
    size = [box.crop, box.crop]
    crops = v2.resized_crop(clip_TCHW, box.top, box.left, box.height, box.width, size=size, antialias=True)
    return (v2.horizontal_flip(crops) if box.mirrored else crops).permute(0, 2, 3, 1).contiguous()


def fastest(calls: dict[str, Callable[[], list[torch.Tensor]]], *, passes: int, tolerance: int) -> dict[str, float]:
    """Processor seconds of each call in its fastest pass; their results must agree to within `tolerance`."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(passes):
        oracle = None
        for name in random.sample(sorted(calls), len(calls)):
            start = time.process_time()
            results = calls[name]()
            seconds[name].append(time.process_time() - start)
            oracle = oracle or results
            for ours, theirs in zip(results, oracle, strict=True):
                assert (ours.int() - theirs.int()).abs().max() <= tolerance, name
    return {name: min(values) for name, values in seconds.items()}


def measure_frames(path: Path, *, passes: int, clips: int) -> dict[str, float]:
    """Clips per second of each reader."""
    wanted = draw_clips(path, clips)
    readers: dict[str, Reader] = {"ours": read_ours, "plain": read_plain, "whole": read_whole}
    calls = {name: lambda read=read: [read(path, indices) for indices in wanted] for name, read in readers.items()}
    return {name: clips / value for name, value in fastest(calls, passes=passes, tolerance=0).items()}


def measure_training(path: Path, *, passes: int, clips: int) -> dict[str, float]:
    """Training clips per second of each reader."""
    wanted = draw_clips(path, clips)
    generator = torch.Generator().manual_seed(1)
    height, width = read_frames(path, [0]).shape[1:3]
    boxes = [draw_crop(height, width, generator=generator) for _ in wanted]
    calls: dict[str, Callable[[], list[torch.Tensor]]] = {
        "ours": lambda: [crop_ours(path, *both) for both in zip(wanted, boxes, strict=True)],
        "plain": lambda: [crop_after(read_plain, path, *both) for both in zip(wanted, boxes, strict=True)],
        "whole": lambda: [crop_after(read_whole, path, *both) for both in zip(wanted, boxes, strict=True)],
    }
    return {name: clips / value for name, value in fastest(calls, passes=passes, tolerance=1).items()}


def measure_augmentation(path: Path, *, passes: int) -> dict[str, float]:
    """Milliseconds to crop, resize and flip one clip that is decoded: frame by frame, by v2 on bytes and on floats."""
    clip_THWC = read_frames(path, draw_clips(path, 1)[0])
    box = draw_crop(*clip_THWC.shape[1:3], generator=torch.Generator().manual_seed(1))
    box = box._replace(mirrored=True)
    clip_TCHW = clip_THWC.permute(0, 3, 1, 2)

    def by_v2(frames_TCHW: torch.Tensor) -> list[torch.Tensor]:
        crops = v2.resized_crop(
            frames_TCHW, box.top, box.left, box.height, box.width, size=[box.crop, box.crop], antialias=True
        )
        return [v2.horizontal_flip(crops).permute(0, 2, 3, 1).contiguous()]

    calls: dict[str, Callable[[], list[torch.Tensor]]] = {
        "a frame at a time": lambda: [torch.cat([box.cut(frame[None]) for frame in clip_THWC])],
        "v2, bytes": lambda: by_v2(clip_TCHW),
        "v2, floats": lambda: by_v2(clip_TCHW.float()),
    }
    return {name: 1000 * value for name, value in fastest(calls, passes=2 * passes, tolerance=2).items()}


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
            view = cut_views(read_frames(path, clip, short_side=256))[crop]
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
