"""Classic pcap: a header of 24 bytes, then records of 16 bytes and the packet (draft-ietf-opsawg-pcap)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from tcnat.replay.capture import MAX_CAPTURED, Block, Item, Packet, Source


class Format(NamedTuple):
    """What the magic number tells: byte order and the nanoseconds of a stamp's fraction."""

    order: str
    unit: int


FORMATS: dict[bytes, Format] = {
    b"\xd4\xc3\xb2\xa1": Format("<", 1000),
    b"\xa1\xb2\xc3\xd4": Format(">", 1000),
    b"\x4d\x3c\xb2\xa1": Format("<", 1),
    b"\xa1\xb2\x3c\x4d": Format(">", 1),
}
_LINK_TYPE_MASK = 0x03FFFFFF  # above it: the length of a frame check sequence
_RECORD_HEADER = 16


def read(source: Source, magic: bytes) -> Iterator[Item]:
    """The file header as a block, then every packet; ``magic`` has been read already."""
    order, unit = FORMATS[magic]
    header = source.take(20, "the file header")
    major, _, _, _, _, link_type = struct.unpack(order + "HHIIII", header)
    if major != 2:
        raise source.error(f"pcap version {major} is not known", 4)
    yield Block(magic + header)
    yield from _packets(source, order, unit, link_type & _LINK_TYPE_MASK)


def _packets(source: Source, order: str, unit: int, link_type: int) -> Iterator[Packet]:
    unpack = struct.Struct(order + "IIII").unpack
    number = 0
    while header := source.take_or_end(_RECORD_HEADER, "a record's header"):
        seconds, fraction, captured, length = unpack(header)
        number += 1
        if captured > MAX_CAPTURED:
            raise source.error(
                f"packet {number} claims {captured} captured bytes, more than a capture can hold ({MAX_CAPTURED})",
                source.offset - _RECORD_HEADER,
            )
        data = source.take(captured, f"packet {number}")
        time = seconds * 1_000_000_000 + fraction * unit
        yield Packet(number, time, link_type, data, length, header + data, order)


def encode(packet: Packet, data: bytes, length: int) -> bytes:
    """The record of ``packet`` with other data: same time stamp."""
    return packet.record[:8] + struct.pack(packet.order + "II", len(data), length) + data
