"""The hash that chooses backends, from the specification's text ("The hash")."""

from __future__ import annotations

import ipaddress

from tests.reference.tables import Ends

WORD = 0xFFFFFFFF


def mix(value: int) -> int:
    """The finalizer: 32 bits in, 32 bits out."""
    value ^= value >> 16
    value = value * 0x85EBCA6B & WORD
    value ^= value >> 13
    value = value * 0xC2B2AE35 & WORD
    return value ^ value >> 16


def words(address: str) -> list[int]:
    """An address as big-endian 32-bit words: one of IPv4, four of IPv6."""
    packed = ipaddress.ip_address(address).packed
    return [int.from_bytes(packed[at : at + 4], "big") for at in range(0, len(packed), 4)]


def flow_hash(ends: Ends, protocol: int) -> int:
    """The hash of a conversation as its client sees it."""
    value = 0x74636E61
    for word in (*words(ends.source), *words(ends.destination), ends.source_port << 16 | ends.destination_port):
        value = mix(value ^ word) + 0x9E3779B9 & WORD
    return mix(value ^ protocol)
