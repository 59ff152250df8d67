"""Sweeping hash maps that have no LRU: dicts, and the kernel's own."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import pytest

from tcnat.bpf import Map, raise_memlock
from tcnat.layout import MAPS, Family, MapType
from tcnat.model import parse_address
from tcnat.sweep import Sweeper

from .fakes import FakeMap, fake_maps
from .flow_entries import flow_entry

NOW = 1000
SWEPT = ("flows", "flows_new", "affinity", "fragments")
Maps = dict[str, FakeMap | Map]
Entries = list[tuple[bytes, bytes]]


@pytest.fixture(
    params=[
        "dicts",
        pytest.param("kernel", marks=pytest.mark.root),
        pytest.param("kernel without batches", marks=pytest.mark.root),
    ]
)
def maps(request: pytest.FixtureRequest) -> Iterator[Maps]:
    if request.param == "dicts":
        yield fake_maps(lru=False)
        return
    raise_memlock()
    made = {}
    for name in SWEPT:
        layout = MAPS[name]
        sizes = layout.key_size(Family.IPV4), layout.value_size(Family.IPV4)
        made[name] = Map.create(MapType.HASH, *sizes, 4096, name=name)
        made[name]._batches = request.param == "kernel"
    yield made
    for each in made.values():
        each.close()


def sweeper(maps: Maps) -> Sweeper:
    return Sweeper(Family.IPV4, maps, lambda: {5: 100}, lambda: 30)


def fill(maps: Maps, table: str, entries: Iterable[tuple[bytes, bytes]]) -> None:
    for key, value in entries:
        maps[table].update(key, value)


def flows(numbers: range, seen: int) -> Entries:
    """Flows of client ports ``numbers``, with 60 s to live."""
    ends = "10.96.0.1:80", "10.0.0.1:8080"
    return [flow_entry(f"10.1.0.1:{number}", *ends, seen=seen, timeout=60) for number in numbers]


def affinity(service: int, seen: int) -> tuple[bytes, bytes]:
    return parse_address("10.1.0.1") + struct.pack("=I", service), struct.pack("=3I", 1, 1, seen)


def fragment(number: int, seen: int) -> tuple[bytes, bytes]:
    return bytes(8) + struct.pack("=IBBH", number, 17, 0, 0), bytes(4) + struct.pack("=2I", seen, 1)


def test_what_is_past_its_timeout_goes_and_nothing_else(maps: Maps) -> None:
    old, young = flows(range(1, 500), NOW - 61), flows(range(1000, 1500), NOW - 60)
    for table in ("flows", "flows_new"):
        fill(maps, table, old + young)
    fill(maps, "affinity", [affinity(5, NOW - 100), affinity(6, NOW)])  # 6 has no affinity any more
    fill(maps, "fragments", [fragment(1, NOW - 30), fragment(2, NOW - 31)])
    assert sweeper(maps).sweep(NOW, 5000) == 2 * len(old) + 2
    for table in ("flows", "flows_new"):
        assert dict(maps[table].items()) == dict(young)
    assert list(maps["affinity"].items()) == [affinity(5, NOW - 100)]
    assert list(maps["fragments"].items()) == [fragment(1, NOW - 30)]


def test_an_affinity_that_is_past_its_services_time_goes(maps: Maps) -> None:
    fill(maps, "affinity", [affinity(5, NOW - 101)])
    assert sweeper(maps).sweep(NOW, 10) == 1


def test_a_sweep_looks_at_a_few_entries_and_goes_on_where_it_left_off(maps: Maps) -> None:
    fill(maps, "flows", flows(range(1, 501), NOW) + flows(range(1000, 1500), NOW - 61))
    sweeps = sweeper(maps)
    removed = [sweeps.sweep(NOW, 50) for _ in range(22)]
    assert max(removed) <= 50
    assert sum(removed) == 500


def test_rounds_go_on_for_ever(maps: Maps) -> None:
    sweeps = sweeper(maps)
    for at in range(5):
        fill(maps, "flows", flows(range(1, 40), NOW - 61))
        sweeps.sweep(NOW, 50)
        sweeps.sweep(NOW, 50)
        assert not list(maps["flows"].items()), at


def test_a_flow_that_a_packet_woke_meanwhile_stays(maps: Maps) -> None:
    [(key, value)] = flows(range(1, 2), NOW - 61)
    maps["flows"].update(key, value)
    sweeps = sweeper(maps)
    assert sweeps.sweep(NOW, 1) == 0  # it is doomed, but the walk still stands on it
    maps["flows"].update(*flows(range(1, 2), NOW)[0])
    assert sweeps.sweep(NOW, 1) == 0
    assert len(list(maps["flows"].items())) == 1
