"""Which format a capture has: pcap or pcapng, compressed or not."""

from __future__ import annotations

from pathlib import Path

from tcnat.errors import TcnatError
from tcnat.replay import pcap, pcapng
from tcnat.replay.capture import BROKEN, Capture, CaptureError, Source


def open_capture(path: Path) -> Capture:
    """The capture in a file, or on standard input for ``-``; compressed by gzip or not.

    CaptureError if it is neither pcap nor pcapng, TcnatError (exit code 2) if it cannot be opened.
    """
    if str(path) == "-":
        return read_capture(Source("standard input", open(0, "rb", closefd=False)))
    try:
        return read_capture(Source(str(path), path.open("rb"), path.stat().st_size))
    except OSError as error:
        raise TcnatError(f"{path}: cannot be read: {error.strerror}", exit_code=BROKEN) from None


def read_capture(source: Source) -> Capture:
    """The capture in ``source``, by its first four bytes."""
    magic = source.take_or_end(4, "the magic number")
    if magic in pcap.FORMATS:
        return Capture(source, pcap.read(source, magic), pcap.encode)
    if magic == pcapng.MAGIC:
        return Capture(source, pcapng.read(source), pcapng.encode)
    if not magic:
        raise CaptureError(source.name, 0, "the file is empty")
    begin = magic.hex(" ")
    raise CaptureError(source.name, 0, f"neither pcap nor pcapng (it begins with {begin}); editcap can convert it")
