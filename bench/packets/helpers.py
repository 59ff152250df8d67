"""The helpers of the kernel that the machine knows (include/uapi/linux/bpf.h), for packets whose checksums are done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .machine import Machine

FAILED, EXISTS = -14, -17
NO_ENTRY = -2
PSEUDO_HEADER, MANGLED_ZERO, SIZE = 0x10, 0x20, 0xF
NOEXIST = 1
REDIRECT = 7


def _lookup(m: Machine, a: list[int]) -> int:
    table = m.table(a[0])
    value = table.find(m.read(a[1], m.map_sizes(table)[0]))
    return 0 if value is None else m.address(value)


def _update(m: Machine, a: list[int]) -> int:
    table = m.table(a[0])
    key_size, value_size = m.map_sizes(table)
    key = m.read(a[1], key_size)
    there = table.find(key)
    if there is not None and a[3] & 3 == NOEXIST:
        return EXISTS
    if there is not None:
        there[:] = m.read(a[2], value_size)
    else:
        table.entries[key] = bytearray(m.read(a[2], value_size))
    return 0


def _delete(m: Machine, a: list[int]) -> int:
    table = m.table(a[0])
    return 0 if table.entries.pop(m.read(a[1], m.map_sizes(table)[0]), None) is not None else NO_ENTRY


def _load_bytes(m: Machine, a: list[int]) -> int:
    offset, size = a[1], a[3]
    if offset + size > len(m.frame):
        m.write(a[2], bytes(size))
        return FAILED
    m.write(a[2], bytes(m.frame[offset : offset + size]))
    return 0


def _store_bytes(m: Machine, a: list[int]) -> int:
    offset, size = a[1], a[3]
    if offset + size > len(m.frame):
        return FAILED
    m.frame[offset : offset + size] = m.read(a[2], size)
    return 0


def _mend(m: Machine, at: int, old: int, new: int, size: int) -> int:
    """A sum's new value for a field that changes; with size 0 `new` is the difference itself."""
    there = int.from_bytes(m.frame[at : at + 2], "little")
    total = (~there & 0xFFFF) + (new & 0xFFFFFFFF) + ((~old & (1 << 8 * size) - 1) if size else 0)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _l3(m: Machine, a: list[int]) -> int:
    m.frame[a[1] : a[1] + 2] = _mend(m, a[1], a[2], a[3], a[4] & SIZE).to_bytes(2, "little")
    return 0


def _l4(m: Machine, a: list[int]) -> int:
    flags, there = a[4], m.frame[a[1] : a[1] + 2]
    if flags & MANGLED_ZERO and there == b"\0\0":
        return 0
    mended = _mend(m, a[1], a[2], a[3], flags & SIZE)
    if flags & MANGLED_ZERO and mended == 0:
        mended = 0xFFFF
    m.frame[a[1] : a[1] + 2] = mended.to_bytes(2, "little")
    return 0


def _tail_call(m: Machine, a: list[int]) -> int:
    from .machine import TailCall  # noqa: PLC0415 - it imports this module

    raise TailCall(a[2] & 0xFFFFFFFF)


HELPERS: dict[int, tuple[str, Callable[[Machine, list[int]], int], bool]] = {
    1: ("look-up", _lookup, True),
    2: ("update", _update, True),
    3: ("removal", _delete, True),
    5: ("clock", lambda m, a: m.now, False),
    9: ("skb_store_bytes", _store_bytes, False),
    10: ("l3_csum_replace", _l3, False),
    11: ("l4_csum_replace", _l4, False),
    12: ("tail call", _tail_call, False),
    23: ("redirect", lambda m, a: REDIRECT, False),
    26: ("skb_load_bytes", _load_bytes, False),
    40: ("csum_update", lambda m, a: FAILED, False),
}
"""Number -> name, what it does, and whether its first argument is a map."""
