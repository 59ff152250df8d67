"""The few headers that replay reads, against packets built by scapy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.packet import Packet

from tcnat.layout import Family
from tcnat.model import parse_address
from tcnat.replay import headers

CLIENT4, POD4 = "10.0.0.1", "10.0.1.2"
CLIENT6, POD6 = "fd00::1", "fd00:1::2"
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
FOUR = ETHER / IP(src=CLIENT4, dst=POD4)
SIX = ETHER / IPv6(src=CLIENT6, dst=POD6)
TO_POD4 = IP(src=CLIENT4, dst=POD4) / TCP(sport=4000, dport=8080)
TO_POD6 = IPv6(src=CLIENT6, dst=POD6) / UDP(sport=4000, dport=8080)
OPTIONS = IP(src=CLIENT4, dst=POD4, options=[IPOption_NOP()] * 4)


def read(packet: Packet) -> headers.Headers | None:
    frame = bytes(packet)
    return headers.read(frame, Family.IPV4 if frame[12:14] == b"\x08\0" else Family.IPV6)


@pytest.mark.parametrize(
    ("packet", "protocol", "ports", "end"),
    [
        pytest.param(FOUR / TCP(sport=1, dport=2), 6, (1, 2), 14 + 20 + 20, id="TCP"),
        pytest.param(FOUR / TCP(sport=1, dport=2, options=[("NOP", 0)] * 8), 6, (1, 2), 62, id="TCP with options"),
        pytest.param(FOUR / UDP(sport=1, dport=2) / b"x", 17, (1, 2), 42, id="UDP"),
        pytest.param(FOUR / SCTP(sport=1, dport=2) / SCTPChunkInit(), 132, (1, 2), 50, id="SCTP and its first chunk"),
        pytest.param(FOUR / ICMP(type=8), 1, (0, 0), 42, id="echo request"),
        pytest.param(ETHER / OPTIONS / UDP(sport=1, dport=2), 17, (1, 2), 46, id="IPv4 options"),
        pytest.param(ETHER / IP(frag=3, proto=17) / b"12345678", 17, (0, 0), 34, id="a later fragment has no ports"),
        pytest.param(SIX / TCP(sport=1, dport=2), 6, (1, 2), 74, id="TCP over IPv6"),
        pytest.param(
            SIX / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / UDP(sport=1, dport=2),
            17, (1, 2), 14 + 40 + 16 + 8, id="IPv6 extension headers",
        ),
        pytest.param(SIX / IPv6ExtHdrFragment(offset=0, m=1) / UDP(sport=1, dport=2), 17, (1, 2), 70, id="first one"),
        pytest.param(SIX / IPv6ExtHdrFragment(offset=9, nh=17) / b"12345678", 17, (0, 0), 62, id="later fragment"),
    ],
)  # fmt: skip
def test_ports_and_the_end_of_the_headers(packet: Packet, protocol: int, ports: tuple[int, int], end: int) -> None:
    found = read(packet)
    assert found is not None
    assert (found.protocol, (found.source_port, found.destination_port), found.end) == (protocol, ports, end)
    assert found.quoted is None


@pytest.mark.parametrize(
    ("packet", "source", "destination", "protocol", "end"),
    [
        (FOUR / ICMP(type=3, code=4) / TO_POD4, CLIENT4, POD4, 6, 14 + 20 + 8 + 20 + 20),
        (SIX / ICMPv6DestUnreach() / TO_POD6, CLIENT6, POD6, 17, 14 + 40 + 8 + 40 + 20),
        (SIX / ICMPv6PacketTooBig() / TO_POD6, CLIENT6, POD6, 17, 14 + 40 + 8 + 40 + 20),
    ],
)
def test_an_icmp_error_tells_of_the_packet_it_quotes(
    packet: Packet, source: str, destination: str, protocol: int, end: int
) -> None:
    found = read(packet)
    assert found is not None
    quoted = found.quoted
    assert quoted is not None
    assert (quoted.source, quoted.destination) == (parse_address(source), parse_address(destination))
    assert (quoted.source_port, quoted.destination_port, quoted.protocol) == (4000, 8080, protocol)
    assert found.end == end


@pytest.mark.parametrize("packet", [FOUR / TCP(), SIX / TCP(), FOUR / ICMP(type=3) / TO_POD4])
def test_headers_that_are_cut_off_are_none_or_reach_further_than_the_frame(packet: Packet) -> None:
    frame = bytes(packet)
    family = Family.IPV4 if IP in packet else Family.IPV6
    whole = headers.read(frame, family)
    assert whole is not None
    for length in range(14, whole.end):
        found = headers.read(frame[:length], family)
        assert found is None or found.end > length, length


@pytest.mark.parametrize(
    ("packet", "plain"),
    [
        (FOUR / TCP() / b"data", True),
        (FOUR / UDP() / b"data", True),
        (SIX / TCP(), True),
        (FOUR / UDP() / b"data" / b"", True),
        (Ether(bytes(FOUR / UDP() / b"data") + b"padding"), True),
        (ETHER / OPTIONS / TCP(), False),
        (ETHER / IP(len=20) / TCP(), False),
        (ETHER / IP(len=41) / TCP(), False),
        (ETHER / IP(len=44) / TCP(dataofs=4) / b"1234", False),
        (ETHER / IP() / TCP(dataofs=15), False),
        (ETHER / IP() / UDP(len=7), False),
        (ETHER / IP() / UDP(len=9), False),
        (ETHER / IP(flags="MF") / UDP(), False),
        (ETHER / IP(version=5) / UDP(), False),
        (SIX / IPv6ExtHdrHopByHop() / TCP(), False),
        (ETHER / IPv6(plen=19) / TCP(), False),
        (FOUR / ICMP(), False),
    ],
)
def test_only_a_packet_without_anything_odd_is_plain(packet: Packet, plain: bool) -> None:
    frame = bytes(packet)
    found = read(packet)
    assert (found is not None and headers.is_plain(frame, found)) is plain


@given(st.binary(max_size=150), st.sampled_from(Family))
def test_garbage_is_read_without_an_exception(garbage: bytes, family: Family) -> None:
    frame = bytes(14) + garbage
    found = headers.read(frame, family)
    if found is not None:
        headers.is_plain(frame, found)
