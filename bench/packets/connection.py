"""What tcnat's programs take for one short connection: an HTTP request, from its SYN to the last ACK."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from tcnat.layout import Family
from tests.packets.harness import on_one_cpu

from .kinds import counted
from .programs import Course, Driver, Rig
from .timing import SERVICES, CycleBroken, undisturbed
from .world import PLACES, PORT_A, PORT_B, settle, tcp

CONNECTIONS = 2000
"""At a time: each of the connection's packets is run for all of them before the next one is."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One packet of the connection."""

    name: str
    reply: bool
    flags: str
    sequence: int
    acknowledgement: int


SEGMENTS = (
    Segment("SYN", False, "S", 100, 0),
    Segment("SYN-ACK", True, "SA", 500, 101),
    Segment("ACK", False, "A", 101, 501),
    Segment("request", False, "PA", 101, 501),
    Segment("its ACK", True, "A", 501, 165),
    Segment("answer with FIN", True, "FPA", 501, 165),
    Segment("its ACK, the client's FIN", False, "FA", 165, 566),
    Segment("last ACK", True, "A", 566, 166),
)


def costs(family: Family, rounds: int) -> dict[str, tuple[float, ...]]:
    """Packet -> nanoseconds, round by round. CycleBroken where one was not rewritten."""
    found: dict[str, list[float]] = defaultdict(list)
    with on_one_cpu(), undisturbed():
        rig = Rig(family)
        settle(rig.maps, family, SERVICES)
        for _ in range(rounds):
            for segment in SEGMENTS:
                found[segment.name].append(_run(rig, segment))
            for name in ("flows", "flows_new"):
                for key in list(rig.maps[name].keys()):
                    rig.maps[name].delete(key)
        rig.close()
    return {name: tuple(runs) for name, runs in found.items()}


def _run(rig: Rig, segment: Segment) -> float:
    at = PLACES[rig.family]
    far, port = (at.b, PORT_B) if segment.reply else (at.a, PORT_A)
    course = Course(0, CONNECTIONS, False, segment.reply, at.client, far, port)
    ends = ((far, port), (at.client, 1)) if segment.reply else ((at.client, 1), (far, port))
    frame = tcp(rig.family, *ends, segment.flags, segment.sequence, segment.acknowledgement)
    before = sum(counted(rig).values())
    tested = rig.loaded.ingress if segment.reply else rig.loaded.egress
    whole = Driver(rig, "other", tested, course).run(frame, CONNECTIONS)
    if sum(counted(rig).values()) - before != CONNECTIONS:
        raise CycleBroken(f"a connection's {segment.name} was not rewritten each time")
    choice = Driver(rig, "other", rig.empty, course).run(frame, CONNECTIONS)
    return whole - choice + rig.empty.test_run(frame, CONNECTIONS).nanoseconds
