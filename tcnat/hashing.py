"""The hash that chooses a flow's slot, as ``docs/datapath.md`` (The hash) has it and the packet programs compute it."""

from __future__ import annotations

import struct

_WORD = 0xFFFFFFFF
_SEED = 0x74636E61
_STEP = 0x9E3779B9


def mix(value: int) -> int:
    """Spread a 32-bit word's bits over all 32 (the finaliser of MurmurHash3)."""
    value ^= value >> 16
    value = value * 0x85EBCA6B & _WORD
    value ^= value >> 13
    value = value * 0xC2B2AE35 & _WORD
    return value ^ value >> 16


def flow_hash(source: bytes, destination: bytes, source_port: int, destination_port: int, protocol: int) -> int:
    """The 32-bit hash of a flow as its client sends it.

    Addresses are in network order and of one family, 4 or 16 bytes each; ports are numbers in 0..65535.
    """
    tuple_bytes = source + destination
    value = _SEED
    for word in struct.unpack(f">{len(tuple_bytes) // 4}I", tuple_bytes):
        value = mix(value ^ word) + _STEP & _WORD
    value = mix(value ^ (source_port << 16 | destination_port)) + _STEP & _WORD
    return mix(value ^ protocol)


def slot_of(value: int, count: int) -> int:
    """The slot, out of ``count``, that a 32-bit hash takes."""
    return value * count >> 32
