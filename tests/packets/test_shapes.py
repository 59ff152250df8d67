"""Shapes of packets: options, extension headers, lengths, and packets that contradict themselves.

What is malformed passes as it is, counted; docs/malformed.md has the table. What is only unusual is translated.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.packets.harness import Harness
from tests.packets.table import IPV4_ONLY, IPV6_ONLY, Row, Step, forwarded, play, reversed_, table, untouched
from tests.packets.talks import from_dns, from_web, to_dns, to_web
from tests.packets.wire import CLIENT_PORT, Wire

MALFORMED_IP, MALFORMED_TRANSPORT, EXTENSION_HEADERS = "MALFORMED_IP", "MALFORMED_TRANSPORT", "EXTENSION_HEADERS"


def options(words: int) -> dict[str, object]:
    """IPv4 options of so many 32-bit words."""
    return {"options": [b"\x01" * (4 * words)]} if words else {}


def ip_options(w: Wire) -> list[Step]:
    """Every header length from 5 to 15 words, both ways."""
    return [
        step
        for words in range(11)
        for step in (
            to_web(w, "PA", payload=b"x", ip=options(words)),
            from_web(w, "PA", payload=b"y", ip=options(words)),
            to_dns(w, ip=options(words)),
            from_dns(w, ip=options(words)),
        )
    ]


HEADERS: dict[str, Packet] = {
    "hop-by-hop": IPv6ExtHdrHopByHop(),
    "destination options": IPv6ExtHdrDestOpt(),
    "routing, no segments left": IPv6ExtHdrRouting(segleft=0),
    "fragment, of a whole packet": IPv6ExtHdrFragment(id=3),
    "long destination options": IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 98)]),
}


def behind(packet: Packet, *headers: Packet) -> Packet:
    """A frame's IPv6 packet with extension headers before its transport header."""
    whole = Ether(bytes(packet))
    transport = whole.payload.payload
    chain = IPv6(src=whole.payload.src, dst=whole.payload.dst)
    for header in headers:
        chain = chain / header.copy()
    return Ether(src=whole.src, dst=whole.dst) / chain / transport


def walks(*headers: Packet) -> Callable[[Wire], list[Step]]:
    """Packets behind these headers are translated, both ways."""

    def steps(w: Wire) -> list[Step]:
        given = [(to_web(w, "PA", payload=b"x"), forwarded), (from_web(w, "PA", payload=b"y"), reversed_)]
        given += [(to_dns(w), forwarded), (from_dns(w), reversed_)]
        return [way(behind(step.packet, *headers), behind(step.becomes, *headers)) for step, way in given]

    return steps


def gives_up(*headers: Packet) -> Callable[[Wire], list[Step]]:
    """Packets behind these headers pass, counted."""
    return lambda w: [
        untouched("egress", behind(to_web(w, "S").packet, *headers), EXTENSION_HEADERS),
        untouched("ingress", behind(from_web(w, "SA").packet, *headers), EXTENSION_HEADERS),
    ]


def cut_off_headers(w: Wire) -> list[Step]:
    """The packet ends inside of an extension header, or before its end by its own length."""
    whole = bytes(behind(to_dns(w).packet, HEADERS["hop-by-hop"]))[:54]
    rest = (b"", b"\x11", b"\x11\x00\x01\x04\0\0\0", b"\x11\x01\x01\x04\0\0\0\0", b"\x11\xff\x01\x04\0\0\0\0")
    return [untouched("egress", with_length(whole + each, 6), EXTENSION_HEADERS) for each in rest]


def with_length(frame: bytes, family: int, length: int | None = None) -> bytes:
    """A frame whose IP header (without options) claims ``length`` bytes (IPv6: behind it), by default all there are."""
    if family == 4:
        ip = IP(frame[14:34])
        del ip.chksum
        ip.len = len(frame) - 14 if length is None else length
        return frame[:14] + bytes(ip) + frame[34:]
    claimed = len(frame) - 54 if length is None else length
    return frame[:18] + struct.pack("!H", claimed) + frame[20:]


def poked(frame: Packet, at: int, value: bytes) -> bytes:
    """A frame's IP packet with other bytes at an offset."""
    raw = bytearray(bytes(frame))
    raw[14 + at : 14 + at + len(value)] = value
    return bytes(raw)


def malformed_ip(frame: bytes) -> list[Step]:
    """Both programs pass it."""
    return [untouched(program, frame, MALFORMED_IP) for program in ("egress", "ingress")]


def malformed_transport(frame: bytes) -> list[Step]:
    """Both programs pass it."""
    return [untouched(program, frame, MALFORMED_TRANSPORT) for program in ("egress", "ingress")]


def wrong_ihl(w: Wire) -> list[Step]:
    """Too small a header, and one that is longer than the packet."""
    packet = to_dns(w).packet
    return [step for ihl in (0, 1, 4, 15) for step in malformed_ip(poked(packet, 0, bytes((0x40 | ihl,))))]


def wrong_total_length(w: Wire) -> list[Step]:
    """0, less than the header, more than the frame has."""
    frame = bytes(to_dns(w).packet)
    return [
        step
        for length in (0, 1, 19, len(frame) - 14 + 1, 0xFFFF)
        for step in malformed_ip(with_length(frame, 4, length))
    ]


def wrong_payload_length(w: Wire) -> list[Step]:
    frame = bytes(to_dns(w).packet)
    return [step for length in (len(frame) - 54 + 1, 0xFFFF) for step in malformed_ip(with_length(frame, 6, length))]


def wrong_version(w: Wire) -> list[Step]:
    """A version that is not the ethertype's."""
    packet = to_dns(w).packet
    first = 0x05 if w.family == 4 else 0x00
    return [
        step
        for version in range(16)
        if version != w.family
        for step in malformed_ip(poked(packet, 0, bytes((version << 4 | first,))))
    ]


def padded(w: Wire) -> list[Step]:
    """What lies behind the length that the IP header claims is padding: it stays, and no checksum covers it."""
    return [
        way(Ether(bytes(step.packet) + b"padding!"), Ether(bytes(step.becomes) + b"padding!"))
        for step, way in ((to_web(w, "PA"), forwarded), (from_web(w, "PA"), reversed_), (to_dns(w), forwarded))
    ]


def cut_transport(packet: Packet, family: int, sizes: range) -> list[Step]:
    """An IP packet that ends inside of its transport header."""
    header = 14 + (20 if family == 4 else 40)
    frame = bytes(packet)
    return [step for size in sizes for step in malformed_transport(with_length(frame[: header + size], family))]


def transport(w: Wire) -> int:
    """The offset of the transport header in an IP packet."""
    return 20 if w.family == 4 else 40


def wrong_data_offset(w: Wire) -> list[Step]:
    """TCP headers shorter than 20 bytes, and longer than the packet."""
    packet = to_web(w, "S", payload=b"x" * 8).packet
    return [
        step
        for words in (0, 1, 4, 8, 15)
        for step in malformed_transport(poked(packet, transport(w) + 12, bytes((words << 4,))))
    ]


def wrong_udp_length(w: Wire) -> list[Step]:
    """UDP lengths shorter than the header, and longer than the packet."""
    packet = to_dns(w).packet
    room = len(bytes(packet)) - 14 - transport(w)
    return [
        step
        for length in (0, 7, room + 1, 0xFFFF)
        for step in malformed_transport(poked(packet, transport(w) + 4, struct.pack("!H", length)))
    ]


def short_udp(w: Wire) -> list[Step]:
    """A UDP length that is less than the packet has: the rest is nobody's, and stays."""
    given, expected = (
        w.frame(w.ip(w.client, address) / UDP(sport=CLIENT_PORT, dport=port, len=12, chksum=0) / b"four and more")
        for address, port in ((w.dns_vip, 53), (w.backend_one, 5353))
    )
    return [forwarded(given, expected)]


def every_cut(w: Wire) -> list[Step]:
    """A frame cut off anywhere, though its IP header claims more."""
    frame = bytes(to_web(w, "PA", payload=b"some data").packet)
    least = 14 + transport(w)
    return [step for size in range(least, len(frame)) for step in malformed_ip(frame[:size])]


IP_ROWS = [
    Row("IPv4 options, header lengths 5 to 15", ip_options, IPV4_ONLY),
    Row("a wrong ihl", wrong_ihl, IPV4_ONLY),
    Row("a total length shorter than the header or longer than the frame", wrong_total_length, IPV4_ONLY),
    Row("a payload length longer than the frame", wrong_payload_length, IPV6_ONLY),
    Row("a total length shorter than the frame: the rest is padding, and stays", padded),
    Row("a version that is not its ethertype's", wrong_version),
    Row("a frame cut off anywhere", every_cut),
    *(
        Row(
            f"TTL {ttl} is neither looked at nor changed",
            lambda w, ttl=ttl: [to_web(w, "S", ip={"ttl": ttl}), from_web(w, "SA", ip={"ttl": ttl})],
        )
        for ttl in (0, 1, 255)
    ),
    Row(
        "type of service and flow label stay",
        lambda w: [to_dns(w, ip={"tos": 0xFF, **({"fl": 0xABCDE} if w.family == 6 else {})})],
    ),
]
EXTENSION_ROWS = [
    *(Row(f"an extension header: {name}", walks(header), IPV6_ONLY) for name, header in HEADERS.items()),
    Row("several in a row, of each kind", walks(*HEADERS.values()), IPV6_ONLY),
    Row("six of them", walks(*[IPv6ExtHdrDestOpt()] * 6), IPV6_ONLY),
    Row("seven of them: more than we walk", gives_up(*[IPv6ExtHdrDestOpt()] * 7), IPV6_ONLY),
    Row("a routing header with segments left", gives_up(IPv6ExtHdrRouting(addresses=["fd00::99"])), IPV6_ONLY),
    Row("an extension header that is cut off", cut_off_headers, IPV6_ONLY),
    Row(
        "a transport header missing behind extension headers",
        lambda w: malformed_transport(with_length(bytes(behind(to_dns(w).packet, HEADERS["hop-by-hop"]))[:62], 6)),
        IPV6_ONLY,
    ),
]
TRANSPORT_ROWS = [
    Row("a TCP header that is cut off", lambda w: cut_transport(to_web(w, "S").packet, w.family, range(20))),
    Row("a UDP header that is cut off", lambda w: cut_transport(to_dns(w).packet, w.family, range(8))),
    Row(
        "an SCTP header that is cut off",
        lambda w: cut_transport(w.sctp(w.client, 4, w.sctp_vip, 3868), w.family, range(12)),
    ),
    Row("an ICMP header that is cut off", lambda w: cut_transport(w.echo(w.client, w.web_vip), w.family, range(8))),
    Row("a TCP data offset that is too small or too large", wrong_data_offset),
    Row("a UDP length that is too small or too large", wrong_udp_length),
    Row("a UDP length smaller than the packet", short_udp),
    Row(
        "an SCTP header without a chunk",
        lambda w: [
            forwarded(
                *(
                    with_length(bytes(w.sctp(w.client, CLIENT_PORT, each, 3868))[: 14 + transport(w) + 12], w.family)
                    for each in (w.sctp_vip, w.backend_one)
                )
            )
        ],
    ),
]


@table(IP_ROWS)
def test_ip(row: Row, harness: Harness) -> None:
    play(row, harness)


@table(EXTENSION_ROWS)
def test_extension_headers(row: Row, harness: Harness) -> None:
    play(row, harness)


@table(TRANSPORT_ROWS)
def test_transport(row: Row, harness: Harness) -> None:
    play(row, harness)
