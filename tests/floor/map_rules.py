"""A map held against the floor."""

from __future__ import annotations

from collections.abc import Iterator

from .since import FLOOR, MAP_FLAGS, MAP_TYPES, MAX_KEY, MAX_PERCPU_VALUE, Version

PER_CPU = {5, 6, 10}
NOT_KNOWN = ("a type that nobody knows", Version(99, 0))


def faults(type_number: int, flags: int, key_size: int, value_size: int) -> Iterator[str]:
    """What 4.9 would refuse of a map that is made so."""
    name, since = MAP_TYPES.get(type_number, NOT_KNOWN)
    if since > FLOOR:
        yield f"{name} is {since}"
    if not 0 < key_size <= MAX_KEY:
        yield f"a key of {key_size} bytes; 4.9 takes 1 to {MAX_KEY}"
    if type_number in PER_CPU and value_size > MAX_PERCPU_VALUE:
        yield f"a per-CPU value of {value_size} bytes; there is room for {MAX_PERCPU_VALUE}"
    for bit in (1 << shift for shift in range(32)):
        if flags & bit:
            yield from _flag_faults(bit, type_number)


def _flag_faults(flag: int, type_number: int) -> Iterator[str]:
    name, since, types = MAP_FLAGS.get(flag, (f"flag {flag:#x}", NOT_KNOWN[1], frozenset()))
    if since > FLOOR:
        yield f"{name} is {since}"
    elif type_number not in types:
        yield f"{name} does not fit a map of this type"
