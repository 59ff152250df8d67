"""A way round the JIT of kernels before 5.12, which may not come to an end.

It compiles a program for x86 again and again until no jump changes its length, and gives up after 10 or 20 times: a
block just so long, jumped over and ended by a jump back, goes to and fro for ever. The program is then interpreted,
which a table of compiled ones does not take, or not taken at all (CONFIG_BPF_JIT_ALWAYS_ON). A few bytes more in the
right place, and it is stable: here an assignment stands twice, which changes nothing else.

Source: bpf_int_jit_compile() in arch/x86/net/bpf_jit_comp.c; include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator

from tcnat.bpf import INSTRUCTION_SIZE

GIVEN_UP = frozenset({errno.EINVAL, 524})
"""What the kernel says then; 524 is its own ENOTSUPP. Of EINVAL there may be other causes."""
VARIANTS = 48
_LOAD_WIDE, _MOVE, _MOVE_REGISTER = 0x18, 0xB7, 0xBF
_JUMPS, _CALL, _EXIT = 0x05, 0x85, 0x95
_CLASS = 0x07
_instruction = struct.Struct("<BBhi")


def variants(code: bytes) -> Iterator[bytes]:
    """The same program with one assignment twice, each time another one, from all over the program."""
    places = list(_assignments(code))
    for place in places[:: max(1, -(-len(places) // VARIANTS))]:
        yield _doubled(code, place)


def _assignments(code: bytes) -> Iterator[int]:
    """Where a register is given a constant or another register's value: indexes of instructions."""
    at = 0
    while at < len(code):
        opcode, registers = code[at], code[at + 1]
        if opcode == _MOVE or (opcode == _MOVE_REGISTER and registers >> 4 != registers & 0x0F):
            yield at // INSTRUCTION_SIZE
        at += INSTRUCTION_SIZE * (2 if opcode == _LOAD_WIDE else 1)


def _doubled(code: bytes, place: int) -> bytes:
    """With the instruction at an index twice, and every jump to where it went."""
    changed = bytearray(code)
    at = 0
    while at < len(code):
        opcode, registers, offset, immediate = _instruction.unpack_from(code, at)
        if opcode & _CLASS == _JUMPS and opcode not in {_CALL, _EXIT}:
            here = at // INSTRUCTION_SIZE
            target = here + 1 + offset
            offset += (target > place) - (here > place)
            _instruction.pack_into(changed, at, opcode, registers, offset, immediate)
        at += INSTRUCTION_SIZE * (2 if opcode == _LOAD_WIDE else 1)
    after = (place + 1) * INSTRUCTION_SIZE
    return bytes(changed[:after] + changed[after - INSTRUCTION_SIZE :])
