"""A frame, taken apart into scapy layers ("Reading the packet"), and put together again byte for byte.

Options, extension headers and payloads stay raw bytes: nothing of what came in is interpreted, and so changed, that the
datapath does not change.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Packet as Layer
from scapy.packet import Raw

from tests.reference import tables
from tests.reference.checksums import mend, plain_sum, transport_sum
from tests.reference.tables import Ends

ETHERTYPE = {4: 0x0800, 6: 0x86DD}
ETHERNET_SIZE = 14
MOST_EXTENSIONS = 6
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION = 0, 43, 44, 60
EXTENSIONS = frozenset({HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION})
TRANSPORTS = {tables.TCP: (TCP, 20), tables.UDP: (UDP, 8), tables.SCTP: (SCTP, 12)}
BIG = 65535


class Passed(Exception):
    """The packet is not for us: pass it, counted under a reason or not at all."""

    def __init__(self, reason: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason


class Piece(Enum):
    """Which part of a datagram a packet is."""

    WHOLE = auto()
    FIRST = auto()
    LATER = auto()


@dataclass(slots=True)
class Packet:
    """A packet in its parts; ``bytes(packet)`` joins them.

    ``header`` is the TCP, UDP or SCTP header without options (None in ICMP and in later fragments), ``payload`` what
    follows up to the end of the IP packet, ``padding`` what the frame has behind that. In a packet that an ICMP error
    quotes the checksum may be cut off.
    """

    link: Layer | None
    ip: Layer
    extensions: bytes
    protocol: int
    piece: Piece
    fragment_id: int
    header: Layer | None
    payload: bytes
    padding: bytes
    has_checksum: bool = True

    def __bytes__(self) -> bytes:
        link = bytes(self.link) if self.link else b""
        return b"".join((link, bytes(self.ip), self.extensions, self.segment(), self.padding))

    def segment(self) -> bytes:
        """The transport header and its payload."""
        return (bytes(self.header) if self.header else b"") + self.payload

    def ends(self) -> Ends:
        """Addresses and ports, 0 in later fragments."""
        if self.header is None:
            return Ends(self.ip.src, self.ip.dst, 0, 0)
        return Ends(self.ip.src, self.ip.dst, self.header.sport, self.header.dport)

    def readdress(self, to: Ends) -> None:
        """Give the packet other ends, and its checksums the values that follow."""
        was = transport_checksum(self)
        old_header = ip_header_sum(self.ip)
        self.ip.src, self.ip.dst = to.source, to.destination
        if old_header is not None:
            self.ip.chksum = mend(self.ip.chksum, old_header, ip_header_sum(self.ip))
        if self.header is not None:
            self.header.sport, self.header.dport = to.source_port, to.destination_port
        if was is not None:
            set_transport_checksum(self, mend(self.header.chksum, was, transport_checksum(self)))

    @property
    def plain(self) -> bool:
        """Without IPv4 options and IPv6 extension headers."""
        return not self.extensions and not getattr(self.ip, "options", None)


def transport_checksum(packet: Packet) -> int | None:
    """What the TCP or UDP checksum ought to be over the bytes there are; None where there is none to mend."""
    if packet.protocol not in (tables.TCP, tables.UDP) or packet.header is None or not packet.has_checksum:
        return None
    if packet.protocol == tables.UDP and packet.header.chksum == 0:
        return None
    blank = packet.header.copy()
    blank.chksum = 0
    return transport_sum(packet.ip, packet.protocol, bytes(blank) + packet.payload)


def set_transport_checksum(packet: Packet, value: int) -> None:
    """Write a checksum; 0 would mean "none" in UDP."""
    packet.header.chksum = 0xFFFF if packet.protocol == tables.UDP and value == 0 else value


def ip_header_sum(ip: Layer) -> int | None:
    """What an IPv4 header's checksum ought to be; None for IPv6."""
    if isinstance(ip, IPv6):
        return None
    blank = ip.copy()
    blank.chksum = 0
    return plain_sum(bytes(blank))


def read(frame: bytes, family: int, *, has_link_layer: bool = True) -> Packet:
    """Take a frame apart, or raise :class:`Passed`."""
    link, data = None, frame
    if has_link_layer:
        if int.from_bytes(frame[12:ETHERNET_SIZE], "big") != ETHERTYPE[family]:
            raise Passed
        link, data = Ether(frame[:ETHERNET_SIZE]), frame[ETHERNET_SIZE:]
    packet, rest = (read_ipv4 if family == 4 else read_ipv6)(data)
    packet.link = link
    read_transport(packet, family, rest)
    return packet


def read_ipv4(data: bytes) -> tuple[Packet, bytes]:
    """The IP header and what it claims to carry."""
    if len(data) < 20:
        raise Passed("MALFORMED_IP")
    ip = IP(data[:20])
    header = ip.ihl * 4
    total = len(data) if ip.len == 0 and len(data) > BIG else ip.len
    if ip.version != 4 or header < 20 or not header <= total <= len(data):
        raise Passed("MALFORMED_IP")
    if header > 20:
        ip.options = [Raw(data[20:header])]
    piece = Piece.LATER if ip.frag else Piece.FIRST if ip.flags.MF else Piece.WHOLE
    return Packet(None, ip, b"", ip.proto, piece, ip.id, None, b"", data[total:]), data[header:total]


def read_ipv6(data: bytes) -> tuple[Packet, bytes]:
    """The IP header, its extension headers, and what they claim to carry."""
    if len(data) < 40:
        raise Passed("MALFORMED_IP")
    ip = IPv6(data[:40])
    room = len(data) - 40
    size = room if ip.plen == 0 and len(data) > BIG else ip.plen
    if ip.version != 6 or size > room:
        raise Passed("MALFORMED_IP")
    packet = Packet(None, ip, b"", ip.nh, Piece.WHOLE, 0, None, b"", data[40 + size :])
    return packet, walk_extensions(packet, data[40 : 40 + size], MOST_EXTENSIONS)


def walk_extensions(packet: Packet, rest: bytes, most: int, *, routed: bool = False) -> bytes:
    """Move up to ``most`` extension headers from the front of ``rest`` to the packet; what is left of it.

    A routing header with segments left ends the walk, unless ``routed`` says that it does not matter.
    """
    seen = 0
    while packet.protocol in EXTENSIONS and packet.piece is not Piece.LATER:
        size = 8 if packet.protocol == FRAGMENT or len(rest) < 2 else (rest[1] + 1) * 8
        in_use = packet.protocol == ROUTING and rest[3:4] != b"\0" and not routed
        seen += 1
        if seen > most or len(rest) < size or in_use:
            raise Passed("EXTENSION_HEADERS")
        header, rest = rest[:size], rest[size:]
        if packet.protocol == FRAGMENT:
            offset_and_more = int.from_bytes(header[2:4], "big")
            packet.fragment_id = int.from_bytes(header[4:8], "big")
            if offset_and_more >> 3:
                packet.piece = Piece.LATER
            elif offset_and_more & 1:
                packet.piece = Piece.FIRST
        packet.extensions += header
        packet.protocol = header[0]
    return rest


def read_transport(packet: Packet, family: int, rest: bytes) -> None:
    """Fill header and payload from what the IP packet carries."""
    packet.payload = rest
    if packet.piece is Piece.LATER:
        return
    if packet.protocol == tables.ICMP[family]:
        if packet.piece is not Piece.WHOLE:
            raise Passed
        if len(rest) < 8:
            raise Passed("MALFORMED_TRANSPORT")
        return
    if packet.protocol not in TRANSPORTS:
        raise Passed
    layer, size = TRANSPORTS[packet.protocol]
    if len(rest) < size:
        raise Passed("MALFORMED_TRANSPORT")
    header = layer(rest[:size])
    check_length(packet, header, len(rest))
    packet.header, packet.payload = header, rest[size:]


def check_length(packet: Packet, header: Layer, room: int) -> None:
    """Whether TCP's data offset and UDP's length fit what is there."""
    if packet.protocol == tables.TCP:
        claimed, least = header.dataofs * 4, 20
    elif packet.protocol == tables.UDP:
        claimed, least = room if header.len == 0 and room > BIG else header.len, 8
    else:
        return
    if claimed < least or (packet.piece is Piece.WHOLE and claimed > room):
        raise Passed("MALFORMED_TRANSPORT")
