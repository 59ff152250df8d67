"""Frames from nothing, fast: scapy takes a millisecond for one."""

from __future__ import annotations

import struct
from dataclasses import dataclass

TCP, UDP, SCTP, ICMP4, ICMP6 = 6, 17, 132, 1, 58
FRAGMENT = 44
CLIENT_MAC = bytes.fromhex("020000000001")
ROUTER_MAC = bytes.fromhex("020000000002")
ETHERTYPE = {4: b"\x08\x00", 6: b"\x86\xdd"}


@dataclass(frozen=True, slots=True)
class Shape:
    """What is unusual about a packet. ``extensions`` are IPv6 extension headers, ``options`` bytes of IPv4 options."""

    extensions: tuple[int, ...] = ()
    options: int = 0
    fragment: tuple[int, int, bool] | None = None
    """(id, offset in units of 8 bytes, whether more follow)"""
    padding: int = 0
    checksum: str = "good"
    """good, bad, zero, or pseudo (left to the hardware): the transport checksum's"""


PLAIN = Shape()


def internet_sum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ethernet(family: int, packet: bytes, *, from_client: bool, padding: int = 0) -> bytes:
    """A frame around an IP packet."""
    macs = ROUTER_MAC + CLIENT_MAC if from_client else CLIENT_MAC + ROUTER_MAC
    return macs + ETHERTYPE[family] + packet + bytes(padding)


def ip(family: int, source: bytes, destination: bytes, protocol: int, segment: bytes, shape: Shape = PLAIN) -> bytes:
    """An IP packet. In IPv6 a fragment header comes last of the extension headers."""
    if family == 4:
        return _ipv4(source, destination, protocol, segment, shape)
    chain = [(kind, b"\0" * 6) for kind in shape.extensions]
    if shape.fragment:
        number, offset, more = shape.fragment
        chain.append((FRAGMENT, struct.pack("!HI", offset << 3 | more, number)))
    headers = b""
    following = protocol
    for kind, rest in reversed(chain):
        headers = bytes((following, 0)) + rest + headers
        following = kind
    payload = headers + segment
    return struct.pack("!IHBB", 6 << 28, len(payload), following, 63) + source + destination + payload


def _ipv4(source: bytes, destination: bytes, protocol: int, segment: bytes, shape: Shape) -> bytes:
    number, offset, more = shape.fragment or (0x1234, 0, False)
    options = b"\x01" * shape.options
    header = 20 + len(options)
    start = struct.pack(
        "!BBHHHBBH", 0x40 | header // 4, 0, header + len(segment), number, more << 13 | offset, 63, protocol, 0
    )
    blank = start + source + destination + options
    return blank[:10] + struct.pack("!H", internet_sum(blank)) + blank[12:] + segment


def summed(
    source: bytes, destination: bytes, protocol: int, segment: bytes, *, at: int, checksum: str = "good"
) -> bytes:
    """A segment with its checksum at an offset, over the pseudo header too."""
    if checksum == "zero":
        return segment
    pseudo = source + destination + struct.pack("!II", len(segment), protocol)
    value = internet_sum(pseudo + segment)
    if protocol == UDP and value == 0:
        value = 0xFFFF
    if checksum == "bad":
        value ^= 0x5A5A
    if checksum == "pseudo":
        value = internet_sum(pseudo) ^ 0xFFFF
    return segment[:at] + struct.pack("!H", value) + segment[at + 2 :]


def tcp(ports: tuple[int, int], sequence: int, acknowledgement: int, flags: int, payload: bytes) -> bytes:
    """A TCP segment without its checksum."""
    return struct.pack("!HHIIBBHHH", *ports, sequence, acknowledgement, 0x50, flags, 64240, 0, 0) + payload


def udp(ports: tuple[int, int], payload: bytes, length: int | None = None) -> bytes:
    """A UDP datagram without its checksum."""
    return struct.pack("!HHHH", *ports, 8 + len(payload) if length is None else length, 0) + payload


def sctp(ports: tuple[int, int], chunk: int) -> bytes:
    """An SCTP packet; nobody looks at its CRC32c."""
    return struct.pack("!HHII", *ports, 7, 0x12345678) + struct.pack("!BBH4s", chunk, 0, 8, b"data")


def icmp(family: int, source: bytes, destination: bytes, kind: int, code: int, rest: bytes) -> bytes:
    """An ICMP message; ``rest`` begins behind the checksum."""
    message = bytes((kind, code, 0, 0)) + rest
    if family == 6:
        return summed(source, destination, ICMP6, message, at=2)
    return message[:2] + struct.pack("!H", internet_sum(message)) + message[4:]
