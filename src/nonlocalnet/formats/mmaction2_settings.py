"""mmaction2's configurations, written as Python assignments: read without running them, and written."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nonlocalnet.formats.graph import Facts
from nonlocalnet.formats.load_plan import Hints, Scale
from nonlocalnet.formats.writing import per_channel
from nonlocalnet.functional import Pairwise
from nonlocalnet.functional.pairwise import row_of
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.card import Preprocessing
from nonlocalnet.models.video.geometry import FAMILIES, STAGE_BLOCKS, STAGES, Variant, inflated_blocks
from nonlocalnet.models.video.network import fresh_card

# configs/recognition/i3d: the test pipeline of the published networks.
_USUAL_MEAN, _USUAL_STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
_LONGEST = 1_000_000  # characters of a configuration; published ones have 10,000
_USUAL_CLIP, _USUAL_SIDE = (32, 2), 256
# The loss of a head whose videos have several classes.
_SEVERAL = "BCELossWithLogits"


@dataclass(frozen=True)
class Settings:
    """The configuration of a file as far as it matters; empty mappings where there is none.

    Attributes:
        backbone: The dictionary `model.backbone`.
        model: The dictionary `model`.
        rest: The configuration's other entries.
    """

    backbone: Mapping[str, Any]
    model: Mapping[str, Any]
    rest: Mapping[str, Any]

    @property
    def whence(self) -> str:
        """Where the strides come from, in words."""
        return "of its settings" if self.backbone else "of the published networks with these kernels"

    @property
    def pairwise(self) -> Pairwise | None:
        """The mode of the blocks; None where the configuration has no blocks."""
        if not self.backbone.get("non_local"):
            return None
        return self.backbone.get("non_local_cfg", {}).get("mode", "embedded_gaussian")  # mmcv's default

    def scale(self, pairwise: Pairwise) -> Scale | None:
        """The factor on the logits; None where there is no configuration. mmcv scales the embedded Gaussian only."""
        if not self.backbone.get("non_local"):
            return None if row_of(pairwise).embeds else 1.0
        used = self.backbone.get("non_local_cfg", {}).get("use_scale", True)  # mmcv's default
        return "rsqrt" if used and pairwise == "embedded_gaussian" else 1.0

    @property
    def multi_label(self) -> bool:
        """Whether a video may have several classes: its head or its loss says so."""
        head = self.model.get("cls_head")
        loss = head.get("loss_cls") if isinstance(head, Mapping) else None
        several = isinstance(loss, Mapping) and loss.get("type") == _SEVERAL
        return several or (isinstance(head, Mapping) and bool(head.get("multi_class")))

    def clip(self, hints: Hints) -> tuple[str, str]:
        """The clip and where it comes from."""
        sample = next(self._steps("SampleFrames"), None)
        if sample is not None and "clip_len" in sample:
            own = f"{sample['clip_len']}x{sample.get('frame_interval', 1)}"
            whence = (
                f"its settings, not the {hints.clip} asked for" if hints.clip not in (None, own) else "its settings"
            )
            return own, whence
        if hints.clip is not None:
            return hints.clip, "the caller"
        return "x".join(map(str, _USUAL_CLIP)), "the published configurations"

    def preprocessing(self, clip: str) -> Preprocessing:
        """The input, from the preprocessor (1.x) or img_norm_cfg (0.x) and the test pipeline."""
        frames, stride = (int(part) for part in clip.split("x"))
        norm = self.model.get("data_preprocessor") or self.rest.get("img_norm_cfg") or {}
        reversed_ = bool(norm.get("to_bgr", False)) or norm.get("to_rgb") is True
        cut = next((step for kind in ("ThreeCrop", "CenterCrop") for step in self._steps(kind)), {})
        crop = cut.get("crop_size", _USUAL_SIDE)
        scale = next((step.get("scale") for step in self._steps("Resize")), None)
        short_side = min((side for side in scale if side > 0), default=_USUAL_SIDE) if scale else _USUAL_SIDE
        return Preprocessing(
            clip_frames=frames,
            frame_stride=stride,
            mean=list(norm.get("mean", _USUAL_MEAN)),
            std=list(norm.get("std", _USUAL_STD)),
            colour_order="BGR" if reversed_ else "RGB",
            short_side=int(short_side),
            crop=int(crop if isinstance(crop, int) else crop[0]),
        )

    def _steps(self, kind: str) -> Iterator[Mapping[str, Any]]:
        for step in self.rest.get("test_pipeline", ()):
            if isinstance(step, Mapping) and step.get("type") == kind:
                yield step


def read_settings(meta: Mapping[str, Any], *, path: object) -> Settings:
    """The configuration in a file's "meta".

    Raises:
        ValueError: If there is a text that is no configuration.
    """
    text = meta.get("cfg") or meta.get("config")
    if text is None:
        return Settings({}, {}, {})
    if isinstance(text, str):
        try:
            parsed: Any = parse_python_settings(text)
        except ValueError as error:
            raise ValueError(f"{path}: the configuration in its 'meta' is {error}") from None
    else:
        parsed = text
    model = parsed.get("model") if isinstance(parsed, Mapping) else None
    if not isinstance(model, Mapping) or not isinstance(model.get("backbone"), Mapping):
        raise ValueError(f"{path}: the configuration in its 'meta' has no model with a backbone")
    return Settings(model["backbone"], model, {key: value for key, value in parsed.items() if key != "model"})


def parse_python_settings(text: str) -> dict[str, Any]:
    r"""The top-level assignments of a text, as far as they are literals, `dict(...)`, `list(...)` or `tuple(...)`.

    >>> parse_python_settings("a = dict(b=(1, 2))\nc = open('x')")
    {'a': {'b': (1, 2)}}

    Raises:
        ValueError: If the text is no Python.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"longer than {_LONGEST:,} characters ({len(text):,})")
    try:
        module = ast.parse(text)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"no settings in Python: {error}") from None
    settings = {}
    for statement in module.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                settings[statement.targets[0].id] = _value(statement.value)
            except (ValueError, TypeError, RecursionError):
                continue  # what only running it could tell
    return settings


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        if any(key is None for key in node.keys):
            raise ValueError("an unpacked dictionary")
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True) if key}
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [_value(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    return ast.literal_eval(node)


def settings_of(network: VideoResNet, *, variant: Variant, blocks: dict[str, Facts]) -> str:
    """The configuration's text."""
    preprocessing = (network.card or fresh_card(network)).preprocessing
    several = network.card is not None and network.card.multi_label
    head = {
        "type": "I3DHead",
        "num_classes": network.num_classes,
        "in_channels": network.num_features,
        "spatial_type": "avg",
        "dropout_ratio": network.head.dropout.p,
        **({"multi_class": True, "loss_cls": {"type": _SEVERAL}} if several else {}),
        "average_clips": "score" if several else "prob",  # "prob" is a softmax
    }
    preprocessor = {
        "type": "ActionDataPreprocessor",
        "mean": per_channel(preprocessing.mean, 1),
        "std": per_channel(preprocessing.std, 1),
        "to_rgb": preprocessing.colour_order == "BGR",
        "format_shape": "NCTHW",
    }
    clip = {"clip_len": preprocessing.clip_frames, "frame_interval": preprocessing.frame_stride}
    pipeline = [
        {"type": "SampleFrames", **clip, "num_clips": 10, "test_mode": True},
        {"type": "Resize", "scale": (-1, preprocessing.short_side)},
        {"type": "ThreeCrop", "crop_size": preprocessing.crop},
        {"type": "FormatShape", "input_format": "NCTHW"},
    ]
    model = {
        "type": "Recognizer3D",
        "backbone": _backbone(network, variant, blocks),
        "cls_head": head,
        "data_preprocessor": preprocessor,
    }
    return f"model = {model!r}\ntest_pipeline = {pipeline!r}\n"


def _backbone(network: VideoResNet, variant: Variant, blocks: dict[str, Facts]) -> dict[str, Any]:
    if variant == "mmaction2-c2d":
        return {"type": "C2D", "depth": network.depth, "pretrained": None, "norm_eval": False}
    geometry = FAMILIES[variant]
    slow = network.inflate is not None and network.inflated == "late"
    inflate = tuple(
        tuple(int(spans and network.inflate is not None) for spans in _inflated(network, stage)) for stage in STAGES
    )
    backbone: dict[str, Any] = {
        "type": "ResNet3d",
        "depth": network.depth,
        "pretrained": None,
        "base_channels": network.width,
        "conv1_kernel": tuple(network.stem.conv.kernel_size),
        "conv1_stride_t": geometry.conv1_stride[0],
        "pool1_stride_t": geometry.pool1.stride[0],
        "with_pool2": geometry.pool2.stride[0] > 1,
        "inflate": inflate,
        "inflate_style": network.inflate or "3x1x1",
    }
    if slow and variant == "mmaction2-slowonly":
        backbone = {"type": "ResNet3dSlowOnly", "lateral": False, **{k: v for k, v in backbone.items() if k != "type"}}
    if blocks:
        facts = next(iter(blocks.values()))
        backbone["non_local"] = tuple(
            tuple(int(f"{stage}.{index}" in blocks) for index in range(count))
            for stage, count in zip(STAGES, STAGE_BLOCKS[network.depth], strict=True)
        )
        backbone["non_local_cfg"] = {
            "sub_sample": facts["subsampling"] is not None,
            "use_scale": facts["scale of the logits"] == "rsqrt",
            "norm_cfg": {"type": "BN3d", "requires_grad": True} if facts["norm"] else None,
            "mode": facts["pairwise"],
        }
    return backbone


def _inflated(network: VideoResNet, stage: str) -> tuple[bool, ...]:
    return inflated_blocks(stage, depth=network.depth, inflated=network.inflated)
