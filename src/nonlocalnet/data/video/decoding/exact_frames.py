"""The wanted frames of an opened video, decoded exactly: which packets to decode, and which frames to believe.

Every frame given equals, value for value, the frame of the same index in a decode from the first to the last. A damaged
packet makes a decoder invent pixels, and the frames that refer to them are wrong too; where FFmpeg says so, all of them
are refused, since what is invented depends on what was decoded before. Speed comes from two things: the scan of the
packets' time stamps (`frame_index`) says which keyframe to start from, and frames that no other frame refers to are
skipped where they are not wanted.
"""

import itertools
import math
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import av
import av.container
import av.video.stream
import numpy as np
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from nonlocalnet.data.video.decoding.codec import decoder_of
from nonlocalnet.data.video.errors import VideoError, unreadable_where_it_fails
from nonlocalnet.data.video.frame_index import FrameIndex, open_video

# Leaving out non-reference frames does not change the others in these codecs. In AV1 it does.
_NONREF_IS_EXACT = frozenset({"h264", "hevc"})
# A seek throws away the decoder's state and re-reads; it pays from about this many frames not decoded.
_MIN_FRAMES_SAVED = 8
# Picture types of a frame that needs no other; some decoders do not tell the type.
_CLEAN_STARTS = frozenset({PictureType.NONE, PictureType.I, PictureType.SI})
# A frame is shown at most this many frames after one that refers to it (H.264 and HEVC).
MAX_REORDERED = 16

# A frame with its index; None in its place takes back what was yielded before.
_Decoded: TypeAlias = tuple[int, av.VideoFrame | None]


def decoded(
    path: Path,
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    index: FrameIndex,
    wanted: list[int],
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield (frame index, frame) for every wanted index, which ascend; raise VideoError where one is missing.

    A frame that turns out to be damaged is yielded again, or the error is raised.
    """
    missing = set(wanted)
    # A keyframe may be no clean start (a wrong seek table, intra refresh), or the seek is refused: then everything is
    # decoded from the first frame on.
    with unreadable_where_it_fails(path):
        if index.by_pts:
            try:
                decoder = decoder_of(stream, turned=index.turned)
                yield from _kept(_decode_from_keyframes(container, stream, decoder, index, wanted), missing)
            except FFmpegError:
                missing.update(wanted)  # what was given may come after damage
        if missing:
            yield from _kept(_decode_from_start(path, index, sorted(missing)), missing)
    if missing:
        raise VideoError(
            f"{path}: broken: got {len(wanted) - len(missing)} of {len(wanted)} wanted frames; "
            f"frame {min(missing)} of {index.num_frames} cannot be decoded"
        )


def _kept(frames: Iterator[_Decoded], missing: set[int]) -> Iterator[tuple[int, av.VideoFrame]]:
    """The frames themselves; `missing` becomes those that are not there, or were taken back."""
    for number, frame in frames:
        if frame is None:
            missing.add(number)
        else:
            missing.discard(number)
            yield number, frame


def _decode_from_keyframes(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    decoder: VideoCodecContext,
    index: FrameIndex,
    wanted: list[int],
) -> Iterator[_Decoded]:
    """Yield those wanted frames that can be decoded exactly from the keyframe before them."""
    # Only the first packet says which encoder wrote a 4:4:4 H.264 stream; the decoder needs that to read old ones.
    if decoder.name == "h264" and "4:4:4" in (decoder.profile or ""):
        container.seek(int(index.pts[0]), stream=stream)
        decoder.skip_frame = "DEFAULT"
        _decode_or_none(decoder, next(container.demux(stream)))
    for keyframe, frames in _segments(index, wanted):
        container.seek(int(index.pts[keyframe]), stream=stream)
        decoder.flush_buffers()
        packets = container.demux(stream)
        landing = next(packets)
        if not landing.is_keyframe or landing.pts is None or landing.pts > index.pts[keyframe]:
            continue
        frame_of = {int(index.pts[frame]): frame for frame in frames}
        yield from _decode_known_by_pts(decoder, itertools.chain((landing,), packets), frame_of, landing.pts)


def _segments(index: FrameIndex, wanted: list[int]) -> list[tuple[int, list[int]]]:
    """Group the wanted frames by the keyframe to start from; frames before the first keyframe are left out.

    k.......w.w.w.w.k...................k....w.w.    k keyframe, w wanted
    [ segment 0   ]                     [ segment 1  the keyframe between is skipped over
    """
    segments: list[tuple[int, list[int]]] = []
    for frame in wanted:
        at = int(np.searchsorted(index.keyframes, frame, side="right")) - 1
        if at < 0:
            continue
        keyframe = int(index.keyframes[at])
        if segments and keyframe <= segments[-1][1][-1] + _MIN_FRAMES_SAVED:
            segments[-1][1].append(frame)
        else:
            segments.append((keyframe, [frame]))
    return segments


def _decode_from_start(path: Path, index: FrameIndex, wanted: list[int]) -> Iterator[_Decoded]:
    """Yield those wanted frames that come before any broken packet, known by their pts or by counting."""
    container, stream = open_video(path, follow_edits=index.follows_edits)
    with container:
        decoder = decoder_of(stream, turned=index.turned)
        if index.by_pts:
            frame_of = {int(index.pts[frame]): frame for frame in wanted}
            yield from _decode_known_by_pts(decoder, container.demux(stream), frame_of, None)
        else:
            yield from _decode_counting(decoder, container.demux(stream), set(wanted))


def _decode_known_by_pts(
    decoder: VideoCodecContext, packets: Iterable[av.Packet], frame_of: dict[int, int], landing: int | None
) -> Iterator[_Decoded]:
    """Yield the frames of `frame_of` (pts to index), then (index, None) for those decoded after damage.

    decoded  0 4 2 1 3 8 ...     4 is damaged: 2, 1 and 3 refer to it and are shown before it, so the damage is known
    shown    0 1 2 3 4 ...       only after they came out; what the decoder still holds is looked through for that.
    """
    order: dict[int | None, int] = {}  # pts of the packets, in the order of decoding
    given: list[int] = []
    damaged_from = math.inf
    started = landing is None
    for frame in decode_packets(decoder, packets, order, frame_of):
        if landing is not None and frame.pts is not None and frame.pts < landing:
            continue  # refers to what lies before the keyframe
        if not started:
            # Intra-refresh streams mark a P frame as a keyframe: what comes after is not exact for a while.
            if frame.pts != landing or frame.pict_type not in _CLEAN_STARTS:
                return
            started = True
        if frame.is_corrupt:
            damaged_from = min(damaged_from, order.get(frame.pts, 0))
            break
        if frame.pts in frame_of:
            given.append(frame.pts)
            yield frame_of[frame.pts], frame
        if len(given) == len(frame_of):
            break
    for frame in _decode_or_none(decoder, None) or []:
        if frame.is_corrupt and (landing is None or frame.pts is None or frame.pts >= landing):
            damaged_from = min(damaged_from, order.get(frame.pts, 0))
    for pts in given:
        if order.get(pts, 0) >= damaged_from:
            yield frame_of[pts], None


def _decode_counting(decoder: VideoCodecContext, packets: Iterable[av.Packet], wanted: set[int]) -> Iterator[_Decoded]:
    """Yield the wanted frames by number, then (number, None) for those that may come after damage."""
    last = max(wanted)
    for count, frame in enumerate(decode_packets(decoder, packets, {}, None)):
        if frame.is_corrupt:
            # Which frames refer to this one is not known without time stamps: as many as can be shown before it.
            for number in wanted:
                if count - MAX_REORDERED <= number < count:
                    yield number, None
            return
        if count in wanted:
            yield count, frame
        if count >= last + MAX_REORDERED:
            return


def decode_packets(
    decoder: VideoCodecContext,
    packets: Iterable[av.Packet],
    order: dict[int | None, int] | None,
    wanted_pts: Container[int | None] | None,
) -> Iterator[av.VideoFrame]:
    """Decode until a packet is broken.

    Args:
        decoder: Their decoder.
        packets: From a place where decoding may start.
        order: Takes each packet's place by its pts; None where nobody asks.
        wanted_pts: Frames of other pts may be left out; None for all.
    """
    skipping = decoder.codec.canonical_name in _NONREF_IS_EXACT
    for packet in packets:
        if order is not None:
            order[packet.pts] = len(order)
        if skipping and wanted_pts is not None:
            needed = packet.pts in wanted_pts or not packet.size
            decoder.skip_frame = "DEFAULT" if needed else "NONREF"
        frames = _decode_or_none(decoder, packet)
        if frames is None:
            yield from _decode_or_none(decoder, None) or []  # what the decoder still holds came before
            return
        yield from frames


def _decode_or_none(decoder: VideoCodecContext, packet: av.Packet | None) -> list[av.VideoFrame] | None:
    """The frames that come out for a packet (None drains the decoder), or None where the packet is broken."""
    try:
        return list(decoder.decode(packet))
    except FFmpegError:
        return None
