"""The compiled programs and the maps, held against 4.9."""

from __future__ import annotations

import pytest

from tcnat.errors import TcnatError
from tcnat.layout import MAPS, Family, MapLayout

from . import map_rules
from .programs import programs, violations
from .since import FLOOR, MAP_TYPES

LAYOUTS = [(family, layout) for family in Family for layout in MAPS.values()]


def layout_name(value: object) -> str:
    return value.name if isinstance(value, MapLayout) else f"IPv{int(value)}" if isinstance(value, Family) else ""


@pytest.mark.root
def test_4_9_has_all_that_the_programs_use() -> None:
    try:
        found = programs()
    except TcnatError as error:
        pytest.skip(f"no bytecode: {error}")
    said = [
        f"{program.name} (IPv{int(family)}): {violation}"
        for family, program in found
        for violation in violations(family, program)
    ]
    assert said == []


@pytest.mark.parametrize(("family", "layout"), LAYOUTS, ids=layout_name)
def test_4_9_has_the_map_or_its_declared_fallback(family: Family, layout: MapLayout) -> None:
    type_number = int(layout.without_lru or layout.type)
    assert list(map_rules.faults(type_number, layout.flags, layout.key_size(family), layout.value_size(family))) == []


@pytest.mark.parametrize("layout", MAPS.values(), ids=layout_name)
def test_a_fallback_is_declared_only_where_the_map_is_newer_than_4_9(layout: MapLayout) -> None:
    _, since = MAP_TYPES[int(layout.type)]
    assert (layout.without_lru is not None) == (since > FLOOR)


@pytest.mark.parametrize(
    ("type_number", "flags", "key_size", "value_size", "text"),
    [
        (9, 0, 4, 4, "LRU hash is 4.10"),
        (11, 1, 8, 4, "LPM trie is 4.11"),
        (27, 0, 4, 4, "ring buffer is 5.8"),
        (200, 0, 4, 4, "nobody knows"),
        (1, 0x4, 4, 4, "BPF_F_NUMA_NODE is 4.14"),
        (2, 0x400, 4, 4, "BPF_F_MMAPABLE is 5.5"),
        (2, 0x1, 4, 4, "BPF_F_NO_PREALLOC does not fit"),
        (1, 0, 516, 4, "a key of 516 bytes"),
        (1, 0, 0, 4, "a key of 0 bytes"),
        (6, 0, 4, 40000, "a per-CPU value of 40000 bytes"),
    ],
)
def test_a_map_that_4_9_refuses_is_found(
    type_number: int, flags: int, key_size: int, value_size: int, text: str
) -> None:
    assert any(text in fault for fault in map_rules.faults(type_number, flags, key_size, value_size))
