"""Tiny SCHED_CLS programs from raw instructions, to see what a kernel's verifier takes.

Source: include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tcnat.instructions import CALL, EXIT, LOAD_WIDE, MOVE, MOVE_REGISTER, PSEUDO_MAP_FD

TAIL_CALL = 12
"""The number of the helper."""
UNSPEC = -1
"""TC_ACT_UNSPEC."""
_ADD = 0x07
_LOAD_WORD, _STORE_BYTE, _STORE_DOUBLE, _JUMP_GREATER = 0x61, 0x73, 0x7A, 0x2D
_FRAME = 10
"""The register that points to the end of the stack."""
_SAVED = 6
_STACK = 16
"""Bytes of stack that the programs here clear and hand out."""
_DATA, _DATA_END = 76, 80
"""Offsets in struct __sk_buff."""
_ETH_HEADER = 14


@dataclass(frozen=True, slots=True)
class MapArgument:
    """A helper's argument that is a map, by its descriptor."""

    fd: int


CONTEXT, STACK = "context", "stack"
"""Arguments of helpers: the packet's context, and a pointer to 16 zeroed bytes."""

Argument = int | str | MapArgument


def passing() -> bytes:
    """``return TC_ACT_UNSPEC``."""
    return _instruction(MOVE, 0, immediate=UNSPEC) + _instruction(EXIT)


def calling(helper: int, *arguments: Argument) -> bytes:
    """Call a helper with these arguments, then let the packet pass."""
    return _call(helper, *arguments) + passing()


def tail_calling(tails: int) -> bytes:
    """Call the first program of an array, by the array's descriptor; where there is none, let the packet pass."""
    return calling(TAIL_CALL, CONTEXT, MapArgument(tails), 0)


def giving(helper: int, *arguments: Argument) -> bytes:
    """``return helper(arguments)``."""
    return _call(helper, *arguments) + _instruction(EXIT)


def _call(helper: int, *arguments: Argument) -> bytes:
    code = _instruction(MOVE_REGISTER, _SAVED, 1)
    for offset in range(-_STACK, 0, 8):
        code += _instruction(_STORE_DOUBLE, _FRAME, offset=offset)
    for register, argument in enumerate(arguments, start=1):
        code += _argument(register, argument)
    return code + _instruction(CALL, immediate=helper)


def rewriting() -> bytes:
    """Read and write a byte of the packet straight, where there are enough of them."""
    return b"".join(
        (
            _instruction(_LOAD_WORD, 2, 1, _DATA),
            _instruction(_LOAD_WORD, 3, 1, _DATA_END),
            _instruction(MOVE_REGISTER, 4, 2),
            _instruction(_ADD, 4, immediate=_ETH_HEADER),
            _instruction(MOVE, 5),
            _instruction(_JUMP_GREATER, 4, 3, 1),
            _instruction(_STORE_BYTE, 2, 5),
            passing(),
        )
    )


def _argument(register: int, argument: Argument) -> bytes:
    if isinstance(argument, MapArgument):
        return _instruction(LOAD_WIDE, register, PSEUDO_MAP_FD, immediate=argument.fd) + _instruction(0)
    if argument == CONTEXT:
        return _instruction(MOVE_REGISTER, register, _SAVED)
    if argument == STACK:
        return _instruction(MOVE_REGISTER, register, _FRAME) + _instruction(_ADD, register, immediate=-_STACK)
    return _instruction(MOVE, register, immediate=int(argument))


def _instruction(code: int, destination: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("=BBhi", code, destination | source << 4, offset, immediate)
