"""Making a set of maps, from what a set of another layout holds where there is one.

A map that looks the same in both is shared: the very same map is pinned in the new set, too. The others are made anew
and filled entry by entry. Services, slots and backends name each other's entries, and the programs that are still
attached go by them, so they are shared all or none. What packets write (flows and their kin) is carried over around the
moment at which the programs change: see :mod:`tcnat.handover`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tcnat.blueprint import Blueprint, Converter, MapBlueprint, converter, present_blueprint, size_of
from tcnat.bpf import BATCH, Map, MapFull, possible_cpus
from tcnat.flows import idle_seconds
from tcnat.layout import LAYOUT_VERSION, MAPS, Family, MapLayout, MapType, number_bytes
from tcnat.pins import open_map, other_sets, read_blueprint

TOGETHER = frozenset({"services", "slots", "backends"})
PASSING = frozenset({"limiter", "trace", "scratch", "scratch_flow", "events", "tails", "recent", "recent_next"})
"""Maps that hold nothing worth keeping."""
_SEEN = "seen"


@dataclass(frozen=True, slots=True)
class OtherSet:
    """A whole set of maps of another layout, whose entries this version understands."""

    directory: Path
    family: Family
    blueprint: Blueprint

    def has_same(self, name: str) -> bool:
        """Whether a map looks as it does in this version."""
        return self.blueprint.maps.get(name) == present_blueprint().maps[name]

    def shares(self, name: str) -> bool:
        """Whether a new set of this version takes the map itself."""
        names = TOGETHER if name in TOGETHER else {name}
        return name not in PASSING and all(map(self.has_same, names))

    def has(self, name: str) -> bool:
        """Whether there is such a map, of the same kind."""
        there = self.blueprint.maps.get(name)
        return there is not None and there.type == MAPS[name].type

    def open(self, name: str) -> Map:
        """One of its maps, by the type that this kernel has for it."""
        there = self.blueprint.maps[name]
        sizes = (size_of(fields, self.family) for fields in (there.key, there.value))
        return open_map(self.directory, MAPS[name], *sizes)


def understood_sets(pins: Path, family: Family) -> list[OtherSet]:
    """The family's whole sets of other layouts whose entries mean what they mean now, the latest last."""
    found = ((directory, read_blueprint(directory)) for directory in other_sets(pins, family))
    return [
        OtherSet(directory, family, blueprint)
        for directory, blueprint in found
        if blueprint is not None and blueprint.version == LAYOUT_VERSION
    ]


def fill(target: Map, layout: MapLayout, other: OtherSet) -> None:
    """Write what the other set's map of that name holds into a new map, before anything uses it."""
    source = other.open(layout.name)
    if other.has_same(layout.name) and source.type is MapType.ARRAY:
        target.update_array(0, bytes(source.read_array(source.max_entries)))
        return
    keys, values = _converters(layout, other)
    empty_key = bytes(target.key_size)
    for key, value in source.items():
        fresh = keys(key, empty_key)
        with suppress(OverflowError, MapFull):
            target.update(fresh, _rows(value, values, source, target, fresh))


def carry_over(layout: MapLayout, other: OtherSet, target: Map) -> int:
    """Bring into a map in use what the other set's has and it has not, or has seen a packet of later. Gives how many
    entries were written."""
    keys, values = _converters(layout, other)
    written = 0
    batch: dict[bytes, bytes] = {}
    with suppress(MapFull):
        for key, value in _converted(other.open(layout.name), target, keys, values):
            there = target.lookup(key)
            if there is None or _later(layout, other.family, value, there):
                batch[key] = value
            if len(batch) >= BATCH:
                written += _write(target, batch)
        written += _write(target, batch)
    return written


def await_everything(awaited: Map, monotonic: float) -> None:
    """Have the programs take every reply for one that is awaited since now: they did not see those flows begin."""
    second = number_bytes(int(monotonic))
    awaited.update_array(0, second * awaited.max_entries)


def _converted(source: Map, target: Map, keys: Converter, values: Converter) -> Iterator[tuple[bytes, bytes]]:
    empty_key, empty_value = bytes(target.key_size), bytes(target.value_size)
    for key, value in source.items():
        with suppress(OverflowError):
            yield keys(key, empty_key), values(value, empty_value)


def _write(target: Map, batch: dict[bytes, bytes]) -> int:
    target.update_many(list(batch), list(batch.values()))
    written = len(batch)
    batch.clear()
    return written


def _later(layout: MapLayout, family: Family, value: bytes, there: bytes) -> bool:
    """Whether a value was seen later than the one that is there. Both count seconds modulo 2**32."""
    offsets = layout.value.offsets(family)
    if _SEEN not in offsets:
        return False
    at, size = offsets[_SEEN]
    ours, theirs = (int.from_bytes(each[at : at + size], sys.byteorder) for each in (value, there))
    return idle_seconds(theirs, ours) > 0


def _converters(layout: MapLayout, other: OtherSet) -> tuple[Converter, Converter]:
    there: MapBlueprint = other.blueprint.maps[layout.name]
    return (
        converter(there.key, layout.key.fields, other.family),
        converter(there.value, layout.value.fields, other.family),
    )


def _rows(value: bytes, convert: Converter, source: Map, target: Map, key: bytes) -> bytes:
    """A converted value on top of the one that is there; of a per-CPU map, CPU by CPU."""
    base = target.lookup(key)
    if not source.percpu:
        return convert(value, base or bytes(target.value_size))
    cpus = possible_cpus()
    rows = zip(_split(value, cpus), _split(base or b"", cpus), strict=True)
    return b"".join(convert(row, under) for row, under in rows)


def _split(value: bytes, cpus: int) -> list[bytes]:
    row = len(value) // cpus
    return [value[cpu * row : (cpu + 1) * row] for cpu in range(cpus)]
