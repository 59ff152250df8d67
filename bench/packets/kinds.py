"""The kinds of packets, and how each is served again and again by the very same programs.

A and B are each other's only backend. A client's packet to A leaves as one to B, which is another open flow's, and
comes back as one to A; a reply of A's is turned into one of B's, and back. A packet that begins a flow is made another
client's before each run (the driver ``other``), and the flows are forgotten between measurements. What is no Service's
is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tcnat.bpf import Program
from tcnat.layout import COUNTER, Family
from tcnat.reasons import reasons
from tests.packets.harness import read_all

from .programs import Course, Driver, Rig
from .world import PLACES, PORT_A, PORT_B, tcp, udp

LATER = 1_000_000
"""Of a sequence number: behind those that opened the connection."""


class Device(StrEnum):
    """What a device faces."""

    NETWORK = "network"
    WORKLOAD = "workload"

    @property
    def classid(self) -> int:
        """Of its filters."""
        return int(self is Device.WORKLOAD)

    @property
    def client_port(self) -> int:
        """Each device's conversations are its own."""
        return 1000 + self.classid


Make = Callable[[Family, Device], bytes]


@dataclass(frozen=True, slots=True)
class Kind:
    """``make``: its frame. ``begins``: each packet begins a flow. ``reason``: what it is counted as, if at all."""

    key: str
    title: str
    reply: bool
    make: Make
    reason: str = ""
    begins: bool = False

    def program(self, rig: Rig) -> Program:
        """Which of tcnat's programs it meets."""
        return rig.loaded.ingress if self.reply else rig.loaded.egress


def _ends(family: Family, device: Device) -> tuple[tuple[str, int], tuple[str, int], tuple[str, int]]:
    at = PLACES[family]
    return (at.client, device.client_port), (at.a, PORT_A), (at.b, PORT_B)


def _open_tcp(reply: bool) -> Make:
    def make(family: Family, device: Device) -> bytes:
        client, a, _ = _ends(family, device)
        return tcp(family, *((a, client) if reply else (client, a)), "A", LATER, LATER)

    return make


def _open_udp(reply: bool) -> Make:
    def make(family: Family, device: Device) -> bytes:
        client, a, _ = _ends(family, device)
        return udp(family, *((a, client) if reply else (client, a)))

    return make


def _nobodys(reply: bool) -> Make:
    def make(family: Family, device: Device) -> bytes:
        client, far = _ends(family, device)[0], (PLACES[family].nobody, PORT_A)
        return tcp(family, *((far, client) if reply else (client, far)), "A", LATER, LATER)

    return make


def _first(protocol: str) -> Make:
    def make(family: Family, device: Device) -> bytes:
        client, a, _ = _ends(family, device)
        return tcp(family, client, a, "S", 100, 0) if protocol == "tcp" else udp(family, client, a)

    return make


KINDS = (
    Kind("forward_open_tcp", "to a Service, open TCP flow", False, _open_tcp(False), "FORWARDED"),
    Kind("forward_open_udp", "to a Service, open UDP flow", False, _open_udp(False), "FORWARDED"),
    Kind("reply_open_tcp", "reply, open TCP flow", True, _open_tcp(True), "REVERSED"),
    Kind("reply_open_udp", "reply, open UDP flow", True, _open_udp(True), "REVERSED"),
    Kind("forward_new_tcp", "to a Service, SYN of a new flow", False, _first("tcp"), "FORWARDED", begins=True),
    Kind("forward_new_udp", "to a Service, first of a new UDP flow", False, _first("udp"), "FORWARDED", begins=True),
    Kind("forward_pass", "from a client, no Service's", False, _nobodys(False)),
    Kind("reply_pass", "to a client, nobody's reply", True, _nobodys(True)),
)


def driver(rig: Rig, kind: Kind, device: Device, tested: Program) -> Driver:
    """What hands a program this kind of packets."""
    at = PLACES[rig.family]
    if not kind.begins:
        return Driver(rig, "again", tested, Course(device.classid))
    return Driver(rig, "other", tested, Course(device.classid, 1 << 15, client=at.client, far=at.a, far_port=PORT_A))


def open_flows(rig: Rig, device: Device) -> None:
    """The conversations of the device's client with A and with B, TCP and UDP, until they stand."""
    course = Course(device.classid)
    egress, ingress = (Driver(rig, "again", each, course) for each in (rig.loaded.egress, rig.loaded.ingress))
    client, a, b = _ends(rig.family, device)
    for front, backend in ((a, b), (b, a)):
        egress.run(tcp(rig.family, client, front, "S", 100, 0))
        ingress.run(tcp(rig.family, backend, client, "SA", 500, 101))
        egress.run(tcp(rig.family, client, front, "A", 101, 501))
        egress.run(udp(rig.family, client, front))
        ingress.run(udp(rig.family, backend, client))
        egress.run(udp(rig.family, client, front))


def counted(rig: Rig) -> dict[str, int]:
    """Packets by reason, without those that are 0."""
    rows = read_all(rig.maps["counters"], COUNTER.codec(rig.family), len(reasons()))
    return {reason.name.upper(): row[0] for reason, row in zip(reasons(), rows, strict=True) if row[0]}


def forget_new(rig: Rig) -> None:
    """Remove the flows that have not been answered."""
    for key in list(rig.maps["flows_new"].keys()):
        rig.maps["flows_new"].delete(key)
