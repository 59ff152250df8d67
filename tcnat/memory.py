"""Array maps of 32-bit numbers as memory: mmap(2) of a map that was made with BPF_F_MMAPABLE (Linux 5.5).

A batch operation copies each key and each value on its own, 0.2 µs for each; a run of slots is thousands of times as
quick here. The memory is mapped only while it is copied, so that it is not counted as the agent's.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator

NUMBER_SIZE = 4
_STRIDE = 2
"""The kernel keeps an element of an array map in multiples of 8 bytes: of two numbers the first is the value."""
_PER_PAGE = mmap.PAGESIZE // (NUMBER_SIZE * _STRIDE)
_AT_ONCE = 128 * _PER_PAGE
"""Elements that are mapped at a time."""
_NEAR = 32 * _PER_PAGE
"""Mapping so many elements more costs about as much as mapping once more."""


def write_numbers(fd: int, runs: Iterable[tuple[int, bytes]]) -> None:
    """Write runs of consecutive elements, each from an index on, joined; the indexes rise. OSError where the map cannot
    be mapped, or is too small."""
    for start, stop, pieces in _windows(runs):
        page = start // _PER_PAGE
        with _mapped(fd, page, stop, mmap.PROT_READ | mmap.PROT_WRITE) as raw, memoryview(raw).cast("I") as window:
            for first, values in pieces:
                at = (first - page * _PER_PAGE) * _STRIDE
                window[at : at + len(values) * _STRIDE : _STRIDE] = values


def read_numbers(fd: int, count: int) -> bytearray:
    """The first ``count`` elements, joined. OSError as :func:`write_numbers`."""
    found = bytearray(NUMBER_SIZE * count)
    target = memoryview(found).cast("I")
    for start in range(0, count, _AT_ONCE):
        stop = min(start + _AT_ONCE, count)
        with _mapped(fd, start // _PER_PAGE, stop, mmap.PROT_READ) as raw, memoryview(raw).cast("I") as window:
            target[start:stop] = window[: (stop - start) * _STRIDE : _STRIDE]
    return found


def _windows(runs: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, int, list[tuple[int, memoryview]]]]:
    """The runs in pieces that are mapped together: from which element up to which, and each piece's first."""
    start = stop = 0
    pieces: list[tuple[int, memoryview]] = []
    for first, joined in runs:
        values = memoryview(joined).cast("I")
        for done in range(0, len(values), _AT_ONCE):
            piece = values[done : done + _AT_ONCE]
            begin, end = first + done, first + done + len(piece)
            if pieces and (begin - stop > _NEAR or end - start > _AT_ONCE):
                yield start, stop, pieces
                pieces = []
            if not pieces:
                start = begin
            stop = end
            pieces.append((begin, piece))
    if pieces:
        yield start, stop, pieces


def _mapped(fd: int, page: int, stop: int, protection: int) -> mmap.mmap:
    """The elements from a page's first up to ``stop``, of two numbers each."""
    pages = -(-stop // _PER_PAGE) - page
    return mmap.mmap(fd, pages * mmap.PAGESIZE, prot=protection, offset=page * mmap.PAGESIZE)
