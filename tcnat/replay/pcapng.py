"""pcapng: sections of blocks, several interfaces, stamps of any resolution (draft-ietf-opsawg-pcapng)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from tcnat.replay.capture import MAX_CAPTURED, Block, Item, Packet, Source

MAGIC = b"\x0a\x0d\x0d\x0a"
_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 0x0A0D0D0A, 1, 2, 3, 6
_PACKETS = frozenset({_OLD_PACKET, _SIMPLE_PACKET, _PACKET})
_CUSTOM_NOT_COPIED = 0x40000BAD
_ORDERS = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
_UNKNOWN_LENGTH = b"\xff" * 8
_OPTION_RESOLUTION, _OPTION_OFFSET = 9, 14
MAX_BLOCK = 1 << 24
"""Bytes of the largest block that is taken for whole (libpcap's limit)."""


class Interface(NamedTuple):
    """One interface of a section. A stamp counts ``units`` of a second, from ``offset`` nanoseconds on."""

    link_type: int
    snap_length: int
    units: int
    offset: int


def read(source: Source) -> Iterator[Item]:
    """Every block; the first section's type has been read already. Raises CaptureError where the capture breaks."""
    return _Reader(source).items()


class _Reader:
    """What the capture has told so far: the section's byte order and interfaces, the last packet's number and time."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._order = "<"
        self._interfaces: list[Interface] = []
        self._number = 0
        self._time = 0

    def items(self) -> Iterator[Item]:
        """The section header, then block by block."""
        yield self._section(0)
        while kind := self._source.take_or_end(4, "a block's type"):
            start = self._source.offset - 4
            if kind == MAGIC:
                yield self._section(start)
                continue
            record = self._rest(kind + self._source.take(4, "a block's length"), start, 12)
            block_type = struct.unpack_from(self._order + "I", record)[0]
            if block_type in _PACKETS:
                yield self._packet(record, block_type, start)
                continue
            if block_type == _INTERFACE:
                self._interfaces.append(self._interface(record, start))
            if block_type != _CUSTOM_NOT_COPIED:
                yield Block(record)

    def _section(self, start: int) -> Block:
        """A section header, with its length made unknown: what follows may be rewritten."""
        raw = self._source.take(8, "a section header")
        order = _ORDERS.get(raw[4:])
        if order is None:
            raise self._source.error("a section header without its byte-order magic", start)
        self._order = order
        self._interfaces = []
        record = self._rest(MAGIC + raw, start, 28)
        major = struct.unpack_from(order + "H", record, 12)[0]
        if major != 1:
            raise self._source.error(f"pcapng version {major} is not known", start)
        return Block(record[:16] + _UNKNOWN_LENGTH + record[24:])

    def _rest(self, begun: bytes, start: int, least: int) -> bytes:
        """The whole block that began with ``begun``; its two lengths must agree."""
        length = struct.unpack_from(self._order + "I", begun, 4)[0]
        if length % 4 or not least <= length <= MAX_BLOCK:
            raise self._source.error(f"a block cannot have {length} bytes", start)
        record = begun + self._source.take(length - len(begun), f"the block that begins at byte {start}")
        if record[-4:] != begun[4:8]:
            last = struct.unpack(self._order + "I", record[-4:])[0]
            raise self._source.error(f"the block's two lengths differ ({length} and {last})", start)
        return record

    def _interface(self, record: bytes, start: int) -> Interface:
        if len(record) < 20:
            raise self._source.error("an interface block that is too short", start)
        link_type, _, snap_length = struct.unpack_from(self._order + "HHI", record, 8)
        options = dict(_options(self._order, record[16:-4]))
        resolution = (options.get(_OPTION_RESOLUTION) or b"\x06")[0]
        units = int((2 if resolution & 0x80 else 10) ** (resolution & 0x7F))
        seconds = options.get(_OPTION_OFFSET, b"")
        offset = struct.unpack(self._order + "q", seconds)[0] * 1_000_000_000 if len(seconds) == 8 else 0
        return Interface(link_type, snap_length, units, offset)

    def _packet(self, record: bytes, kind: int, start: int) -> Packet:
        """The packet of a packet block. A simple one has no stamp: the last packet's time is taken."""
        self._number += 1
        try:
            index, stamp, at, captured, length = self._parts(record, kind)
            interface = self._interfaces[index]
        except (struct.error, IndexError):
            raise self._source.error(
                f"packet {self._number} is too short, or of an interface that was not described", start
            ) from None
        room = min(len(record) - at - 4, MAX_CAPTURED)
        if captured > room:
            raise self._source.error(f"packet {self._number} claims {captured} bytes where {room} are", start)
        if stamp is not None:
            self._time = stamp * 1_000_000_000 // interface.units + interface.offset
        data = record[at : at + captured]
        return Packet(self._number, self._time, interface.link_type, data, length, record, self._order)

    def _parts(self, record: bytes, kind: int) -> tuple[int, int | None, int, int, int]:
        """(interface, stamp, offset of the data, captured length, length on the wire)."""
        if kind == _PACKET:
            index, high, low, captured, length = struct.unpack_from(self._order + "IIIII", record, 8)
            return index, high << 32 | low, 28, captured, length
        if kind == _OLD_PACKET:
            index, _, high, low, captured, length = struct.unpack_from(self._order + "HHIIII", record, 8)
            return index, high << 32 | low, 28, captured, length
        length = struct.unpack_from(self._order + "I", record, 8)[0]
        snap_length = self._interfaces[0].snap_length
        return 0, None, 12, min(length, snap_length or length), length


def _options(order: str, raw: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(raw):
        code, length = struct.unpack_from(order + "HH", raw, at)
        if code == 0:
            return
        yield code, raw[at + 4 : at + 4 + length]
        at += 4 + length + -length % 4


def encode(packet: Packet, data: bytes, length: int) -> bytes:
    """The block of ``packet`` with other data: same interface and stamp, no options (a hash would be wrong)."""
    words = struct.Struct(packet.order + "II")
    kind = words.unpack_from(packet.record)[0]
    if kind == _SIMPLE_PACKET:
        head = struct.pack(packet.order + "I", length)
    elif kind == _OLD_PACKET:
        index = struct.unpack_from(packet.order + "H", packet.record, 8)[0]
        head = struct.pack(packet.order + "I", index) + packet.record[12:20] + words.pack(len(data), length)
        kind = _PACKET
    else:
        head = packet.record[8:20] + words.pack(len(data), length)
    body = head + data + bytes(-len(data) % 4)
    return words.pack(kind, len(body) + 12) + body + words.pack(len(body) + 12, 0)[:4]
