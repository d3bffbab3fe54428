"""PySlowFast's settings (`slowfast/config/defaults.py`), as far as they decide the graph, read and written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from nonlocalnet.formats.graph import Facts
from nonlocalnet.formats.reading.content import values_of
from nonlocalnet.formats.writing import per_channel
from nonlocalnet.functional import Pairwise
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.geometry import STAGE_BLOCKS, STAGES
from nonlocalnet.models.video.network import fresh_card

INSTANTIATIONS: dict[str, Pairwise] = {"softmax": "embedded_gaussian", "dot_product": "dot_product"}

# By whether a video may have several classes.
_OF_HEAD = {
    False: {"HEAD_ACT": "softmax", "LOSS_FUNC": "cross_entropy"},
    True: {"HEAD_ACT": "sigmoid", "LOSS_FUNC": "bce_logit"},
}

_LONGEST = 200_000  # characters of saved settings; PySlowFast's have 15,000, and YAML is slow to read

_DEFAULTS: dict[str, Any] = {
    "DATA.NUM_FRAMES": 8,
    "DATA.SAMPLING_RATE": 8,
    "DATA.TRAIN_CROP_SIZE": 224,
    "DATA.TEST_CROP_SIZE": 256,
    "DATA.MEAN": [0.45, 0.45, 0.45],
    "DATA.STD": [0.225, 0.225, 0.225],
    "DATA.REVERSE_INPUT_CHANNEL": False,
    "MODEL.DROPOUT_RATE": 0.5,
    "MODEL.HEAD_ACT": "softmax",
    "MULTIGRID.SHORT_CYCLE": False,
    "NONLOCAL.GROUP": [[1], [1], [1], [1]],
    "NONLOCAL.POOL": [[[1, 2, 2]]] * 4,
}


def parse_settings(saved: object, *, path: object) -> Mapping[str, Any] | None:
    """The entry "cfg" of a file: the configuration's YAML, or mappings.

    Raises:
        ValueError: If it is neither, or no YAML.
    """
    if saved is None:
        return None
    if isinstance(saved, str):
        try:
            saved = _plain(saved)
        except (yaml.YAMLError, RecursionError) as error:
            raise ValueError(f"{path}: its entry 'cfg' is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(saved, Mapping):
        raise ValueError(f"{path}: its entry 'cfg' is a {type(saved).__name__}, not the program's configuration")
    return saved


def _plain(text: str) -> Any:
    """Its value, after its graph of nodes is walked through: aliases and merged mappings could unfold without end."""
    if len(text) > _LONGEST:
        raise ValueError(f"settings of {len(text):,} characters; a configuration has at most {_LONGEST:,}")
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        for _ in values_of(_nested(node)):
            pass
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _nested(node: Any, done: dict[int, Any] | None = None) -> Any:
    """The same nesting as lists, shared where the nodes are."""
    done = {} if done is None else done
    if isinstance(node, yaml.CollectionNode) and id(node) not in done:
        done[id(node)] = nested = []
        pairs = node.value if isinstance(node, yaml.MappingNode) else [(item,) for item in node.value]
        nested.extend(_nested(part, done) for pair in pairs for part in pair)
    return done.get(id(node))


class _Loader(yaml.SafeLoader):
    """Plain YAML, and the tuples of older dumps."""


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", yaml.SafeLoader.construct_sequence)


class Settings:
    """Nested settings by dotted name, with the program's defaults."""

    def __init__(self, values: Mapping[str, Any], *, path: object) -> None:
        self._values = values
        self._path = path

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or the default where it is not set."""
        section, _, key = name.partition(".")
        found = self._values.get(section, {})
        if not isinstance(found, Mapping):
            raise ValueError(f"{self._path}: its setting {section} is {found!r}, not a section")
        return found.get(key, default)

    def __getitem__(self, name: str) -> Any:
        return self.get(name, _DEFAULTS[name])


def settings_of(network: VideoResNet, *, arch: str, blocks: dict[str, Facts]) -> dict[str, Any]:
    """The settings by which the program builds a network that it can build."""
    preprocessing = (network.card or fresh_card(network)).preprocessing
    frames = preprocessing.clip_frames
    by_stage = {stage: [path for path in blocks if path.startswith(f"{stage}.")] for stage in STAGES}
    groups, pools = [], []
    for stage, paths in by_stage.items():
        pool = blocks[paths[0]]["subsampling"] if paths else (1, 2, 2)
        pools.append([list(pool or (1, 1, 1))])
        group = blocks[paths[0]]["frames of a temporal group"] if paths else None
        stage_frames = frames // (1 if stage == "res2" else network.geometry.pool2.stride[0])
        groups.append([stage_frames // group if group else 1])
    instantiation = {pairwise: name for name, pairwise in INSTANTIATIONS.items()}
    pairwise = next((facts["pairwise"] for facts in blocks.values()), "embedded_gaussian")
    locations = [[[int(path[5:]) for path in paths]] for paths in by_stage.values()]
    return {
        "DATA": {
            "NUM_FRAMES": frames,
            "SAMPLING_RATE": preprocessing.frame_stride,
            "MEAN": per_channel(preprocessing.mean, 255),
            "STD": per_channel(preprocessing.std, 255),
            "REVERSE_INPUT_CHANNEL": preprocessing.colour_order == "BGR",
            "TRAIN_CROP_SIZE": network.crop or preprocessing.crop,
            "TEST_CROP_SIZE": preprocessing.crop,
            "INPUT_CHANNEL_NUM": [3],
        },
        "MODEL": {
            "ARCH": arch,
            "MODEL_NAME": "ResNet",
            "NUM_CLASSES": network.num_classes,
            "DROPOUT_RATE": network.head.dropout.p,
            **_OF_HEAD[network.card is not None and network.card.multi_label],
        },
        "MULTIGRID": {"SHORT_CYCLE": network.crop is None},
        "NONLOCAL": {
            "LOCATION": locations,
            "GROUP": groups,
            "POOL": pools,
            "INSTANTIATION": instantiation[pairwise],
        },
        "RESNET": {
            "DEPTH": network.depth,
            "WIDTH_PER_GROUP": network.width,
            "NUM_GROUPS": 1,
            "STRIDE_1X1": False,
            # The blocks of a stage that may span time: all. Unset, these are a ResNet-50's, whatever the depth.
            "NUM_BLOCK_TEMP_KERNEL": [[count] for count in STAGE_BLOCKS[network.depth]],
        },
    }
