"""One packet's way through replay: to Ethernet, to its program, and back."""

from __future__ import annotations

from typing import Protocol

from tcnat.layout import Family
from tcnat.model import ServicePortName
from tcnat.reasons import Reason
from tcnat.replay import fate, headers
from tcnat.replay.capture import Packet
from tcnat.replay.fate import Fate, Party, Services, parties
from tcnat.replay.link import LINK_TYPES, Frame, captured
from tcnat.replay.side import FindSides, Side

MAX_FRAME = 65_535 + 14
"""Bytes of the longest Ethernet frame that a device takes."""


Ran = tuple[bytes | None, Reason | None, bool]
"""What a program did: the frame that left (None: dropped), why (None: nothing was counted), and whether it goes back to
the client."""


class Datapath(Protocol):
    """The programs with their maps."""

    def run(self, side: Side, family: Family, frame: bytes, time: int, plain: bool) -> Ran:
        """Run one program over an Ethernet frame at ``time`` nanoseconds of the capture's clock. ``plain``: its headers
        are surely whole and right, so that it cannot count as malformed."""


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
        header, ethernet = _as_ethernet(packet)
        family = headers.family_of(ethernet[12:14])
        if family is None:
            return _left(packet, fate.NOT_IP)
        sides = self._find_sides(*headers.addresses(ethernet, family))
        if not sides:
            return _left(packet, fate.NOT_A_CLIENTS)
        if len(ethernet) + packet.length - len(packet.data) > MAX_FRAME:
            return _left(packet, fate.TOO_LONG, sides[0])
        found = headers.read(ethernet, family)
        if packet.length > len(packet.data):
            if found is None or found.end > len(ethernet):
                return _left(packet, fate.CUT_OFF, sides[0])
            # Programs read and change headers only, so what stands behind them does not matter.
            ethernet += bytes(packet.length - len(packet.data))
        plain = found is not None and headers.is_plain(ethernet, found)
        for side in sides:
            leaving, reason, sent_back = self._datapath.run(side, family, ethernet, packet.time, plain)
            if reason is not None:
                data, length = _as_captured(packet, header, ethernet, leaving)
                about = (0, None, None, None) if found is None else self._about(side, reason, found, leaving)
                return Fate(packet, side, reason, data, length, sent_back, *about)
        return _left(packet, fate.UNTOUCHED, sides[0])

    def _about(
        self, side: Side, reason: Reason, found: headers.Headers, leaving: bytes | None
    ) -> tuple[int, Party | None, Party | None, ServicePortName | None]:
        """(protocol, front end, backend, service port) that the packet was about, as far as its headers tell."""
        front_end, backend = parties(reason, side, found, leaving)
        protocol = (found.quoted or found).protocol
        service = front_end and self._services.get((front_end.address, front_end.port, protocol))
        return protocol, front_end, backend, service


def _as_ethernet(packet: Packet) -> Frame:
    known = LINK_TYPES.get(packet.link_type)
    if known is None:
        names = ", ".join(f"{name} ({number})" for number, (name, _) in LINK_TYPES.items())
        raise UnsupportedLinkType(f"packet {packet.number} has link type {packet.link_type}; replay knows {names}")
    return known[1](packet.data)


def _left(packet: Packet, reason: Reason, side: Side | None = None) -> Fate:
    return Fate(packet, side, reason, packet.data, packet.length)


def _as_captured(packet: Packet, header: bytes | None, before: bytes, after: bytes | None) -> tuple[bytes | None, int]:
    """(what is captured of it, its length on the wire) of the Ethernet frame that leaves. One that was captured in
    part is cut again where it was, unless the program made another packet of it."""
    if after is None:
        return None, 0
    if after == before:
        return packet.data, packet.length
    data = captured(header, after)
    return (data[: len(packet.data)] if len(after) == len(before) else data), len(data)
