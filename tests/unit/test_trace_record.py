"""Records of the events ring in words."""

from __future__ import annotations

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tcnat.layout import EVENT, Direction, Family
from tcnat.trace.record import ARRIVED, DECIDED, LINK_NO_HEADER, Event, Pairing, decode, describe, tuple_of

REQUEST = Ether() / IP(src="10.0.0.9", dst="10.96.0.1") / TCP(sport=4000, dport=80)
SENT_ON = Ether() / IP(src="10.0.0.9", dst="10.1.0.5") / TCP(sport=4000, dport=8080)
FORWARDED, NO_LOCAL_ENDPOINT = 0, 10


def record(packet: Packet, kind: int = ARRIVED, reason: int = 0, verdict: int = -1, link: int = 0) -> bytes:
    """A record as the kernel writes one."""
    data = bytes(packet)
    family = Family.IPV6 if packet.haslayer(IPv6) else Family.IPV4
    head = EVENT.codec(Family.IPV4).pack(5, kind, reason, verdict, 7, len(data), len(data), family, 0, link, bytes(5))
    return head + data + b"\0\0"  # the ring pads


def event(packet: Packet, **fields: int) -> Event:
    return decode(record(packet, **fields))


def test_a_record_is_read_without_the_rings_padding() -> None:
    read = event(REQUEST)
    assert read.packet == bytes(REQUEST)
    assert (read.time, read.device, read.family, read.direction) == (5, 7, Family.IPV4, Direction.FORWARD)


def test_an_arrival_and_a_decision_make_one_line() -> None:
    pairing = Pairing()
    assert pairing.add(0, event(REQUEST)) is None
    decision = pairing.add(0, event(SENT_ON, kind=DECIDED, reason=FORWARDED))
    assert decision is not None
    assert decision.as_line("eth0", "12:00") == (
        "12:00  eth0          egress   TCP 10.0.0.9:4000 > 10.96.0.1:80  =>  TCP 10.0.0.9:4000 > 10.1.0.5:8080"
        "  rewrite: sent on to a backend"
    )


def test_the_arrival_of_another_cpu_is_not_taken_for_this_ones() -> None:
    pairing = Pairing()
    pairing.add(0, event(REQUEST))
    decision = pairing.add(1, event(SENT_ON, kind=DECIDED))
    assert decision is not None
    assert decision.before is None
    assert "arrival was lost" in decision.as_line("eth0", "")


def test_a_dropped_packet_has_no_after() -> None:
    pairing = Pairing()
    pairing.add(0, event(REQUEST))
    decision = pairing.add(0, event(REQUEST, kind=DECIDED, reason=NO_LOCAL_ENDPOINT, verdict=2))
    assert decision is not None
    shown = decision.as_dict("eth0", epoch=0)
    assert shown["after"] is None
    assert (shown["verdict"], shown["reason"]) == ("drop", "no_local_endpoint")
    assert shown["before"] == {
        "src_ip": "10.0.0.9",
        "src_port": 4000,
        "dst_ip": "10.96.0.1",
        "dst_port": 80,
        "proto": "TCP",
    }


def test_a_reason_that_a_newer_program_has_is_shown_by_its_number() -> None:
    decision = Pairing().add(0, event(REQUEST, kind=DECIDED, reason=63))
    assert decision is not None
    assert decision.reason.name == "63"


def test_packets_in_words() -> None:
    error = Ether() / IP(src="10.9.9.9", dst="10.0.0.9") / ICMP(type=3, code=4) / SENT_ON[IP]
    assert describe(event(error)) == "ICMP 10.9.9.9 > 10.0.0.9 about TCP"
    six = Ether() / IPv6(src="fd00::9", dst="fd00::1") / UDP(sport=1, dport=53)
    assert describe(event(six)) == "UDP [fd00::9]:1 > [fd00::1]:53"
    cut = Ether(bytes(REQUEST)[:30])
    assert describe(event(cut)) == "30 bytes that cannot be read"


def test_a_packet_without_link_layer_header_is_read_all_the_same() -> None:
    bare = event(REQUEST[IP], link=LINK_NO_HEADER)
    found = tuple_of(bare)
    assert found is not None
    assert found["dst_ip"] == "10.96.0.1"
