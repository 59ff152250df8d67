"""Records of the events ring in words: an arrival and a decision make one :class:`Decision`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from tcnat.layout import EVENT, Direction, Family
from tcnat.model import Protocol, format_address, format_endpoint
from tcnat.reasons import Reason, reasons
from tcnat.replay.headers import Headers, read

ARRIVED, DECIDED = 0, 1
LINK_NO_HEADER = 2
_ETHERNET = bytes(12)


class Event(NamedTuple):
    """One record: its head, and the packet's first bytes as they were then."""

    time: int
    """Nanoseconds of CLOCK_MONOTONIC."""
    kind: int
    reason: int
    verdict: int
    device: int
    length: int
    family: Family
    direction: Direction
    link: int
    packet: bytes

    @property
    def frame(self) -> bytes:
        """The packet as an Ethernet frame; one without a link-layer header is given an empty one."""
        if not self.link & LINK_NO_HEADER:
            return self.packet
        return _ETHERNET + (b"\x08\x00" if self.family is Family.IPV4 else b"\x86\xdd") + self.packet


def decode(record: bytes) -> Event:
    """A record as the kernel wrote it."""
    codec = EVENT.codec(Family.IPV4)  # the same for both families
    time, kind, reason, verdict, device, length, size, family, direction, link, _ = codec.unpack_from(record)
    packet = record[codec.size : codec.size + size]
    return Event(time, kind, reason, verdict, device, length, Family(family), Direction(direction), link, packet)


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one packet. ``before`` is missing where its record was lost."""

    before: Event | None
    after: Event
    reason: Reason

    def as_dict(self, device: str, epoch: float) -> dict[str, Any]:
        """The JSON of it (docs/trace.md). ``epoch`` is what to add to CLOCK_MONOTONIC, in seconds."""
        after = self.after
        return {
            "time": round(after.time / 1e9 + epoch, 6),
            "device": device,
            "program": "tc_egress" if after.direction is Direction.FORWARD else "tc_ingress",
            "family": int(after.family),
            "length": self.before.length if self.before else after.length,
            "before": tuple_of(self.before) if self.before else None,
            "after": tuple_of(after) if after.verdict != DROPPED else None,
            "verdict": self.reason.verdict,
            "reason": self.reason.name,
            "words": self.reason.words,
        }

    def as_line(self, device: str, clock: str) -> str:
        """One line for people."""
        after = self.after
        program = "egress " if after.direction is Direction.FORWARD else "ingress"
        first = describe(self.before) if self.before else "(its arrival was lost)"
        changed = "" if after.verdict == DROPPED or self.reason.verdict == "pass" else f"  =>  {describe(after)}"
        return f"{clock}  {device:<12}  {program}  {first}{changed}  {self.reason.verdict}: {self.reason.words}"


DROPPED = 2
"""TC_ACT_SHOT."""


class Pairing:
    """Joins each CPU's arrivals with the decisions that follow them there."""

    def __init__(self) -> None:
        self._arrived: dict[int, Event] = {}
        self._reasons = {reason.number: reason for reason in reasons()}

    def add(self, cpu: int, event: Event) -> Decision | None:
        """The decision that this record completes, if it does."""
        if event.kind == ARRIVED:
            self._arrived[cpu] = event
            return None
        before = self._arrived.pop(cpu, None)
        if before is not None and (before.family, before.direction) != (event.family, event.direction):
            before = None
        unknown = Reason(event.reason, str(event.reason), "pass", "a reason of another version")
        return Decision(before, event, self._reasons.get(event.reason, unknown))


def headers_of(event: Event) -> Headers | None:
    """Who talks to whom; None for a packet that cannot be read."""
    return read(event.frame, event.family)


def tuple_of(event: Event) -> dict[str, Any] | None:
    """Addresses, ports and protocol of a packet, for JSON."""
    found = headers_of(event)
    if found is None:
        return None
    return {
        "src_ip": format_address(found.source),
        "src_port": found.source_port,
        "dst_ip": format_address(found.destination),
        "dst_port": found.destination_port,
        "proto": protocol_name(found.protocol),
    }


def describe(event: Event) -> str:
    """``TCP 10.0.0.1:4000 > 10.96.0.1:80``."""
    found = headers_of(event)
    if found is None:
        return f"{event.length} bytes that cannot be read"
    if not found.source_port and not found.destination_port:
        ends = f"{format_address(found.source)} > {format_address(found.destination)}"
    else:
        source = format_endpoint(found.source, found.source_port)
        ends = f"{source} > {format_endpoint(found.destination, found.destination_port)}"
    about = f" about {protocol_name(found.quoted.protocol)}" if found.quoted else ""
    return f"{protocol_name(found.protocol)} {ends}{about}"


def protocol_name(number: int) -> str:
    """TCP, UDP, SCTP, ICMP, or the number."""
    if number in {1, 58}:
        return "ICMP" if number == 1 else "ICMPv6"
    try:
        return Protocol(number).name
    except ValueError:
        return f"protocol {number}"
