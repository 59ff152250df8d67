"""How large the maps are to be that are made anew, from what they have to hold at first. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cache

from tcnat import maglev
from tcnat.layout import MAPS
from tcnat.model import FrontEnd, ServicePortName

ROOM_TO_GROW = 4
"""How many times the present need a map has room for, at least."""
SLOTS_TO_GROW = 2
"""The same for the slots, which take the most memory and are needed twice only while they are switched."""
FLOWS_FOR_RECENT = 4
"""A place in the ring of recent conversations for so many entries of the flow table. Each conversation has two of them:
what is short has half of the table at most."""


def map_entries(front_ends: Iterable[FrontEnd], flows: int) -> dict[str, int]:
    """Map -> entries for one family's front ends: powers of two, and never fewer than the layout's own. ``flows`` is
    the size of the flow table, taken as it is."""
    table_size = cache(maglev.table_size)
    fronts = slots = 0
    addresses: set[bytes] = set()
    backends: dict[ServicePortName, set[object]] = defaultdict(set)
    for front_end in front_ends:
        fronts += 1
        slots += table_size(len(front_end.backends))
        addresses.add(front_end.key.address)
        backends[front_end.service].update(front_end.backends)
    numbers = sum(map(len, backends.values()))
    need = {
        "services": ROOM_TO_GROW * (fronts + len(addresses) + 2 * numbers),
        "slots": SLOTS_TO_GROW * slots,
        "backends": ROOM_TO_GROW * numbers,
        "service_counters": ROOM_TO_GROW * len(backends),
    }
    return {
        "flows": flows,
        "recent": flows // FLOWS_FOR_RECENT,
        **{name: _entries(name, entries) for name, entries in need.items()},
    }


def _entries(name: str, wanted: int) -> int:
    return max(MAPS[name].entries, 1 << max(wanted - 1, 0).bit_length())
