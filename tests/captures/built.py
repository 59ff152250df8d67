"""Captures that scapy builds, each packet beside the one that must leave: what recordings do not have in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from scapy.layers.dhcp import BOOTP
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6ND_NS,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    PadN,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.sctp import SCTP, SCTPChunkCookieEcho, SCTPChunkData, SCTPChunkInit, SCTPChunkInitAck
from scapy.packet import Packet, Raw

from tests.captures.building import CLIENT_MAC, IN, MILLISECOND, OUT, ROUTER_MAC, SECOND, START, Net, Step
from tests.captures.files import Shot
from tests.captures.services import ALIAS, BACKEND, CLIENT, FAR, NOBODY, ROUTER, WEB
from tests.lab.addresses import Addresses
from tests.reference.hashing import flow_hash, mix
from tests.reference.tables import Ends

Build = Callable[[Net], Iterator[Step]]


def rejects(net: Net) -> Iterator[Step]:
    """A Service without endpoints: RST with right numbers, port unreachable, and what cannot be rejected."""
    for flags, sequence, acknowledgement, data, answer in (
        ("S", 1000, 0, b"", TCP(flags="RA", seq=0, ack=1001, window=0)),
        ("SF", 1000, 0, b"abc", TCP(flags="RA", seq=0, ack=1005, window=0)),
        ("PA", 1000, 77, b"abc", TCP(flags="R", seq=77, ack=0, window=0)),
        ("R", 1000, 0, b"", None),
    ):
        sent = net(CLIENT, NOBODY) / TCP(sport=4000, dport=80, flags=flags, seq=sequence, ack=acknowledgement) / data
        if answer is None:
            yield Step(OUT / sent, None)
            continue
        answer.sport, answer.dport = 80, 4000
        yield Step(OUT / sent, IN / net.made(NOBODY, CLIENT) / answer)
    datagram = net(CLIENT, NOBODY) / UDP(sport=4000, dport=53) / b"a question"
    yield Step(OUT / datagram, IN / net.unreachable(datagram, NOBODY, CLIENT))
    association = net(CLIENT, NOBODY) / SCTP(sport=4000, dport=3868, tag=0) / SCTPChunkInit(init_tag=9)
    yield Step(OUT / association, IN / net.unreachable(association, NOBODY, CLIENT))
    first = UDP(sport=4000, dport=53, len=99, chksum=1) / bytes(8)
    if net.four:
        yield Step(OUT / net(CLIENT, NOBODY, flags="MF") / first, None)
    else:
        yield Step(OUT / net(CLIENT, NOBODY) / IPv6ExtHdrFragment(offset=0, m=1, id=5) / first, None)
    yield Step(OUT / net(CLIENT, FAR) / TCP(sport=4000, dport=80, flags="S"), None)


def echo(net: Net) -> Iterator[Step]:
    """Pings of a Service address are answered; those of others go their way."""
    for data in (b"", b"odd", bytes(range(64))):
        ping = OUT / net(CLIENT, WEB) / net.ping(data=data)
        yield Step(ping, IN / net(WEB, CLIENT) / net.ping(reply=True, data=data))
    for packet in (OUT / net(CLIENT, BACKEND) / net.ping(), IN / net(BACKEND, CLIENT) / net.ping(reply=True)):
        yield Step(packet, packet)


def echo_dropped(net: Net) -> Iterator[Step]:
    """With ``--echo drop``."""
    yield Step(OUT / net(CLIENT, WEB) / net.ping(), None)


def unknown_port(net: Net) -> Iterator[Step]:
    """By default a port that a Service address does not have is none of tcnat's business."""
    for packet in _unknown(net):
        yield Step(packet, packet)


def unknown_port_dropped(net: Net) -> Iterator[Step]:
    """With ``--unknown-port drop``."""
    for packet in _unknown(net):
        yield Step(packet, None)


def unknown_port_rejected(net: Net) -> Iterator[Step]:
    """With ``--unknown-port reject``."""
    segment, datagram = _unknown(net)
    reset = TCP(sport=4444, dport=4000, flags="RA", seq=0, ack=1, window=0)
    yield Step(segment, IN / net.made(WEB, CLIENT) / reset)
    yield Step(datagram, IN / net.unreachable(datagram.payload, WEB, CLIENT))


def _unknown(net: Net) -> tuple[Packet, Packet]:
    return (
        OUT / net(CLIENT, WEB) / TCP(sport=4000, dport=4444, flags="S"),
        OUT / net(CLIENT, WEB) / UDP(sport=4000, dport=4444) / b"anybody?",
    )


def time_outs(net: Net) -> Iterator[Step]:
    """Replies in time, and too late by the capture's clock (unanswered 30 s, answered 180 s)."""
    yield _question(net, 4000)
    yield _answer(net, 4000, after=29 * SECOND)
    yield _answer(net, 4000, after=179 * SECOND)
    yield _answer(net, 4000, known=False, after=182 * SECOND)
    yield _question(net, 4001)
    yield _answer(net, 4001, known=False, after=32 * SECOND)
    yield _question(net, 4001, after=SECOND)
    yield _answer(net, 4001)


def _question(net: Net, port: int, after: int = MILLISECOND) -> Step:
    return Step(
        OUT / net(CLIENT, WEB) / UDP(sport=port, dport=7) / b"question",
        OUT / net(CLIENT, BACKEND) / UDP(sport=port, dport=9000) / b"question",
        after,
    )


def _answer(net: Net, port: int, *, known: bool = True, after: int = MILLISECOND) -> Step:
    answer = IN / net(BACKEND, CLIENT) / UDP(sport=9000, dport=port) / b"answer"
    return Step(answer, IN / net(WEB, CLIENT) / UDP(sport=7, dport=port) / b"answer" if known else answer, after)


def sctp(net: Net) -> Iterator[Step]:
    """An association: addresses change, ports and CRC32c do not; where a port would have to change it is dropped."""
    for outwards, tag, chunk in (
        (True, 0, SCTPChunkInit(init_tag=11, init_tsn=1)),
        (False, 11, SCTPChunkInitAck(init_tag=22, init_tsn=9)),
        (True, 22, SCTPChunkCookieEcho(cookie=b"cookie!!")),
        (True, 22, SCTPChunkData(tsn=1, stream_id=0, data=b"hello")),
        (False, 11, SCTPChunkData(tsn=9, stream_id=0, data=b"world!!!")),
    ):
        ports = {"sport": 4000, "dport": 3868} if outwards else {"sport": 3868, "dport": 4000}
        association = SCTP(tag=tag, **ports) / chunk
        if outwards:
            yield Step(OUT / net(CLIENT, WEB) / association, OUT / net(CLIENT, BACKEND) / association)
        else:
            yield Step(IN / net(BACKEND, CLIENT) / association, IN / net(WEB, CLIENT) / association)
    yield Step(OUT / net(CLIENT, WEB) / SCTP(sport=4000, dport=3869, tag=0) / SCTPChunkInit(init_tag=1), None)


def headers(net: Net) -> Iterator[Step]:
    """Options, extension headers, odd lengths, padding, and UDP checksums that are 0 or come out as 0."""
    yield _request(net, TCP(options=[("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("WScale", 7)], flags="S"))
    yield _request(net, TCP(options=[("NOP", None)] * 40, flags="A", ack=1), b"odd")
    yield _request(net, TCP(flags="PA", ack=1, urgptr=3), b"")
    if net.four:
        options = [b"\x01"] * 40
        yield _request(net, UDP(), b"with IPv4 options", options=[Raw(b"".join(options))])
        for checksum in (0, None):
            packets = [
                OUT / net(CLIENT, to) / UDP(sport=4002, dport=port, chksum=checksum) / b"sum"
                for to, port in ((WEB, 7), (BACKEND, 9000))
            ]
            yield Step(*packets)
    else:
        chain = IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))]) / IPv6ExtHdrDestOpt(
            options=[PadN(optdata=bytes(12))]
        )
        yield Step(*(OUT / net(CLIENT, to) / chain / UDP(sport=4002, dport=port) / b"behind" for to, port in _ECHO))
    zero = _sum_of_zero(net)
    yield Step(*(OUT / net(CLIENT, to) / UDP(sport=4003, dport=port) / zero for to, port in _ECHO))
    short = _request(net, TCP(flags="A", ack=1))
    padding = b"\xee" * 6
    assert short.leaves is not None
    yield Step(Ether(bytes(short.before) + padding), Ether(bytes(short.leaves) + padding))


_ECHO = ((WEB, 7), (BACKEND, 9000))


def _request(net: Net, transport: Packet, data: bytes = b"", **fields: object) -> Step:
    ports = ((WEB, 80), (BACKEND, 8080)) if isinstance(transport, TCP) else _ECHO
    packets = []
    for to, port in ports:
        segment = transport.copy()
        segment.sport, segment.dport = 4001, port
        packets.append(OUT / net(CLIENT, to, **fields) / segment / Raw(data))
    return Step(*packets)


def _sum_of_zero(net: Net) -> bytes:
    """Two bytes that make the checksum of what the backend gets come out as 0, to be sent as 0xffff."""
    packet = net(CLIENT, BACKEND) / UDP(sport=4003, dport=9000) / bytes(2)
    computed = int(type(packet)(bytes(packet))[UDP].chksum)
    return computed.to_bytes(2, "big")


def malformed(net: Net) -> Iterator[Step]:
    """Headers that contradict themselves pass untouched."""
    whole = OUT / net(CLIENT, WEB) / TCP(sport=4000, dport=80) / b"data"
    length = {"len": 60} if net.four else {"plen": 60}
    cut = bytes(whole)[: len(whole) - 14]
    for packet in (
        OUT / net(CLIENT, WEB, **length) / TCP(sport=4000, dport=80),
        OUT / net(CLIENT, WEB) / TCP(sport=4000, dport=80, dataofs=3),
        OUT / net(CLIENT, WEB) / TCP(sport=4000, dport=80, dataofs=15),
        OUT / net(CLIENT, WEB) / UDP(sport=4000, dport=7, len=99),
        OUT / net(CLIENT, WEB) / UDP(sport=4000, dport=7, len=7),
        OUT / net(CLIENT, WEB, version=5) / UDP(sport=4000, dport=7),
        Ether(cut),
        Ether(bytes(whole)[:18]),
        Ether(bytes(whole)[:14]),
    ):
        yield Step(packet, packet)
    if net.four:
        packet = OUT / net(CLIENT, WEB, ihl=4) / UDP(sport=4000, dport=7)
        yield Step(packet, packet)


def not_ours(net: Net) -> Iterator[Step]:
    """ARP, neighbour discovery, DHCP, multicast, VLAN tags, other protocols: always untouched."""
    yield _question(net, 4000)
    broadcast = Ether(src=CLIENT_MAC, dst="ff:ff:ff:ff:ff:ff")
    multicast = Addresses("224.0.0.251", "ff02::fb")
    for packet in (
        broadcast / ARP(psrc=CLIENT.v4, hwsrc=CLIENT_MAC, pdst=ROUTER.v4),
        broadcast / IPv6(src=CLIENT.v6, dst="ff02::1:ff00:1") / ICMPv6ND_NS(tgt=ROUTER.v6),
        broadcast / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67) / BOOTP(chaddr=b"\2\0\0\0\0\1"),
        broadcast / net(CLIENT, multicast) / UDP(sport=5353, dport=5353) / b"mdns",
        Ether(src=CLIENT_MAC, dst=ROUTER_MAC) / Dot1Q(vlan=5) / net(CLIENT, WEB) / UDP(sport=4000, dport=7) / b"tagged",
        OUT / net(CLIENT, WEB, **({"proto": 47} if net.four else {"nh": 47})) / Raw(bytes(8)),
        OUT / net(CLIENT, ROUTER) / UDP(sport=4000, dport=7) / b"to the router",
        IN / net(ROUTER, BACKEND) / UDP(sport=4000, dport=9000) / b"neither from nor to a client",
    ):
        yield Step(packet, packet)
    yield _answer(net, 4000)


def same_port(net: Net) -> Iterator[Step]:
    """One client port to a Service, straight to its backend, and to a second Service on the same backend: the answers
    do not mix. Whoever comes later gets another source port."""
    ends = Ends(net.text(CLIENT), net.text(ALIAS), 4000, 8000)
    other = 0x8000 | mix(flow_hash(ends, 6) + 1) & 0x7FFF
    conversations = ((WEB, 80, 4000), (ALIAS, 8000, other))
    direct = Ends(net.text(CLIENT), net.text(BACKEND), 4000, 8080)
    straight = 0x8000 | mix(flow_hash(direct, 6) + 1) & 0x7FFF
    for service, port, source_port in (*conversations, (BACKEND, 8080, straight)):
        syn = {"flags": "S", "seq": port}
        yield Step(
            OUT / net(CLIENT, service) / TCP(sport=4000, dport=port, **syn),
            OUT / net(CLIENT, BACKEND) / TCP(sport=source_port, dport=8080, **syn),
        )
    for service, port, source_port in ((BACKEND, 8080, straight), *conversations):
        answer = {"flags": "SA", "seq": 5000, "ack": port + 1}
        yield Step(
            IN / net(BACKEND, CLIENT) / TCP(sport=8080, dport=source_port, **answer),
            IN / net(service, CLIENT) / TCP(sport=port, dport=4000, **answer),
        )


def hairpin(net: Net) -> Iterator[Step]:
    """A backend that talks to itself through its own Service: both ways go back to where they came from."""
    for flags, data in (("S", b""), ("PA", b"to myself")):
        yield Step(
            OUT / net(BACKEND, WEB) / TCP(sport=4000, dport=80, flags=flags) / data,
            IN / net(WEB, BACKEND) / TCP(sport=4000, dport=8080, flags=flags) / data,
        )
    yield Step(
        OUT / net(BACKEND, WEB) / TCP(sport=8080, dport=4000, flags="SA", ack=1),
        IN / net(WEB, BACKEND) / TCP(sport=80, dport=4000, flags="SA", ack=1),
    )


def super_packets(net: Net) -> Iterator[Step]:
    """Segments as long as offloads make them, which no test run takes: they go through devices."""
    for size in (4000, 60000):
        yield _request(net, TCP(flags="A", ack=1), bytes(range(250)) * (size // 250))
    reply = bytes(range(250)) * 80
    yield Step(
        IN / net(BACKEND, CLIENT) / TCP(sport=8080, dport=4001, flags="PA", ack=1) / reply,
        IN / net(WEB, CLIENT) / TCP(sport=80, dport=4001, flags="PA", ack=1) / reply,
    )


BUILDS: dict[str, tuple[Build, tuple[str, ...]]] = {
    "rejects": (rejects, ()),
    "echo": (echo, ()),
    "echo-dropped": (echo_dropped, ("--echo", "drop", "--direction", "egress")),
    "unknown-port": (unknown_port, ()),
    "unknown-port-dropped": (unknown_port_dropped, ("--unknown-port", "drop")),
    "unknown-port-rejected": (unknown_port_rejected, ("--unknown-port", "reject")),
    "time-outs": (time_outs, ()),
    "sctp": (sctp, ()),
    "headers": (headers, ()),
    "malformed": (malformed, ()),
    "not-ours": (not_ours, ("--client", CLIENT.v4, CLIENT.v6)),
    "same-port": (same_port, ()),
    "hairpin": (hairpin, ()),
    "super-packets": (super_packets, ()),
}
"""Name -> what is built, and the options that it is replayed with."""


def input_and_golden(name: str, family: int) -> tuple[list[Shot], list[Shot]]:
    """What goes in, and what must come out."""
    before, leaves = [], []
    time = START
    for step in BUILDS[name][0](Net(family)):
        time += step.after
        before.append(Shot(time, bytes(step.before)))
        if step.leaves is not None:
            leaves.append(Shot(time, bytes(step.leaves)))
    return before, leaves
