"""Capture files from nothing, after the formats' specifications: what the readers are tested with."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Shot(NamedTuple):
    """One packet of a capture: time in nanoseconds, what was captured, how long it was (None: as long as that)."""

    time: int
    data: bytes
    length: int | None = None
    interface: int = 0

    @property
    def on_wire(self) -> int:
        return len(self.data) if self.length is None else self.length


def pcap(
    shots: Iterable[Shot], order: str = "<", *, nano: bool = False, link_type: int = 1, snap: int = 262144
) -> bytes:
    """draft-ietf-opsawg-pcap."""
    magic, unit = (0xA1B23C4D, 1) if nano else (0xA1B2C3D4, 1000)
    records = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snap, link_type)]
    for shot in shots:
        seconds, nanoseconds = divmod(shot.time, 10**9)
        records.append(struct.pack(order + "IIII", seconds, nanoseconds // unit, len(shot.data), shot.on_wire))
        records.append(shot.data)
    return b"".join(records)


class Port(NamedTuple):
    """An interface of a pcapng section; ``resolution`` as in if_tsresol."""

    link_type: int = 1
    resolution: int | None = None
    offset: int | None = None
    snap: int = 0

    @property
    def units(self) -> int:
        """Stamps in a second."""
        code = 6 if self.resolution is None else self.resolution
        return (2 if code & 0x80 else 10) ** (code & 0x7F)


def block(order: str, kind: int, body: bytes) -> bytes:
    """A pcapng block."""
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def option(order: str, code: int, value: bytes) -> bytes:
    """A pcapng option."""
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str = "<", length: int = -1) -> bytes:
    """A section header block."""
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, length))


def interface(port: Port, order: str = "<") -> bytes:
    """An interface description block."""
    options = b""
    if port.resolution is not None:
        options += option(order, 9, bytes((port.resolution,)))
    if port.offset is not None:
        options += option(order, 14, struct.pack(order + "q", port.offset))
    if options:
        options += option(order, 0, b"")
    return block(order, 1, struct.pack(order + "HHI", port.link_type, 0, port.snap) + options)


def packet(shot: Shot, port: Port, order: str = "<", *, comment: str = "") -> bytes:
    """An enhanced packet block."""
    stamp = (shot.time - (port.offset or 0) * 10**9) * port.units // 10**9
    head = struct.pack(order + "IIIII", shot.interface, stamp >> 32, stamp & 0xFFFFFFFF, len(shot.data), shot.on_wire)
    options = option(order, 1, comment.encode()) + option(order, 0, b"") if comment else b""
    return block(order, 6, head + shot.data + bytes(-len(shot.data) % 4) + options)


def simple_packet(shot: Shot, order: str = "<") -> bytes:
    """A simple packet block."""
    return block(order, 3, struct.pack(order + "I", shot.on_wire) + shot.data)


def old_packet(shot: Shot, port: Port, order: str = "<") -> bytes:
    """An obsolete packet block."""
    stamp = shot.time * port.units // 10**9
    head = struct.pack(
        order + "HHIIII", shot.interface, 0, stamp >> 32, stamp & 0xFFFFFFFF, len(shot.data), shot.on_wire
    )
    return block(order, 2, head + shot.data)


def pcapng(shots: Iterable[Shot], ports: Sequence[Port] = (Port(),), order: str = "<") -> bytes:
    """A capture of one section."""
    blocks = [section(order), *(interface(port, order) for port in ports)]
    return b"".join([*blocks, *(packet(shot, ports[shot.interface], order) for shot in shots)])
