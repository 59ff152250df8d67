"""A way round the JIT of kernels before 5.12, which may not come to an end.

It compiles a program for x86 again and again until no jump changes its length, and gives up after 10 or 20 times: a
block just so long, jumped over and ended by a jump back, goes to and fro for ever. The program is then interpreted,
which a table of compiled ones does not take, or not taken at all (CONFIG_BPF_JIT_ALWAYS_ON). A few bytes more in the
right place, and it is stable: here an assignment stands twice, which changes nothing else.

Source: bpf_int_jit_compile() in arch/x86/net/bpf_jit_comp.c; include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from tcnat.bpf import ENOTSUPP, INSTRUCTION_SIZE
from tcnat.instructions import CALL, EXIT, MOVE, MOVE_REGISTER, set_offset, walk

GIVEN_UP = frozenset({errno.EINVAL, ENOTSUPP})
"""What the kernel says then. Of EINVAL there may be other causes."""
VARIANTS = 48
_JUMPS, _CLASS = 0x05, 0x07


def variants(code: bytes) -> Iterator[bytes]:
    """The same program with one assignment twice, each time another one, from all over the program."""
    places = list(_assignments(code))
    for place in places[:: max(1, -(-len(places) // VARIANTS))]:
        yield _doubled(code, place)


def _assignments(code: bytes) -> Iterator[int]:
    """Where a register is given a constant or another register's value: indexes of instructions."""
    for each in walk(code):
        if each.opcode == MOVE or (each.opcode == MOVE_REGISTER and each.source != each.destination):
            yield each.number


def _doubled(code: bytes, place: int) -> bytes:
    """With the instruction at an index twice, and every jump to where it went."""
    changed = bytearray(code)
    for each in walk(code):
        if each.opcode & _CLASS == _JUMPS and each.opcode not in {CALL, EXIT}:
            target = each.number + 1 + each.offset
            set_offset(changed, each.number, each.offset + (target > place) - (each.number > place))
    after = (place + 1) * INSTRUCTION_SIZE
    return bytes(changed[:after] + changed[after - INSTRUCTION_SIZE :])
