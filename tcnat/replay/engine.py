"""One packet's way through replay: to Ethernet, to its program, and back."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from tcnat.layout import Family
from tcnat.model import ServicePortName
from tcnat.reasons import Reason
from tcnat.replay import fate, headers
from tcnat.replay.capture import Packet
from tcnat.replay.fate import Fate, Services
from tcnat.replay.link import LINK_TYPES, Frame
from tcnat.replay.side import FindSides, Side

MAX_FRAME = 65_535 + 14
"""Bytes of the longest Ethernet frame that a device takes."""


class Ran(NamedTuple):
    """What a program did: the frame that left (None: dropped), why (None: nothing was counted), and whether it goes
    back to the client."""

    frame: bytes | None
    reason: Reason | None
    sent_back: bool = False


class Datapath(Protocol):
    """The programs with their maps."""

    def run(self, side: Side, family: Family, frame: bytes, time: int, plain: bool) -> Ran:
        """Run one program over an Ethernet frame at ``time`` nanoseconds of the capture's clock. ``plain``: its headers
        are surely whole and right, so that it cannot count as malformed."""


class _Way(NamedTuple):
    """A packet as it came, as Ethernet, and what could be read of its headers."""

    packet: Packet
    frame: Frame
    family: Family
    headers: headers.Headers | None


class UnsupportedLinkType(ValueError):
    """A packet of a link type that replay does not know."""


class Engine:
    """Replays packets in order; the state lies in the datapath's maps and in ``find_sides``."""

    def __init__(self, datapath: Datapath, find_sides: FindSides, services: Services) -> None:
        self._datapath = datapath
        self._find_sides = find_sides
        self._services = services

    def replay(self, packet: Packet) -> Fate:
        """What becomes of the next packet; UnsupportedLinkType if its link type is not known."""
        frame = _frame(packet)
        family = headers.family_of(frame.ethertype)
        if family is None:
            return _left(packet, fate.NOT_IP)
        sides = self._find_sides(*headers.addresses(frame.ethernet, family))
        if not sides:
            return _left(packet, fate.NOT_A_CLIENTS)
        way = _Way(packet, frame, family, headers.read(frame.ethernet, family))
        ethernet, reason = _filled(way)
        if reason is not None:
            return _left(packet, reason, sides[0])
        plain = way.headers is not None and headers.is_plain(ethernet, way.headers)
        for side in sides:
            ran = self._datapath.run(side, family, ethernet, packet.time, plain)
            if ran.reason is not None:
                return self._fate(way, side, ethernet, ran)
        return _left(packet, fate.UNTOUCHED, sides[0])

    def _fate(self, way: _Way, side: Side, ethernet: bytes, ran: Ran) -> Fate:
        assert ran.reason is not None
        data, length = _leaving(way, ethernet, ran.frame)
        before = way.headers
        if before is None:
            return Fate(way.packet, side, ran.reason, data, length, ran.sent_back)
        sent_on = ran.reason.verdict == "rewrite"
        after = headers.read_again(ran.frame, before) if sent_on and ran.frame is not None else None
        front_end, backend = fate.parties(ran.reason, side, before, after)
        protocol = (before.quoted or before).protocol
        service = self._service(front_end, protocol)
        return Fate(way.packet, side, ran.reason, data, length, ran.sent_back, protocol, front_end, backend, service)

    def _service(self, front_end: fate.Party | None, protocol: int) -> ServicePortName | None:
        if front_end is None:
            return None
        return self._services.get((front_end.address, front_end.port, protocol))


def _frame(packet: Packet) -> Frame:
    known = LINK_TYPES.get(packet.link_type)
    if known is None:
        names = ", ".join(f"{name} ({number})" for number, (name, _) in LINK_TYPES.items())
        raise UnsupportedLinkType(f"packet {packet.number} has link type {packet.link_type}; replay knows {names}")
    return known[1](packet.data)


def _left(packet: Packet, reason: Reason, side: Side | None = None) -> Fate:
    return Fate(packet, side, reason, packet.data, packet.length)


def _filled(way: _Way) -> tuple[bytes, Reason | None]:
    """The Ethernet frame as long as it was on the wire, with zeros for what was not captured; or why it cannot be had.
    Programs read and change headers only, so what stands behind them does not matter."""
    ethernet = way.frame.ethernet
    missing = way.packet.length - len(way.packet.data)
    if len(ethernet) + max(missing, 0) > MAX_FRAME:
        return ethernet, fate.TOO_LONG
    if missing <= 0:
        return ethernet, None
    if way.headers is None or way.headers.end > len(ethernet):
        return ethernet, fate.CUT_OFF
    return ethernet + bytes(missing), None


def _leaving(way: _Way, before: bytes, after: bytes | None) -> tuple[bytes | None, int]:
    """(what is captured of it, its length on the wire) of the Ethernet frame that leaves. One that was captured in
    part is cut again where it was, unless the program made another packet of it."""
    if after is None:
        return None, 0
    if after == before:
        return way.packet.data, way.packet.length
    length = len(after) - way.frame.added()
    if len(after) == len(before):
        after = after[: len(way.frame.ethernet)]
    return way.frame.captured(after), length
