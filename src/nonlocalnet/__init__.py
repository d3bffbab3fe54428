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

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nonlocalnet import formats, functional, models
    from nonlocalnet.block import NonLocalBlock
    from nonlocalnet.formats import from_checkpoint
    from nonlocalnet.insert import insert_nonlocal, nonlocal_blocks

__all__ = [
    "NonLocalBlock",
    "formats",
    "from_checkpoint",
    "functional",
    "insert_nonlocal",
    "models",
    "nonlocal_blocks",
]

_ROOMS = {
    "NonLocalBlock": "block",
    "from_checkpoint": "formats",
    "insert_nonlocal": "insert",
    "nonlocal_blocks": "insert",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562): `nonlocalnet --help` needs no PyTorch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = importlib.import_module(f"{__name__}.{_ROOMS.get(name, name)}")
    value = room if name not in _ROOMS else getattr(room, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
