"""Who has which number and which run of slots. Pure bookkeeping; nothing here knows what is kept there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain


class Numbers:
    """The numbers ``first`` … ``limit`` − 1, taken lowest first."""

    def __init__(self, first: int, limit: int) -> None:
        self.limit = limit
        self.left = limit - first
        """How many are free."""
        self._hint = first  # nothing below is free
        self._used = bytearray(first)  # grows as numbers are taken

    def free(self) -> FreeNumbers:
        """The free numbers, for whoever plans to take some."""
        return FreeNumbers(self.left, self._used, self._hint)

    def claim(self, number: int) -> None:
        """Take this very number, which must be free."""
        if number >= len(self._used):
            self._used.extend(bytes(number + 1 - len(self._used)))
        self._used[number] = 1
        self.left -= 1
        self._hint += number == self._hint

    def give(self, number: int) -> None:
        """Free a number that is taken."""
        self._used[number] = 0
        self.left += 1
        self._hint = min(self._hint, number)


class FreeNumbers:
    """Numbers that are free, each given out once; nobody has them by that. Good until some are taken or given back."""

    def __init__(self, left: int, used: bytearray, first: int) -> None:
        self.left = left
        self._used = used
        self._next = first

    def take(self) -> int:
        """The lowest that was not given out yet; ``left`` must not be 0."""
        number = self._used.find(0, self._next)
        if number < 0:
            number = max(len(self._used), self._next)
        self.left -= 1
        self._next = number + 1
        return number


class Runs:
    """Contiguous runs of the slots 0 … ``capacity`` − 1. Between those that are taken lie holes; neighbours join."""

    def __init__(self, capacity: int, taken: Iterable[tuple[int, int]] = ()) -> None:
        """``taken`` are disjoint (base, count) in rising order."""
        self.capacity = capacity
        self.left = 0
        """How many slots are free."""
        self._size: dict[int, int] = {}  # where a hole starts -> slots
        self._start: dict[int, int] = {}  # where a hole ends -> where it starts
        self._of_size: dict[int, dict[int, None]] = {}  # slots -> where holes of so many start, the latest last
        top = 0
        for base, count in taken:
            self._add_hole(top, base - top)
            top = base + count
        self._add_hole(top, capacity - top)

    def free(self) -> FreeRuns:
        """The free runs, for whoever plans to take some."""
        return FreeRuns(self.left, self._of_size)

    def claim(self, base: int, count: int) -> None:
        """Take the first ``count`` slots of the hole that starts at ``base``."""
        size = self._size[base]
        self._remove_hole(base)
        self._add_hole(base + count, size - count)

    def give(self, base: int, count: int) -> None:
        """Free a run that is taken."""
        end = base + count
        if end in self._size:
            following = self._size[end]
            self._remove_hole(end)
            end += following
        if base in self._start:
            before = self._start[base]
            self._remove_hole(before)
            base = before
        self._add_hole(base, end - base)

    def _add_hole(self, base: int, size: int) -> None:
        if size:
            self._size[base] = size
            self._start[base + size] = base
            self._of_size.setdefault(size, {})[base] = None
            self.left += size

    def _remove_hole(self, base: int) -> None:
        size = self._size.pop(base)
        del self._start[base + size]
        starts = self._of_size[size]
        del starts[base]
        if not starts:
            del self._of_size[size]
        self.left -= size


class FreeRuns:
    """Runs that are free, each given out once; nobody has them by that. Good until some are taken or given back.

    A hole of exactly the wanted size is used first, else the smallest that is large enough. Sizes of slot tables are
    few (:func:`tcnat.maglev.table_size`), so holes are nearly always used again whole.
    """

    def __init__(self, left: int, holes: Mapping[int, dict[int, None]]) -> None:
        """``holes``: by their slots, where they start."""
        self.left = left
        """How many slots are free."""
        self._number = {size: len(starts) for size, starts in holes.items()}  # slots -> holes of so many
        self._holes = holes
        self._starts: dict[int, Iterator[int]] = {}  # slots -> where those start, as far as holes of so many were used

    def fits(self, count: int) -> bool:
        """Whether :meth:`take` would find room."""
        return count in self._number or max(self._number, default=0) >= count

    def take(self, count: int) -> int:
        """The base of a free run of ``count`` slots, which was not given out yet; :meth:`fits` must hold."""
        size = count if count in self._number else min(size for size in self._number if size >= count)
        starts = self._starts[size] = self._starts_of(size)
        base = next(starts)
        self._count(size, -1)
        if size > count:
            rest = size - count
            self._starts[rest] = chain((base + count,), self._starts_of(rest))
            self._count(rest, 1)
        self.left -= count
        return base

    def _starts_of(self, size: int) -> Iterator[int]:
        return self._starts.get(size) or reversed(self._holes.get(size, {}))

    def _count(self, size: int, change: int) -> None:
        number = self._number.get(size, 0) + change
        if number:
            self._number[size] = number
        else:
            del self._number[size]
