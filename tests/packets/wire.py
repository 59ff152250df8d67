"""Packets on the client's wire, by names: built by scapy from nothing, every checksum its own."""

from __future__ import annotations

from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
)
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP, SCTPChunkData, SCTPChunkInit
from scapy.packet import Packet

from tests.packets.names import CLIENT_MAC, ROUTER_MAC, Names, names_of

CLIENT_PORT = 40000


class Wire:
    """Makes packets of one family. ``names`` are its addresses, which are attributes of the wire itself, too."""

    def __init__(self, family: int) -> None:
        self.family = family
        self.names: Names = names_of(family)

    def __getattr__(self, name: str) -> str:
        """An address by its name."""
        found: str = getattr(self.names, name)
        return found

    def ip(self, source: str, destination: str, **fields: Any) -> Packet:
        """An IP header; ``ttl`` and ``tos`` are known by these names in both families."""
        if self.family == 4:
            return IP(src=source, dst=destination, **{"id": 0x1234, "flags": "DF", **fields})
        renamed = {"ttl": "hlim", "tos": "tc"}
        return IPv6(src=source, dst=destination, **{renamed.get(name, name): value for name, value in fields.items()})

    def frame(self, packet: Packet, *, from_client: bool | None = None) -> Packet:
        """An Ethernet frame around an IP packet; the client's MAC address stands on the client's side."""
        if from_client is None:
            from_client = packet.src in (self.client, self.other_client)
        macs = (CLIENT_MAC, ROUTER_MAC) if from_client else (ROUTER_MAC, CLIENT_MAC)
        return Ether(src=macs[0], dst=macs[1]) / packet

    def tcp(self, source: str, sport: int, destination: str, dport: int, flags: str = "S", **fields: Any) -> Packet:
        """A TCP segment. ``payload`` and ``ip`` (fields of the IP header) aside, fields are scapy's."""
        payload, ip = fields.pop("payload", b""), fields.pop("ip", {})
        segment = TCP(sport=sport, dport=dport, flags=flags, **{"seq": 1000, "window": 64240, **fields})
        return self.frame(self.ip(source, destination, **ip) / segment / payload)

    def udp(
        self, source: str, sport: int, destination: str, dport: int, payload: bytes = b"a question", **fields: Any
    ) -> Packet:
        """A UDP datagram."""
        ip = fields.pop("ip", {})
        return self.frame(self.ip(source, destination, **ip) / UDP(sport=sport, dport=dport, **fields) / payload)

    def sctp(self, source: str, sport: int, destination: str, dport: int, *, init: bool = False) -> Packet:
        """An SCTP packet with an INIT or a DATA chunk; its CRC32c covers no address."""
        chunk = SCTPChunkInit(init_tag=7) if init else SCTPChunkData(data=b"an answer", tsn=1)
        return self.frame(self.ip(source, destination) / SCTP(sport=sport, dport=dport, tag=0 if init else 7) / chunk)

    def echo(self, source: str, destination: str, *, reply: bool = False, payload: bytes = b"ping" * 9) -> Packet:
        """An echo request or reply."""
        if self.family == 4:
            return self.frame(self.ip(source, destination) / ICMP(type=0 if reply else 8, id=7, seq=1) / payload)
        kind = ICMPv6EchoReply if reply else ICMPv6EchoRequest
        return self.frame(self.ip(source, destination) / kind(id=7, seq=1, data=payload))

    def error(self, kind: str, source: str, destination: str, quote: bytes | Packet) -> Packet:
        """An ICMP error: ``unreachable``, ``too big``, ``time exceeded`` or ``parameter problem``."""
        header = (ERRORS4 if self.family == 4 else ERRORS6)[kind].copy()
        return self.frame(self.ip(source, destination) / header / bytes(quote))

    def quoted(self, frame: Packet, transport: int | None = None) -> bytes:
        """The IP packet in a frame as a router quotes it: ``transport`` bytes behind the IP header, or all."""
        packet = bytes(frame)[14:]
        header = 20 if self.family == 4 else 40
        return packet if transport is None else packet[: header + transport]


ERRORS4 = {
    "unreachable": ICMP(type=3, code=1),
    "port unreachable": ICMP(type=3, code=3),
    "too big": ICMP(type=3, code=4, nexthopmtu=1400),
    "time exceeded": ICMP(type=11, code=0),
    "parameter problem": ICMP(type=12, code=0, ptr=8),
    "source quench": ICMP(type=4, code=0),
}
ERRORS6 = {
    "unreachable": ICMPv6DestUnreach(code=3),
    "port unreachable": ICMPv6DestUnreach(code=4),
    "too big": ICMPv6PacketTooBig(mtu=1400),
    "time exceeded": ICMPv6TimeExceeded(code=0),
    "parameter problem": ICMPv6ParamProblem(code=0, ptr=7),
}
