"""A pickle is looked through before it is loaded: what would fill memory or never end is refused by its opcodes alone.

Nothing is built. Every value on the stack is stood for by two numbers: how many values it unfolds to where shared ones
count each time (a hash visits them all), and how deep it is nested (a hash recurses without a limit). Arguments are
skipped, not read, so that a file of hundreds of megabytes takes as long as its opcodes are many: milliseconds.
"""

from __future__ import annotations

import mmap
import pickletools
from dataclasses import dataclass

_MOST_OPCODES = 500_000  # a checkpoint of a ResNet-101 with its optimiser has 50,000
_MOST_VALUES = 10_000_000
_DEEPEST = 200

_MARK = pickletools.markobject
_SIZES = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_PUTS, _GETS = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}
_FILLS = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}


@dataclass(frozen=True)
class _Opcode:
    """What the scan has to know of an opcode; `pickletools` documents them.

    Attributes:
        name: Its name.
        lines: How many lines its argument is.
        width: Bytes of its argument, or of the size that stands before it.
        sized: Whether `width` is that of a size.
        pops: How many values it takes from the stack, those above a mark left out.
        to_mark: Whether it takes all of them down to the last mark.
        pushes: Whether it leaves a value.
    """

    name: str
    lines: int
    width: int
    sized: bool
    pops: int
    to_mark: bool
    pushes: bool


def _described(info: pickletools.OpcodeInfo) -> _Opcode:
    n = 0 if info.arg is None else info.arg.n
    lines = 0 if n != pickletools.UP_TO_NEWLINE else 2 if info.name in ("GLOBAL", "INST") else 1
    to_mark = _MARK in info.stack_before
    plain = [kind for kind in info.stack_before if kind not in (_MARK, pickletools.stackslice)]
    return _Opcode(
        name=info.name,
        lines=lines,
        width=_SIZES.get(n, max(n, 0)),
        sized=n in _SIZES,
        pops=len(plain),
        to_mark=to_mark,
        pushes=bool(info.stack_after) and info.name != "MARK",
    )


_OPCODES = {ord(info.code): _described(info) for info in pickletools.opcodes}


class _Value:
    """One value on the stack; a container that is filled later changes in place, as the real one does."""

    __slots__ = ("depth", "size")

    def __init__(self) -> None:
        self.size = 1
        self.depth = 0

    def holds(self, values: list[_Value | None]) -> None:
        """Count values as held."""
        for value in values:
            if value is not None:
                self.size += value.size
                self.depth = max(self.depth, value.depth + 1)
        if self.depth > _DEEPEST:
            raise ValueError(f"values nested more than {_DEEPEST} deep")


def scan(content: bytes | mmap.mmap, start: int = 0) -> int:
    """Look through one pickle.

    Args:
        content: The file.
        start: Where its pickle begins.

    Returns:
        Where the pickle ends.

    Raises:
        EOFError: If it is cut off.
        ValueError: If it is no pickle, numbers its memo beyond what it can hold, unfolds to more values, nests them
            deeper or has more opcodes than any file of weights.
    """
    at, unfolded = start, 0
    stack: list[_Value | None] = []  # None is a mark
    memo: dict[int, _Value | None] = {}
    for _ in range(_MOST_OPCODES):
        if at >= len(content):
            raise EOFError("it ends before its last opcode")
        opcode = _OPCODES.get(content[at])
        if opcode is None:
            raise ValueError(f"{content[at : at + 1]!r} where an opcode belongs")
        begin, at = _argument(content, at + 1, opcode)
        name = opcode.name
        if name == "STOP":
            return at
        if name in _GETS or name == "DUP":
            value = stack[-1] if name == "DUP" and stack else memo.get(_number(content[begin:at], name))
            if value is None:
                raise ValueError("a reference to a value that was not put there")
            unfolded += value.size
            if unfolded > _MOST_VALUES:
                raise ValueError(f"values shared so often that they unfold to more than {_MOST_VALUES:,}")
            stack.append(value)
        elif name in _PUTS or name == "MEMOIZE":
            index = len(memo) if name == "MEMOIZE" else _number(content[begin:at], name)
            # The memo of C's unpickler is an array as long as its highest index.
            if index > len(content) or not stack:
                raise ValueError(f"the value {index:,} of a memo that has {len(memo):,}")
            memo[index] = stack[-1]
        elif name == "MARK":
            stack.append(None)
        else:
            _apply(opcode, stack)
    raise ValueError(f"more than {_MOST_OPCODES:,} opcodes")


def _argument(content: bytes | mmap.mmap, at: int, opcode: _Opcode) -> tuple[int, int]:
    """Where an argument begins and ends."""
    begin = at
    for _ in range(opcode.lines):
        at = content.find(b"\n", at) + 1
        if at == 0:
            raise EOFError("it ends inside a line")
    at += opcode.width
    if opcode.sized:
        at += int.from_bytes(content[begin : begin + opcode.width], "little")
    if at > len(content):
        raise EOFError(f"it ends inside the argument of {opcode.name}")
    return begin, at


def _number(argument: bytes, name: str) -> int:
    number = int(argument) if name in ("PUT", "GET") else int.from_bytes(argument, "little")
    if number < 0:
        raise ValueError(f"the value {number} of a memo")
    return number


def _apply(opcode: _Opcode, stack: list[_Value | None]) -> None:
    taken: list[_Value | None] = []
    if opcode.to_mark:
        while stack and stack[-1] is not None:
            taken.append(stack.pop())
        if not stack:
            raise ValueError(f"{opcode.name} without a mark")
        stack.pop()
    if len(stack) < opcode.pops:
        raise ValueError(f"{opcode.name} without a value")
    fills = opcode.name in _FILLS
    for _ in range(opcode.pops - fills):
        taken.append(stack.pop())
    if fills:
        container = stack[-1]
        if container is None:
            raise ValueError(f"{opcode.name} without a container")
        container.holds(taken)
    elif opcode.pushes:
        value = _Value()
        value.holds(taken)
        stack.append(value)
