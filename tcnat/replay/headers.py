"""The few header fields that replay itself reads: who talks to whom, and how far the headers reach.

The programs decide; this only puts their decisions into words, so it is lenient: what it cannot read is None.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from tcnat.layout import Family
from tcnat.replay.link import ETHERNET_HEADER, ETHERTYPE_IPV4, ETHERTYPE_IPV6

TCP, UDP, SCTP, ICMP, ICMPV6 = 6, 17, 132, 1, 58
_WITH_PORTS = frozenset({TCP, UDP, SCTP})
_PORTS = struct.Struct("!HH").unpack_from
_PLAIN_IPV4 = struct.Struct("!BxH2xH").unpack_from
_PLAIN_IPV6 = struct.Struct("!4xHB").unpack_from
_IPV4 = struct.Struct("!B5xHxB2x4s4s").unpack_from
_EXTENSIONS = frozenset({0, 43, 60})  # hop-by-hop, routing, destination options
_FRAGMENT = 44
_MAX_EXTENSIONS = 6
_ICMP_ERRORS = {ICMP: frozenset({3, 4, 11, 12}), ICMPV6: frozenset({1, 2, 3, 4})}
_QUOTE_NEEDED = 20  # of the quoted transport header: as much as a program ever mends
_QUOTE_UNREAD = 100  # IPv6 with extension headers and TCP: a quote that cannot be read may have had as much
_SCTP_NEEDED = 16  # the common header and the first chunk's


class Headers(NamedTuple):
    """Addresses and ports of a packet (ports 0 where there are none).

    ``at`` is the offset of the IP header, ``transport`` that of the transport header, ``end`` that behind the last byte
    which a program reads or writes. ``quoted`` are the headers of the packet that an ICMP error is about."""

    family: Family
    protocol: int
    source: bytes
    destination: bytes
    source_port: int
    destination_port: int
    at: int
    transport: int
    end: int
    tells_ports: bool
    quoted: Headers | None = None


def family_of(ethertype: bytes) -> Family | None:
    """The family whose programs see frames of this ethertype; None for any other."""
    if ethertype == ETHERTYPE_IPV4:
        return Family.IPV4
    return Family.IPV6 if ethertype == ETHERTYPE_IPV6 else None


def addresses(frame: bytes, family: Family) -> tuple[bytes, bytes]:
    """Source and destination of an Ethernet frame of that family; shorter bytes where it is cut off."""
    if family is Family.IPV4:
        return frame[26:30], frame[30:34]
    return frame[22:38], frame[38:54]


def read(frame: bytes, family: Family, at: int = ETHERNET_HEADER, quoted: bool = False) -> Headers | None:
    """The headers from offset ``at`` on; None if they are cut off or contradict themselves."""
    try:
        network = _ipv4(frame, at) if family is Family.IPV4 else _ipv6(frame, at)
        if network is None:
            return None
        protocol, source, destination, transport, later = network
        if later:
            return Headers(family, protocol, source, destination, 0, 0, at, transport, transport, False)
        if protocol in _WITH_PORTS:
            source_port, destination_port = _PORTS(frame, transport)
            end = transport + (_QUOTE_NEEDED if quoted else _size(frame, protocol, transport))
            return Headers(
                family, protocol, source, destination, source_port, destination_port, at, transport, end, True
            )
        if quoted:
            return None
        end, about = _icmp(frame, family, protocol, transport)
        return Headers(family, protocol, source, destination, 0, 0, at, transport, end, False, about)
    except (struct.error, IndexError):
        return None


def source_of(frame: bytes, headers: Headers) -> tuple[bytes, int]:
    """Source address and port of a frame whose headers lie where those lie (port 0 where it tells none)."""
    at = headers.at + (12 if headers.family is Family.IPV4 else 8)
    port = _PORTS(frame, headers.transport)[0] if headers.tells_ports else 0
    return frame[at : at + len(headers.source)], port


def destination_of(frame: bytes, headers: Headers) -> tuple[bytes, int]:
    """The same of the destination."""
    at = headers.at + (16 if headers.family is Family.IPV4 else 24)
    port = _PORTS(frame, headers.transport)[1] if headers.tells_ports else 0
    return frame[at : at + len(headers.destination)], port


def _ipv4(frame: bytes, at: int) -> tuple[int, bytes, bytes, int, bool] | None:
    first, fragment, protocol, source, destination = _IPV4(frame, at)
    if first >> 4 != 4 or first & 15 < 5:
        return None
    return protocol, source, destination, at + (first & 15) * 4, bool(fragment & 0x1FFF)


def _ipv6(frame: bytes, at: int) -> tuple[int, bytes, bytes, int, bool] | None:
    version, protocol, source, destination = struct.unpack_from("!B5xBx16s16s", frame, at)
    if version >> 4 != 6:
        return None
    at += 40
    for _ in range(_MAX_EXTENSIONS):
        if protocol == _FRAGMENT:
            protocol, offset = struct.unpack_from("!BxH", frame, at)
            at += 8
            if offset & 0xFFF8:
                return protocol, source, destination, at, True
        elif protocol in _EXTENSIONS:
            protocol, size = struct.unpack_from("!BB", frame, at)
            at += 8 + size * 8
        else:
            break
    return protocol, source, destination, at, False


def _size(frame: bytes, protocol: int, at: int) -> int:
    """Bytes of the transport header that programs read."""
    if protocol == TCP:
        return (frame[at + 12] >> 4) * 4
    return 8 if protocol == UDP else _SCTP_NEEDED


def _icmp(frame: bytes, family: Family, protocol: int, at: int) -> tuple[int, Headers | None]:
    """(the end of what a program reads, the quoted packet's headers) of a packet without ports."""
    if protocol not in _ICMP_ERRORS:
        return at, None
    if frame[at] not in _ICMP_ERRORS[protocol]:
        return at + 8, None
    about = read(frame, family, at + 8, quoted=True)
    return (about.end if about else at + 8 + _QUOTE_UNREAD), about


def is_plain(frame: bytes, found: Headers) -> bool:
    """Whether the frame is surely whole and right in the eyes of any program: no options, no extension headers, no
    fragment, its lengths exact. False only says that it may be something else."""
    if found.protocol not in {TCP, UDP}:
        return False
    at = ETHERNET_HEADER
    if found.family is Family.IPV4:
        first, total, fragment = _PLAIN_IPV4(frame, at)
        transport, end, fine = at + 20, at + total, first == 0x45 and not fragment & 0x3FFF
    else:
        payload, following = _PLAIN_IPV6(frame, at)
        transport, end, fine = at + 40, at + 40 + payload, following == found.protocol
    if not fine or end > len(frame):
        return False
    if found.protocol == TCP:
        return bool(transport + 20 <= found.end <= end)
    return bool(transport + 8 <= end and _PORTS(frame, transport + 4)[0] == end - transport)
