"""ICMP errors about translated flows, and echo requests to Service addresses ("ICMP")."""

from __future__ import annotations

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from tests.reference.checksums import mend
from tests.reference.flows import key_of
from tests.reference.reading import TRANSPORTS, Packet, Passed, Piece, walk_extensions
from tests.reference.reject import message_sum
from tests.reference.tables import TCP, Ends, Flow, Tables

ERRORS = {4: frozenset({3, 4, 11, 12}), 6: frozenset({1, 2, 3, 4})}
ECHO_REQUEST = {4: 8, 6: 128}
HEADER = 8
LEAST_QUOTED = 8
TCP_CHECKSUM_END = 18
MOST_QUOTED_EXTENSIONS = 2


def is_error(packet: Packet, family: int) -> bool:
    """Whether the message quotes another packet."""
    return packet.payload[0] in ERRORS[family]


def is_echo_request(packet: Packet, family: int) -> bool:
    """Whether somebody pings."""
    return packet.payload[0] == ECHO_REQUEST[family] and packet.payload[1] == 0


def read_quote(message: bytes, family: int) -> Packet | None:
    """The packet that an error is about, or None if it is cut too short or none of ours."""
    data = message[HEADER:]
    try:
        quote, rest = (quoted_ipv4 if family == 4 else quoted_ipv6)(data)
    except Passed:
        return None
    if quote.piece is Piece.LATER or quote.protocol not in TRANSPORTS or len(rest) < LEAST_QUOTED:
        return None
    layer, size = TRANSPORTS[quote.protocol]
    quote.header, quote.payload = layer(rest[:size].ljust(size, b"\0")), rest[size:]
    quote.has_checksum = quote.protocol != TCP or len(rest) >= TCP_CHECKSUM_END
    return quote


def quoted_ipv4(data: bytes) -> tuple[Packet, bytes]:
    """A quoted IPv4 header and what is there of its payload."""
    if len(data) < 20:
        raise Passed
    ip = IP(data[:20])
    size = ip.ihl * 4
    if ip.version != 4 or size < 20 or len(data) < size:
        raise Passed
    if size > 20:
        ip.options = [Raw(data[20:size])]
    piece = Piece.LATER if ip.frag else Piece.WHOLE
    return Packet(None, ip, b"", ip.proto, piece, ip.id, None, b"", b""), data[size:]


def quoted_ipv6(data: bytes) -> tuple[Packet, bytes]:
    """A quoted IPv6 header with its extension headers and what is there of its payload."""
    if len(data) < 40:
        raise Passed
    ip = IPv6(data[:40])
    if ip.version != 6:
        raise Passed
    quote = Packet(None, ip, b"", ip.nh, Piece.WHOLE, 0, None, b"", b"")
    return quote, walk_extensions(quote, data[40:], MOST_QUOTED_EXTENSIONS, routed=True)


def find_quoted(state: Tables, quote: Packet, *, forward: bool) -> Flow | None:
    """The half whose packets run against the quoted one."""
    return state.find(key_of(quote.ends().turned(), quote.protocol, forward=forward))


def retell(packet: Packet, quote: Packet, flow: Flow, family: int) -> None:
    """Put the quoted packet back as its sender had it, and the error's own addresses with it.

    ``flow`` is the half whose packets run the error's way: it says what they become, so the quote, which runs against
    it, becomes the turn of that.
    """
    was = message_sum(packet, family)
    met = quote.ends()
    quote.readdress(flow.to.turned())
    tell_outer(packet, met, quote.ends())
    message = (packet.payload[:HEADER] + bytes(quote))[: len(packet.payload)]
    checksum = mend(int.from_bytes(message[2:4], "big"), was, message_sum_of(packet, message, family))
    packet.payload = message[:2] + checksum.to_bytes(2, "big") + message[4:]


def tell_outer(packet: Packet, met: Ends, told: Ends) -> None:
    """The error's own addresses: what the quote bore (``met``) and now tells otherwise (``told``) changes here too."""
    changed = {met.destination: told.destination, met.source: told.source}
    source, destination = packet.ip.src, packet.ip.dst
    packet.readdress(Ends(changed.get(source, source), changed.get(destination, destination), 0, 0))


def message_sum_of(packet: Packet, message: bytes, family: int) -> int:
    """What the checksum of another message in this packet ought to be."""
    packet.payload = message
    return message_sum(packet, family)
