"""Answers to packets that nobody serves, as the Service's own host would make them."""

from __future__ import annotations

from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.packets.wire import Wire

QUOTED_TRANSPORT = 8


def answering(w: Wire, asked: Packet) -> Packet:
    """Ethernet and IP header of an answer to a frame, as a host makes them."""
    ip = asked.payload
    link = Ether(src=asked.dst, dst=asked.src)
    if w.family == 4:
        return link / IP(src=ip.dst, dst=ip.src, ttl=64, id=0, flags="DF")
    return link / IPv6(src=ip.dst, dst=ip.src, hlim=64)


def port_unreachable(w: Wire, asked: Packet) -> Packet:
    """The ICMP error for a frame."""
    asked = Ether(bytes(asked))
    quote = bytes(asked)[14 : 14 + (20 if w.family == 4 else 40) + QUOTED_TRANSPORT]
    error = ICMP(type=3, code=3) if w.family == 4 else ICMPv6DestUnreach(code=4)
    return answering(w, asked) / error / quote


def rst(w: Wire, asked: Packet, flags: str, seq: int, ack: int) -> Packet:
    """The RST for a frame, with the numbers that RFC 9293 wants."""
    tcp = TCP(sport=asked[TCP].dport, dport=asked[TCP].sport, flags=flags, seq=seq, ack=ack, window=0)
    return answering(w, asked) / tcp
