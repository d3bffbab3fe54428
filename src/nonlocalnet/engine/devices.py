"""The device of a run. Apart from the training, whose libraries a loader's worker has no use for."""

from __future__ import annotations

import torch

from nonlocalnet.engine.config import TrainerConfig


def training_device(trainer: TrainerConfig) -> torch.device:
    """The device that a run trains on.

    Raises:
        ValueError: If a setting asks for what is not here; Lightning would train with another one, or say so late.
    """
    device = choose_device(trainer.device)
    if device.type == "cuda":
        found = torch.cuda.device_count()
        if trainer.devices > found:
            raise ValueError(f"trainer.devices is {trainer.devices}, but PyTorch finds {found} CUDA devices here")
        return device
    if trainer.precision == "16-mixed":
        raise ValueError("trainer.precision '16-mixed' needs a CUDA device; on the CPU use 'bf16-mixed' or '32-true'")
    if trainer.strategy == "fsdp":
        raise ValueError("trainer.strategy 'fsdp' needs CUDA devices; on the CPU use 'ddp' or 'auto'")
    return device


def choose_device(device: str) -> torch.device:
    """The device that "auto", "cpu" or "cuda" means here.

    Raises:
        ValueError: If "cuda" is asked for and there is no CUDA device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "--device (trainer.device) is 'cuda', but PyTorch finds no CUDA device here; use 'auto' or 'cpu'"
        )
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)
