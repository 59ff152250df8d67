"""How large the maps are made."""

from __future__ import annotations

import pytest

from tcnat.layout import MAPS
from tcnat.model import Backend, FrontEnd, FrontEndKey, Protocol, ServicePortName, Verdict
from tcnat.sizing import map_entries


def front_ends(services: int, endpoints: int) -> list[FrontEnd]:
    """As many Services of one port, each with endpoints of its own."""
    return [
        FrontEnd(
            FrontEndKey((0x0A600000 + number).to_bytes(4, "big"), 80, Protocol.TCP),
            ServicePortName("default", f"s{number}", "", Protocol.TCP),
            Verdict.DNAT,
            tuple(Backend((0x0A800000 + number * endpoints + at).to_bytes(4, "big"), 80) for at in range(endpoints)),
        )
        for number in range(services)
    ]


def test_few_services_get_the_layouts_own_sizes() -> None:
    entries = map_entries(front_ends(10, 3), 131072)
    assert entries == {name: MAPS[name].entries for name in entries}


@pytest.mark.parametrize(("services", "endpoints"), [(5000, 3), (20000, 10)])
def test_what_is_there_fits_with_room_to_grow(services: int, endpoints: int) -> None:
    entries = map_entries(front_ends(services, endpoints), 131072)
    backends = services * endpoints
    assert entries["backends"] >= 4 * backends
    assert entries["services"] >= 4 * (2 * services + 2 * backends)
    assert entries["service_counters"] >= 4 * services
    assert entries["slots"] >= 2 * 25 * backends
    for name, size in entries.items():
        assert size & (size - 1) == 0
        assert size >= MAPS[name].entries


def test_the_flow_table_is_as_large_as_was_said() -> None:
    entries = map_entries([], 5000)
    assert entries["flows"] == 5000
    assert entries["recent"] == 1250


def test_an_address_and_backends_that_are_shared_count_once() -> None:
    [first] = front_ends(1, 20000)
    second = FrontEnd(first.key._replace(port=81), first.service, Verdict.DNAT, first.backends)
    assert map_entries([first, second], 131072)["backends"] == map_entries([first], 131072)["backends"]
