"""Networks as Caffe2 files of the authors' release; `nonlocalnet.formats.caffe2` reads them."""

from __future__ import annotations

import pickle

from nonlocalnet.formats.graph import AnyOf, Facts, block_facts, differences, trunk_facts
from nonlocalnet.formats.tables import CAFFE2
from nonlocalnet.formats.writing import nearest, renamed_state, require_none
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.geometry import GEOMETRIES


def caffe2_bytes(network: VideoResNet) -> bytes:
    """The content of a `.pkl`; ValueError where the program would build another graph."""
    known = [clip for variant, clip in GEOMETRIES if variant == "release"]
    clips = [network.clip] if network.clip in known else known
    _, found = nearest(network, [("release", clip) for clip in clips])
    i3d = network.inflate is not None
    found += differences(
        trunk_facts(network),
        {
            "kernel that spans time": "3x1x1" if i3d else None,
            "residual blocks that hold it": "alternate" if i3d else None,
        },
    )
    affine = network.trunk_norm == "affine"
    for path, facts in block_facts(network).items():
        expected: Facts = {
            "pairwise": "embedded_gaussian",
            "scale of the logits": "rsqrt",
            "subsampling": (1, 2, 2),
            "subsampling before phi and g": True,
            "channels inside over half": 0,
            "domain": "spacetime",
            "frames of a temporal group": 4 if affine and path.startswith("res3.") else None,
            "norm": None if affine else AnyOf("batch", None),
        }
        found += differences(facts, expected, where=f"{path}_nonlocal: ")
    require_none(found, "Caffe2's video-nonlocal-net")
    blobs = {name: tensor.numpy() for name, tensor in renamed_state(network, CAFFE2).items()}
    content = pickle.dumps({"blobs": blobs}, protocol=2)
    # Python 2's numpy has its arrays under this older name; the name is written once, before the first array.
    newer, older = b"cnumpy._core.multiarray\n_reconstruct\n", b"cnumpy.core.multiarray\n_reconstruct\n"
    assert content.count(newer) + content.count(older) == 1
    return content.replace(newer, older)
