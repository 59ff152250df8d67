"""Pings to Service addresses: answered, dropped or left alone, by a setting."""

from __future__ import annotations

from scapy.layers.inet import ICMP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6ExtHdrDestOpt
from scapy.packet import Packet

from tcnat.layout import Choice
from tests.packets.harness import Harness
from tests.packets.pieces import fragments
from tests.packets.table import (
    IPV4_ONLY,
    IPV6_ONLY,
    Configure,
    Row,
    Sent,
    Step,
    dropped,
    play,
    sent_back,
    table,
    untouched,
)
from tests.packets.wire import Wire


def answered(w: Wire, address: str, payload: bytes = b"ping" * 9) -> Sent:
    """A ping and its answer."""
    return sent_back(
        w.echo(w.client, address, payload=payload),
        w.echo(address, w.client, reply=True, payload=payload),
        "ECHO_ANSWERED",
    )


def with_options(w: Wire) -> list[Step]:
    """What is not changed stays: options, TTL, type of service."""
    fields = {"options": [b"\x94\x04\0\0"], "ttl": 3, "tos": 0x10}
    given, expected = (
        w.frame(w.ip(source, destination, **fields) / ICMP(type=kind, id=7, seq=1) / b"payload")
        for source, destination, kind in ((w.client, w.web_vip, 8), (w.web_vip, w.client, 0))
    )
    return [sent_back(given, expected, "ECHO_ANSWERED")]


def with_extension_header(w: Wire) -> list[Step]:
    given = w.echo(w.client, w.web_vip).payload
    expected = w.echo(w.web_vip, w.client, reply=True).payload

    def wrapped(packet: Packet) -> Packet:
        return w.frame(w.ip(packet.src, packet.dst) / IPv6ExtHdrDestOpt() / packet.payload)

    return [sent_back(wrapped(given), wrapped(expected), "ECHO_ANSWERED")]


def other_code(w: Wire) -> Packet:
    """A request whose code is not 0."""
    request = ICMP(type=8, code=1) if w.family == 4 else ICMPv6EchoRequest(code=1)
    return w.frame(w.ip(w.client, w.web_vip) / request)


ROWS = [
    Row("a ping to a Service address is answered", lambda w: [answered(w, w.web_vip), answered(w, w.empty_vip)]),
    *(
        Row(f"with a payload of {size} bytes", lambda w, size=size: [answered(w, w.web_vip, b"\xa5" * size)])
        for size in (0, 1, 2, 1399)
    ),
    Row(
        "a ping to a Service address is dropped where the setting says so",
        lambda w: [Configure(echo=Choice.DROP), dropped("egress", w.echo(w.client, w.web_vip), "ECHO_DROPPED")],
    ),
    Row(
        "a ping to a Service address passes where the setting says so",
        lambda w: [Configure(echo=Choice.PASS), untouched("egress", w.echo(w.client, w.web_vip))],
    ),
    *(
        Row(
            f"pings to anybody else pass under {choice.name}",
            lambda w, choice=choice: [
                Configure(echo=choice),
                untouched("egress", w.echo(w.client, w.stranger)),
                untouched("egress", w.echo(w.client, w.backend_one)),
                untouched("ingress", w.echo(w.stranger, w.client)),
                untouched("ingress", w.echo(w.backend_one, w.client)),
            ],
        )
        for choice in (Choice.ANSWER, Choice.DROP)
    ),
    Row(
        "a reply to a Service address is no request",
        lambda w: [untouched("egress", w.echo(w.client, w.web_vip, reply=True))],
    ),
    Row("a request with another code than 0 passes", lambda w: [untouched("egress", other_code(w))]),
    Row("IPv4 options stay", with_options, IPV4_ONLY),
    Row("IPv6 extension headers stay", with_extension_header, IPV6_ONLY),
    Row(
        "a ping in fragments passes",
        lambda w: [
            untouched("egress", each) for each in fragments(w.echo(w.client, w.stranger, payload=b"x" * 200), 64)
        ],
    ),
]


@table(ROWS)
def test_echo(row: Row, harness: Harness) -> None:
    play(row, harness)
