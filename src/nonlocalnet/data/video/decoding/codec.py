"""Which decoder reads a video stream, and how it is set."""

import av.video.stream
from av.codec.codec import UnknownCodecError
from av.video.codeccontext import VideoCodecContext

# FFmpeg's own VP9 decoder invents pixels for damaged packets and says nothing; libvpx notices nearly all of them, gives
# the same pixels for whole ones, and takes as long (LOG.md, "Reading video").
_VP9 = "libvpx-vp9"
# Those of 8 bits; PyAV's libvpx is built without the others.
_PROFILES = ("Profile 0", "Profile 1")


def decoder_of(stream: av.video.stream.VideoStream, *, turned: bool) -> VideoCodecContext:
    """The decoder for a stream's packets, one thread.

    The caller flushes it after a seek, which does so for the stream's own decoder only.

    Args:
        stream: The stream, as `open_video` gives it.
        turned: Whether the container turns or mirrors its pictures, which only the stream's own decoder says of its
            frames.
    """
    own = stream.codec_context
    if own.codec.canonical_name != "vp9" or own.profile not in _PROFILES or turned:
        return own
    try:
        decoder = VideoCodecContext.create(_VP9, "r")
    except UnknownCodecError:  # a build of PyAV without it
        return own
    assert isinstance(decoder, VideoCodecContext)
    decoder.thread_count = 1
    return decoder
