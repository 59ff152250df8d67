"""Packets as the kernel really hands them over: checksums left to the hardware, super-packets, headers in fragments.

BPF_PROG_TEST_RUN makes none of these, but a packet socket with PACKET_VNET_HDR does, and tells of what arrives whether
it still wants its checksum finished. Finished in software it must be the packet that scapy makes from nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import in6_chksum
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.utils import checksum

from tests.packets.answers import port_unreachable
from tests.packets.device_runner import DeviceRunner
from tests.packets.devices import HAS_BIG_TCP, VNET_HEADER
from tests.packets.harness import Harness
from tests.packets.runner import Verdict
from tests.packets.table import Bench, Row, Sent, Step, table
from tests.packets.talks import from_dns, from_web, opened, to_dns, to_web
from tests.packets.test_hairpin import talk
from tests.packets.test_reject import refused
from tests.packets.wire import Wire

NEEDS_CSUM = 1
GSO_TCP = {4: 1, 6: 4}
GSO_UDP_L4 = 5
SEGMENT = 1400
CHECKSUM_OFFSET = {TCP: 16, UDP: 6}
LINEAR = 14
"""Bytes in the linear area where a packet's headers shall not be: its link layer alone."""


@dataclass(frozen=True, slots=True)
class Offloaded:
    """A step whose packet is given to the device with this work left to do, and which must come out with as much."""

    step: Sent
    partial: bool = False
    gso: int = 0
    linear: int = 0

    def play(self, harness: Bench) -> None:
        """Run it, finish what came out, and compare."""
        packet = Ether(bytes(self.step.packet))
        before = harness.counters().get(self.step.reason or "", (0, 0))
        run = (harness.egress if self.step.program == "egress" else harness.ingress)(self.given())
        after = harness.counters()[self.step.reason or ""]
        assert (run.verdict, after) == (self.step.verdict, (before[0] + 1, before[1] + len(packet)))
        assert run.frame is not None
        left, frame = VNET_HEADER.unpack(run.frame[: VNET_HEADER.size]), run.frame[VNET_HEADER.size :]
        assert finished(left, frame) == bytes(self.step.becomes or b"")
        if run.verdict is Verdict.PASS:
            assert (left[0] & NEEDS_CSUM, left[1]) == (NEEDS_CSUM if self.partial else 0, self.gso)

    def given(self) -> bytes:
        """The frame behind what tells of the work."""
        packet = Ether(bytes(self.step.packet))
        kind = TCP if TCP in packet else UDP
        start = len(packet) - len(packet[kind])
        if self.partial:
            packet[kind].chksum = pseudo_sum(packet, kind)
        header = (
            NEEDS_CSUM if self.partial else 0,
            self.gso,
            self.linear or start + (packet[TCP].dataofs * 4 if kind is TCP else 8),
            SEGMENT if self.gso else 0,
            start if self.partial else 0,
            CHECKSUM_OFFSET[kind] if self.partial else 0,
        )
        return VNET_HEADER.pack(*header) + bytes(packet)


def pseudo_sum(packet: Packet, kind: type[Packet]) -> int:
    """The sum of the pseudo header alone: what the kernel leaves in the checksum field."""
    return pseudo_sum_of(packet.payload, len(packet[kind]), 6 if kind is TCP else 17)


def pseudo_sum_of(ip: Packet, size: int, protocol: int) -> int:
    """The folded sum of a pseudo header (RFC 9293, 3.1; RFC 8200, 8.1) for a segment of ``size`` bytes."""
    family = socket.AF_INET if isinstance(ip, IP) else socket.AF_INET6
    addresses = socket.inet_pton(family, ip.src) + socket.inet_pton(family, ip.dst)
    return 0xFFFF & ~int(checksum(addresses + size.to_bytes(4, "big") + protocol.to_bytes(4, "big")))


def finished(left: tuple[int, ...], frame: bytes) -> bytes:
    """A frame with the checksum that was left to the hardware."""
    flags, _, _, _, start, offset = left
    if not flags & NEEDS_CSUM:
        return frame
    at = start + offset
    value = checksum(frame[start:])
    if value == 0 and offset == CHECKSUM_OFFSET[UDP]:
        value = 0xFFFF
    return frame[:at] + value.to_bytes(2, "big") + frame[at + 2 :]


def partial(step: Sent) -> Offloaded:
    """A packet that this host made: its checksum is the pseudo header's sum yet."""
    return Offloaded(step, partial=True)


def super_packet(step: Sent, gso: int) -> Step:
    """A packet of many segments."""
    return Offloaded(step, partial=True, gso=gso)


def scattered(step: Sent, *, left: bool = False) -> Step:
    """A packet whose headers lie outside of the linear area."""
    return Offloaded(step, partial=left, linear=LINEAR)


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A datagram to nobody whose checksum is left to the hardware: the answer's own checksum must be right.

    Where the hardware still fills in a checksum, that is in the error's unused word, which may then be anything.
    """

    asked: Packet

    def play(self, harness: Bench) -> None:
        """Run it and compare all but the unused word."""
        run = harness.egress(Offloaded(Sent("egress", self.asked, None, Verdict.SEND_BACK, None), partial=True).given())
        assert run.verdict is Verdict.SEND_BACK
        assert run.frame is not None
        left, frame = VNET_HEADER.unpack(run.frame[: VNET_HEADER.size]), run.frame[VNET_HEADER.size :]
        got = Ether(finished(left, frame))
        asked = Ether(bytes(self.asked))
        asked[UDP].chksum = pseudo_sum(asked, UDP)
        expected = Ether(bytes(port_unreachable(Wire(harness.family), asked)))
        message, wanted = bytes(got.payload.payload), bytes(expected.payload.payload)
        assert (message[:2], message[8:]) == (wanted[:2], wanted[8:])
        assert bytes(got)[: -len(message)] == bytes(expected)[: -len(wanted)]
        assert icmp_sum(got) == 0


def icmp_sum(packet: Packet) -> int:
    """What is left of an ICMP message's checksum when all of it is summed: 0 if it is right."""
    message = bytes(packet.payload.payload)
    return int(checksum(message)) if IP in packet else int(in6_chksum(58, packet.payload, message))


@dataclass(frozen=True, slots=True)
class BigTcp:
    """A super-packet that no 16-bit length can tell of: IPv4 says 0 then, and so does IPv6."""

    program: str
    given: Packet
    becomes: Packet

    def play(self, harness: Bench) -> None:
        """Run it; its checksum, left to the hardware, is the pseudo header's sum before and behind."""
        frames = [self._frame(packet) for packet in (self.given, self.becomes)]
        run = (harness.egress if self.program == "egress" else harness.ingress)(frames[0])
        assert (run.verdict, run.frame) == (Verdict.PASS, frames[1])

    def _frame(self, packet: Packet) -> bytes:
        frame = Ether(bytes(packet))
        ip, tcp = frame.payload, frame[TCP]
        segment = bytes(tcp) + bytes(BIG - len(bytes(tcp)))
        start = len(frame) - len(bytes(tcp))
        length = pseudo_sum_of(ip, len(segment), 6).to_bytes(2, "big")
        segment = segment[:16] + length + segment[18:]
        if isinstance(ip, IP):
            ip.len = 0
            del ip.chksum
        else:
            ip.plen = 0
        header = bytes(frame)[:start]
        kind = GSO_TCP[4 if isinstance(ip, IP) else 6]
        return VNET_HEADER.pack(NEEDS_CSUM, kind, start + 20, SEGMENT, start, 16) + header + segment


BIG = 100_000


def long(w: Wire, size: int = 30000) -> list[Sent]:
    """Large packets both ways, both protocols."""
    return [
        to_web(w, "PA", payload=b"\xa5" * size),
        from_web(w, "PA", payload=b"\x5a" * size),
        to_dns(w, payload=b"\xa5" * size),
        from_dns(w, payload=b"\x5a" * size),
    ]


ROWS = [
    Row(
        "a checksum left to the hardware is right when it is finished",
        lambda w: [partial(step) for step in (*opened(w), to_dns(w), from_dns(w), to_web(w, "PA", payload=b"odd"))],
    ),
    Row(
        "super-packets of TCP",
        lambda w: [*map(partial, opened(w)), *(super_packet(step, GSO_TCP[w.family]) for step in long(w)[:2])],
    ),
    Row(
        "super-packets of UDP",
        lambda w: [super_packet(step, GSO_UDP_L4) for step in long(w)[2:]],
    ),
    Row("headers outside of the linear area", lambda w: [scattered(step) for step in long(w)]),
    Row(
        "headers outside of the linear area, the checksum left to the hardware",
        lambda w: [scattered(step, left=True) for step in long(w)],
    ),
    Row("a hairpin whose checksum is left to the hardware", lambda w: [partial(step) for step in talk(w)]),
    Row(
        "what is rejected with its checksum left to the hardware is answered with a right one",
        lambda w: [
            partial(refused(w, "S", seq=1000, expect=("RA", 0, 1001))),
            partial(refused(w, "PA", seq=1000, ack=7, payload=b"data", expect=("R", 7, 0))),
        ],
    ),
    Row(
        "so is a datagram, odd or even",
        lambda w: [Unreachable(w.udp(w.client, 40000, w.empty_vip, 80, b"x" * size)) for size in (0, 1, 10, 1400)],
    ),
]


@pytest.fixture(params=[False, True], ids=["facing the network", "facing a workload"])
def offloading(harnesses: dict[int, Harness], family: int, request: pytest.FixtureRequest) -> Iterator[Harness]:
    """The family's programs on devices that leave work to the hardware."""
    runner = DeviceRunner.on_veth(harnesses[family].loaded, offloads=True, workload=request.param)
    yield Harness(harnesses[family].loaded, runner)
    runner.close()


@table(ROWS)
def test_offloads(row: Row, offloading: Harness) -> None:
    offloading.reset()
    for step in row.steps(Wire(offloading.family)):
        step.play(offloading)


BIG_ROWS = [
    Row(
        "super-packets of more than 65,535 bytes (BIG TCP)",
        lambda w: [
            *map(partial, opened(w)),
            *(BigTcp(step.program, step.packet, step.becomes) for step in (to_web(w, "PA"), from_web(w, "PA"))),
        ],
    ),
]


@pytest.mark.skipif(not HAS_BIG_TCP, reason="the kernel has no BIG TCP for IPv4 (6.3)")
@table(BIG_ROWS)
def test_big_tcp(row: Row, offloading: Harness) -> None:
    offloading.reset()
    for step in row.steps(Wire(offloading.family)):
        step.play(offloading)
