"""Link types become Ethernet and come back as they were."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, CookedLinux, CookedLinuxV2, Ether
from scapy.packet import Packet

from tcnat.layout import Family
from tcnat.replay import headers
from tcnat.replay.link import LINK_TYPES, captured

FOUR = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / b"four"
SIX = IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=1, dport=2) / b"six"
COOKED = CookedLinux(pkttype=4, lladdrtype=1, lladdrlen=6, src=b"\x02\0\0\0\0\x09\0\0")
COOKED2 = CookedLinuxV2(ifindex=7, lladdrtype=1, pkttype=4, lladdrlen=6, src=b"\x02\0\0\0\0\x09\0\0")

CASES = [
    pytest.param(1, Ether(src="02:00:00:00:00:09", dst="02:00:00:00:00:08"), FOUR, Family.IPV4, id="Ethernet"),
    pytest.param(101, None, FOUR, Family.IPV4, id="raw with IPv4"),
    pytest.param(101, None, SIX, Family.IPV6, id="raw with IPv6"),
    pytest.param(228, None, FOUR, Family.IPV4, id="raw IPv4"),
    pytest.param(229, None, SIX, Family.IPV6, id="raw IPv6"),
    pytest.param(113, COOKED, FOUR, Family.IPV4, id="cooked with IPv4"),
    pytest.param(113, COOKED, SIX, Family.IPV6, id="cooked with IPv6"),
    pytest.param(276, COOKED2, FOUR, Family.IPV4, id="cooked v2 with IPv4"),
    pytest.param(276, COOKED2, SIX, Family.IPV6, id="cooked v2 with IPv6"),
]


@pytest.mark.parametrize(("link_type", "link_header", "packet", "family"), CASES)
def test_a_frame_becomes_ethernet_and_comes_back(
    link_type: int, link_header: Packet | None, packet: Packet, family: Family
) -> None:
    data = bytes(link_header / packet if link_header is not None else packet)
    header, ethernet = LINK_TYPES[link_type][1](data)
    assert headers.family_of(ethernet[12:14]) is family
    assert bytes(Ether(ethernet).payload) == bytes(packet)
    assert captured(header, ethernet) == data
    assert captured(header, ethernet[:-1] + b"!") == data[:-1] + b"!"


@pytest.mark.parametrize("link_type", LINK_TYPES)
@pytest.mark.parametrize("length", range(24))
def test_a_frame_that_is_too_short_for_its_header_stays_itself(link_type: int, length: int) -> None:
    data = bytes(range(100, 100 + length))
    assert captured(*LINK_TYPES[link_type][1](data)) == data


def test_what_is_not_ip_has_no_family() -> None:
    arp = bytes(Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff") / ARP())
    for link_type, data in ((1, arp), (101, b"\x00garbage"), (101, b""), (1, b"\x02\0")):
        _, ethernet = LINK_TYPES[link_type][1](data)
        assert headers.family_of(ethernet[12:14]) is None
