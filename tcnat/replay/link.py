"""Link types: how a captured frame becomes the Ethernet frame that the programs read, and back.

https://www.tcpdump.org/linktypes.html. A frame is split into the link header as captured, an ethertype, and the rest.
"""

from __future__ import annotations

from collections.abc import Callable

ETHERNET, RAW, LINUX_SLL, IPV4, IPV6, LINUX_SLL2 = 1, 101, 113, 228, 229, 276
ETHERNET_HEADER = 14
ETHERTYPE_IPV4, ETHERTYPE_IPV6 = b"\x08\x00", b"\x86\xdd"
# Locally administered; the program swaps them in what it sends back, and nobody else looks at them.
_ADDRESSES = b"\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01"


Frame = tuple[bytes | None, bytes]
"""(the link header as it was captured, None for Ethernet itself; the Ethernet frame, its header made up if need be)."""


def captured(header: bytes | None, ethernet: bytes) -> bytes:
    """An Ethernet frame as it would have been captured with that link header."""
    return ethernet if header is None else header + ethernet[ETHERNET_HEADER:]


def _ethernet(data: bytes) -> Frame:
    return None, data


def _raw(data: bytes) -> Frame:
    """The version in the first four bits tells the family."""
    version = data[0] >> 4 if data else 0
    ethertype = {4: ETHERTYPE_IPV4, 6: ETHERTYPE_IPV6}.get(version, b"\0\0")
    return b"", _ADDRESSES + ethertype + data


def _ipv4(data: bytes) -> Frame:
    return b"", _ADDRESSES + ETHERTYPE_IPV4 + data


def _ipv6(data: bytes) -> Frame:
    return b"", _ADDRESSES + ETHERTYPE_IPV6 + data


def _cooked(data: bytes) -> Frame:
    """Linux cooked capture: 16 bytes, the protocol last."""
    return data[:16], _ADDRESSES + data[14:16] + data[16:]


def _cooked2(data: bytes) -> Frame:
    """Linux cooked capture v2: 20 bytes, the protocol first."""
    return data[:20], _ADDRESSES + data[0:2] + data[20:]


LINK_TYPES: dict[int, tuple[str, Callable[[bytes], Frame]]] = {
    ETHERNET: ("Ethernet", _ethernet),
    RAW: ("raw IP", _raw),
    IPV4: ("raw IPv4", _ipv4),
    IPV6: ("raw IPv6", _ipv6),
    LINUX_SLL: ("Linux cooked v1", _cooked),
    LINUX_SLL2: ("Linux cooked v2", _cooked2),
}
"""Number -> name and how its frames become Ethernet."""
