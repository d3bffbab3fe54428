"""Where a block goes: a dotted path becomes a place, and no place is used twice.

    parent is an nn.Sequential        0, 1, 2  ->  0, 1, 1_nonlocal, 2           a named sibling of the target
    target is an nn.Sequential        layer3.5 ->  layer3.5, layer3.5_nonlocal   a sibling of its last (first) child
    any other target                  a hook on the target, the block its child `nonlocal_after` (`nonlocal_before`)
    ... that iterates its children    a hook on the target, the block a child of the nearest module above that does not

Existing names and their order never change, and neither do existing state-dict keys.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from nonlocalnet.block import NonLocalBlock
from nonlocalnet.insert.children import Side, add_child
from nonlocalnet.insert.hooks import AfterHook, BeforeHook, attach

_CHILD_ITERATORS = {"children", "named_children", "modules", "named_modules", "_modules"}


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place for one block.

    Attributes:
        path: The target's dotted path, as given.
        side: On which side of the target the block goes.
        target: The module at the path.
        lineage: The modules from the model down to the target's parent.
        owner: The module that the block becomes a child of.
        owner_path: Its dotted path, "" for the model.
        name: The block's name among the owner's children.
        anchor: The sibling that the block goes next to in an ``nn.Sequential``; None where a hook runs the block.
        slot: Equal for two places between the same two modules.
    """

    path: str
    side: Side
    target: nn.Module
    lineage: tuple[nn.Module, ...]
    owner: nn.Module
    owner_path: str
    name: str
    anchor: str | None
    slot: tuple[int, int | str]

    def __str__(self) -> str:
        return f"{self.side}={self.path!r} ({type(self.target).__name__})"

    @property
    def block_path(self) -> str:
        """The dotted path that the block will have."""
        return _join(self.owner_path, self.name)

    def put(self, block: NonLocalBlock) -> None:
        """Registers the block here."""
        if self.anchor is not None:
            add_child(self.owner, self.name, block, beside=self.anchor, side=self.side)
            return
        self.owner.add_module(self.name, block)
        owner = None if self.owner is self.target else self.owner
        attach(self.target, (AfterHook if self.side == "after" else BeforeHook)(self.name, owner))


def find_places(model: nn.Module, *, after: Sequence[str] | None, before: Sequence[str] | None) -> list[Place]:
    """Resolves the paths.

    Raises:
        ValueError: No path, a path that names no module or one that cannot have a block, or a place used twice.
    """
    sides: tuple[tuple[Side, Sequence[str] | None], ...] = (("after", after), ("before", before))
    for side, paths in sides:
        if isinstance(paths, str):
            raise ValueError(
                f"{side} must be a list of dotted paths, got the string {paths!r}: write {side}=[{paths!r}]"
            )
    places = [_find_place(model, path, side) for side, paths in sides for path in paths or ()]
    if not places:
        raise ValueError('after and before name no module: give dotted paths such as after=["layer3.4"]')
    taken: dict[tuple[int, int | str], Place] = {}
    for place in places:
        if place.slot in taken:
            raise ValueError(f"{taken[place.slot]} and {place} are the same place: give it once")
        taken[place.slot] = place
        _refuse_occupied(model, place)
    return places


def _find_place(model: nn.Module, path: str, side: Side) -> Place:
    lineage, target = _walk(model, path, side)
    if isinstance(target, torch.jit.ScriptModule):
        raise ValueError(
            f"{side}={path!r} is a TorchScript module, which takes no new children: insert before scripting"
        )
    if type(target).forward is nn.Module.forward:
        raise ValueError(
            f"{side}={path!r} is a {type(target).__name__}, which is never called: name one of its children"
        )
    parent_path, _, name = path.rpartition(".")
    suffix = "_nonlocal" if side == "after" else "_nonlocal_before"
    place = partial(Place, path=path, side=side, target=target, lineage=lineage)
    if runs_in_order(lineage[-1]):
        slot = _slot(lineage, name, side)
        return place(owner=lineage[-1], owner_path=parent_path, name=name + suffix, anchor=name, slot=slot)
    if runs_in_order(target) and len(target._modules) > 0:
        child = list(target._modules)[-1 if side == "after" else 0]
        slot = _slot((*lineage, target), child, side)
        return place(owner=target, owner_path=path, name=child + suffix, anchor=child, slot=slot)
    hooked = partial(place, anchor=None, slot=(id(target), side))
    if not _iterates_children(target):
        return hooked(owner=target, owner_path=path, name=f"nonlocal_{side}")
    parts = path.split(".")
    for depth in range(len(lineage) - 1, -1, -1):
        if not _iterates_children(lineage[depth]):
            owner_path, name = ".".join(parts[:depth]), "_".join(parts[depth:]) + suffix
            return hooked(owner=lineage[depth], owner_path=owner_path, name=name)
    raise ValueError(
        f"{side}={path!r} ({type(target).__name__}) runs whatever children it has, and so does every module above it: "
        "a block cannot be registered there; name a module inside it"
    )


def _walk(model: nn.Module, path: str, side: Side) -> tuple[tuple[nn.Module, ...], nn.Module]:
    if not isinstance(path, str) or not path:
        raise ValueError(f"{side} must name modules inside the model by dotted paths, got {path!r}")
    lineage: list[nn.Module] = []
    module = model
    for depth, part in enumerate(path.split(".")):
        child = module._modules.get(part)
        if child is None:
            raise ValueError(_unknown_path(model, module, path, depth, side))
        lineage.append(module)
        module = child
    return tuple(lineage), module


def _unknown_path(model: nn.Module, deepest: nn.Module, path: str, depth: int, side: Side) -> str:
    names = [name for name, _ in model.named_modules(remove_duplicate=False) if name]
    nearest = difflib.get_close_matches(path, names, n=3)
    found = ".".join(path.split(".")[:depth])
    children = ", ".join(deepest._modules) or "no children"
    message = f"{side}={path!r} names no module of {type(model).__name__}"
    if nearest:
        message += f"; the nearest names are {', '.join(map(repr, nearest))}"
    return f"{message}; {repr(found) if found else 'the model'} has {children}"


def runs_in_order(module: nn.Module) -> bool:
    """Whether the module is an ``nn.Sequential``, of any subclass that does not change ``forward``."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _iterates_children(module: nn.Module) -> bool:
    """Whether a new child would be run by its parent's own code; timm's RegStage loops over ``self.children()``."""
    if isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict)):
        return True
    code = getattr(type(module).forward, "__code__", None)
    return code is not None and not _CHILD_ITERATORS.isdisjoint(code.co_names)


def _slot(lineage: tuple[nn.Module, ...], name: str, side: Side) -> tuple[int, int | str]:
    """The gap in an ``nn.Sequential``, taken as high up as it goes: the end of a nested one is its parent's gap."""
    *above, sequential = lineage
    index = list(sequential._modules).index(name) + (side == "after")
    while above and runs_in_order(above[-1]) and index in (0, len(sequential._modules)):
        parent = above.pop()
        index = [child is sequential for child in parent._modules.values()].index(True) + (index > 0)
        sequential = parent
    return id(sequential), index


def _refuse_occupied(model: nn.Module, place: Place) -> None:
    neighbours: list[nn.Module | None] = []
    if place.anchor is None:
        neighbours.append(place.owner._modules.get(place.name))
    else:
        sequential = next(m for m in model.modules() if id(m) == place.slot[0])
        children, index = list(sequential._modules.values()), int(place.slot[1])
        left = _edge(children[index - 1], last=True) if index > 0 else None
        right = _edge(children[index], last=False) if index < len(children) else None
        # A block may follow a block where that is asked for by the block's own path.
        neighbours += [m for m in (left, right) if m is not place.target]
    for path, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, NonLocalBlock) and any(module is neighbour for neighbour in neighbours):
            raise ValueError(f"{place}: there is a non-local block already, {path!r}; to stack another, name that path")
    if place.name in place.owner._modules or hasattr(place.owner, place.name):
        raise ValueError(f"{place}: {place.block_path!r} exists already and is no non-local block; rename it")


def _edge(module: nn.Module | None, *, last: bool) -> nn.Module | None:
    while module is not None and runs_in_order(module) and len(module._modules) > 0:
        module = list(module._modules.values())[-1 if last else 0]
    return module


def _join(parent_path: str, name: str) -> str:
    return f"{parent_path}.{name}" if parent_path else name
