"""Captures as streams: packets, the blocks between them, and where in the file the reading broke off.

scapy's readers end silently where a capture is cut off and read blocks of any claimed size whole, so the formats are
read here: classic pcap (libpcap's savefile format) and pcapng (draft-ietf-opsawg-pcapng), each in its own module.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple, Self

from tcnat.errors import TcnatError

BROKEN = 2
"""The exit code for a capture that cannot be read to its end."""
MAX_CAPTURED = 262_144
"""Bytes that one packet can have in a capture (libpcap's MAXIMUM_SNAPLEN)."""
_GZIP_MAGIC = b"\x1f\x8b"


class CaptureError(TcnatError):
    """A capture that is broken from ``offset`` on (bytes of the uncompressed data)."""

    exit_code = BROKEN

    def __init__(self, name: str, offset: int, what: str) -> None:
        super().__init__(f"{name}: broken at byte {offset}: {what}")
        self.offset = offset


class Packet(NamedTuple):
    """One captured packet. ``data`` is what was captured of the ``length`` bytes that were on the wire."""

    number: int
    """From 1, as Wireshark counts."""
    time: int
    """Nanoseconds since the epoch."""
    link_type: int
    data: bytes
    length: int
    record: bytes
    """The whole record as it stands in the file."""
    order: str
    """Byte order of the record: ``<`` or ``>``."""


class Block(NamedTuple):
    """Anything in a capture that is not a packet: headers, interfaces, names, statistics."""

    record: bytes


Item = Packet | Block
Encode = Callable[[Packet, bytes, int], bytes]
"""(packet, data, length on the wire) -> the record of that packet with other data."""


class Source:
    """Bytes of a capture, counted. ``name`` is for messages; ``size`` 0 means that it is not known."""

    def __init__(self, name: str, raw: io.BufferedReader, size: int = 0) -> None:
        self.name = name
        self.size = size
        self.offset = 0
        self._raw = raw
        self._stream = raw
        if raw.peek(2)[:2] == _GZIP_MAGIC:
            self._stream = io.BufferedReader(gzip.GzipFile(fileobj=raw), 1 << 16)

    def position(self) -> int:
        """Bytes of the file read so far, compressed if it is."""
        return self._raw.tell() if self.size else 0

    def take(self, count: int, what: str) -> bytes:
        """Exactly ``count`` bytes of ``what``, or CaptureError at the offset where they begin."""
        data = self.take_or_end(count, what)
        if len(data) != count:
            raise self.error(f"the file ends after {len(data)} of the {count} bytes of {what}")
        return data

    def take_or_end(self, count: int, what: str) -> bytes:
        """As :meth:`take`, but b"" where the file ends before the first byte."""
        try:
            data = self._stream.read(count)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise self.error(f"the gzip data ends or breaks here ({error})") from None
        except OSError as error:
            raise self.error(f"cannot be read ({error.strerror})") from None
        if data and len(data) != count:
            raise self.error(f"the file ends after {len(data)} of the {count} bytes of {what}")
        self.offset += len(data)
        return data

    def error(self, what: str, offset: int | None = None) -> CaptureError:
        """What is wrong at ``offset`` (here if None)."""
        return CaptureError(self.name, self.offset if offset is None else offset, what)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        self._raw.close()


class Capture(AbstractContextManager["Capture"]):
    """A capture being read: iterate it once for its items; ``encode`` makes records of the same format."""

    def __init__(self, source: Source, items: Iterator[Item], encode: Encode) -> None:
        self.source = source
        self.encode = encode
        self._items = items

    def __iter__(self) -> Iterator[Item]:
        return self._items

    def packets(self) -> Iterator[Packet]:
        """The packets alone."""
        return (item for item in self._items if isinstance(item, Packet))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.source.close()
