"""What is missing or damaged in a file of packets, of videos and sounds alike, whichever of the formats it is."""

from pathlib import Path

from nonlocalnet.data.video.containers.asf import asf_flaw
from nonlocalnet.data.video.containers.cut_packets import cut_packets_flaw
from nonlocalnet.data.video.containers.matroska import matroska_flaw
from nonlocalnet.data.video.containers.ogg import ogg_flaw


def packaging_flaw(path: Path) -> str | None:
    """Say what is missing or damaged in a Matroska, ASF, MPEG or Ogg file; None in others, and where all is well.

    Args:
        path: The file, not empty.
    """
    return matroska_flaw(path) or asf_flaw(path) or cut_packets_flaw(path) or ogg_flaw(path)
