"""The compiled programs and the project's maps, as the rules want them."""

from __future__ import annotations

from tcnat.bpf import Map
from tcnat.bytecode import ProgramCode, bytecode
from tcnat.layout import MAPS, Family

from .rules import MapShape, Violation, check


def shapes(family: Family) -> dict[str, MapShape]:
    """Each map as 4.9 has it: of its fallback's type where its own is newer."""
    return {
        layout.name: MapShape(
            int(layout.without_lru or layout.type), layout.key_size(family), layout.value_size(family)
        )
        for layout in MAPS.values()
    }


def small_maps(family: Family, lru: bool) -> dict[str, Map]:
    """Maps of the family's shapes with a few entries, as a verifier needs them."""
    return {
        layout.name: Map.create(
            layout.type if lru or layout.without_lru is None else layout.without_lru,
            layout.key_size(family),
            layout.value_size(family),
            64,
            flags=layout.flags,
            name=layout.name,
        )
        for layout in MAPS.values()
    }


def programs() -> list[tuple[Family, ProgramCode]]:
    """Every program of both families, compiled or from the cache."""
    return [(family, program) for family in Family for program in bytecode(family).programs]


def violations(family: Family, program: ProgramCode) -> list[Violation]:
    """What the floor would refuse of it."""
    return check(program.instructions, dict(program.relocations), shapes(family))
