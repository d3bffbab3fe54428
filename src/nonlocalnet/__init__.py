"""Non-local Neural Networks (Wang, Girshick, Gupta, He; CVPR 2018).

>>> import torch, torchvision
>>> from nonlocalnet import insert_nonlocal
>>> model = torchvision.models.resnet18().eval()
>>> image = torch.randn(1, 3, 64, 64)
>>> before = model(image)
>>> model = insert_nonlocal(model, before=["layer3.1"])
>>> torch.equal(model(image), before)  # the identity, until training moves it
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nonlocalnet.system.lazy import lazy_names

if TYPE_CHECKING:
    from nonlocalnet import formats, functional, models
    from nonlocalnet.block import NonLocalBlock
    from nonlocalnet.explanation import explain
    from nonlocalnet.formats import from_checkpoint
    from nonlocalnet.formats.create import create_model
    from nonlocalnet.insert import insert_nonlocal, nonlocal_blocks
    from nonlocalnet.runs.video.features.extract import features
    from nonlocalnet.runs.video.predict import predict
    from nonlocalnet.runs.video.timeline.scoring import timeline

__all__ = [
    "NonLocalBlock",
    "create_model",
    "explain",
    "features",
    "formats",
    "from_checkpoint",
    "functional",
    "insert_nonlocal",
    "models",
    "nonlocal_blocks",
    "predict",
    "timeline",
]

# `nonlocalnet --help` needs no PyTorch.
_HOMES = {
    "NonLocalBlock": "block",
    "create_model": "formats.create",
    "explain": "explanation",
    "features": "runs.video.features.extract",
    "formats": "formats",
    "from_checkpoint": "formats",
    "functional": "functional",
    "insert_nonlocal": "insert",
    "models": "models",
    "nonlocal_blocks": "insert",
    "predict": "runs.video.predict",
    "timeline": "runs.video.timeline.scoring",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
