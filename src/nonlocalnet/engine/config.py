"""What every run is described by, whatever its kind: the optimiser, the schedule, the trainer, and the recipe itself.

The defaults are the paper's Kinetics-400 training (Section 4.1 of arXiv 1711.07971v3); what stems from the authors'
released Caffe2 code is marked [C2]. jsonargparse builds the command line from these classes, the `Args` are its help.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from nonlocalnet.system.numeric import is_number

SECTIONS = ("model", "data", "optim", "schedule", "trainer")
"""The fields of every recipe that are configurations; those of `model` and `data` are the kind's own classes."""


def require(condition: bool, name: str, value: object, allowed: str) -> None:
    """Raise ValueError, naming the field, what is allowed and what was given, unless the condition holds."""
    if not condition:
        raise ValueError(f"{name} must be {allowed}, got {value!r}")


def require_finite_in(name: str, value: float, low: float, high: float, *, open_low: bool = False) -> None:
    """As `require`, for a finite number in [low, high], or in (low, high]."""
    inside = is_number(value) and math.isfinite(value) and (low < value if open_low else low <= value) and value <= high
    bounds = f"a finite number in {'(' if open_low else '['}{low:g}, {high:g}]"
    require(inside, name, value, bounds)


def require_at_least(name: str, value: int | None, low: int) -> None:
    """As `require`, for a number of at least `low`, or None."""
    if value is not None:
        # What a file of an earlier run holds may be anything.
        require(is_number(value) and value >= low, name, value, f"at least {low}")


@dataclass(frozen=True)
class OptimConfig:
    """The optimiser and what it moves.

    Args:
        method: "sgd", stochastic gradient descent (paper), or "adamw" (Loshchilov and Hutter, arXiv 1711.05101;
            without weight decay it is Adam), whose decay rates are `momentum` and 0.999.
        lr: Learning rate, above 0 (paper: 0.01 for batch 64).
        momentum: In [0, 1) (paper: 0.9).
        nesterov: Nesterov's form of momentum ([C2]).
        weight_decay: For every parameter that is not BatchNorm's (paper: 1e-4).
        bn_weight_decay: For BatchNorm's scales and shifts ([C2]: 0).
        batch_size: Clips or images of one step over all processes and micro-batches together (paper: 64). The command
            line scales lr and the schedule along with it (`nonlocalnet.engine.scaling`) unless they are given or
            --no-rescale is.
        accumulate: Micro-batches into which every process divides its share of a batch; more takes less memory.
        trainable: "all", "blocks_and_head" or "head"; what is left out keeps its BatchNorm statistics too.
        lr_factor_blocks: Factor on the learning rate of the non-local blocks.
        lr_factor_head: Factor on the learning rate of the classifier.
        freeze_bn: Keep every BatchNorm's statistics, scale and shift as they are (128-frame training of the paper).
        grad_clip: Largest norm of the whole gradient; null for no limit (paper).
    """

    method: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.01
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 1e-4
    bn_weight_decay: float = 0.0
    batch_size: int = 64
    accumulate: int = 1
    trainable: Literal["all", "blocks_and_head", "head"] = "all"
    lr_factor_blocks: float = 1.0
    lr_factor_head: float = 1.0
    freeze_bn: bool = False
    grad_clip: float | None = None

    def __post_init__(self) -> None:
        require_finite_in("optim.lr", self.lr, 0, 1e6, open_low=True)
        require(0 <= self.momentum < 1, "optim.momentum", self.momentum, "in [0, 1)")
        require(self.momentum > 0 or not self.nesterov, "optim.momentum", self.momentum, "above 0 with optim.nesterov")
        require(self.method == "sgd" or not self.nesterov, "optim.nesterov", True, "false with optim.method 'adamw'")
        require_finite_in("optim.weight_decay", self.weight_decay, 0, 1e6)
        require_finite_in("optim.bn_weight_decay", self.bn_weight_decay, 0, 1e6)
        require_finite_in("optim.lr_factor_blocks", self.lr_factor_blocks, 0, 1e6)
        require_finite_in("optim.lr_factor_head", self.lr_factor_head, 0, 1e6)
        require_at_least("optim.batch_size", self.batch_size, 1)
        require_at_least("optim.accumulate", self.accumulate, 1)
        if self.grad_clip is not None:
            require_finite_in("optim.grad_clip", self.grad_clip, 0, 1e6, open_low=True)


@dataclass(frozen=True)
class ScheduleConfig:
    """The length of a run and its learning rate over the steps.

    Args:
        steps: Optimiser steps of the whole run (paper: 400,000).
        milestones: Steps after which the rate is multiplied by gamma (paper: after 150,000 and 300,000).
        gamma: Factor at each milestone, in (0, 1] (paper: 0.1).
        warmup_steps: First steps, over which the rate rises linearly from warmup_factor of its value (paper: 0).
        warmup_factor: Factor at step 0 of the warm-up, in (0, 1].
    """

    steps: int = 400_000
    milestones: tuple[int, ...] = (150_000, 300_000)
    gamma: float = 0.1
    warmup_steps: int = 0
    warmup_factor: float = 0.1

    def __post_init__(self) -> None:
        # jsonargparse and saved cards hand lists over.
        object.__setattr__(self, "milestones", tuple(self.milestones))
        require_at_least("schedule.steps", self.steps, 1)
        rising = all(a < b for a, b in zip((0, *self.milestones), self.milestones, strict=False))
        require(rising, "schedule.milestones", self.milestones, "steps above 0 in rising order")
        require_finite_in("schedule.gamma", self.gamma, 0, 1, open_low=True)
        require_at_least("schedule.warmup_steps", self.warmup_steps, 0)
        require_finite_in("schedule.warmup_factor", self.warmup_factor, 0, 1, open_low=True)


@dataclass(frozen=True)
class TrainerConfig:
    """Where the run happens and what it writes.

    Args:
        seed: The initial weights, the order of the data, every augmentation and dropout follow from it; at least 0.
        precision: Arithmetic of the network; the "mixed" forms keep float32 weights. "auto" is "bf16-mixed" on a GPU
            that has bfloat16 arithmetic, else "32-true".
        float32_matmul_precision: How exact products in float32 are on a GPU: "high" takes its TF32 tensor cores, which
            keep 10 bits of a factor and are several times faster; "highest" keeps all 23.
        channels_last: Keep weights and features in channels-last memory order; changes speed and rounding only. "auto"
            does so on a GPU that has bfloat16 arithmetic.
        compile: Train with `torch.compile`; changes speed, rounding, and which features dropout leaves out.
        compile_mode: How it compiles: "reduce-overhead" records CUDA graphs, which pays for small batches on a GPU;
            "max-autotune" tries more kernels, for longer.
        recompute: Keep only the input of every residual and non-local block and compute it again in the backward pass
            (activation checkpointing): less memory, about a third more time, the same numbers.
        device: "auto" takes a GPU where there is one.
        devices: Processes per machine, one device each.
        num_nodes: Machines, started by torchrun or SLURM.
        strategy: How several processes share the work; "auto" is one process alone or DDP.
        val_every: Steps between two validations; the last step is always validated, 0 for that one only.
        checkpoint_every: Steps between two checkpoints; one is also written after every validation.
        log_every: Steps between two rows of the logs.
        limit_val: Validate on this many videos or images, spread evenly over the list; null for all.
    """

    seed: int = 0
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    float32_matmul_precision: Literal["highest", "high", "medium"] = "highest"
    channels_last: bool | Literal["auto"] = "auto"
    compile: bool = False
    compile_mode: Literal["default", "reduce-overhead", "max-autotune"] = "default"
    recompute: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = 1
    num_nodes: int = 1
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    val_every: int = 10_000
    checkpoint_every: int = 1_000
    log_every: int = 20
    limit_val: int | None = None

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**63, "trainer.seed", self.seed, "in [0, 2**63)")
        for name in ("devices", "num_nodes", "checkpoint_every", "log_every", "limit_val"):
            require_at_least(f"trainer.{name}", getattr(self, name), 1)
        require_at_least("trainer.val_every", self.val_every, 0)


AS_PUBLISHED = TrainerConfig(precision="32-true", channels_last=False)
"""Where published runs happened: in float32."""


@dataclass(frozen=True)
class Recipe:
    """One complete run: everything that decides its result, and what was published for it.

    A kind of run adds the sections `model` and `data`, and may have other defaults for the others.

    Args:
        name: The recipe's name on the command line.
        tables: Tables of the paper it stands in, such as ["2a", "2c"]; empty for those not in the paper.
        row: The row's text as the paper prints it, or what the recipe is for.
        published: Published results in percent, such as {"top1": 71.8, "top5": 89.7}, {"map": 35.5} or
            {"box_ap": 39.0, "mask_ap": 35.5}; empty where there are none.
        source: Where the published numbers stand.
        epochs: Passes through the training data, from which the command line finds `schedule.steps` where neither
            --epochs nor the steps are given; null for the steps as they are.
        optim: The optimiser.
        schedule: The length and the learning rate.
        trainer: The device, the seed and the logs.
    """

    name: str
    tables: list[str] = field(default_factory=list)
    row: str = ""
    published: dict[str, float] = field(default_factory=dict)
    source: str = ""
    epochs: float | None = None
    optim: OptimConfig = field(default_factory=OptimConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


def require_equal_shares(recipe: Recipe) -> None:
    """Refuse to train where a batch cannot be divided equally; a test on as many devices has no such limit.

    Raises:
        ValueError: If `optim.batch_size` is no multiple of processes times micro-batches.
    """
    shares = recipe.trainer.devices * recipe.trainer.num_nodes * recipe.optim.accumulate
    divisible = f"a multiple of trainer.devices x trainer.num_nodes x optim.accumulate = {shares}"
    require(recipe.optim.batch_size % shares == 0, "optim.batch_size", recipe.optim.batch_size, divisible)


def plain_section(section: Any) -> dict[str, Any]:
    """A recipe's section as a file holds it: lists for tuples."""
    return json.loads(json.dumps(dataclasses.asdict(section)))
