"""Entry points of `torch.hub`: `torch.hub.load(this folder or OWNER/REPOSITORY, "i3d_resnet50", pretrained=FILE)`.

They are `nonlocalnet.create_model` of their name; its docstring says what they take.
"""

import functools
import sys
from pathlib import Path

# The code of this very commit, whether or not the package is installed.
sys.path.insert(0, str(Path(__file__).parent / "src"))

from nonlocalnet import create_model, from_checkpoint

dependencies = ["torch", "huggingface_hub", "numpy", "safetensors"]

__all__ = [
    "c2d_resnet50",
    "c2d_resnet50_control",
    "c2d_resnet101",
    "c2d_resnet101_control",
    "from_checkpoint",
    "i3d_resnet50",
    "i3d_resnet101",
]


def _entry(name):
    @functools.wraps(create_model)
    def entry(**options):
        return create_model(name, **options)

    return entry


c2d_resnet50 = _entry("c2d_resnet50")
c2d_resnet101 = _entry("c2d_resnet101")
i3d_resnet50 = _entry("i3d_resnet50")
i3d_resnet101 = _entry("i3d_resnet101")
c2d_resnet50_control = _entry("c2d_resnet50_control")
c2d_resnet101_control = _entry("c2d_resnet101_control")
