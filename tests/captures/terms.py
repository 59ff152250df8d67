"""What a client of a Service would have seen: recordings of a client that talks straight to a backend, put into the
Service's terms by scapy, every checksum computed from nothing. Shares nothing with tcnat.

From one recording come two captures. The *input* is what stands before the datapath: what the client sends, to the
Service's addresses, and what the backend sends. The *golden* one is what stands behind it: what the backend gets, as it
was recorded, and what the client gets, from the Service's addresses.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from scapy.layers.inet import IP, in4_chksum
from scapy.layers.inet6 import IPv6, in6_chksum
from scapy.utils import checksum

from tests.captures.files import Shot
from tests.captures.services import CLIENT, PORTS, TCP, UDP
from tests.lab.addresses import Addresses

LINK_HEADERS = {1: 14, 101: 0, 113: 16, 276: 20}
"""Link type -> bytes before the IP header."""
BACKENDS = {
    (address, port.protocol, port.target): (service, port.port)
    for port in PORTS
    for address, service in zip(("10.2.1.2", "fd02:0:0:1::2"), (port.service.v4, port.service.v6), strict=True)
}
"""(address, protocol, port) of a backend -> address and port of the Service."""
_ICMP, _ICMPV6, _FRAGMENT = 1, 58, 44
_ERRORS = {_ICMP: (3, 4, 11, 12), _ICMPV6: (1, 2, 3, 4)}
_CHECKSUM_AT = {TCP: 16, UDP: 6}


class Parts(NamedTuple):
    """An IP packet taken apart. ``transport`` is what follows the headers; ``offset`` and ``more`` tell fragments."""

    network: bytes
    transport: bytes
    source: str
    destination: str
    protocol: int
    fragment_id: int
    offset: int
    more: bool

    @property
    def datagram(self) -> tuple[str, str, int, int]:
        """What fragments of one datagram share."""
        return self.source, self.destination, self.protocol, self.fragment_id


def take_apart(packet: bytes) -> Parts | None:
    """An IPv4 or IPv6 packet without options; None if it is neither."""
    if packet[:1] == b"\x45":
        ip = IP(packet)
        return Parts(packet[:20], packet[20 : ip.len], ip.src, ip.dst, ip.proto, ip.id, ip.frag * 8, bool(ip.flags.MF))
    if not packet or packet[0] >> 4 != 6:
        return None
    ip = IPv6(packet)
    end = 40 + ip.plen
    if ip.nh != _FRAGMENT:
        return Parts(packet[:40], packet[40:end], ip.src, ip.dst, ip.nh, 0, 0, False)
    following, offset, identification = struct.unpack_from("!BxHI", packet, 40)
    return Parts(
        packet[:48], packet[48:end], ip.src, ip.dst, following, identification, offset & 0xFFF8, bool(offset & 1)
    )


class ServiceTerms:
    """Puts the packets of one recording into the Service's terms."""

    def __init__(self, packets: Iterable[bytes]) -> None:
        self._packets = [(packet, parts) for packet in packets if (parts := take_apart(packet))]
        self._whole: dict[tuple[str, str, int, int], bytearray] = {}
        for _, parts in self._packets:
            if parts.offset or parts.more:
                whole = self._whole.setdefault(parts.datagram, bytearray())
                whole[parts.offset : parts.offset + len(parts.transport)] = parts.transport

    def put(self, packet: bytes) -> bytes:
        """The packet with the Service's address and port in the place of the backend's."""
        parts = take_apart(packet)
        if parts is None:
            return packet
        if parts.protocol in _ERRORS and parts.transport[0] in _ERRORS[parts.protocol]:
            return self._error(packet, parts)
        if parts.protocol not in _CHECKSUM_AT:
            return packet
        sent = parts.source in (CLIENT.v4, CLIENT.v6)
        whole = bytes(self._whole[parts.datagram]) if parts.offset or parts.more else parts.transport
        source_port, destination_port = struct.unpack_from("!HH", whole)
        backend = (parts.destination, parts.protocol, destination_port)
        if not sent:
            backend = (parts.source, parts.protocol, source_port)
        if backend not in BACKENDS:
            return packet
        address, port = BACKENDS[backend]
        network = _with_address(parts.network, address, at_destination=sent)
        mended = _with_port(network, parts.protocol, whole, port, at_destination=sent)
        return network + mended[parts.offset : parts.offset + len(parts.transport)]

    def _error(self, packet: bytes, parts: Parts) -> bytes:
        """An ICMP error: the packet that it quotes is looked up and put into the Service's terms as a whole."""
        quote = parts.transport[8:]
        original = next((each for each, _ in self._packets if _is_quoted(each, quote)), None)
        if original is None or (service := self.put(original)) == original:
            return packet
        quoted = _as_quoted(service, quote)
        before, after = take_apart(original), take_apart(service)
        assert before is not None
        assert after is not None
        network = parts.network
        if parts.source == before.destination:
            network = _with_address(network, after.destination, at_destination=False)
        if parts.destination == before.source:
            network = _with_address(network, after.source, at_destination=True)
        message = parts.transport[:2] + bytes(2) + parts.transport[4:8] + quoted
        return network + message[:2] + struct.pack("!H", _icmp_checksum(network, message)) + message[4:]


def _with_address(network: bytes, address: str, *, at_destination: bool) -> bytes:
    """The network header with another address and, for IPv4, its checksum computed anew."""
    four = network[0] >> 4 == 4
    header = IP(network) if four else IPv6(network[:40])
    setattr(header, "dst" if at_destination else "src", address)
    if four:
        del header.chksum
    return bytes(header) + network[40 if not four else 20 :]


def _with_port(network: bytes, protocol: int, transport: bytes, port: int, *, at_destination: bool) -> bytes:
    """A whole transport packet with another port, and its checksum computed anew (a UDP checksum of 0 stays)."""
    changed = bytearray(transport)
    struct.pack_into("!H", changed, 2 if at_destination else 0, port)
    at = _CHECKSUM_AT[protocol]
    if changed[at : at + 2] == b"\0\0" and protocol == UDP:
        return bytes(changed)
    changed[at : at + 2] = b"\0\0"
    computed = _pseudo_checksum(network, protocol, bytes(changed))
    struct.pack_into("!H", changed, at, computed or (0xFFFF if protocol == UDP else 0))
    return bytes(changed)


def _pseudo_checksum(network: bytes, protocol: int, transport: bytes) -> int:
    if network[0] >> 4 == 4:
        header = IP(network)
        return int(in4_chksum(protocol, IP(src=header.src, dst=header.dst), transport))  # not a fragment's length
    return int(in6_chksum(protocol, IPv6(network[:40]), transport))


def _icmp_checksum(network: bytes, message: bytes) -> int:
    return int(checksum(message)) if network[0] >> 4 == 4 else _pseudo_checksum(network, _ICMPV6, message)


def _is_quoted(original: bytes, quote: bytes) -> bool:
    """Whether the quote is of this packet; routers change the TTL, and with it the IPv4 header's checksum."""
    if original[:1] != quote[:1]:
        return False
    ttl, rest = (slice(2, 8), 12) if quote[0] >> 4 == 4 else (slice(4, 7), 8)
    return original[ttl] == quote[ttl] and original[rest : len(quote)] == quote[rest:]


def _as_quoted(service: bytes, quote: bytes) -> bytes:
    """As much of the packet as was quoted, with the quote's TTL."""
    if quote[0] >> 4 == 6:
        return service[:7] + quote[7:8] + service[8 : len(quote)]
    header = IP(service[:20])
    header.ttl = quote[8]
    del header.chksum
    return bytes(header) + service[20 : len(quote)]


def input_and_golden(shots: list[Shot], link_type: int, client: Addresses = CLIENT) -> tuple[list[Shot], list[Shot]]:
    """The two captures of a recording."""
    skip = LINK_HEADERS[link_type]
    terms = ServiceTerms(shot.data[skip:] for shot in shots)
    before, after = [], []
    for shot in shots:
        parts = take_apart(shot.data[skip:])
        in_terms = shot._replace(data=shot.data[:skip] + terms.put(shot.data[skip:]), length=None)
        sent = parts is not None and parts.source in (client.v4, client.v6)
        before.append(in_terms if sent else shot)
        after.append(shot if sent else in_terms)
    return before, after
