"""What the command line may say of a run on videos and of its weights, beside the fields of the recipe."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import fields, replace
from typing import Any, get_args

from nonlocalnet.block import BlockOptions
from nonlocalnet.data.clips.views import Crops
from nonlocalnet.data.clips.windows import require_clip_count
from nonlocalnet.engine.devices import choose_device
from nonlocalnet.engine.machine import has_fast_bf16
from nonlocalnet.formats import Hints, LoadPlan
from nonlocalnet.formats.inflate import How
from nonlocalnet.formats.load_plan import Scale
from nonlocalnet.functional import PAIRWISE
from nonlocalnet.models.video.geometry import Size
from nonlocalnet.runs.video.classes import KINETICS400
from nonlocalnet.runs.video.config import DataConfig, ModelConfig, VideoRecipe
from nonlocalnet.runs.video.inference import Inference
from nonlocalnet.system.numeric import sizes_of
from nonlocalnet.system.typed import refuse_typed, typed_as

TEST_FIELDS = {
    "data": {
        *("root", "val", "test", "limit", "workers", "clip_frames", "frame_stride"),
        *(field.name for field in fields(DataConfig) if field.name.startswith("test_")),
    },
    "trainer": {"device", "devices"},
}
"""By section, the fields that a test reads."""

_OF_BLOCKS = [f"model.{field.name}" for field in fields(ModelConfig) if field.name in BlockOptions.__dataclass_fields__]
_CROPS: dict[str, Crops] = {"1": "centre", "3": "three", "full": "full"}


def add_train_options(parser: ArgumentParser) -> None:
    """Add what `train_arguments` reads."""
    parser.add_argument(
        "--init-inflation",
        choices=get_args(How),
        help="of a 2-D ResNet in --init, a kernel in time: copies divided by their number (average, the default), or "
        "once at the centre",
    )


def train_arguments(parsed: Namespace) -> dict[str, Any]:
    """Arguments of `train_recipe`.

    Raises:
        ValueError: One is given that would do nothing.
    """
    if parsed.init is None:
        refuse_typed(parsed, ["init_inflation"], "without --init FILE")
    return {"init_inflation": parsed.init_inflation}


def add_test_options(parser: ArgumentParser) -> None:
    """Add what `apply_options`, `weights_arguments` and `test_arguments` read."""
    parser.add_argument(
        "--views", help="clips x crops, short for --data.test_clips and --data.test_crops: 10x3, 1xfull"
    )
    add_asked(parser)
    add_classes(parser)
    add_inference(parser)


def weights_arguments(parsed: Namespace) -> dict[str, Any]:
    """Arguments of `open_weights`."""
    return {"asked": asked_of(parsed), "classes": parsed.classes}


def test_arguments(parsed: Namespace) -> dict[str, Any]:
    """Arguments of `test_recipe`.

    Raises:
        ValueError: One is given that would do nothing.
    """
    if parsed.data.test is not None and (typed_as(parsed, "data.val") or "").startswith("--"):
        refuse_typed(parsed, ["data.val"], f"on a test: its list is data.test = {parsed.data.test!r}; give --data.test")
    return {"inference": inference_of(parsed, device=parsed.trainer.device)}


def apply_options(recipe: VideoRecipe, parsed: Namespace) -> VideoRecipe:
    """The recipe with what `--views` stands for.

    Raises:
        ValueError: An option was given that would do nothing; it is named.
    """
    refuse_idle(parsed)
    views = getattr(parsed, "views", None)
    if views is None:
        return recipe
    for field in ("data.test_clips", "data.test_crops"):
        if given := typed_as(parsed, field):
            raise ValueError(
                f"--views is short for data.test_clips and data.test_crops, and {given} is given too; give one of them"
            )
    clips, crops = parse_views(views)
    return replace(recipe, data=replace(recipe.data, test_clips=clips, test_crops=crops))


def refuse_idle(parsed: Namespace) -> None:
    """Refuse fields of the network that were given on the command line and that it does not read.

    Raises:
        ValueError: There is one; it is named.
    """
    if not parsed.model.nonlocal_blocks:
        why = "where model.nonlocal_blocks is 0: the network has no block"
        refuse_typed(parsed, _OF_BLOCKS, why, in_files=False)
    if parsed.model.architecture.startswith("c2d"):
        refuse_typed(parsed, ["model.inflate"], "on a C2D: it is for i3d_*", in_files=False)


def add_asked(parser: ArgumentParser) -> None:
    """Add `--clip`, `--pairwise`, `--scale` and `--subsample`."""
    parser.add_argument("--clip", help="frames x stride such as 32x2; a Caffe2 file without it in its name needs it")
    parser.add_argument("--pairwise", choices=PAIRWISE, help="of the blocks, where the file leaves it open")
    parser.add_argument("--scale", help="factor on the blocks' logits, a number or rsqrt; default: what the file says")
    parser.add_argument(
        "--subsample", help="what the blocks pool, 1x2x2 or none, where the file leaves it open (Caffe2)"
    )


def add_classes(parser: ArgumentParser) -> None:
    """Add `--classes`."""
    parser.add_argument(
        "--classes",
        metavar=f"FILE|{KINETICS400}",
        help="names of the classes where the weights have none: one a line or JSON; or the published ones of Kinetics",
    )


def asked_of(parsed: Namespace) -> Hints:
    """What these options say.

    Raises:
        ValueError: If --scale is neither a number above 0 nor "rsqrt", or --subsample no pooling.
    """
    return Hints(
        clip=parsed.clip,
        pairwise=parsed.pairwise,
        scale=_scale(parsed.scale),
        subsample="file" if parsed.subsample is None else _subsample(parsed.subsample),
    )


def _subsample(text: str) -> tuple[int, int, int] | None:
    if text == "none":
        return None
    sizes = sizes_of(text, 3)
    if sizes is None:
        raise ValueError(f"--subsample must be frames x rows x columns, such as 1x2x2, or none, got {text!r}")
    frames, rows, columns = sizes
    return frames, rows, columns


def _scale(text: str | None) -> Scale | None:
    if text is None or text == "rsqrt":
        return text
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0 < scale < float("inf"):
        raise ValueError(f"--scale must be a number above 0 or rsqrt, got {text!r}")
    return scale


def require_clip_used(plan: LoadPlan, asked: Hints, *, instead: str = "") -> None:
    """Refuse `--clip` where the file says its own and nothing else comes of it.

    Raises:
        ValueError: Names the file, and what does what was meant.
    """
    if asked.clip is not None and plan.format == "nonlocalnet":
        raise ValueError(f"--clip has no effect on {plan.path}, whose card says its own clip{instead}")


def add_inference(parser: ArgumentParser) -> None:
    """Add the flags that `inference_of` reads."""
    add_precision(parser, "score in bfloat16, and say how far the scores move")
    parser.add_argument("--fold-bn", action="store_true", help="fold BatchNorm into the convolutions")
    parser.add_argument("--compile", action="store_true", help="torch.compile: minutes to start, for long tests")
    parser.add_argument("--no-channels-last", action="store_true", help="keep PyTorch's default memory order")
    parser.add_argument("--compared", type=int, default=16, help="videos on which bfloat16 is compared with float32")


def add_precision(parser: ArgumentParser, what: str) -> None:
    """Add `--bf16`, which does `what`, and `--no-bf16`."""
    on_gpus = "so it is anyway on a GPU with that arithmetic"
    parser.add_argument("--bf16", action="store_true", help=f"{what}; {on_gpus}")
    parser.add_argument("--no-bf16", action="store_true", help="compute in float32 on every device")


def bf16_of(parsed: Namespace) -> bool | None:
    """Whether bfloat16 is asked for; None where that is left to the device."""
    if parsed.bf16 and parsed.no_bf16:
        raise ValueError("--bf16 and --no-bf16 contradict each other; give one of them")
    return True if parsed.bf16 else False if parsed.no_bf16 else None


def inference_of(parsed: Namespace, *, device: str) -> Inference:
    """The arithmetic that was asked for.

    Args:
        parsed: What `add_inference` added.
        device: "auto", "cpu" or "cuda", where the network is to run.

    Raises:
        ValueError: Options contradict each other, or nothing is compared and --compared is given.
    """
    bf16 = bf16_of(parsed)
    if not (has_fast_bf16(choose_device(device)) if bf16 is None else bf16):
        refuse_typed(parsed, ["compared"], "in float32, which bfloat16 is compared with: give --bf16 too, or neither")
    return Inference(
        bf16=bf16,
        channels_last=not parsed.no_channels_last,
        fold_bn=parsed.fold_bn,
        compile=parsed.compile,
        compared=parsed.compared,
    )


def parse_size(text: str) -> Size:
    """Read what --input says, such as "32x224x224": frames, height and width.

    Raises:
        ValueError: The text is something else.
    """
    sizes = sizes_of(text, 3)
    if sizes is None:
        raise ValueError(f"--input must be frames x height x width, such as 32x224x224, got {text!r}")
    frames, height, width = sizes
    return frames, height, width


def parse_views(text: str) -> tuple[int, Crops]:
    """Read "10x3" as (10 clips, "three" crops).

    >>> parse_views("10x3")
    (10, 'three')

    Raises:
        ValueError: If the text is not clips x crops, or of too many clips.
    """
    clips, _, crops = text.partition("x")
    if not clips.isdecimal() or int(clips) < 1 or crops not in _CROPS:
        raise ValueError(f"--views must be clips x crops with 1, 3 or full crops, such as 10x3 or 1xfull, got {text!r}")
    require_clip_count(int(clips), name="--views")
    return int(clips), _CROPS[crops]
