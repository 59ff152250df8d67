"""Internet checksums, computed anew by scapy; a sum that was wrong stays wrong by as much."""

from __future__ import annotations

from scapy.layers.inet import IP, in4_chksum
from scapy.layers.inet6 import IPv6, in6_chksum
from scapy.packet import Packet
from scapy.utils import checksum


def transport_sum(ip: Packet, protocol: int, segment: bytes) -> int:
    """The checksum of a transport segment whose own checksum field holds 0."""
    if isinstance(ip, IP):
        return int(in4_chksum(protocol, ip, segment))
    assert isinstance(ip, IPv6)
    return int(in6_chksum(protocol, ip, segment))


def plain_sum(data: bytes) -> int:
    """The checksum of bytes whose checksum field holds 0 (IPv4's header, ICMP's message)."""
    return int(checksum(data))


def mend(field: int, was: int, shall: int) -> int:
    """What a checksum field becomes when its right value goes from ``was`` to ``shall``.

    Sums are counted modulo 0xffff, so an error in ``field`` is carried over unchanged. The result is never 0xffff.
    """
    return (shall + field - was) % 0xFFFF
