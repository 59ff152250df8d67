"""Array maps of 32-bit numbers as memory: mmap(2) of a map that was made with BPF_F_MMAPABLE (Linux 5.5).

A batch operation copies each key and each value on its own, 0.2 µs for each; a run of slots is thousands of times as
quick here. The memory is mapped only while it is copied, so that it is not counted as the agent's.
"""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Iterable, Iterator

NUMBER_SIZE = 4
ELEMENT_SIZE = 8
"""The kernel keeps an element of an array map in multiples of 8 bytes: of two numbers the first is the value."""
_STRIDE = ELEMENT_SIZE // NUMBER_SIZE
_PER_PAGE = mmap.PAGESIZE // ELEMENT_SIZE
_AT_ONCE = 128 * _PER_PAGE
"""Elements that are mapped at a time."""
_NEAR = 32 * _PER_PAGE
"""Mapping so many elements more costs about as much as mapping once more."""


def padded(values: bytes) -> bytes:
    """Joined numbers as elements of a map's memory."""
    elements = array("I", bytes(_STRIDE * len(values)))
    elements[::_STRIDE] = array("I", values)
    return elements.tobytes()


def narrow(elements: bytes) -> bytes:
    """The numbers in :func:`padded` ones."""
    return memoryview(elements).cast("I")[::_STRIDE].tobytes()


def write_elements(fd: int, runs: Iterable[tuple[int, bytes]]) -> None:
    """Write runs of consecutive elements, each from an index on and :func:`padded`; the indexes rise. OSError where the
    map cannot be mapped, or is too small."""
    for start, stop, pieces in _windows(runs):
        page = start // _PER_PAGE
        with _mapped(fd, page, stop, mmap.PROT_READ | mmap.PROT_WRITE) as window:
            for first, elements in pieces:
                at = (first - page * _PER_PAGE) * ELEMENT_SIZE
                window[at : at + len(elements)] = elements


def read_numbers(fd: int, count: int) -> bytearray:
    """The first ``count`` elements, joined. OSError as :func:`write_elements`."""
    found = bytearray(NUMBER_SIZE * count)
    target = memoryview(found).cast("I")
    for start in range(0, count, _AT_ONCE):
        stop = min(start + _AT_ONCE, count)
        with _mapped(fd, start // _PER_PAGE, stop, mmap.PROT_READ) as raw, memoryview(raw).cast("I") as window:
            target[start:stop] = window[: (stop - start) * _STRIDE : _STRIDE]
    return found


def _windows(runs: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, int, list[tuple[int, bytes]]]]:
    """The runs in pieces that are mapped together: from which element up to which, and each piece's first."""
    start = stop = 0
    pieces: list[tuple[int, bytes]] = []
    for first, piece in _pieces(runs):
        end = first + len(piece) // ELEMENT_SIZE
        if pieces and (first - stop > _NEAR or end - start > _AT_ONCE):
            yield start, stop, pieces
            pieces = []
        if not pieces:
            start = first
        stop = end
        pieces.append((first, piece))
    if pieces:
        yield start, stop, pieces


def _pieces(runs: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """The runs, none longer than what is mapped at a time."""
    for first, elements in runs:
        for done in range(0, len(elements), _AT_ONCE * ELEMENT_SIZE):
            yield first + done // ELEMENT_SIZE, elements[done : done + _AT_ONCE * ELEMENT_SIZE]


def _mapped(fd: int, page: int, stop: int, protection: int) -> mmap.mmap:
    """The elements from a page's first up to ``stop``, of two numbers each."""
    pages = -(-stop // _PER_PAGE) - page
    return mmap.mmap(fd, pages * mmap.PAGESIZE, prot=protection, offset=page * mmap.PAGESIZE)
