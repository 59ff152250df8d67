"""What captures are built from: packets of either family, and what must leave in their place."""

from __future__ import annotations

from typing import NamedTuple

from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from tests.lab.addresses import Addresses

CLIENT_MAC, ROUTER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
OUT = Ether(src=CLIENT_MAC, dst=ROUTER_MAC)
IN = Ether(src=ROUTER_MAC, dst=CLIENT_MAC)
START = 1_767_225_600_000_000_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000


class Step(NamedTuple):
    """A packet, and what leaves (None: nothing). ``after`` is how long after the step before it, in nanoseconds."""

    before: Packet
    leaves: Packet | None
    after: int = MILLISECOND


class Net:
    """Packets of one family."""

    def __init__(self, family: int) -> None:
        self.family = family
        self.four = family == 4

    def __call__(self, source: Addresses, destination: Addresses, **fields: object) -> Packet:
        """An IP header."""
        if self.four:
            return IP(src=source.v4, dst=destination.v4, **fields)
        return IPv6(src=source.v6, dst=destination.v6, **fields)

    def text(self, addresses: Addresses) -> str:
        """The address of this family."""
        return addresses.v4 if self.four else addresses.v6

    def made(self, source: Addresses, destination: Addresses) -> Packet:
        """The header of a packet that the programs make: TTL 64, and for IPv4 no id and Don't Fragment."""
        return self(source, destination, **({"ttl": 64, "id": 0, "flags": "DF"} if self.four else {"hlim": 64}))

    def unreachable(self, sent: Packet, service: Addresses, client: Addresses) -> Packet:
        """Port unreachable about what the client sent, quoting its IP header and 8 bytes."""
        error = ICMP(type=3, code=3) if self.four else ICMPv6DestUnreach(code=4)
        return self.made(service, client) / error / Raw(bytes(sent)[: (20 if self.four else 40) + 8])

    def ping(self, *, reply: bool = False, data: bytes = b"ping!") -> Packet:
        """An echo request or reply."""
        if self.four:
            return ICMP(type=0 if reply else 8, id=7, seq=1) / Raw(data)
        return (ICMPv6EchoReply if reply else ICMPv6EchoRequest)(id=7, seq=1, data=data)
