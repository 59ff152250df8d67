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

from collections.abc import Sequence
from hashlib import blake2b

from tcnat.model import Backend

SLOTS_PER_BACKEND = 32
"""At least so many slots for each backend: one slot more or less is then 3 % of a share."""
STEP = 2
"""How far one table size lies from the next."""
FEW = 5
"""Up to so many backends share the smallest size."""
SPARE = 32
"""A table that stands is kept until it has so many times more slots than are needed."""


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
    return _prime_from(most * SLOTS_PER_BACKEND)


def table(backends: Sequence[Backend], size: int = 0) -> list[int]:
    """For each slot the index in ``backends`` of the one that holds it.

    ``backends`` are unique; their order does not matter to which backend holds a slot. ``size`` is a prime (or 2 for
    one backend), by default :func:`table_size`'s.
    """
    size = size or table_size(len(backends))
    if len(backends) < 2:
        return [0] * size
    digests = [_digest(backend) for backend in backends]
    turns = sorted(range(len(backends)), key=digests.__getitem__)
    return _populate(turns, [_preference(digests[index], size) for index in turns], size)


def _populate(turns: list[int], preferences: list[tuple[int, int]], size: int) -> list[int]:
    """Let each of ``turns`` in turn take the next free slot of its preference (first slot, step)."""
    free = -1
    slots = [free] * size
    following = [first for first, _ in preferences]
    players = [(turn, index, step) for turn, (index, (_, step)) in enumerate(zip(turns, preferences, strict=True))]
    left = size
    while True:
        for turn, index, step in players:
            slot = following[turn]
            while slots[slot] != free:
                slot = (slot + step) % size
            slots[slot] = index
            following[turn] = slot
            left -= 1
            if not left:
                return slots


def _digest(backend: Backend) -> bytes:
    return blake2b(backend.address + backend.port.to_bytes(2, "big"), digest_size=16).digest()


def _preference(digest: bytes, size: int) -> tuple[int, int]:
    """Where a backend's permutation of the slots begins, and how far each next one lies (offset, skip)."""
    return int.from_bytes(digest[:8], "big") % size, int.from_bytes(digest[8:], "big") % (size - 1) + 1


def _prime_from(number: int) -> int:
    while any(number % divisor == 0 for divisor in range(2, int(number**0.5) + 1)):
        number += 1
    return number
