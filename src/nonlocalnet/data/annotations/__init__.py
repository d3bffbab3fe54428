"""Lists of labelled videos, in every form in which users have them.

One format a file; `load` says how each is recognised, and is the one door through which they come.

| format | source | file |
|---|---|---|
| `class_folders` | a folder of class folders | `class_folders` |
| `path_list` | text, `path label` a line (PySlowFast, mmaction2, video-nonlocal-net) | `path_lists` |
| `frame_list` | text, `folder total_frames label` a line (mmaction2's extracted frames) | `path_lists` |
| `path_csv` | csv with the columns path and label | `path_csv` |
| `kinetics` | Kinetics' csv as published | `kinetics` |
| `ucf101` | UCF101's `trainlist01.txt` and `testlist01.txt` | `ucf101` |
| `hmdb51` | HMDB51's `*_test_split1.txt` | `hmdb51` |
| `charades` | Charades' csv as published | `charades` |
| `charades_frames` | PySlowFast's csv of Charades, a row a frame | `charades_frames` |
"""

from nonlocalnet.data.annotations.class_names import CLASS_NAMES_FILE
from nonlocalnet.data.annotations.entries import (
    UNLABELLED,
    VIDEO_SUFFIXES,
    Action,
    FrameFiles,
    VideoEntry,
    VideoList,
    multi_hot,
)
from nonlocalnet.data.annotations.load import AnnotationFormat, load_video_list, recognise

__all__ = [
    "CLASS_NAMES_FILE",
    "UNLABELLED",
    "VIDEO_SUFFIXES",
    "Action",
    "AnnotationFormat",
    "FrameFiles",
    "VideoEntry",
    "VideoList",
    "load_video_list",
    "multi_hot",
    "recognise",
]
