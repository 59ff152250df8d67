"""Datagrams in fragments."""

from __future__ import annotations

import itertools

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

UNIT = 8
"""Fragment offsets count in units of so many bytes."""


def fragments(frame: Packet, *cuts: int, number: int = 77) -> list[Packet]:
    """The fragments of a frame's IP packet, whose transport checksum covers the whole of it.

    ``cuts`` are offsets into the IP payload, each a multiple of 8; ``number`` is the datagram's id.
    """
    whole = Ether(bytes(frame))
    payload = bytes(whole.payload.payload)
    edges = [0, *cuts, len(payload)]
    assert all(cut % UNIT == 0 for cut in cuts)
    return [
        fragment(whole, payload[start:end], start // UNIT, more=end < len(payload), number=number)
        for start, end in itertools.pairwise(edges)
    ]


def fragment(whole: Packet, data: bytes, offset: int, *, more: bool, number: int = 77) -> Packet:
    """One fragment of a datagram with ``whole``'s headers."""
    link = Ether(src=whole.src, dst=whole.dst)
    ip = whole.payload
    if isinstance(ip, IP):
        fields = {"id": number, "flags": "MF" if more else 0, "frag": offset, "proto": ip.proto}
        return link / IP(src=ip.src, dst=ip.dst, ttl=ip.ttl, **fields) / Raw(data)
    assert isinstance(ip, IPv6)
    header = IPv6ExtHdrFragment(nh=ip.nh, id=number, offset=offset, m=int(more))
    return link / IPv6(src=ip.src, dst=ip.dst, hlim=ip.hlim) / header / Raw(data)
