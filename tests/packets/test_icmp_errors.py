"""ICMP errors about translated flows: told in the terms of whoever reads them, the quoted packet with them.

The quote is what scapy makes of the packet as its sender had it, cut to the same length: addresses, ports and every
checksum in it are right, or cut off.
"""

from __future__ import annotations

from scapy.layers.inet import ICMP, UDP
from scapy.layers.inet6 import ICMPv6Unknown, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from tests.packets.harness import Harness
from tests.packets.pieces import fragments
from tests.packets.table import (
    IPV4_ONLY,
    IPV6_ONLY,
    Holds,
    Row,
    Sent,
    Step,
    Wait,
    forwarded,
    play,
    reversed_,
    table,
    untouched,
)
from tests.packets.talks import from_dns, from_web, opened, to_dns, to_web
from tests.packets.test_checksums import payload_that_sums_to_zero, wrong
from tests.packets.wire import CLIENT_PORT, Wire

KINDS = ("unreachable", "port unreachable", "too big", "time exceeded", "parameter problem")
LENGTHS = (8, 9, 12, 16, 18, 19, 20, 28, None)
"""Quoted bytes behind the IP header; None: all."""


def about(w: Wire, step: Sent, kind: str = "unreachable", length: int | None = 8, source: str = "") -> Sent:
    """An error about a client's packet that was sent on, as it comes to the client."""
    given = w.error(kind, source or w.router, w.client, w.quoted(step.becomes, length))
    told = {w.backend_one: step.packet.payload.dst}.get(source, source or w.router)
    return reversed_(given, w.error(kind, told, w.client, w.quoted(step.packet, length)), "ICMP_REVERSED")


def about_reply(w: Wire, step: Sent, kind: str = "port unreachable", length: int | None = 8) -> Sent:
    """A client's error about an answer that it got, as it goes to the backend."""
    given = w.error(kind, w.client, step.becomes.payload.src, w.quoted(step.becomes, length))
    expected = w.error(kind, w.client, step.packet.payload.src, w.quoted(step.packet, length))
    return forwarded(given, expected, "ICMP_FORWARDED")


def unknown(program: str, packet: Packet) -> Sent:
    """An error that is about nothing we know passes untouched."""
    return untouched(program, packet, "ICMP_UNKNOWN_FLOW")


def to_client(w: Wire, quote: bytes | Packet) -> Packet:
    """A router's error to the client."""
    return w.error("unreachable", w.router, w.client, quote)


def sctp(w: Wire) -> Sent:
    """An SCTP packet to its backend."""
    return forwarded(*(w.sctp(w.client, CLIENT_PORT, each, 3868, init=True) for each in (w.sctp_vip, w.backend_one)))


def kind_row(kind: str) -> Row:
    def steps(w: Wire) -> list[Step]:
        return [
            *opened(w),
            about(w, to_web(w, "PA", payload=b"data"), kind),
            about_reply(w, from_web(w, "PA", payload=b"data"), kind),
            to_dns(w),
            about(w, to_dns(w), kind),
            from_dns(w),
            about_reply(w, from_dns(w), kind),
        ]

    return Row(f"{kind}, about TCP and UDP, in both directions", steps)


def length_row(length: int | None) -> Row:
    def steps(w: Wire) -> list[Step]:
        segment = {"payload": b"data", "options": [("MSS", 1400), ("NOP", None)]}
        return [
            *opened(w),
            about(w, to_web(w, "PA", **segment), length=length),
            about_reply(w, from_web(w, "PA", **segment), length=length),
            to_dns(w),
            about(w, to_dns(w, payload=b"a longer question"), length=length),
            from_dns(w),
            about_reply(w, from_dns(w, payload=b"a longer answer"), length=length),
            sctp(w),
            about(w, sctp(w), length=length),
        ]

    return Row(f"a quote of {'the whole packet' if length is None else f'{length} bytes of it'}", steps)


def quoted_options(w: Wire) -> list[Step]:
    """IPv4 options in the quote, and in the error itself."""
    options = [b"\x94\x04\0\0", b"\x01\x01\x01\x00"]
    step = to_dns(w, ip={"options": options})
    given, expected = (
        w.frame(w.ip(w.router, w.client, options=options) / ICMP(type=3, code=1) / w.quoted(each))
        for each in (step.becomes, step.packet)
    )
    return [step, reversed_(given, expected, "ICMP_REVERSED")]


def behind_headers(w: Wire, step: Sent, *headers: Packet) -> tuple[Packet, Packet]:
    """A router's error about a client's packet with extension headers, and what it becomes."""
    made = []
    for each in (step.becomes, step.packet):
        whole = Ether(bytes(each))
        chain = IPv6(src=whole.payload.src, dst=whole.payload.dst, hlim=63)
        for header in headers:
            chain = chain / header
        made.append(to_client(w, bytes(chain / whole.payload.payload)))
    return made[0], made[1]


def quoted_headers(w: Wire) -> list[Step]:
    one = behind_headers(w, to_dns(w), IPv6ExtHdrDestOpt())
    two = behind_headers(w, to_dns(w), IPv6ExtHdrHopByHop(), IPv6ExtHdrFragment(id=7, offset=0, m=1))
    three = behind_headers(w, to_dns(w), IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt(), IPv6ExtHdrDestOpt())
    return [
        to_dns(w),
        reversed_(*one, "ICMP_REVERSED"),
        reversed_(*two, "ICMP_REVERSED"),
        unknown("ingress", three[0]),
    ]


def sum_of_zero(w: Wire) -> list[Step]:
    payload = payload_that_sums_to_zero(w.udp(w.client, CLIENT_PORT, w.dns_vip, 53, b"\0\0"), UDP)
    step = to_dns(w, payload=payload)
    assert Ether(bytes(step.packet))[UDP].chksum == 0xFFFF
    return [step, about(w, step)]


def half_a_checksum(w: Wire) -> list[Step]:
    """Of the quoted TCP checksum one byte is there: it stays as it was, and the error around it is right."""
    step = to_web(w, "PA", payload=b"data")
    given = w.quoted(step.becomes, 17)
    expected = w.quoted(step.packet, 16) + given[-1:]
    return [*opened(w), reversed_(to_client(w, given), to_client(w, expected), "ICMP_REVERSED")]


def wrong_quoted_checksum(w: Wire) -> list[Step]:
    right = to_dns(w)
    given, expected = Ether(bytes(right.packet)), Ether(bytes(right.becomes))
    for packet in (given, expected):
        packet[UDP].chksum = wrong(packet[UDP].chksum)
    return [right, about(w, forwarded(given, expected))]


def wrong_outer_checksum(w: Wire) -> list[Step]:
    right = about(w, to_dns(w))
    made = []
    for packet in (right.packet, right.becomes):
        frame = bytearray(bytes(packet))
        at = 14 + (20 if w.family == 4 else 40) + 2
        frame[at : at + 2] = wrong(int.from_bytes(frame[at : at + 2], "big")).to_bytes(2, "big")
        made.append(bytes(frame))
    return [to_dns(w), reversed_(*made, "ICMP_REVERSED")]


def later_fragment(w: Wire) -> list[Step]:
    rest = fragments(to_dns(w, payload=b"x" * 100).becomes, 64)[1]
    return [to_dns(w), unknown("ingress", to_client(w, w.quoted(rest)))]


def first_fragment(w: Wire) -> list[Step]:
    step = to_dns(w, payload=b"x" * 100)
    given, expected = (to_client(w, w.quoted(fragments(each, 64)[0])) for each in (step.becomes, step.packet))
    return [to_dns(w), reversed_(given, expected, "ICMP_REVERSED")]


def not_an_error(w: Wire) -> list[Step]:
    """A redirect quotes a packet, too, but is not for a Service's client."""
    quote = w.quoted(to_dns(w).becomes)
    message = ICMP(type=5, gw="10.0.0.1") if w.family == 4 else ICMPv6Unknown(type=137)
    return [to_dns(w), untouched("ingress", w.frame(w.ip(w.router, w.client) / message / quote))]


def broken_quotes(w: Wire) -> list[Step]:
    """Quotes that are no packet."""
    whole = w.quoted(to_dns(w).becomes)
    header = 20 if w.family == 4 else 40
    other_version = bytes((whole[0] ^ 0x20,)) + whole[1:]
    broken = [b"", whole[: header - 1], whole[: header + 7], other_version]
    if w.family == 4:
        broken.append(bytes((0x44,)) + whole[1:])
    return [to_dns(w), *(unknown("ingress", to_client(w, each)) for each in broken)]


def padded(w: Wire) -> list[Step]:
    """What lies behind the error's own length is not quoted."""
    quote = w.quoted(to_dns(w).becomes, 7)
    frame = bytes(to_client(w, quote)) + b"\0\0\0\0"
    return [to_dns(w), unknown("ingress", Ether(frame))]


def other_protocol(w: Wire) -> list[Step]:
    packet = w.ip(w.client, w.backend_one, **({"proto": 47} if w.family == 4 else {"nh": 47})) / Raw(b"\0" * 20)
    return [to_dns(w), unknown("ingress", to_client(w, packet))]


ROWS = [
    *map(kind_row, KINDS),
    *map(length_row, LENGTHS),
    Row(
        "source quench is told, too",
        lambda w: [to_dns(w), about(w, to_dns(w), "source quench")],
        IPV4_ONLY,
    ),
    Row(
        "an error from the backend itself comes from the Service",
        lambda w: [to_dns(w), about(w, to_dns(w), "port unreachable", source=w.backend_one)],
    ),
    Row(
        "one about a flow that is not known passes untouched",
        lambda w: [
            unknown("ingress", to_client(w, w.quoted(to_dns(w).becomes))),
            unknown("egress", w.error("unreachable", w.client, w.dns_vip, w.quoted(from_dns(w).becomes))),
            to_dns(w),
            Wait(31),
            unknown("ingress", to_client(w, w.quoted(to_dns(w).becomes))),
        ],
    ),
    Row(
        "one about a packet that was sent straight to a stranger passes untouched",
        lambda w: [unknown("ingress", to_client(w, w.quoted(w.udp(w.client, 4, w.stranger, 53))))],
    ),
    Row(
        "errors neither close a flow nor keep it alive",
        lambda w: [
            *opened(w),
            about(w, to_web(w, "A")),
            Holds("flows", 2),
            Wait(86401),
            to_web(w, "A"),
            Holds("flows", 0),
        ],
    ),
    Row("IPv4 options in the quote and in the error", quoted_options, IPV4_ONLY),
    Row("up to two IPv6 extension headers in the quote, and not a third", quoted_headers, IPV6_ONLY),
    Row("a quoted UDP checksum of 0 stays", lambda w: [to_dns(w, chksum=0), about(w, to_dns(w, chksum=0))]),
    Row("a quoted UDP checksum that comes out as 0 is 0xffff, as its sender had it", sum_of_zero),
    Row("half a quoted checksum is left as it is", half_a_checksum),
    Row("a quoted checksum that was wrong stays wrong by as much, and the error is right", wrong_quoted_checksum),
    Row("an error whose own checksum was wrong stays wrong by as much", wrong_outer_checksum),
    Row("a later fragment in the quote tells no flow", later_fragment),
    Row("a first fragment in the quote does", first_fragment),
    Row("a redirect is no error: it passes untouched", not_an_error),
    Row("quotes that are no packet, or too little of one", broken_quotes),
    Row("padding behind the error is no quote", padded),
    Row("a quote of another protocol", other_protocol),
]


@table(ROWS)
def test_icmp_errors(row: Row, harness: Harness) -> None:
    play(row, harness)
