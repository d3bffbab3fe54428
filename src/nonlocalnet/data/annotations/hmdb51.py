"""HMDB51's split files: one per class and split, `brush_hair_test_split1.txt`, in one folder.

    April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1      1 to train, 2 to test, 0 neither

The source names the part of a split as if it were a file in that folder: `FOLDER/train_split1` or `FOLDER/test_split1`.
The videos are `root/CLASS/video.avi`; classes are numbered in alphabetical order.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from nonlocalnet.data.annotations.entries import Found, ListFormat, ListRequest, Read
from nonlocalnet.data.annotations.lines import check_cell, read_lines
from nonlocalnet.system.visible import quoted

_SOURCE_NAME = re.compile(r"(?P<part>train|test)_split(?P<split>[1-9])")
_FLAGS = {"train": "1", "test": "2"}


def is_part(source: Path) -> bool:
    """Whether the source names a part of a split whose files are in its folder."""
    return bool(_split_files(source))


def read(request: ListRequest, _lines: Sequence[str]) -> Read:
    """Read the part's lines of every class.

    Raises:
        FileNotFoundError: The folder holds no files of that split.
        ValueError: With the file and the line.
    """
    files = _split_files(request.source)
    match = _SOURCE_NAME.fullmatch(request.source.name)
    if not files or match is None:
        raise FileNotFoundError(
            f"no HMDB51 split files for {request.source}; expected FOLDER/train_split1 or FOLDER/test_split1, "
            "where FOLDER holds CLASS_test_split1.txt and so on"
        )
    videos = []
    for index, file in enumerate(files.values()):
        folder = request.root / list(files)[index]
        for number, line in enumerate(read_lines(file), start=1):
            cells = line.split()
            if not cells:
                continue
            if len(cells) != 2 or cells[1] not in ("0", "1", "2"):
                raise ValueError(f"{file}, line {number}: expected `video.avi 0`, 1 or 2: {quoted(line.strip())}")
            if cells[1] == _FLAGS[match["part"]]:
                videos.append(Found(folder / check_cell(file, number, "path", cells[0]), (index,)))
    if not videos:
        raise ValueError(f"{request.source}: none of {len(files)} split files names a video to {match['part']}")
    return Read(videos, tuple(files))


def _split_files(source: Path) -> dict[str, Path]:
    """Class name to its file, in alphabetical order."""
    match = _SOURCE_NAME.fullmatch(source.name)
    if match is None or not source.parent.is_dir():
        return {}
    ending = f"_test_split{match['split']}.txt"
    return {path.name.removesuffix(ending): path for path in sorted(source.parent.glob(f"*{ending}"))}


FORMAT = ListFormat(
    "hmdb51",
    recognises=lambda source, _lines: not source.exists() and is_part(source),
    read=read,
    is_source=lambda _source: True,  # it is a name that nothing lies under; `read` says what is missing
)
