"""Link types: how a captured frame becomes the Ethernet frame that the programs read, and back.

https://www.tcpdump.org/linktypes.html. A frame is split into the link header as captured, an ethertype, and the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

ETHERNET, RAW, LINUX_SLL, IPV4, IPV6, LINUX_SLL2 = 1, 101, 113, 228, 229, 276
ETHERNET_HEADER = 14
ETHERTYPE_IPV4, ETHERTYPE_IPV6 = b"\x08\x00", b"\x86\xdd"
# Locally administered; the program swaps them in what it sends back, and nobody else looks at them.
_ADDRESSES = b"\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01"


class Frame(NamedTuple):
    """A captured frame as Ethernet. ``header`` is the link header as it was captured, if it was another one."""

    header: bytes | None
    ethernet: bytes

    @property
    def ethertype(self) -> bytes:
        """Two bytes; fewer if the frame is shorter than its header."""
        return self.ethernet[12:14]

    def added(self) -> int:
        """How much longer the Ethernet frame is than what was captured."""
        return 0 if self.header is None else ETHERNET_HEADER - len(self.header)

    def captured(self, ethernet: bytes) -> bytes:
        """An Ethernet frame as this one was captured: with its own link header."""
        return ethernet if self.header is None else self.header + ethernet[ETHERNET_HEADER:]


def _ethernet(data: bytes) -> Frame:
    return Frame(None, data)


def _raw(data: bytes) -> Frame:
    """The version in the first four bits tells the family."""
    version = data[0] >> 4 if data else 0
    ethertype = {4: ETHERTYPE_IPV4, 6: ETHERTYPE_IPV6}.get(version, b"\0\0")
    return Frame(b"", _ADDRESSES + ethertype + data)


def _ipv4(data: bytes) -> Frame:
    return Frame(b"", _ADDRESSES + ETHERTYPE_IPV4 + data)


def _ipv6(data: bytes) -> Frame:
    return Frame(b"", _ADDRESSES + ETHERTYPE_IPV6 + data)


def _cooked(data: bytes) -> Frame:
    """Linux cooked capture: 16 bytes, the protocol last."""
    return Frame(data[:16], _ADDRESSES + data[14:16] + data[16:])


def _cooked2(data: bytes) -> Frame:
    """Linux cooked capture v2: 20 bytes, the protocol first."""
    return Frame(data[:20], _ADDRESSES + data[0:2] + data[20:])


LINK_TYPES: dict[int, tuple[str, Callable[[bytes], Frame]]] = {
    ETHERNET: ("Ethernet", _ethernet),
    RAW: ("raw IP", _raw),
    IPV4: ("raw IPv4", _ipv4),
    IPV6: ("raw IPv6", _ipv6),
    LINUX_SLL: ("Linux cooked v1", _cooked),
    LINUX_SLL2: ("Linux cooked v2", _cooked2),
}
"""Number -> name and how its frames become Ethernet."""
