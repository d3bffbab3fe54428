"""Lists of labelled videos, in every form in which users have them.

One format a file, each with its exact form, how it is recognised and how it is read; `list_formats` is the tuple of
them, in which a new one is entered, and `load_list` the one door through which every list comes.
"""

from nonlocalnet.data.annotations.class_names import CLASS_NAMES_FILE
from nonlocalnet.data.annotations.entries import (
    UNLABELLED,
    VIDEO_SUFFIXES,
    VIDEOS,
    Action,
    FrameFiles,
    Media,
    VideoEntry,
    VideoList,
    multi_hot,
)
from nonlocalnet.data.annotations.list_formats import FORMAT_NAMES, LIST_FORMATS
from nonlocalnet.data.annotations.load_list import class_names_at, load_video_list, recognise

__all__ = [
    "CLASS_NAMES_FILE",
    "FORMAT_NAMES",
    "LIST_FORMATS",
    "UNLABELLED",
    "VIDEOS",
    "VIDEO_SUFFIXES",
    "Action",
    "FrameFiles",
    "Media",
    "VideoEntry",
    "VideoList",
    "class_names_at",
    "load_video_list",
    "multi_hot",
    "recognise",
]
