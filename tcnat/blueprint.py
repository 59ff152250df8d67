"""What a set of maps is made of, as data: by this, versions of tcnat tell whether they can share maps. Pure.

A set's blueprint is pinned with it, so that another version, older or newer, can read what the maps hold: field by
field and by the fields' names. A field that only one of the two has is dropped, or keeps what it is made with.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable

import msgspec

from tcnat.layout import LAYOUT_VERSION, MAPS, Family, MapLayout, MapType, Struct

Fields = tuple[tuple[str, str], ...]
"""Names and ``struct`` codes, as in :class:`tcnat.layout.Struct`."""
Converter = Callable[[bytes, bytes], bytes]
"""A value, and what the result has where the value says nothing -> the converted value."""
_ARRAYS = {MapType.ARRAY, MapType.PERCPU_ARRAY, MapType.PROG_ARRAY}
_INTEGERS = frozenset("BHIQbhiq")


class MapBlueprint(msgspec.Struct, frozen=True):
    """One map. ``entries``: of an array, as many as the layout gives it; 0 where their number changes no meaning."""

    type: int
    flags: int
    entries: int
    key: Fields
    value: Fields


class Blueprint(msgspec.Struct, frozen=True):
    """A family's maps by name. Of another ``version`` the same names need not mean the same."""

    version: int
    maps: dict[str, MapBlueprint]

    @property
    def fingerprint(self) -> str:
        """8 hexadecimal digits that are the same for the same maps."""
        return hashlib.sha256(encode(self)).hexdigest()[:8]


def present_blueprint(version: int = LAYOUT_VERSION, layouts: Iterable[MapLayout] = MAPS.values()) -> Blueprint:
    """That of this version of tcnat."""
    return Blueprint(version, {layout.name: _of(layout) for layout in layouts})


def encode(blueprint: Blueprint) -> bytes:
    """As bytes, to be kept."""
    return msgspec.json.encode(blueprint, order="sorted")


def decode(raw: bytes) -> Blueprint | None:
    """From bytes; None if they are none that this version understands."""
    try:
        return msgspec.json.decode(raw, type=Blueprint)
    except msgspec.DecodeError:
        return None


def converter(old: Fields, new: Fields, family: Family) -> Converter:
    """Turns values of the fields ``old`` into such of the fields ``new``, by the fields' names.

    Integers may become wider or narrower; OverflowError for a number that does not fit. Other fields are taken over
    where they have the same size, and left as they are where not."""
    before, after = Struct("", old).offsets(family), Struct("", new).offsets(family)
    codes = dict(old)
    moves = [(before[name], after[name], codes[name], code) for name, code in new if name in before]

    def convert(value: bytes, base: bytes) -> bytes:
        result = bytearray(base)
        for (source, size), (target, room), old_code, new_code in moves:
            if size == room:
                result[target : target + room] = value[source : source + size]
            elif {old_code, new_code} <= _INTEGERS:
                _move_integer(value, source, old_code, result, target, new_code)
        return bytes(result)

    return convert


def _move_integer(value: bytes, source: int, old: str, result: bytearray, target: int, new: str) -> None:
    (number,) = struct.unpack_from(f"={old}", value, source)
    try:
        struct.pack_into(f"={new}", result, target, number)
    except struct.error:
        raise OverflowError(f"{number} does not fit into struct code {new}") from None


def size_of(fields: Fields, family: Family) -> int:
    """Bytes of the fields together."""
    return sum(size for _, size in Struct("", fields).offsets(family).values())


def _of(layout: MapLayout) -> MapBlueprint:
    entries = layout.entries if layout.type in _ARRAYS else 0
    return MapBlueprint(int(layout.type), layout.flags, entries, layout.key.fields, layout.value.fields)
