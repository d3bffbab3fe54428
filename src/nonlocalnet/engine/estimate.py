"""What one training step needs: memory, counted without computing anything, and time."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nonlocalnet.system.meta import meta_copy

# A CPU is tried out with about this many multiply-adds: a fraction of a second to a few.
_TRIED_FLOPS = 2e9
_TIMED = 3  # times on a CPU


@dataclass(frozen=True)
class StepMemory:
    """Bytes of one process.

    Attributes:
        weights: The network, with its buffers.
        gradients: What is trained, once more.
        momentum: What the optimiser keeps.
        features: What the forward pass keeps for the backward pass of one micro-batch.
    """

    weights: int
    gradients: int
    momentum: int
    features: int

    @property
    def total(self) -> int:
        """Their sum. Workspaces of convolutions, gradients of features and the loaders come on top."""
        return self.weights + self.gradients + self.momentum + self.features


def estimate_memory(
    model: nn.Module, input_shape: tuple[int, ...], *, recompute: bool = False, dtype: torch.dtype = torch.float32
) -> StepMemory:
    """Count what a training step holds, on the meta device.

    Args:
        model: The network as it trains: in training mode, what `nonlocalnet.engine.optim.freeze` returns in eval mode;
            on any device. It is not touched.
        input_shape: Shape of a micro-batch, batch first.
        recompute: Count as `nonlocalnet.engine.recompute` keeps things: the inputs of all blocks, and the inner
            features of the largest.
        dtype: What the features are kept in.
    """
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    weights = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
    features = _count_features(model, input_shape, recompute=recompute, dtype=dtype)
    return StepMemory(weights=weights, gradients=trained, momentum=trained, features=features)


def estimate_cpu_seconds(model: nn.Module, input_shape: tuple[int, ...], *, flops: int) -> float:
    """Seconds for the forward and backward pass of one clip or image on this CPU, scaled up from a smaller square one.

    Args:
        model: The network, on the CPU; it is not changed.
        input_shape: (1, 3, T, H, W) of the clip, or (1, 3, H, W) of the image.
        flops: Multiply-adds of the network for it, by which the time is scaled.
    """
    side = min(input_shape[-2:])
    wanted = side * math.sqrt(min(1.0, _TRIED_FLOPS / flops))
    x = torch.randn(*input_shape[:-2], *(2 * [min(side, max(32, 32 * math.ceil(wanted / 32)))]))
    model = copy.deepcopy(model)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(x)
    return _time_step(model, x) * flops / max(counter.get_total_flops() / 2, 1)


def measure_cuda_step(
    model: nn.Module, input_shape: tuple[int, ...], *, device: torch.device, bf16: bool
) -> tuple[float, int]:
    """Seconds and peak bytes of the forward and backward pass of one micro-batch on a GPU.

    Raises:
        torch.OutOfMemoryError: It does not fit.
    """
    model = copy.deepcopy(model).to(device)
    x = torch.randn(input_shape, device=device)
    torch.cuda.reset_peak_memory_stats(device)
    seconds = _time_step(model, x, bf16=bf16)
    return seconds, torch.cuda.max_memory_allocated(device)


def _time_step(model: nn.Module, x: torch.Tensor, *, bf16: bool = False) -> float:
    model.train()

    def step() -> None:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
            loss = model(x).float().logsumexp(dim=1).mean()
        loss.backward()
        if x.is_cuda:
            torch.cuda.synchronize(x.device)

    step()  # what is set up on first use
    # What else runs on a processor only makes a step longer; a GPU is one process's, and a step there is a whole one.
    return min(_seconds_of(step) for _ in range(1 if x.is_cuda else _TIMED))


def _seconds_of(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _count_features(model: nn.Module, input_shape: tuple[int, ...], *, recompute: bool, dtype: torch.dtype) -> int:
    ghost = meta_copy(model).to(dtype)
    own = {t.untyped_storage()._cdata for t in (*ghost.parameters(), *ghost.buffers())}
    blocks = [block for child in ghost.children() if isinstance(child, nn.Sequential) for block in child]
    saved: list[tuple[nn.Module | None, torch.UntypedStorage]] = []
    inside: list[nn.Module | None] = [None]
    inputs: list[torch.UntypedStorage] = []
    for block in blocks:
        block.register_forward_pre_hook(lambda module, args: _enter(inside, module, inputs, args[0]))
        block.register_forward_hook(lambda *_: inside.append(None))

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        saved.append((inside[-1], tensor.untyped_storage()))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = ghost(torch.empty(input_shape, device="meta", dtype=dtype))
    del output
    saved = [(block, storage) for block, storage in saved if storage._cdata not in own]
    if not recompute:
        return _total(storage for _, storage in saved)
    kept = [storage for block, storage in saved if block is None] + inputs
    kept_ids = {storage._cdata for storage in kept}
    inner = [
        _total(storage for owner, storage in saved if owner is block and storage._cdata not in kept_ids)
        for block in blocks
    ]
    return _total(iter(kept)) + max(inner, default=0)


def _enter(
    inside: list[nn.Module | None], module: nn.Module, inputs: list[torch.UntypedStorage], x: torch.Tensor
) -> None:
    inside.append(module)
    inputs.append(x.untyped_storage())


def _total(storages: Iterator[torch.UntypedStorage]) -> int:
    return sum({storage._cdata: storage.nbytes() for storage in storages}.values())
