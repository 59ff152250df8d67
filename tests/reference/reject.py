"""Answers in place of a Service that has nobody: RST and ICMP port unreachable ("Reject"), and the echo reply."""

from __future__ import annotations

from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet as Layer
from scapy.packet import Raw

from tests.reference import tables
from tests.reference.checksums import mend, plain_sum, transport_sum
from tests.reference.reading import Packet, Piece

QUOTED = 8
"""Bytes of the transport header that an ICMP error quotes."""


def can_be_rejected(packet: Packet) -> bool:
    """Whether there is an answer to this packet: not to fragments, options, extension headers or a RST."""
    if packet.piece is not Piece.WHOLE or not packet.plain:
        return False
    return not (packet.protocol == tables.TCP and "R" in packet.header.flags)


def rejection(packet: Packet) -> bytes:
    """The frame that tells the client."""
    carried = rst(packet) if packet.protocol == tables.TCP else port_unreachable(packet)
    return bytes(turned_link(packet) / carried) if packet.link else bytes(carried)


def turned_link(packet: Packet) -> Layer:
    """The link layer of an answer."""
    return Ether(src=packet.link.dst, dst=packet.link.src, type=packet.link.type)


def answering_ip(packet: Packet, **fields: int) -> Layer:
    """The IP header of an answer that is made from nothing."""
    if isinstance(packet.ip, IP):
        return IP(src=packet.ip.dst, dst=packet.ip.src, ttl=64, id=0, flags="DF", tos=0)
    return IPv6(src=packet.ip.dst, dst=packet.ip.src, hlim=64, tc=0, fl=0, **fields)


def rst(packet: Packet) -> Layer:
    """RFC 9293, 3.10.7.1: an answer to a segment for which there is no connection."""
    asked = packet.header
    answer = TCP(sport=asked.dport, dport=asked.sport, window=0)
    if "A" in asked.flags:
        answer.flags, answer.seq, answer.ack = "R", asked.ack, 0
    else:
        length = len(packet.payload) - (asked.dataofs * 4 - 20)
        length += ("S" in asked.flags) + ("F" in asked.flags)
        answer.flags, answer.seq, answer.ack = "RA", 0, (asked.seq + length) % (1 << 32)
    if left_to_hardware(packet):
        answer.chksum = pseudo_sum(packet, len(answer))
    return answering_ip(packet) / answer


def pseudo_sum(packet: Packet, length: int) -> int:
    """The folded sum of a TCP or UDP pseudo header for a segment of that length."""
    ip = packet.ip.copy()
    if isinstance(ip, IP):
        ip.len = ip.ihl * 4 + length
    return transport_sum(ip, packet.protocol, bytes(length)) ^ 0xFFFF


def left_to_hardware(packet: Packet) -> bool:
    """Whether a checksum is the pseudo header's sum and no more: the hardware is to finish it (CHECKSUM_PARTIAL)."""
    return bool(packet.header.chksum == pseudo_sum(packet, len(packet.segment())))


def port_unreachable(packet: Packet) -> Layer:
    """ICMP or ICMPv6 port unreachable, quoting what the client sent."""
    quote = bytes(packet.ip) + packet.segment()[:QUOTED]
    if isinstance(packet.ip, IP):
        return answering_ip(packet) / ICMP(type=3, code=3, unused=0) / quote
    error = ICMPv6DestUnreach(code=4) / quote
    if packet.protocol == tables.UDP and left_to_hardware(packet):
        error = with_place_for_udp_checksum(packet, bytes(ICMPv6DestUnreach(code=4, cksum=0) / quote))
    return answering_ip(packet, nh=tables.ICMP[6]) / error


def with_place_for_udp_checksum(packet: Packet, error: bytes) -> Layer:
    """An ICMPv6 error that stays right when the hardware fills in what it takes for UDP's checksum.

    That place is the end of the unused word; the pseudo header's sum there is what the hardware will put there.
    """
    ip = answering_ip(packet)
    pseudo = transport_sum(ip, tables.ICMP[6], bytes(len(error))) ^ 0xFFFF
    blank = error[:2] + bytes(4) + pseudo.to_bytes(2, "big") + error[8:]
    checksum = transport_sum(ip, tables.ICMP[6], blank)
    return Raw(blank[:2] + checksum.to_bytes(2, "big") + blank[4:])


def echo_reply(packet: Packet) -> bytes:
    """The echo request turned round; all but type, addresses and checksum stays."""
    family = 4 if isinstance(packet.ip, IP) else 6
    was = message_sum(packet, family)
    packet.ip.src, packet.ip.dst = packet.ip.dst, packet.ip.src
    if packet.link:
        packet.link = turned_link(packet)
    request = packet.payload
    packet.payload = bytes((0 if family == 4 else 129,)) + request[1:]
    checksum = mend(int.from_bytes(request[2:4], "big"), was, message_sum(packet, family))
    packet.payload = packet.payload[:2] + checksum.to_bytes(2, "big") + request[4:]
    return bytes(packet)


def message_sum(packet: Packet, family: int) -> int:
    """What an ICMP message's checksum ought to be; ICMPv6's covers the pseudo header."""
    blank = packet.payload[:2] + b"\0\0" + packet.payload[4:]
    return plain_sum(blank) if family == 4 else transport_sum(packet.ip, tables.ICMP[6], blank)
