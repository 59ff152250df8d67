"""Nobody home: RST and ICMP port unreachable, made to look as if the Service's own host had sent them."""

from __future__ import annotations

from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import IPv6ExtHdrDestOpt
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tcnat.layout import Choice
from tests.packets.answers import port_unreachable, rst
from tests.packets.harness import Harness
from tests.packets.table import (
    BOTH,
    IPV4_ONLY,
    IPV6_ONLY,
    Configure,
    Row,
    Sent,
    Step,
    Wait,
    dropped,
    play,
    sent_back,
    table,
    untouched,
)
from tests.packets.wire import CLIENT_PORT, Wire

NO_ENDPOINT = ("REJECT_NO_ENDPOINT", "NO_ENDPOINT")
UNKNOWN_PORT = ("REJECT_UNKNOWN_PORT", "UNKNOWN_PORT")


def refused(w: Wire, flags: str, *, expect: tuple[str, int, int], **fields: object) -> Sent:
    """A segment to a front end without endpoints, and the RST that comes of it."""
    asked = w.tcp(w.client, CLIENT_PORT, w.empty_vip, 80, flags, **fields)
    return sent_back(asked, rst(w, asked, *expect), NO_ENDPOINT[0])


def unanswered(w: Wire, asked: Packet) -> Sent:
    """What cannot be answered is dropped."""
    return dropped("egress", asked, NO_ENDPOINT[1])


def datagram(w: Wire, size: int = 10, **fields: object) -> Packet:
    """A datagram to a front end without endpoints."""
    return w.udp(w.client, CLIENT_PORT, w.empty_vip, 80, b"q" * size, **fields)


def unreachable(w: Wire, asked: Packet) -> Sent:
    """The datagram, and the ICMP error that comes of it."""
    return sent_back(asked, port_unreachable(w, asked), NO_ENDPOINT[0])


def padded(w: Wire) -> list[Step]:
    asked = w.tcp(w.client, CLIENT_PORT, w.empty_vip, 80, "S", seq=7)
    frame = Ether(bytes(asked) + bytes(6))
    return [sent_back(frame, rst(w, asked, "RA", 0, 8), NO_ENDPOINT[0])]


TCP_ROWS = [
    Row(
        "a SYN is answered by RST and ACK: sequence 0, acknowledging the SYN",
        lambda w: [refused(w, "S", seq=1000, expect=("RA", 0, 1001))],
    ),
    Row(
        "a segment with ACK is answered by a RST that begins where it acknowledges",
        lambda w: [refused(w, "PA", seq=1000, ack=777, payload=b"data", expect=("R", 777, 0))],
    ),
    Row(
        "data without ACK is acknowledged to its end",
        lambda w: [refused(w, "P", seq=1000, payload=b"data", expect=("RA", 0, 1004))],
    ),
    Row("a FIN counts as one", lambda w: [refused(w, "F", seq=1000, payload=b"data", expect=("RA", 0, 1005))]),
    Row("SYN, FIN and data all count", lambda w: [refused(w, "SF", seq=1000, payload=b"12", expect=("RA", 0, 1004))]),
    Row(
        "sequence numbers wrap",
        lambda w: [
            refused(w, "S", seq=0xFFFFFFFF, expect=("RA", 0, 0)),
            refused(w, "F", seq=0xFFFFFFFE, payload=b"xyz", expect=("RA", 0, 2)),
        ],
    ),
    Row(
        "TCP options are no payload, and the RST has none",
        lambda w: [
            refused(w, "S", seq=5, options=[("MSS", 1460), ("WScale", 7)], payload=b"fast open", expect=("RA", 0, 15))
        ],
    ),
    Row(
        "a long segment is cut down to a RST",
        lambda w: [refused(w, "A", ack=9, payload=b"x" * 1400, expect=("R", 9, 0))],
    ),
    Row("padding behind a short segment is neither payload nor kept", padded),
    Row(
        "a RST is not answered: it is dropped",
        lambda w: [unanswered(w, w.tcp(w.client, CLIENT_PORT, w.empty_vip, 80, flags)) for flags in ("R", "RA", "SR")],
    ),
]
ICMP_ROWS = [
    Row(
        "a datagram is answered by port unreachable, quoting what the client sent",
        lambda w: [unreachable(w, datagram(w))],
    ),
    Row("of a long datagram 8 bytes behind the IP header are quoted", lambda w: [unreachable(w, datagram(w, 1200))]),
    Row("an empty datagram is quoted, too", lambda w: [unreachable(w, datagram(w, 0))]),
    Row("a datagram with checksum 0 is quoted with it", lambda w: [unreachable(w, datagram(w, chksum=0))]),
    Row("a TTL of 1 does not matter: the answer has 64", lambda w: [unreachable(w, datagram(w, ip={"ttl": 1}))]),
    Row("the answer's type of service is 0", lambda w: [unreachable(w, datagram(w, ip={"tos": 0xB8}))]),
    Row(
        "SCTP is answered by port unreachable",
        lambda w: [unreachable(w, w.sctp(w.client, CLIENT_PORT, w.empty_vip, 80, init=True))],
    ),
]
UNANSWERABLE_ROWS = [
    Row(
        "a packet with IPv4 options is dropped instead",
        lambda w: [
            unanswered(w, w.tcp(w.client, 4, w.empty_vip, 80, ip={"options": [b"\x94\x04\0\0"]})),
            unanswered(w, datagram(w, ip={"options": [b"\x94\x04\0\0"]})),
        ],
        IPV4_ONLY,
    ),
    Row(
        "a packet with IPv6 extension headers is dropped instead",
        lambda w: [
            unanswered(w, w.frame(w.ip(w.client, w.empty_vip) / IPv6ExtHdrDestOpt() / UDP(sport=4, dport=80) / b"x")),
            unanswered(w, w.frame(w.ip(w.client, w.empty_vip) / IPv6ExtHdrDestOpt() / TCP(sport=4, dport=80))),
        ],
        IPV6_ONLY,
    ),
    Row(
        "a first fragment to nobody is dropped, not answered",
        lambda w: [unanswered(w, datagram(w, ip={"flags": "MF", "frag": 0}))],
        IPV4_ONLY,
    ),
    Row(
        "a Local policy with no endpoint here drops, and answers nothing",
        lambda w: [
            dropped("egress", w.tcp(w.client, 4, w.local_vip, 80), "NO_LOCAL_ENDPOINT"),
            dropped("egress", w.udp(w.client, 4, w.local_vip, 80), "NO_LOCAL_ENDPOINT"),
            dropped("egress", w.sctp(w.client, 4, w.local_vip, 80, init=True), "NO_LOCAL_ENDPOINT"),
        ],
    ),
]


def too_many(w: Wire) -> list[Step]:
    """Three in a second, then none, then as many as the time that has passed makes room for."""
    asked = datagram(w)
    limited = dropped("egress", asked, "REJECT_LIMITED")
    return [
        Configure(rejects_per_second=3),
        *[unreachable(w, asked)] * 3,
        *[limited] * 2,
        Wait(0.4),
        unreachable(w, asked),
        limited,
        Wait(60),
        *[unreachable(w, asked)] * 3,
        limited,
    ]


LIMIT_ROWS = [
    Row("answers are rate-limited: past so many in a second the packets are dropped", too_many),
    Row(
        "RSTs and ICMP errors share one limit",
        lambda w: [
            Configure(rejects_per_second=1),
            refused(w, "S", seq=1, expect=("RA", 0, 2)),
            dropped("egress", datagram(w), "REJECT_LIMITED"),
        ],
    ),
    Row(
        "a limit of 0 answers nothing",
        lambda w: [Configure(rejects_per_second=0), dropped("egress", datagram(w), "REJECT_LIMITED")],
    ),
    Row(
        "what cannot be answered takes nothing from the limit",
        lambda w: [
            Configure(rejects_per_second=1),
            unanswered(w, w.tcp(w.client, CLIENT_PORT, w.empty_vip, 80, "R")),
            unreachable(w, datagram(w)),
        ],
    ),
]


def stray(w: Wire) -> Packet:
    """A SYN to a port that web_vip does not have."""
    return w.tcp(w.client, CLIENT_PORT, w.web_vip, 81, "S", seq=1000)


def stray_datagram(w: Wire) -> Packet:
    """A datagram to a port that web_vip has for TCP only."""
    return w.udp(w.client, CLIENT_PORT, w.web_vip, 80)


SETTING_ROWS = [
    Row(
        "an unknown port of a Service address passes by default",
        lambda w: [untouched("egress", stray(w)), untouched("egress", stray_datagram(w))],
    ),
    Row(
        "an unknown port of a Service address is rejected where the setting says so",
        lambda w: [
            Configure(unknown_port=Choice.REJECT),
            sent_back(stray(w), rst(w, stray(w), "RA", 0, 1001), UNKNOWN_PORT[0]),
            sent_back(stray_datagram(w), port_unreachable(w, stray_datagram(w)), UNKNOWN_PORT[0]),
            dropped("egress", w.tcp(w.client, 4, w.web_vip, 81, "R"), UNKNOWN_PORT[1]),
        ],
    ),
    Row(
        "an unknown port of a Service address is dropped where the setting says so",
        lambda w: [
            Configure(unknown_port=Choice.DROP),
            dropped("egress", stray(w), UNKNOWN_PORT[1]),
            dropped("egress", stray_datagram(w), UNKNOWN_PORT[1]),
        ],
    ),
    *(
        Row(
            f"addresses that no Service has, and backends' own, are left alone under {choice.name}",
            lambda w, choice=choice: [
                Configure(unknown_port=choice),
                untouched("egress", w.tcp(w.client, 4, w.stranger, 81)),
                untouched("egress", w.udp(w.client, 4, w.backend_one, 81)),
                untouched("ingress", w.tcp(w.stranger, 81, w.client, 4)),
            ],
            BOTH,
        )
        for choice in (Choice.REJECT, Choice.DROP)
    ),
]


@table(TCP_ROWS)
def test_tcp(row: Row, harness: Harness) -> None:
    play(row, harness)


@table(ICMP_ROWS)
def test_icmp(row: Row, harness: Harness) -> None:
    play(row, harness)


@table(UNANSWERABLE_ROWS)
def test_unanswerable(row: Row, harness: Harness) -> None:
    play(row, harness)


@table(LIMIT_ROWS)
def test_limit(row: Row, harness: Harness) -> None:
    play(row, harness)


@table(SETTING_ROWS)
def test_unknown_ports(row: Row, harness: Harness) -> None:
    play(row, harness)
