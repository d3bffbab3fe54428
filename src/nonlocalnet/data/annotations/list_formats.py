"""Every form in which users have lists of videos: the one place that a new one is entered.

The later ones are the more special, and are asked first whether a source is theirs. `frame_list` and `path_list` differ
by the suffix of the first video alone: a list of video files without suffix and of several labels must be named,
`format="path_list"`.
"""

from nonlocalnet.data.annotations import (
    charades,
    charades_frames,
    class_folders,
    frame_list,
    hmdb51,
    kinetics,
    path_csv,
    path_list,
    ucf101,
)
from nonlocalnet.data.annotations.entries import ListFormat

LIST_FORMATS: tuple[ListFormat, ...] = (
    class_folders.FORMAT,  # a folder
    path_list.FORMAT,  # any file
    frame_list.FORMAT,  # a first line of a name without a video's suffix and two integers or more
    path_csv.FORMAT,  # a csv header with `path` and `label`, or names that mean them
    kinetics.FORMAT,  # a csv header with `youtube_id`
    ucf101.FORMAT,  # `trainlist01.txt` or the like with `classInd.txt` beside it
    hmdb51.FORMAT,  # `FOLDER/train_split1` or `test_split1`, where FOLDER holds `*_test_split1.txt`
    charades.FORMAT,  # a csv header with `id` and `actions`
    charades_frames.FORMAT,  # a first line that starts with `original_vido_id`
)
FORMAT_NAMES = tuple(found.name for found in LIST_FORMATS)
