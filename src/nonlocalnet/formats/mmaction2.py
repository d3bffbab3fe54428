"""mmaction2 files (open-mmlab/mmaction2, `mmaction/models/backbones/resnet3d.py`): `{"state_dict": ..., "meta": ...}`.

With the saved configuration (a text in Python) nothing is open. Without it the strides are those of the published
configurations with the same kernels, and the pairwise function stands in the names of the published files
("i3d_nl_dot_product_...") or must be given. Its blocks are mmcv's NonLocal3d: they pool after phi and g, their output
convolution has no bias where a norm follows, and the head averages the whole map.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from nonlocalnet.formats.foreign import foreign_plan, pairwise_of, scale_of
from nonlocalnet.formats.plan import Asked, Plan, Scale, same_names
from nonlocalnet.formats.python_settings import parse_python_settings
from nonlocalnet.formats.structure import Structure, read_structure
from nonlocalnet.formats.tables import MMACTION2, MMACTION2_SUBSAMPLED
from nonlocalnet.functional import Pairwise
from nonlocalnet.models.video.card import Preprocessing
from nonlocalnet.models.video.geometry import FAMILIES, Variant

# (temporal stride of conv1, of pool1, whether pool2 is there), as the backbone's settings have them.
_VARIANTS: dict[tuple[int, int, bool], Variant] = {
    (2, 2, True): "mmaction2",
    (1, 1, True): "mmaction2-heavy",
    (1, 1, False): "mmaction2-slowonly",
}
# Of the published configurations, by the kernels that span time; C2D has 4-D kernels.
_VARIANT_OF_PATTERN: dict[str, Variant] = {
    "alternate": "mmaction2",
    "all": "mmaction2-heavy",
    "late": "mmaction2-slowonly",
}
# Settings of other graphs: the only value of each that this library builds.
_REQUIRED: dict[str, Any] = {
    "style": "pytorch",
    "spatial_strides": (1, 2, 2, 2),
    "temporal_strides": (1, 1, 1, 1),
    "dilations": (1, 1, 1, 1),
    "num_stages": 4,
}
_PAIRWISE_IN_NAME = re.compile(r"nl[-_](embedded[-_]gaussian|dot[-_]product|gaussian|concatenation)")
_PREPROCESSOR = re.compile(r"data_preprocessor\.(?:mean|std)")

# configs/recognition/i3d: the test pipeline of the published networks.
_USUAL_MEAN, _USUAL_STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
_USUAL_CLIP, _USUAL_SIDE = (32, 2), 256


def plan_mmaction2(path: str, tensors: dict[str, Tensor], meta: Mapping[str, Any], asked: Asked) -> Plan:
    """Plan the network of an mmaction2 file.

    Args:
        path: The file.
        tensors: By its names.
        meta: Its entry "meta"; the configuration's text is "cfg" (1.x) or "config" (0.x), and may be missing.
        asked: `clip` says the input where there is no configuration; it never changes the graph.

    Raises:
        ValueError: If the settings are of another graph, or leave the pairwise function open.
    """
    settings = read_settings(meta, path=path)
    dropped = {name: "the preprocessing, kept in the card" for name in tensors if _PREPROCESSOR.fullmatch(name)}
    tensors = {name: tensor for name, tensor in tensors.items() if name not in dropped}
    tensors, flat = _over_time(tensors)
    subsampled = any(".non_local_block.g.0." in name for name in tensors)
    table = MMACTION2_SUBSAMPLED if subsampled else MMACTION2
    structure = read_structure(same_names(tensors, table), path=path)
    variant = _variant(structure, settings, flat=flat, path=path)
    said = settings.pairwise or _pairwise_in_name(path)
    pairwise = pairwise_of(structure, asked, said=said, usual=None, path=path)
    clip, clip_whence = settings.clip(asked)
    arguments = {
        **structure.arguments,
        "clip": clip,
        "variant": variant,
        "crop": 224,
        "pairwise": pairwise,
        "scale": scale_of(pairwise, asked, family=FAMILIES[variant].scale, said=settings.scale(pairwise), path=path),
        "subsample": (1, 2, 2) if subsampled else None,
        "temporal_group_frames": None,
    }
    blocks = structure.arguments["nonlocal_blocks"]
    statements = [f"clip {clip}, from {clip_whence}", f"variant {variant}: strides {settings.whence}"]
    if blocks:
        how = "after phi and g" if subsampled else "none"
        statements.append(f"pairwise {pairwise}, scale {arguments['scale']}, subsampling {how}")
    return foreign_plan(
        path,
        table=table,
        tensors=tensors,
        architecture=structure.architecture,
        arguments=arguments,
        preprocessing=settings.preprocessing(clip),
        statements=statements,
        dropped=dropped,
        zero_filled=frozenset(f"{block}_nonlocal.out.bias" for block in blocks if arguments["norm"] == "batch"),
        class_names=_class_names(meta, num_classes=arguments["num_classes"]),
    )


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
            return None if pairwise != "gaussian" else 1.0
        used = self.backbone.get("non_local_cfg", {}).get("use_scale", True)  # mmcv's default
        return "rsqrt" if used and pairwise == "embedded_gaussian" else 1.0

    def clip(self, asked: Asked) -> tuple[str, str]:
        """The clip and where it comes from."""
        sample = next(self._steps("SampleFrames"), None)
        if sample is not None and "clip_len" in sample:
            own = f"{sample['clip_len']}x{sample.get('frame_interval', 1)}"
            whence = (
                f"its settings, not the {asked.clip} asked for" if asked.clip not in (None, own) else "its settings"
            )
            return own, whence
        if asked.clip is not None:
            return asked.clip, "the caller"
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


def _over_time(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], bool]:
    """C2D's 4-D kernels as kernels of one frame, and whether they were."""
    kernels = [tensor for name, tensor in tensors.items() if re.search(r"\.conv[123]\.conv\.weight$", name)]
    if sum(kernel.ndim == 4 for kernel in kernels) * 2 <= len(kernels):
        return tensors, False
    return {name: tensor.unsqueeze(2) if tensor.ndim == 4 else tensor for name, tensor in tensors.items()}, True


def _variant(structure: Structure, settings: Settings, *, flat: bool, path: object) -> Variant:
    if flat:
        return "mmaction2-c2d"
    backbone = settings.backbone
    if not backbone:
        pattern = structure.arguments.get("inflated")
        if pattern is None:
            raise ValueError(f"{path}: no kernel spans time and no settings are saved: the strides cannot be known")
        return _VARIANT_OF_PATTERN[pattern]
    for name, value in _REQUIRED.items():
        found = backbone.get(name, value)
        if (tuple(found) if isinstance(found, list) else found) != value:
            raise ValueError(f"{path}: its backbone has {name}={found!r}; this library builds {value!r} only")
    slow = backbone.get("type") == "ResNet3dSlowOnly"
    # The default was 2 while that of conv1_kernel was (5, 7, 7) (0.x), and is 1 since it is (3, 7, 7) (1.x).
    old = not slow and "conv1_kernel" not in backbone
    strides = [int(backbone.get(name, 2 if old else 1)) for name in ("conv1_stride_t", "pool1_stride_t")]
    key = (strides[0], strides[1], bool(backbone.get("with_pool2", not slow)))
    if key not in _VARIANTS:
        known = "; ".join(map(str, _VARIANTS))
        raise ValueError(
            f"{path}: its backbone has (conv1_stride_t, pool1_stride_t, with_pool2) = {key}; known: {known}"
        )
    return _VARIANTS[key]


def _pairwise_in_name(path: str) -> Any:
    match = _PAIRWISE_IN_NAME.search(Path(path).name)
    return match.group(1).replace("-", "_") if match else None


def _class_names(meta: Mapping[str, Any], *, num_classes: int) -> list[str] | None:
    dataset = meta.get("dataset_meta")
    names = dataset.get("classes") if isinstance(dataset, Mapping) else meta.get("CLASSES")
    return [str(name) for name in names] if isinstance(names, (list, tuple)) and len(names) == num_classes else None
