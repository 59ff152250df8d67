"""What maps of another layout hold is brought into this version's, map by map, in the kernel."""

from __future__ import annotations

import itertools
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tcnat import pins as pinning
from tcnat.blueprint import Blueprint, MapBlueprint, encode, present_blueprint, size_of
from tcnat.bpf import Map, possible_cpus, raise_memlock
from tcnat.errors import TcnatError
from tcnat.layout import FLOW, FLOW_KEY, LAYOUT_VERSION, MAPS, Family, FlowState, MapType
from tcnat.loader import load, open_pinned
from tcnat.migrate import carry_over, understood_sets

SMALL = dict.fromkeys(("services", "slots", "backends", "flows", "flows_new", "affinity", "fragments"), 64)
MORE = (("more", "I"),)
_numbers = itertools.count()


@pytest.fixture
def pins() -> Iterator[Path]:
    path = Path(f"/sys/fs/bpf/tcnat-test-migrate-{os.getpid()}-{next(_numbers)}")
    path.mkdir()
    raise_memlock()
    yield path
    shutil.rmtree(path)


def other_set(
    pins: Path, changed: dict[str, MapBlueprint], version: int = LAYOUT_VERSION, name: str = "v1-00000000"
) -> dict[str, Map]:
    """Pin an IPv4 set of another layout: the present one, but for these maps."""
    directory = pins / name / "ipv4"
    directory.mkdir(parents=True)
    blueprint = Blueprint(version, {**present_blueprint().maps, **changed})
    maps = {}
    for each, there in blueprint.maps.items():
        entries = {**SMALL, "events": possible_cpus()}.get(each, there.entries or 64)
        sizes = (size_of(fields, Family.IPV4) for fields in (there.key, there.value))
        maps[each] = Map.create(MapType(there.type), *sizes, entries, there.flags, name=each)
        maps[each].pin(directory / each)
    raw = encode(blueprint)
    kept = Map.create(MapType.ARRAY, 4, len(raw), 1)
    kept.update(bytes(4), raw)
    kept.pin(directory / "layout")
    return maps


def with_more(name: str) -> dict[str, MapBlueprint]:
    """The map with a field more at the start of its values."""
    there = present_blueprint().maps[name]
    return {name: MapBlueprint(there.type, there.flags, there.entries, there.key, MORE + there.value)}


def loaded_maps(pins: Path) -> dict[str, Map]:
    return load(pins, families=(Family.IPV4,), entries=SMALL)[Family.IPV4].maps


def flow_key(port: int) -> bytes:
    return FLOW_KEY.codec(Family.IPV4).pack(b"\x0a\0\0\1", b"\x0a\x60\0\1", port.to_bytes(2), b"\0\x50", 6, 0, 0)


def flow(seen: int, state: int = 5) -> bytes:
    addresses = b"\x0a\0\0\1", b"\x0a\1\0\1", b"\x12\x34", b"\x1f\x90"
    return FLOW.codec(Family.IPV4).pack(*addresses, 3, 4, 5, seen, 0, 60, 0, state, 0, 0)


def test_a_map_that_is_the_same_is_shared_and_one_that_is_not_is_made_anew(pins: Path) -> None:
    old = other_set(pins, with_more("service_counters"))
    old["backends"].update(b"\1\0\0\0", b"x" * 12)
    row = struct.pack("=I5Q4x", 77, 1, 2, 3, 4, 5)
    old["service_counters"].update(b"\2\0\0\0", row * possible_cpus())
    maps = loaded_maps(pins)
    assert maps["service_counters"].lookup(b"\2\0\0\0") == struct.pack("=5Q", 1, 2, 3, 4, 5) * possible_cpus()
    assert maps["backends"].lookup(b"\1\0\0\0") == b"x" * 12
    old["backends"].update(b"\1\0\0\0", b"y" * 12)
    assert maps["backends"].lookup(b"\1\0\0\0") == b"y" * 12


def test_services_slots_and_backends_are_shared_all_or_none(pins: Path) -> None:
    old = other_set(pins, with_more("services"))
    old["services"].update(b"k" * 8, struct.pack("=6I", 9, 1, 2, 3, 4, 5))
    old["slots"].update(b"\5\0\0\0", b"\7\0\0\0")
    old["backends"].update(b"\1\0\0\0", b"x" * 12)
    maps = loaded_maps(pins)
    assert maps["services"].lookup(b"k" * 8) == struct.pack("=5I", 1, 2, 3, 4, 5)
    assert maps["slots"].lookup(b"\5\0\0\0") == b"\7\0\0\0"
    assert maps["backends"].lookup(b"\1\0\0\0") == b"x" * 12
    old["slots"].update(b"\5\0\0\0", b"\x08\0\0\0")
    assert maps["slots"].lookup(b"\5\0\0\0") == b"\7\0\0\0"


def test_a_map_that_grew_keeps_its_defaults_where_the_other_had_nothing(pins: Path) -> None:
    timeouts = present_blueprint().maps["timeouts"]
    old = other_set(pins, {"timeouts": MapBlueprint(timeouts.type, 0, 3, timeouts.key, timeouts.value)})
    for index in range(3):
        old["timeouts"].update(struct.pack("=I", index), struct.pack("=I", 40 + index))
    timeouts_now = loaded_maps(pins)["timeouts"]
    found = [timeouts_now.lookup(struct.pack("=I", index)) for index in (1, FlowState.OPEN)]
    assert found == [struct.pack("=I", 41), struct.pack("=I", 86400)]


def test_a_set_of_another_version_is_not_understood(pins: Path) -> None:
    old = other_set(pins, {}, version=LAYOUT_VERSION + 1, name="v2-00000000")
    old["backends"].update(b"\1\0\0\0", b"x" * 12)
    assert understood_sets(pins, Family.IPV4) == []
    assert loaded_maps(pins)["backends"].lookup(b"\1\0\0\0") == bytes(12)


def test_who_only_reads_is_told_whose_the_datapath_is(pins: Path) -> None:
    other_set(pins, with_more("flows"))
    with pytest.raises(TcnatError, match=r"is another version's \(v1-00000000\): use that version's commands"):
        open_pinned(pins)


def test_a_set_that_is_not_whole_is_made_again(pins: Path) -> None:
    directory = pinning.family_directory(pins, Family.IPV4)
    directory.mkdir(parents=True)
    Map.create(MapType.ARRAY, 4, 4, 1).pin(directory / "backends")
    assert not pinning.is_whole(directory)
    assert loaded_maps(pins)["backends"].value_size == 12
    assert pinning.is_whole(directory)


@pytest.mark.parametrize("lost", ["backends", "layout"])
def test_a_set_that_lost_a_pin_is_made_again_or_not_taken_over(pins: Path, lost: str) -> None:
    loaded_maps(pins)
    directory = pinning.family_directory(pins, Family.IPV4)
    (directory / lost).unlink()
    assert loaded_maps(pins)["backends"].value_size == 12
    assert pinning.is_whole(directory)
    other_set(pins, with_more("flows"))
    (pins / "v1-00000000" / "ipv4" / lost).unlink()
    assert understood_sets(pins, Family.IPV4) == []


def test_flows_come_over_unless_there_are_later_ones(pins: Path) -> None:
    old = other_set(pins, with_more("flows"))
    maps = loaded_maps(pins)
    for port, seen in ((1, 100), (2, 100), (3, 100)):
        old["flows"].update(flow_key(port), b"more" + flow(seen))
    maps["flows"].update(flow_key(2), flow(99, state=4))
    maps["flows"].update(flow_key(3), flow(101, state=4))
    [other] = understood_sets(pins, Family.IPV4)
    assert carry_over(MAPS["flows"], other, maps["flows"]) == 2
    assert dict(maps["flows"].items()) == {
        flow_key(1): flow(100),
        flow_key(2): flow(100),
        flow_key(3): flow(101, state=4),
    }


def test_later_is_told_also_where_the_seconds_begin_anew(pins: Path) -> None:
    old = other_set(pins, with_more("flows"))
    maps = loaded_maps(pins)
    old["flows"].update(flow_key(1), b"more" + flow(2))
    maps["flows"].update(flow_key(1), flow(2**32 - 1, state=4))
    [other] = understood_sets(pins, Family.IPV4)
    assert carry_over(MAPS["flows"], other, maps["flows"]) == 1
    assert maps["flows"].lookup(flow_key(1)) == flow(2)
