"""Array maps of 32-bit numbers as memory: mmap(2) of a map that was made with BPF_F_MMAPABLE (Linux 5.5).

A batch operation copies each key and each value on its own, 0.2 µs for each; a run of slots is thousands of times as
quick here. The memory is mapped only while it is copied, so that it is not counted as the agent's.
"""

from __future__ import annotations

import mmap

NUMBER_SIZE = 4
_STRIDE = 2
"""The kernel keeps an element of an array map in multiples of 8 bytes: of two numbers the first is the value."""
_PER_PAGE = mmap.PAGESIZE // (NUMBER_SIZE * _STRIDE)
_AT_ONCE = 128 * _PER_PAGE
"""Elements that are mapped at a time."""


def write_numbers(fd: int, first: int, values: bytes) -> None:
    """Write consecutive elements, joined in ``values``, from index ``first`` on. OSError where the map cannot be
    mapped, or is too small."""
    source = memoryview(values).cast("I")
    for start, count, some in _windows(first, len(source)):
        with _Window(fd, start, count, mmap.PROT_READ | mmap.PROT_WRITE) as window:
            window[::_STRIDE] = source[some : some + count]


def read_numbers(fd: int, count: int) -> bytearray:
    """The first ``count`` elements, joined. OSError as :func:`write_numbers`."""
    found = bytearray(NUMBER_SIZE * count)
    target = memoryview(found).cast("I")
    for start, some, done in _windows(0, count):
        with _Window(fd, start, some, mmap.PROT_READ) as window:
            target[done : done + some] = window[::_STRIDE]
    return found


def _windows(first: int, count: int) -> list[tuple[int, int, int]]:
    """Index, number of elements, and elements before, of the pieces that are mapped one after the other."""
    return [(first + done, min(_AT_ONCE, count - done), done) for done in range(0, count, _AT_ONCE)]


class _Window:
    """So many elements from an index on, each two numbers wide, while the block runs."""

    def __init__(self, fd: int, first: int, count: int, protection: int) -> None:
        page, skipped = divmod(first, _PER_PAGE)
        pages = -(-(skipped + count) // _PER_PAGE)
        self._memory = mmap.mmap(fd, pages * mmap.PAGESIZE, prot=protection, offset=page * mmap.PAGESIZE)
        self._view = memoryview(self._memory).cast("I")
        self._window = self._view[skipped * _STRIDE : (skipped + count) * _STRIDE]

    def __enter__(self) -> memoryview:
        return self._window

    def __exit__(self, *_: object) -> None:
        self._window.release()
        self._view.release()
        self._memory.close()
