"""What is nobody's Service passes, always, untouched and uncounted."""

from __future__ import annotations

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dhcp6 import DHCP6_Solicit
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import (
    ICMPv6MLReport2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptDstLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, GRE, LLC, STP, Dot1AD, Dot1Q, Dot3, Ether
from scapy.packet import Packet, Raw

from tcnat.layout import Choice
from tests.packets.harness import Harness
from tests.packets.names import CLIENT_MAC, ROUTER_MAC
from tests.packets.table import IPV4_ONLY, IPV6_ONLY, Configure, Row, Step, play, table, untouched
from tests.packets.talks import opened, to_dns, to_web
from tests.packets.wire import Wire

BROADCAST = Ether(src=CLIENT_MAC, dst="ff:ff:ff:ff:ff:ff")


def link() -> Packet:
    """A client's Ethernet header."""
    return Ether(src=CLIENT_MAC, dst=ROUTER_MAC)


def both_ways(*packets: Packet) -> list[Step]:
    """Both programs let them pass, whatever the settings."""
    return [
        *(untouched(program, packet) for packet in packets for program in ("egress", "ingress")),
        Configure(unknown_port=Choice.REJECT, echo=Choice.DROP),
        *(untouched(program, packet) for packet in packets for program in ("egress", "ingress")),
    ]


def arp(w: Wire) -> list[Step]:
    return both_ways(
        BROADCAST / ARP(psrc=w.client, pdst=w.web_vip),
        link() / ARP(op=2, psrc=w.client, pdst=w.router, hwdst=ROUTER_MAC),
        BROADCAST / ARP(psrc=w.client, pdst=w.client),
    )


def neighbour_discovery(w: Wire) -> list[Step]:
    def message(destination: str, body: Packet) -> Packet:
        return link() / IPv6(src=w.client, dst=destination, hlim=255) / body

    return both_ways(
        message("ff02::1:ff00:1", ICMPv6ND_NS(tgt=w.router)),
        message(w.router, ICMPv6ND_NA(tgt=w.client) / ICMPv6NDOptDstLLAddr(lladdr=CLIENT_MAC)),
        message("ff02::2", ICMPv6ND_RS()),
        message("ff02::1", ICMPv6ND_RA()),
        message(w.web_vip, ICMPv6ND_NS(tgt=w.web_vip)),
        message("ff02::16", ICMPv6MLReport2()),
    )


def dhcp(w: Wire) -> list[Step]:
    if w.family == 6:
        solicit = link() / IPv6(src="fe80::1", dst="ff02::1:2") / UDP(sport=546, dport=547) / DHCP6_Solicit()
        return both_ways(solicit)
    discover = BOOTP(chaddr=b"\2\0\0\0\0\1") / DHCP(options=[("message-type", "discover"), "end"])
    return both_ways(BROADCAST / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67) / discover)


def many(w: Wire) -> list[Step]:
    """Multicast and broadcast, also to ports that Services have."""
    groups = ("224.0.0.251", "239.1.2.3", "255.255.255.255", "10.0.0.255") if w.family == 4 else ("ff02::fb", "ff0e::1")
    return both_ways(*(w.udp(w.client, 5353, group, port) for group in groups for port in (53, 5353)))


def other_protocols(w: Wire) -> list[Step]:
    """Protocols that have no Service, to a Service's address, too."""
    numbers = (0x2F, 50, 51, 89, 103, 112, 136, 4, 41, 59, 255)
    numbers += (58,) if w.family == 4 else (1,)
    field = "proto" if w.family == 4 else "nh"
    return both_ways(
        *(w.frame(w.ip(w.client, w.web_vip, **{field: number}) / Raw(b"\0" * 24)) for number in numbers),
        w.frame(w.ip(w.client, w.web_vip) / GRE() / to_web(w, "S").packet.payload),
    )


def tagged(w: Wire) -> list[Step]:
    """VLAN-tagged frames are another ethertype than their family's."""
    inner = to_web(w, "S").packet.payload
    return both_ways(
        link() / Dot1Q(vlan=7) / inner,
        link() / Dot1AD(vlan=7) / Dot1Q(vlan=8) / inner,
        link() / Dot1Q(vlan=0, prio=5) / inner,
    )


def other_family(w: Wire) -> list[Step]:
    """The other family's packets, and its packets under this family's ethertype, are not this program's."""
    other = Wire(10 - w.family)
    return both_ways(to_web(other, "S").packet)


def no_ip(w: Wire) -> list[Step]:
    return both_ways(
        link() / Raw(b"\x88\xcc" + b"\0" * 60),
        Ether(src=CLIENT_MAC, dst=ROUTER_MAC, type=0x88CC) / Raw(b"\0" * 60),
        Dot3(src=CLIENT_MAC, dst="01:80:c2:00:00:00") / LLC() / STP(),
    )


def strangers(w: Wire) -> list[Step]:
    """Conversations that touch neither a Service nor a backend."""
    return both_ways(
        w.tcp(w.client, 4, w.stranger, 80),
        w.udp(w.client, 4, w.stranger, 53),
        w.sctp(w.client, 4, w.stranger, 3868),
        w.tcp(w.stranger, 80, w.client, 4, "SA"),
        w.udp(w.stranger, 53, w.client, 4),
        w.tcp(w.client, 4, w.backend_one, 22),
    )


def not_a_reply(w: Wire) -> list[Step]:
    """A backend's own packets, and what only looks like a reply."""
    return [
        *opened(w),
        to_dns(w),
        untouched("ingress", w.tcp(w.backend_one, 8080, w.client, 40001, "SA")),
        untouched("ingress", w.tcp(w.backend_one, 8081, w.client, 40000, "SA")),
        untouched("ingress", w.tcp(w.backend_two, 8080, w.client, 40000, "SA")),
        untouched("ingress", w.tcp(w.backend_one, 8080, w.other_client, 40000, "SA")),
        untouched("ingress", w.udp(w.backend_one, 8080, w.client, 40000)),
        untouched("ingress", w.tcp(w.client, 40000, w.web_vip, 80)),
    ]


def other_icmp(w: Wire) -> list[Step]:
    """ICMP that is neither an error nor a ping."""
    kinds = [0, 5, 9, 10, 13, 14, 17, 18, 255] if w.family == 4 else [0, 5, 100, 127, 129, 130, 131, 137, 255]
    if w.family == 4:
        packets = [IP(src=w.client, dst=w.web_vip) / ICMP(type=kind) / (b"\0" * 60) for kind in kinds]
    else:
        packets = [IPv6(src=w.client, dst=w.web_vip, nh=58) / Raw(bytes((kind, 0)) + b"\0" * 62) for kind in kinds]
    return both_ways(*(w.frame(packet) for packet in packets))


ROWS = [
    Row("ARP", arp, IPV4_ONLY),
    Row("neighbour and router discovery, multicast listeners", neighbour_discovery, IPV6_ONLY),
    Row("DHCP", dhcp),
    Row("multicast and broadcast", many),
    Row("protocols that have no Service", other_protocols),
    Row("VLAN-tagged frames", tagged),
    Row("the other family's frames", other_family),
    Row("frames that are no IP", no_ip),
    Row("strangers", strangers),
    Row("a backend's packets that are no reply", not_a_reply),
    Row("ICMP that is neither an error nor a ping", other_icmp),
]


@table(ROWS)
def test_passing(row: Row, harness: Harness) -> None:
    play(row, harness)
