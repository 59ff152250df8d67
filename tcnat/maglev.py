"""Slot tables: which backend each slot of a front end holds.

The population is that of Maglev (Eisenbud et al., NSDI 2016, §3.4): every backend prefers the slots in an order of its
own, a permutation drawn from a hash of its address and port, and the backends take their next free slot in turns. So
shares differ by one slot at most, and where one backend goes the others keep nearly all of theirs, **as long as the
table keeps its size**. Two things see to that:

* sizes come in steps that lie a factor of 2 apart, each a prime of at least :data:`SLOTS_PER_BACKEND` slots for each
  backend, which keeps shares within 5 % of even;
* where a table stands already, :func:`table_size` keeps its size until it is :data:`SPARE` times too large.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import chain, cycle, filterfalse, islice
from typing import Any, TypeVar

from tcnat.model import Backend

SLOTS_PER_BACKEND = 25
"""At least so many slots for each backend: one slot more or less is then 4 % of a share. A larger table takes longer to
make; in one of 20 slots for each, the slots that move without need when a backend goes are now and then more than 5 %
of all."""
STEP = 2
"""How far one table size lies from the next."""
FEW = 5
"""Up to so many backends share the smallest size."""
SPARE = 32
"""A table that stands is kept until it has so many times more slots than are needed."""
REACH, LEAST_AHEAD = 65536, 16
"""A list of about so many slots is kept to take a backend's next ones from, these at least, all at once."""
_BYTE = 256
Name = TypeVar("Name", int, bytes)
Preference = tuple[int, int]
"""Two 64-bit numbers: a backend's first slot and its step through the others, each modulo what a table's size tells."""
_two_numbers = struct.Struct(">QQ").unpack


def table_size(backends: int, present: int = 0) -> int:
    """Slots for so many backends: 0 for none, 2 for one (no choice to spread), else a prime.

    ``present`` is the size of the front end's table in the maps, 0 if it has none. It is kept where it still fits, so
    that a backend that goes moves none but its own flows.
    """
    if backends < 2:
        return 2 * backends
    if backends * SLOTS_PER_BACKEND <= present <= backends * SLOTS_PER_BACKEND * SPARE:
        return present
    most = FEW
    while most < backends:
        most *= STEP
    size = most * SLOTS_PER_BACKEND
    while not is_prime(size):
        size += 1
    return size


def is_prime(number: int) -> bool:
    """Whether a number above 1 is a prime: a table's size must be, for every step through it to meet all slots."""
    return all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def table(backends: Sequence[Backend], size: int = 0) -> list[int]:
    """For each slot the index in ``backends`` of the one that holds it.

    ``backends`` are unique; their order does not matter to which backend holds a slot. ``size`` is a prime (or 2 for
    one backend), by default :func:`table_size`'s.
    """
    preferences = [preference(address + port.to_bytes(2, "big")) for address, port in backends]
    return [number - 1 for number in held(preferences, range(1, len(backends) + 1), size)]


def preference(end: bytes) -> Preference:
    """What the order follows from in which a backend prefers the slots of a table of any size. ``end``: its address and
    port, as packets have them."""
    offset, skip = _two_numbers(blake2b(end, digest_size=16).digest())
    return offset, skip


def held(preferences: Sequence[Preference], names: Sequence[Name], size: int = 0) -> list[Name]:
    """As :func:`table`, with the ``names`` of backends that have these preferences, none of them 0 or empty, in place
    of their indexes."""
    size = size or table_size(len(preferences))
    if len(preferences) < 2:
        return list(names) * size
    slots: list[Any] = [None] * size
    takers = _takers(sorted(zip(preferences, names, strict=True)), slots)
    for name, free in islice(cycle(takers), size):
        slots[next(free)] = name
    return slots


def _takers(turns: Iterable[tuple[Preference, Name]], slots: list[Any]) -> list[tuple[Name, Iterator[int]]]:
    """For each of ``turns``: its name, and the ``slots`` that are free when its walk comes to them. The walk is first,
    first + step, … modulo their number, through all of them.

    A slot that is taken stays so: what looks for the next free one goes on where it stopped. Most steps are taken in
    there, and none of them by Python code.
    """
    size = len(slots)
    taken = slots.__getitem__
    some = _slots_in_order(size)
    whole = len(some) > size * size
    takers: list[tuple[Name, Iterator[int]]] = []
    for (offset, skip), name in turns:
        first, step = offset % size, skip % (size - 1) + 1
        walk = (
            some[first : first + size * step : step] if whole else chain.from_iterable(_pieces(some, first, step, size))
        )
        takers.append((name, filterfalse(taken, walk)))
    return takers


def _pieces(some: Sequence[int], first: int, step: int, size: int) -> Iterator[Sequence[int]]:
    """A walk, some slots at a time, without an end."""
    ahead = (len(some) // size - 1) * step
    while True:
        yield some[first : first + ahead : step]
        first = (first + ahead) % size


@lru_cache(maxsize=3)
def _slots_in_order(size: int) -> Sequence[int]:
    """0 … ``size`` − 1, and this again and again: a slice of it with a step walks through the slots."""
    slots = range(size)
    small = size <= _BYTE  # as bytes they stay in a cache
    return (bytes(slots) if small else [*slots]) * (max(LEAST_AHEAD, min(size, REACH // size)) + 1)
