"""Which videos of a list are there and can be read, what others had, and the list of the good ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from nonlocalnet.data.annotations import VideoEntry, VideoList
from nonlocalnet.data.annotations.lines import read_lines
from nonlocalnet.data.video.reader import VideoError
from nonlocalnet.data.video.sources import open_source
from nonlocalnet.system.csv_text import rows_as_csv
from nonlocalnet.system.processes import choose_workers, run_each
from nonlocalnet.system.visible import visible

State = Literal["readable", "missing", "broken"]


class Finding(NamedTuple):
    """What became of one video.

    Attributes:
        state: Whether its header and one frame could be read.
        reason: Why not, naming the file; "" if they could.
    """

    state: State
    reason: str


class VideoCounts(NamedTuple):
    """Videos by what became of them."""

    listed: int
    readable: int
    missing: int
    broken: int


class Copy(NamedTuple):
    """A copy of a data set that somebody reported results on.

    Attributes:
        dataset: Data set and split.
        owner: Whose copy.
        videos: How many videos it has.
    """

    dataset: str
    owner: str
    videos: int


# The published lists come first. Missing videos explain most gaps between reproductions of Kinetics.
COPIES = (
    Copy("Kinetics-400 val", "the list as published", 19906),
    Copy("Kinetics-400 val", "video-nonlocal-net, its later copy", 19761),
    Copy("Kinetics-400 val", "mmaction2", 19796),
    Copy("Kinetics-400 train", "the list as published", 246535),
    Copy("Kinetics-400 train", "video-nonlocal-net, its later copy", 234643),
)
_KINETICS_400_CLASSES = 400


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Attributes:
        videos: The list.
        findings: One a video, in the list's order.
    """

    videos: VideoList
    findings: tuple[Finding, ...]

    @cached_property
    def total(self) -> VideoCounts:
        """All videos."""
        return _count(self.findings)

    @cached_property
    def by_class(self) -> dict[str, VideoCounts]:
        """The videos of each class by name (by index where there are no names); several times in multi-label lists."""
        found: dict[int, list[Finding]] = {}
        for entry, finding in zip(self.videos.entries, self.findings, strict=True):
            for label in _labels(entry):
                found.setdefault(label, []).append(finding)
        names = self.videos.class_names
        return {names[label] if names else str(label): _count(found[label]) for label in sorted(found)}

    @property
    def copies(self) -> tuple[Copy, ...]:
        """What others had of the same data set, where its size and classes tell which it is."""
        if len(self.by_class) != _KINETICS_400_CLASSES:
            return ()
        published = {copy.dataset: copy.videos for copy in reversed(COPIES)}
        near = [name for name, videos in published.items() if 0.8 * videos <= self.total.listed <= videos]
        return tuple(copy for copy in COPIES if copy.dataset in near)


def check_videos(
    videos: VideoList, *, workers: int | None = None, on_video: Callable[[], None] | None = None
) -> CheckReport:
    """Read every video's header and one frame.

    Args:
        videos: The list, loaded with `check_files=False`.
        workers: Processes; None for as many as there are cores.
        on_video: Called after each video.

    Raises:
        ValueError: `workers` is less than 1.
    """
    findings = [Finding("broken", "")] * len(videos.entries)
    for position, finding in run_each(_check, videos.entries, workers=choose_workers(workers)):
        crashed = Finding("broken", f"{videos.entries[position].path}: the process that read it died")
        findings[position] = finding or crashed
        if on_video is not None:
            on_video()
    return CheckReport(videos, tuple(findings))


def clean_list(report: CheckReport) -> str:
    """The list without the videos that are missing or broken, in its own format.

    A list keeps the lines of its good videos byte for byte, and its header. Sources that are not one list (class
    folders, HMDB51's split files) give a csv with the columns path and label.

    Raises:
        ValueError: No video is good.
    """
    videos = report.videos
    if not report.total.readable:
        raise ValueError(f"{videos.source}: none of {report.total.listed} videos can be read; is root right?")
    good = [finding.state == "readable" for finding in report.findings]
    if any(entry.lines is None for entry in videos.entries):
        return _as_csv([entry for entry, kept in zip(videos.entries, good, strict=True) if kept], videos.class_names)
    dropped = {
        line
        for entry, kept in zip(videos.entries, good, strict=True)
        if not kept and entry.lines is not None
        for line in entry.lines
    }
    lines = read_lines(Path(videos.source))
    return "".join(line for number, line in enumerate(lines, start=1) if number not in dropped)


def require_text(out: Path, videos: VideoList) -> None:
    """Refuse names that the list of `clean_list` cannot hold.

    Raises:
        ValueError: A name that is not UTF-8.
    """
    for entry in videos.entries:
        try:
            if entry.lines is None:
                str(entry.path).encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"{out} (--out) cannot list {visible(str(entry.path))}: a list is UTF-8, and its name is not; rename it"
            ) from None


def classes_lost(report: CheckReport) -> list[str]:
    """Classes of which no video is left: in a list that numbers its own names, those after them would move up."""
    return [name for name, counts in report.by_class.items() if not counts.readable]


def _check(entry: VideoEntry) -> Finding:
    try:
        with open_source(entry) as source:
            source.read([0])
    except FileNotFoundError as error:
        return Finding("missing", str(error))
    except VideoError as error:
        return Finding("broken", str(error))
    return Finding("readable", "")


def _count(findings: Sequence[Finding]) -> VideoCounts:
    states = [finding.state for finding in findings]
    return VideoCounts(len(states), *(states.count(state) for state in ("readable", "missing", "broken")))


def _labels(entry: VideoEntry) -> list[int]:
    return [entry.label] if isinstance(entry.label, int) else entry.label.nonzero().flatten().tolist()


def _as_csv(entries: Sequence[VideoEntry], class_names: Sequence[str] | None) -> str:
    def names(entry: VideoEntry) -> str:
        return " ".join(class_names[label] if class_names else str(label) for label in _labels(entry))

    return rows_as_csv(("path", "label"), ((entry.path.resolve(), names(entry)) for entry in entries))
