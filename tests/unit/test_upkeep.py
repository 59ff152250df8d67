"""What the maps need from time to time."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tcnat.layout import Family
from tcnat.maps import MapStore
from tcnat.upkeep import Upkeep

from .fakes import FakeMap, fake_maps
from .flow_entries import flow_entry
from .front_ends import front_end

WEB = front_end("10.96.0.1", "web", "10.0.0.1")
ENDS = "10.1.0.1:40000", "10.96.0.1:80", "10.0.0.1:8080"


def upkeep(*, lru: bool) -> tuple[Upkeep, MapStore, dict[str, FakeMap]]:
    """Of one family, whose front end drains with one flow that has 100 s to live."""
    maps = fake_maps(lru=lru)
    store = MapStore(Family.IPV4, maps)
    store.read()
    store.sync({WEB.key: WEB})
    store.sync({WEB.key: None})
    maps["flows"].update(*flow_entry(*ENDS, seen=1000, timeout=100))
    loaded = {Family.IPV4: SimpleNamespace(maps=maps, swept=not lru)}
    return Upkeep(loaded, {Family.IPV4: store}), store, maps


@pytest.mark.parametrize("lru", [True, False])
def test_a_front_end_drains_and_goes_when_its_last_flow_is_past_its_time(lru: bool) -> None:
    keeps, store, _ = upkeep(lru=lru)
    assert keeps.run(1100.9) == 0
    assert store.present.draining
    assert keeps.run(1101.0) == 1 + (not lru)
    assert not store.present.draining


def test_flows_are_swept_only_where_the_kernel_does_not_make_room_itself() -> None:
    for lru in (True, False):
        keeps, _, maps = upkeep(lru=lru)
        assert keeps.sweeps == (not lru)
        keeps.run(5000)
        assert bool(maps["flows"].content) == lru
