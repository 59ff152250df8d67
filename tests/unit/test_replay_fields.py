"""Differences between packets in words."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import CookedLinux, Ether
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.packet import Packet, Raw

from tcnat.replay.compare import Difference, Kind
from tcnat.replay.fields import Row, compare, explain
from tests.unit.replay_fates import dropped, forwarded, packet

CLIENT, POD, OTHER_POD = "10.0.0.1", "10.0.1.2", "10.0.1.3"
CLIENT6, POD6, OTHER_POD6 = "fd00::1", "fd00:1::2", "fd00:1::3"
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
NAMES = {POD: "backend of default/web"}


def rows(found: Packet, expected: Packet, link_type: int = 1) -> list[Row]:
    return list(compare(bytes(found), bytes(expected), link_type, NAMES))


def tcp(destination: str, port: int, flags: str = "S", data: bytes = b"") -> Packet:
    return ETHER / IP(src=CLIENT, dst=destination, chksum=1) / TCP(sport=4000, dport=port, flags=flags, chksum=2) / data


def test_equal_packets_have_no_rows() -> None:
    assert rows(tcp(POD, 80), tcp(POD, 80)) == []


def test_addresses_ports_and_flags_have_names_and_known_addresses_are_explained() -> None:
    assert rows(tcp(POD, 8080), tcp(OTHER_POD, 80, "SA")) == [
        ("IP destination address", "10.0.1.2 (backend of default/web)", "10.0.1.3"),
        ("TCP destination port", "8080", "80"),
        ("TCP flags", "S", "SA"),
    ]


def test_checksums_are_hex_and_types_have_their_names() -> None:
    found = ETHER / IP(src=CLIENT, dst=POD, chksum=0x0A0B) / ICMP(type=8, chksum=0xC)
    expected = ETHER / IP(src=CLIENT, dst=POD, chksum=0x0A0C) / ICMP(type=0, chksum=0xD)
    assert rows(found, expected) == [
        ("IP checksum", "0x0a0b", "0x0a0c"),
        ("ICMP type", "echo-request (8)", "echo-reply (0)"),
        ("ICMP checksum", "0x000c", "0x000d"),
    ]


def test_a_payload_is_told_by_its_first_difference() -> None:
    assert rows(tcp(POD, 80, data=b"GET /a HTTP"), tcp(POD, 80, data=b"GET /b HTTP")) == [
        ("payload from byte 5 (of the packet: 59)", "61 20 48 54 54 50 a HTTP", "62 20 48 54 54 50 b HTTP")
    ]


def test_what_is_longer_is_told_by_where_the_other_ends() -> None:
    assert rows(tcp(POD, 80, data=b"abc"), tcp(POD, 80, data=b"abcdef")) == [
        ("IP length", "43", "46"),
        ("payload length", "3", "6"),
        ("payload from byte 3 (of the packet: 57)", "ends here", "64 65 66 def"),
    ]


@pytest.mark.parametrize(
    ("outer", "quoted", "other", "version"),
    [
        (
            IP(src=POD, dst=CLIENT, chksum=1, len=99) / ICMP(type=3, code=4, chksum=1, nexthopmtu=1400),
            IP(src=CLIENT, dst=POD, chksum=1) / UDP(sport=1, dport=53, chksum=1),
            IP(src=CLIENT, dst=OTHER_POD, chksum=1) / UDP(sport=1, dport=54, chksum=2),
            "IP",
        ),
        (
            IPv6(src=POD6, dst=CLIENT6, plen=99) / ICMPv6PacketTooBig(cksum=1),
            IPv6(src=CLIENT6, dst=POD6) / UDP(sport=1, dport=53, chksum=1),
            IPv6(src=CLIENT6, dst=OTHER_POD6) / UDP(sport=1, dport=54, chksum=2),
            "IPv6",
        ),
    ],
)
def test_what_an_icmp_error_quotes_is_told_field_by_field(
    outer: Packet, quoted: Packet, other: Packet, version: str
) -> None:
    names = [name for name, _, _ in rows(ETHER / outer / quoted, ETHER / outer / other)]
    assert names == [f"quoted {version} destination address", "quoted UDP destination port", "quoted UDP checksum"]


def test_other_protocols_are_told_by_what_follows() -> None:
    found = ETHER / IP(src=CLIENT, dst=POD, len=99, chksum=1) / TCP(sport=1, dport=80)
    expected = ETHER / IP(src=CLIENT, dst=POD, len=99, chksum=1) / ICMP()
    (protocol, *_), (follows, ours, theirs) = rows(found, expected)
    assert (protocol, follows) == ("IP protocol", "what follows")
    assert ours.startswith("TCP 10.0.0.1:tcpmux > 10.0.1.2:http")
    assert theirs.startswith("ICMP 10.0.0.1 > 10.0.1.2 echo-request")


def test_a_protocol_that_only_one_port_has_is_payload() -> None:
    dns = ETHER / IP(src=CLIENT, dst=POD, chksum=1) / UDP(sport=53, dport=53, chksum=1) / Raw(b"\0\1not really DNS")
    other = ETHER / IP(src=CLIENT, dst=POD, chksum=1) / UDP(sport=53, dport=5353, chksum=1) / Raw(b"\0\2not really DNS")
    names = [name for name, _, _ in rows(dns, other)]
    assert names == ["UDP destination port", "payload from byte 1 (of the packet: 43)"]


@pytest.mark.parametrize(
    ("link_type", "begin"),
    [(101, b""), (228, b""), (113, bytes(CookedLinux(proto=0x800))), (1, bytes(ETHER)[:12] + b"\x08\0")],
)
def test_every_link_type_is_dissected(link_type: int, begin: bytes) -> None:
    found, expected = (begin + bytes(tcp(address, 80)[IP]) for address in (POD, OTHER_POD))
    assert [name for name, _, _ in compare(found, expected, link_type, {})] == ["IP destination address"]


def test_sctp_has_its_names() -> None:
    found = ETHER / IP(src=CLIENT, dst=POD) / SCTP(sport=1, dport=2, tag=3, chksum=4) / SCTPChunkInit()
    expected = ETHER / IP(src=CLIENT, dst=POD) / SCTP(sport=1, dport=2, tag=4, chksum=4) / SCTPChunkInit()
    assert rows(found, expected) == [("SCTP verification tag", "0x3 (3)", "0x4 (4)")]


@pytest.mark.parametrize("link_type", [1, 101, 113, 228, 229, 276, 105])
def test_packets_too_short_to_dissect_are_told_byte_by_byte(link_type: int) -> None:
    assert list(compare(b"ab", b"ac", link_type, {})) == [("payload from byte 1 (of the packet: 1)", "62 b", "63 c")]


def test_a_changed_packet_is_explained_with_its_fate_and_a_table() -> None:
    found, expected = bytes(tcp(POD, 8080)), bytes(tcp(OTHER_POD, 8080))
    difference = Difference(Kind.CHANGED, forwarded(packet(3, found), found), packet(4, expected))
    assert explain(difference, "golden.pcap", 1_000_000, NAMES).splitlines() == [
        "packet 3 at 0.002000 s (egress, rewrite forwarded, 10.96.0.10:80/TCP of default/web:http) "
        "differs from packet 4 of golden.pcap:",
        "  FIELD                   FOUND                              EXPECTED",
        "  IP destination address  10.0.1.2 (backend of default/web)  10.0.1.3",
    ]


def test_a_missing_packet_is_explained_with_what_it_is_and_why_it_went() -> None:
    expected = bytes(tcp(POD, 8080))
    lost = Difference(Kind.MISSING, dropped(packet(3)), packet(4, expected))
    assert explain(lost, "golden.pcap", 0, {}).splitlines() == [
        "packet 4 of golden.pcap is missing (packet 3 was dropped: the Service has no endpoint on this node and its "
        "policy is Local):",
        "  Ether / IP / TCP 10.0.0.1:4000 > 10.0.1.2:http_alt S (54 bytes)",
    ]
    gone = Difference(Kind.MISSING, None, packet(4, expected))
    assert "is missing (nothing took its place)" in explain(gone, "golden.pcap", 0, {})


def test_an_extra_packet_is_explained_with_its_fate() -> None:
    found = bytes(tcp(POD, 8080))
    difference = Difference(Kind.EXTRA, forwarded(packet(3, found), found), None)
    text = explain(difference, "golden.pcap", 0, {})
    assert text.splitlines()[0].endswith("of default/web:http) is not expected:")
    assert "TCP 10.0.0.1:4000 > 10.0.1.2" in text


def test_another_link_type_or_length_on_the_wire_is_told() -> None:
    found = bytes(tcp(POD, 8080))
    fate = forwarded(packet(3, found), found)
    other_link = Difference(Kind.CHANGED, fate, packet(4, found, link_type=101))
    assert _cells(other_link) == [["link type", "Ethernet", "raw IP"]]
    other_length = Difference(Kind.CHANGED, fate, packet(4, found, length=99))
    assert _cells(other_length) == [["length on the wire", "54", "99"]]


def _cells(difference: Difference) -> list[list[str]]:
    lines = explain(difference, "golden.pcap", 0, {}).splitlines()[2:]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]
