"""Inputs for detectors."""

from __future__ import annotations

import torch

from nonlocalnet.insert import nonlocal_blocks


def images(*sizes: tuple[int, int], seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(3, height, width, generator=generator) for height, width in sizes]


def target(height: int, width: int, *, keypoints: int | None = None) -> dict[str, torch.Tensor]:
    """One object in the middle."""
    box = torch.tensor([[0.25 * width, 0.25 * height, 0.75 * width, 0.75 * height]])
    found = {"boxes": box, "labels": torch.ones(1, dtype=torch.int64)}
    if keypoints is None:
        mask = torch.zeros(1, height, width, dtype=torch.uint8)
        mask[:, height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 1
        found["masks"] = mask
    else:
        place = torch.tensor([0.5 * width, 0.5 * height, 2.0])
        found["keypoints"] = place.expand(1, keypoints, 3).clone()
    return found


def disturb(model: torch.nn.Module, *, std: float = 0.1) -> None:
    """Give every block a W_z that is not zero, as training does."""
    for block in nonlocal_blocks(model).values():
        torch.nn.init.normal_(block.out.weight, std=std)


def same(one: list[dict[str, torch.Tensor]], other: list[dict[str, torch.Tensor]]) -> bool:
    return all(
        a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a) for a, b in zip(one, other, strict=True)
    )
