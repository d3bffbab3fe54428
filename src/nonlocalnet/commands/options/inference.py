"""Arguments of the commands that score videos: the arithmetic."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace  # pyright: ignore[reportPrivateImportUsage]

from nonlocalnet.runs.video.inference import Inference


def add_inference(parser: ArgumentParser) -> None:
    """Add the flags that `inference_of` reads."""
    parser.add_argument("--bf16", action="store_true", help="score in bfloat16, and say how far the scores move")
    parser.add_argument("--fold-bn", action="store_true", help="fold BatchNorm into the convolutions")
    parser.add_argument("--compile", action="store_true", help="torch.compile: minutes to start, for long tests")
    parser.add_argument("--no-channels-last", action="store_true", help="keep PyTorch's default memory order")
    parser.add_argument("--compared", type=int, default=16, help="videos on which bfloat16 is compared with float32")


def inference_of(parsed: Namespace) -> Inference:
    """The arithmetic that was asked for."""
    return Inference(
        bf16=parsed.bf16,
        channels_last=not parsed.no_channels_last,
        fold_bn=parsed.fold_bn,
        compile=parsed.compile,
        compared=parsed.compared,
    )
