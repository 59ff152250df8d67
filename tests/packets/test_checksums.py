"""Checksums are mended by the difference: what comes out is what scapy computes from nothing, or wrong by as much as
what came in."""

from __future__ import annotations

from ipaddress import ip_address

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.packets.harness import Harness
from tests.packets.table import IPV4_ONLY, IPV6_ONLY, Endpoints, Row, Services, Step, forwarded, play, reversed_, table
from tests.packets.talks import from_dns, from_web, to_dns, to_web
from tests.packets.wire import CLIENT_PORT, Wire
from tests.packets.world import TCP as TCP_NUMBER
from tests.packets.world import WEB, Endpoint, FrontEnd

FORTY_BYTES_OF_OPTIONS = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 2)), ("WScale", 7), ("NOP", None)] + [
    ("NOP", None)
] * 20
WRONG_BY = 0x1234
NEIGHBOUR = 100
"""An endpoint's id."""


def built(packet: Packet) -> Packet:
    """The packet with every field as it goes out."""
    return Ether(bytes(packet))


def wrong(right: int) -> int:
    """A checksum that is wrong by WRONG_BY, in the arithmetic of Internet checksums."""
    return (right + WRONG_BY) % 0xFFFF


def payload_that_sums_to_zero(packet: Packet, layer: type[Packet]) -> bytes:
    """Two bytes that make a packet's checksum come out as 0, where it has ``layer`` with two zero bytes as payload."""
    checksum: int = built(packet)[layer].chksum
    return checksum.to_bytes(2, "big")


def udp_sum_of_zero(w: Wire) -> list[Step]:
    payload = payload_that_sums_to_zero(w.udp(w.client, CLIENT_PORT, w.backend_one, 5353, b"\0\0"), UDP)
    step = to_dns(w, payload=payload)
    assert built(step.becomes)[UDP].chksum == 0xFFFF
    return [step]


def udp_reply_sum_of_zero(w: Wire) -> list[Step]:
    payload = payload_that_sums_to_zero(w.udp(w.dns_vip, 53, w.client, CLIENT_PORT, b"\0\0"), UDP)
    step = from_dns(w, payload=payload)
    assert built(step.becomes)[UDP].chksum == 0xFFFF
    return [to_dns(w), step]


def udp_sum_that_was_zero(w: Wire) -> list[Step]:
    payload = payload_that_sums_to_zero(w.udp(w.client, CLIENT_PORT, w.dns_vip, 53, b"\0\0"), UDP)
    step = to_dns(w, payload=payload)
    assert built(step.packet)[UDP].chksum == 0xFFFF
    return [step]


def tcp_sum_of_zero(w: Wire) -> list[Step]:
    packet = w.tcp(w.client, CLIENT_PORT, w.backend_one, 8080, payload=b"\0\0")
    step = to_web(w, "S", payload=payload_that_sums_to_zero(packet, TCP))
    assert built(step.becomes)[TCP].chksum == 0
    return [step]


def wrong_transport_checksum(w: Wire) -> list[Step]:
    right = to_web(w, "S", payload=b"odd")
    given, expected = built(right.packet), built(right.becomes)
    for packet in (given, expected):
        packet[TCP].chksum = wrong(packet[TCP].chksum)
    return [forwarded(given, expected)]


def wrong_udp_checksum(w: Wire) -> list[Step]:
    right = from_dns(w)
    given, expected = built(right.packet), built(right.becomes)
    for packet in (given, expected):
        packet[UDP].chksum = wrong(packet[UDP].chksum)
    return [to_dns(w), reversed_(given, expected)]


def wrong_header_checksum(w: Wire) -> list[Step]:
    right = to_web(w, "S")
    given, expected = built(right.packet), built(right.becomes)
    for packet in (given, expected):
        packet[IP].chksum = wrong(packet[IP].chksum)
    return [forwarded(given, expected)]


def sctp(w: Wire) -> list[Step]:
    given, expected = (w.sctp(w.client, 40000, each, 3868, init=True) for each in (w.sctp_vip, w.backend_one))
    answer, told = (w.sctp(each, 3868, w.client, 40000) for each in (w.backend_one, w.sctp_vip))
    return [forwarded(given, expected), reversed_(answer, told)]


def with_options(w: Wire) -> list[Step]:
    step = to_web(w, "S", options=FORTY_BYTES_OF_OPTIONS)
    assert built(step.packet)[TCP].dataofs == 15
    return [step, from_web(w, "SA", options=FORTY_BYTES_OF_OPTIONS)]


def difference_that_carries_twice(w: Wire) -> list[Step]:
    """The front end's address and the backend's differ by 1 in their first byte: in sums of 32-bit words, taken as a
    little-endian machine has them, the carry of the first folding makes another."""
    first, *others = ip_address(w.web_vip).packed
    backend = str(ip_address(bytes((first + 1, *others))))
    front_end = FrontEnd(w.web_vip, 80, TCP_NUMBER, (NEIGHBOUR,), WEB)
    return [Endpoints((Endpoint(NEIGHBOUR, backend, 8080),)), Services((front_end,)), to_web(w, "S", backend=backend)]


ROWS = [
    Row("a TCP segment's checksum follows its address and port", lambda w: [to_web(w, "S"), from_web(w, "SA")]),
    Row("a UDP datagram's checksum follows its address and port", lambda w: [to_dns(w), from_dns(w)]),
    Row("an SCTP packet's address changes and its CRC32c stays, as it covers no address", sctp),
    *(
        Row(
            f"a payload of {size} bytes, odd or even, in both protocols and both directions",
            lambda w, size=size: [
                to_web(w, "PA", payload=b"\xa5" * size),
                from_web(w, "PA", payload=b"\x5a" * size),
                to_dns(w, payload=b"\xa5" * size),
                from_dns(w, payload=b"\x5a" * size),
            ],
        )
        for size in (0, 1, 2, 3, 1399, 1400)
    ),
    Row("TCP with 40 bytes of options", with_options),
    Row("TCP with no options and no payload", lambda w: [to_web(w, "A")]),
    Row("a UDP query with checksum 0 keeps it", lambda w: [to_dns(w, chksum=0)], IPV4_ONLY),
    Row("a UDP reply with checksum 0 keeps it", lambda w: [to_dns(w), from_dns(w, chksum=0)], IPV4_ONLY),
    Row(
        "UDP over IPv6 with checksum 0 is not ours to mend: it stays 0",
        lambda w: [to_dns(w, chksum=0), from_dns(w, chksum=0)],
        IPV6_ONLY,
    ),
    Row("a UDP sum that comes out as 0 is sent as 0xffff", udp_sum_of_zero),
    Row("a UDP reply's sum that comes out as 0 is sent as 0xffff", udp_reply_sum_of_zero),
    Row("a UDP sum that came in as 0xffff, meaning 0, goes out right", udp_sum_that_was_zero),
    Row("a TCP sum that comes out as 0 is sent as 0", tcp_sum_of_zero),
    Row("a difference of addresses that carries twice", difference_that_carries_twice),
    Row("a TCP checksum that was wrong stays wrong by as much", wrong_transport_checksum),
    Row("a UDP reply's checksum that was wrong stays wrong by as much", wrong_udp_checksum),
    Row("an IPv4 header checksum that was wrong stays wrong by as much", wrong_header_checksum, IPV4_ONLY),
]


@table(ROWS)
def test_checksums(row: Row, harness: Harness) -> None:
    play(row, harness)
