"""Writing what leaves as a capture of the same format as the one that was read."""

from __future__ import annotations

import gzip
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Self

from tcnat.errors import TcnatError
from tcnat.replay.capture import Block, Encode
from tcnat.replay.fate import Fate


class CaptureWriter(AbstractContextManager["CaptureWriter"]):
    """Blocks and unchanged packets are written byte for byte as they were read; dropped packets are left out. A file
    whose name ends in .gz is compressed."""

    def __init__(self, path: Path, encode: Encode) -> None:
        self._path = path
        self._encode = encode
        try:
            self._raw: BinaryIO = path.open("wb")
        except OSError as error:
            raise self._failure(error) from None
        self._file: BinaryIO | gzip.GzipFile = self._raw
        if path.suffix == ".gz":
            self._file = gzip.GzipFile("", "wb", fileobj=self._raw, mtime=0)

    def copy(self, block: Block) -> None:
        """Pass a block on."""
        self._write(block.record)

    def put(self, fate: Fate) -> None:
        """Write the packet as it leaves, if it does."""
        if fate.data is None:
            return
        self._write(self._encode(fate.packet, fate.data, fate.length) if fate.changed else fate.packet.record)

    def _write(self, record: bytes) -> None:
        try:
            self._file.write(record)
        except OSError as error:
            raise self._failure(error) from None

    def _failure(self, error: OSError) -> TcnatError:
        return TcnatError(f"--out {self._path}: cannot be written: {error.strerror}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        try:
            self._file.close()
            self._raw.close()
        except OSError as error:
            raise self._failure(error) from None
