"""Generated long-range videos: the label is a relation between things far apart in space and in time.

    frame   0        T/4                      3T/4          T        An early *cue* (a square at the far left, white or
            +---------+------------------------+------------+        black) says which of two late *objects* (coloured
    upper   | cue     |                        |     object |        squares at the far right, upper and lower) names
    or      | at the  |   nothing but noise    |    at the  |        the class:
    lower   | left    |                        |      right |            white cue -> the colour of the upper object
            +---------+------------------------+------------+            black cue -> the colour of the lower object

Why a local network finds this hard. Let a video hold the cue c and the ordered pair (upper, lower) = (a, b), a != b. Of
each unordered pair {a, b} there are four configurations, equally frequent:

    white, (a, b) -> a      white, (b, a) -> b      black, (a, b) -> b      black, (b, a) -> a

1. *Any function of pooled local contents stays at 50%.* Both objects look alike wherever they stand, so the bag of
   local contents is {cue, a, b} whichever is on top, and for each such bag the label is a in half of the videos and b
   in the other. Seen alone the cue says nothing (every class is equally likely), and an object says only that it is
   one of two candidates.
2. *Any sum over windows learns a coin toss, even if a window sees whole frames and knows its position.* As long as no
   window reaches from the cue to the objects, the score of class k is u_k(c) + v_k(upper, lower). The margin of the
   right over the wrong candidate is (u_a - u_b)(c) + (v_a - v_b)(upper, lower), with the sign of its configuration;
   over the four configurations the margins sum to exactly 0. Softmax cross-entropy is at least log(1 + exp(-margin)),
   which is convex, so by Jensen no sum gets below log 2 per video, and it gets there only by a tie: a coin toss between
   the two objects. (A lopsided sum can have three of the four margins positive, hence 75% right, but pays for it with a
   loss above log 2: training does not go there.)

A response at the objects that depends on the cue, which is what one non-local block computes, has no such limit. With C
classes a blind guess scores 1 / C, a local network 50% and the relation 100%.
"""

import csv
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import numpy.typing as npt

from nonlocalnet.system.folders import whole_folder

# Colours that stay apart after 4:2:0 chroma subsampling, none of them grey: white and black are the cue's.
PALETTE: tuple[tuple[str, tuple[int, int, int]], ...] = (
    ("red", (220, 30, 30)),
    ("green", (30, 190, 50)),
    ("blue", (40, 70, 230)),
    ("yellow", (235, 215, 30)),
    ("magenta", (210, 40, 210)),
    ("cyan", (40, 210, 215)),
    ("orange", (240, 130, 20)),
    ("brown", (110, 60, 20)),
)
CUE_NAMES_UPPER, CUE_NAMES_LOWER = 0, 1
# Of libx264. These are off by 2 grey levels where noise is 6; one thread, since the videos themselves run in parallel.
# Neither B frames nor macroblock trees: encoders beside each other gave a few other pixels in one video of thirty.
ENCODER = {"crf": "23", "preset": "veryfast", "threads": "1", "bf": "0", "mbtree": "0"}
_CUE_GREY = (250, 5)  # white: the upper object names the class; black: the lower one
_SPLITS = ("train", "val", "test")
_MIN_SIDE = 32  # below it a square is under 8 pixels wide and its colour drowns in chroma subsampling
_MIN_FRAMES = 4  # one quarter each for the cue and the objects, two between them
# Above these a number is a slip of the hand: one video would fill the memory, or a data set the disk.
_MOST_SIDE, _MOST_FRAMES, _MOST_FPS, _MOST_VIDEOS, _MOST_DISTRACTORS = 4096, 10_000, 1000, 1_000_000, 1000


class Scene(NamedTuple):
    """What happens in one video.

    Attributes:
        cue: 0 (white, the upper object names the class) or 1 (black, the lower object does).
        upper: Class index (colour) of the upper object.
        lower: Class index of the lower object; never equal to `upper`.
        distractors: Class indices (colours) of the squares without meaning.
        pixel_seed: Seeds everything that is not the relation: places, background and noise.
    """

    cue: int
    upper: int
    lower: int
    distractors: tuple[int, ...]
    pixel_seed: int

    @property
    def label(self) -> int:
        """The class index of the object that the cue names."""
        return self.upper if self.cue == CUE_NAMES_UPPER else self.lower


def draw_scenes(num_videos: int, *, num_classes: int, seed: int, split: str, num_distractors: int = 0) -> list[Scene]:
    """Draw the scenes of one split.

    All 2 * C * (C - 1) configurations (cue, upper, lower) appear equally often, to within one, in random order; so no
    accident of the draw tells the label from the cue alone or from the objects alone.

    Args:
        num_videos: Number of scenes, at least 1.
        num_classes: Number of colours C, 2 to 8.
        seed: Same seed, same scenes.
        split: "train", "val" or "test"; the splits are independent draws.
        num_distractors: Squares per video whose colour is any class's, drawn without regard to the label.
    """
    configurations = [
        (cue, upper, lower) for cue in (0, 1) for upper, lower in itertools.permutations(range(num_classes), 2)
    ]
    rng = np.random.default_rng([seed, _SPLITS.index(split)])
    # Whole rounds of every configuration, then a random part of one more round.
    order = [int(i) for _ in range(0, num_videos, len(configurations)) for i in rng.permutation(len(configurations))]
    order = [order[i] for i in rng.permutation(num_videos)]
    pixel_seeds = rng.integers(2**63, size=num_videos).tolist()
    distractors = rng.integers(num_classes, size=(num_videos, num_distractors)).tolist()
    return [
        Scene(*configurations[order[i]], distractors=tuple(distractors[i]), pixel_seed=pixel_seeds[i])
        for i in range(num_videos)
    ]


def render(
    scene: Scene, *, num_frames: int = 16, height: int = 64, width: int = 64, noise: float = 6.0
) -> npt.NDArray[np.uint8]:
    """Draw the pixels of a scene.

    Args:
        scene: From `draw_scenes`.
        num_frames: Frames T; the cue shows in [0, T // 4), the objects in [T - T // 4, T), each distractor for T // 4
            frames between them.
        height: Pixels; a square's side is a quarter of the shorter of height and width.
        width: Pixels; the cue is at the left edge, the objects at the right edge, the distractors in the middle third.
        noise: Standard deviation of the grey noise of each pixel and frame, in grey levels of 0..255.

    Returns:
        uint8 RGB (T, H, W, 3).
    """
    rng = np.random.default_rng(scene.pixel_seed)
    size = min(height, width) // 4
    quarter = num_frames // 4
    background = rng.uniform(100, 150)
    frames = np.full((num_frames, height, width, 3), background, np.float32)

    def square(colour: Sequence[int], at: slice, tops: tuple[int, int], lefts: tuple[int, int]) -> None:
        top, left = (int(rng.integers(low, high, endpoint=True)) for low, high in (tops, lefts))
        frames[at, top : top + size, left : left + size] = colour

    early, late = slice(0, quarter), slice(num_frames - quarter, num_frames)
    at_left, at_right = (0, width // 16), (width - size - width // 16, width - size)
    in_middle = (width // 3, max(width // 3, 2 * width // 3 - size))
    square([_CUE_GREY[scene.cue]] * 3, early, (0, height - size), at_left)
    square(PALETTE[scene.upper][1], late, (0, height // 2 - size), at_right)
    square(PALETTE[scene.lower][1], late, (height // 2, height - size), at_right)
    for class_index in scene.distractors:
        start = int(rng.integers(quarter, num_frames - 2 * quarter, endpoint=True))
        square(PALETTE[class_index][1], slice(start, start + quarter), (0, height - size), in_middle)
    frames += noise * rng.standard_normal((num_frames, height, width, 1), dtype=np.float32)
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


def write_long_range_videos(
    directory: str | os.PathLike[str],
    *,
    num_train: int = 960,
    num_val: int = 240,
    num_test: int = 240,
    seed: int = 0,
    num_classes: int = 3,
    num_frames: int = 16,
    height: int = 64,
    width: int = 64,
    fps: int = 8,
    noise: float = 6.0,
    num_distractors: int = 0,
    on_video: Callable[[], None] | None = None,
) -> Path:
    """Write a data set of long-range videos as H.264 mp4 files with their lists.

    `directory` receives `train/`, `val/` and `test/` (`00000.mp4`, ...), `train.csv`, `val.csv` and `test.csv` (header
    `path,label`; paths relative to the folder; a split of 0 videos has neither folder nor list) and `classes.txt` (one
    name a line). It appears whole or not at all. The same arguments give the same labels and, with the same
    version of PyAV, the same files.

    Args:
        directory: A folder that does not exist yet, or is empty.
        num_train: Videos of the training split, 1 to 1,000,000. Multiples of 2 * C * (C - 1) are balanced exactly.
        num_val: Videos of the validation split.
        num_test: Videos of the test split.
        seed: Seeds labels and pixels.
        num_classes: Number of classes C, 2 to 8: the colours of `PALETTE`.
        num_frames: Frames per video, 4 to 10,000.
        height: Pixels, even (H.264 4:2:0), 32 to 4096.
        width: Pixels, even, 32 to 4096.
        fps: Frames per second, 1 to 1000.
        noise: Standard deviation of the pixel noise in grey levels, 0 to 60.
        num_distractors: Squares per video without meaning, between cue and objects in space and time.
        on_video: Called after each video written, for a progress bar.

    Returns:
        `directory` as a path.

    Raises:
        ValueError: An argument is out of range, or the folder exists and is not empty.
    """
    counts = {"train": num_train, "val": num_val, "test": num_test}
    for name, value, low, high in (
        ("num_train", num_train, 1, _MOST_VIDEOS),
        ("num_val", num_val, 0, _MOST_VIDEOS),
        ("num_test", num_test, 0, _MOST_VIDEOS),
        ("seed", seed, 0, None),
        ("num_classes", num_classes, 2, len(PALETTE)),
        ("num_frames", num_frames, _MIN_FRAMES, _MOST_FRAMES),
        ("height", height, _MIN_SIDE, _MOST_SIDE),
        ("width", width, _MIN_SIDE, _MOST_SIDE),
        ("fps", fps, 1, _MOST_FPS),
        ("noise", noise, 0, 60),
        ("num_distractors", num_distractors, 0, _MOST_DISTRACTORS),
    ):
        check_range(name, value, low, high)
    _check_even("height", height)
    _check_even("width", width)
    draw = partial(render, num_frames=num_frames, height=height, width=width, noise=noise)
    drawn = {
        split: draw_scenes(count, num_classes=num_classes, seed=seed, split=split, num_distractors=num_distractors)
        for split, count in counts.items()
        if count
    }
    target = Path(directory)
    with whole_folder(target) as staging:
        for split, scenes in drawn.items():
            for _ in _write_split(staging, split, scenes, draw, fps):
                if on_video is not None:
                    on_video()
        names = "".join(f"{name}\n" for name, _ in PALETTE[:num_classes])
        (staging / "classes.txt").write_text(names, encoding="utf-8")
    return target


def _write_split(
    root: Path, split: str, scenes: Sequence[Scene], draw: Callable[[Scene], npt.NDArray[np.uint8]], fps: int
) -> Iterator[None]:
    """Write a split's videos, yielding after each, and then its list."""
    (root / split).mkdir()
    paths = [f"{split}/{i:05d}.mp4" for i in range(len(scenes))]
    # Threads suffice: drawing and encoding spend their time outside the interpreter lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(lambda path, scene: _encode(root / path, draw(scene), fps), paths, scenes)
    with (root / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "label"))
        writer.writerows((path, scene.label) for path, scene in zip(paths, scenes, strict=True))


def check_range(name: str, value: float, low: float, high: float | None) -> None:
    """Refuse a value below `low` or above `high` (None for no such bound) by a ValueError with its name."""
    if not (value >= low and (high is None or value <= high)):  # so written, it refuses NaN too
        allowed = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name} must be {allowed}, got {value}")


def _check_even(name: str, side: int) -> None:
    if side % 2:
        raise ValueError(f"{name} must be even for H.264 4:2:0, got {side}; use {side + 1}")


def _encode(path: Path, frames: npt.NDArray[np.uint8], fps: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = dict(ENCODER)
        for frame in frames:
            yuv = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuv420p", threads=1)
            container.mux(stream.encode(yuv))
        container.mux(stream.encode())
