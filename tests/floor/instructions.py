"""eBPF instructions as data (Documentation/bpf/instruction-set.rst)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

SIZE = 8

LD, LDX, ST, STX, ALU, JMP, JMP32, ALU64 = range(8)
"""Instruction classes: the three low bits of the opcode."""

LOAD_WIDE = 0x18
"""LD_IMM64: two slots."""
CALL = 0x85
EXIT = 0x95
JUMP_ALWAYS = 0x05
XADD = {0xC3: 4, 0xDB: 8}
"""STX | ATOMIC | W and DW."""
MODE_IMM, MODE_ABS, MODE_IND, MODE_MEM, MODE_ATOMIC = 0x00, 0x20, 0x40, 0x60, 0xC0
_BYTES = {0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8}


@dataclass(frozen=True, slots=True)
class Instruction:
    """One slot. ``wide`` is the 64-bit immediate of an LD_IMM64, whose second slot is no instruction of its own."""

    index: int
    opcode: int
    destination: int
    source: int
    offset: int
    immediate: int
    wide: int | None = None

    @property
    def group(self) -> int:
        """The instruction class."""
        return self.opcode & 0x07

    @property
    def operation(self) -> int:
        """Of arithmetic and jumps: the four high bits."""
        return self.opcode & 0xF0

    @property
    def by_register(self) -> bool:
        """Of arithmetic and jumps: the operand is the source register, not the immediate."""
        return bool(self.opcode & 0x08)

    @property
    def mode(self) -> int:
        """Of loads and stores: how memory is addressed."""
        return self.opcode & 0xE0

    @property
    def width(self) -> int:
        """Of loads and stores: bytes."""
        return _BYTES[self.opcode & 0x18]

    @property
    def is_jump(self) -> bool:
        """It may go on elsewhere than at the next instruction."""
        return self.group in (JMP, JMP32) and self.operation not in (CALL & 0xF0, EXIT & 0xF0)

    @property
    def target(self) -> int:
        """Of a jump: the index of the slot that it goes to."""
        return self.index + 1 + self.offset

    @property
    def next(self) -> int:
        """The index of the slot behind it."""
        return self.index + (2 if self.wide is not None else 1)


def decode(code: bytes) -> list[Instruction]:
    """The instructions in order; ValueError where the bytes are no whole instructions."""
    if len(code) % SIZE:
        raise ValueError(f"{len(code)} bytes are no whole number of instructions")
    found = []
    slots = [struct.unpack_from("<BBhi", code, at) for at in range(0, len(code), SIZE)]
    index = 0
    while index < len(slots):
        opcode, registers, offset, immediate = slots[index]
        wide = None
        if opcode == LOAD_WIDE:
            if index + 1 == len(slots):
                raise ValueError(f"instruction {index} is half a 64-bit load")
            wide = (immediate & 0xFFFFFFFF) | (slots[index + 1][3] & 0xFFFFFFFF) << 32
        found.append(Instruction(index, opcode, registers & 0x0F, registers >> 4, offset, immediate, wide))
        index = found[-1].next
    return found


def encode(opcode: int, destination: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    """One slot's bytes."""
    return struct.pack("<BBhi", opcode, destination | source << 4, offset, immediate)


def slots(instructions: Sequence[Instruction]) -> int:
    """How many slots they take: what the kernel's limit counts."""
    return instructions[-1].next if instructions else 0
