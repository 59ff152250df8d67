"""Programs' instructions, read one after the other. Source: include/uapi/linux/bpf.h."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from tcnat.bpf import INSTRUCTION_SIZE

LOAD_WIDE = 0x18
"""Loads 64 bits, and takes the place of two instructions."""
MOVE, MOVE_REGISTER, CALL, EXIT = 0xB7, 0xBF, 0x85, 0x95
PSEUDO_MAP_FD = 1
"""Source of a LOAD_WIDE whose immediate value is a map's descriptor."""
_layout = struct.Struct("<BBhi")


class Instruction(NamedTuple):
    """One of a program's; ``number`` is its index."""

    number: int
    opcode: int
    destination: int
    source: int
    offset: int
    immediate: int

    @property
    def calls(self) -> int:
        """The number of the helper that it calls; 0 if it calls none."""
        return self.immediate if self.opcode == CALL and self.source == 0 else 0


def walk(code: bytes) -> Iterator[Instruction]:
    """All of them; of one that takes two places the first."""
    second = False
    for index, (opcode, registers, offset, immediate) in enumerate(_layout.iter_unpack(code)):
        if not second:
            yield Instruction(index, opcode, registers & 0x0F, registers >> 4, offset, immediate)
        second = opcode == LOAD_WIDE and not second


def set_immediate(code: bytearray, index: int, immediate: int) -> None:
    """Give the instruction at an index another immediate value."""
    at = index * INSTRUCTION_SIZE
    code[at + 4 : at + 8] = immediate.to_bytes(4, "little", signed=True)


def set_offset(code: bytearray, index: int, offset: int) -> None:
    """Give it another offset."""
    at = index * INSTRUCTION_SIZE
    code[at + 2 : at + 4] = offset.to_bytes(2, "little", signed=True)
