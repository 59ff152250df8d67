"""The maps of a family, written and read: over dicts, and over the kernel's own maps."""

from __future__ import annotations

import errno
import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcnat.bpf import BpfError, Map, MapFull, raise_memlock
from tcnat.layout import DEFAULT_TIMEOUTS, MAPS, Choice, Direction, Family, FlowState, MapType, ServiceFlag
from tcnat.maps import MapStore
from tcnat.memory import padded
from tcnat.model import Backend, FrontEnd, FrontEndKey, Protocol, ServicePortName, Verdict, parse_address
from tcnat.plan import Unfit
from tcnat.settings import Settings

from .fakes import CPUS, Contents, fake_maps, raw_key
from .flow_entries import flow_entry
from .front_ends import changes, front_end
from .plan_bench import check_holds

WEB = front_end("10.96.0.1", "web", "10.0.0.1", "10.0.0.2", "10.0.0.3")
DNS = front_end("10.96.0.10", "dns", "10.0.0.9", port=53, protocol=Protocol.UDP)
EMPTY = front_end("10.96.0.2", "empty")
ALL = {each.key: each for each in (WEB, DNS, EMPTY)}
Changed = dict[FrontEndKey, FrontEnd | None]


def store_of(maps, family: Family = Family.IPV4) -> MapStore:
    store = MapStore(family, maps)
    store.read()
    return store


def total_writes(maps) -> int:
    return sum(each.writes for name, each in maps.items() if name != "ports")


def test_the_maps_hold_what_is_wanted() -> None:
    maps = fake_maps()
    store = store_of(maps)
    assert store.resync(ALL) == total_writes(maps)
    check_holds(Contents.of(maps, Family.IPV4), ALL)


def test_a_restart_with_nothing_changed_writes_nothing() -> None:
    maps = fake_maps()
    store_of(maps).resync(ALL)
    before = total_writes(maps)
    again = store_of(maps)
    assert again.resync(ALL) == 0
    assert total_writes(maps) == before
    assert set(again.names().values()) == {each.service for each in ALL.values()}


def test_what_was_removed_while_nobody_looked_is_found_at_the_next_start() -> None:
    maps = fake_maps()
    store_of(maps).resync(ALL)
    wanted = {WEB.key: WEB}
    store = store_of(maps)
    store.resync(wanted)
    check_holds(Contents.of(maps, Family.IPV4), wanted)
    assert store.present.draining == {raw_key(EMPTY.key.address, 80, Protocol.TCP)}


@given(st.lists(changes(), min_size=1, max_size=4))
def test_front_ends_planned_one_at_a_time_come_to_the_same(rounds: list[Changed]) -> None:
    maps = fake_maps()
    wanted: dict[FrontEndKey, FrontEnd] = {}
    with patch("tcnat.maps.FRONT_ENDS_AT_ONCE", 1):
        for changed in rounds:
            wanted = {key: each for key, each in {**wanted, **changed}.items() if each}
            store_of(maps).resync(wanted)
            check_holds(Contents.of(maps, Family.IPV4), wanted)
            assert store_of(maps).resync(dict(reversed(wanted.items()))) == 0


@given(st.lists(changes(), min_size=1, max_size=4), st.integers(0, 12))
def test_a_kernel_without_memory_leaves_whole_front_ends_and_is_told_of(rounds: list[Changed], memory: int) -> None:
    maps = fake_maps()
    store = store_of(maps)
    maps["services"].memory = memory
    wanted: dict[FrontEndKey, FrontEnd] = {}
    for changed in rounds:
        store.sync(changed)
        wanted = {key: each for key, each in {**wanted, **changed}.items() if each}
        Contents.of(maps, Family.IPV4).front_ends()
    maps["services"].memory = None
    store.resync(wanted)
    assert not store.unfit
    check_holds(Contents.of(maps, Family.IPV4), wanted)


def test_a_kernel_that_refuses_for_another_reason_is_an_error_and_a_resync_mends_it() -> None:
    maps = fake_maps()
    store = store_of(maps)
    update, maps["services"].update = maps["services"].update, refuse
    with pytest.raises(BpfError, match="refused"):
        store.sync(ALL)
    maps["services"].update = update
    store.resync(ALL)
    check_holds(Contents.of(maps, Family.IPV4), ALL)


def refuse(*_: object) -> None:
    raise BpfError("refused", errno.EPERM)


def test_front_ends_that_do_not_fit_are_told_and_come_in_when_there_is_room() -> None:
    maps = fake_maps(services=6)
    store = store_of(maps)
    store.sync({DNS.key: DNS, EMPTY.key: EMPTY, WEB.key: WEB})
    assert store.unfit == {WEB.key: Unfit(WEB, "services", 6)}
    store.news = False
    store.sync({DNS.key: None})
    assert set(store.unfit) == {WEB.key}  # needs 8 entries
    small = replace(WEB, backends=WEB.backends[:1])
    store.sync({WEB.key: small})
    assert not store.unfit
    check_holds(Contents.of(maps, Family.IPV4), {EMPTY.key: EMPTY, WEB.key: small})


def test_a_front_end_that_waits_for_room_and_goes_is_forgotten() -> None:
    store = store_of(fake_maps(services=2))
    store.resync(ALL)
    assert store.unfit
    store.news = False
    store.resync({EMPTY.key: EMPTY})
    assert not store.unfit
    assert store.news


def test_room_that_a_drained_front_end_leaves_is_given_to_one_that_waits() -> None:
    maps = fake_maps(services=4)
    store = store_of(maps)
    store.sync({EMPTY.key: EMPTY, DNS.key: replace(DNS, backends=(), verdict=Verdict.REJECT)})
    late = front_end("10.96.0.3", "late")
    store.sync({EMPTY.key: None, late.key: late})
    assert set(store.unfit) == {late.key}
    assert store.drain(0) == 1 + 2
    assert not store.unfit
    assert late.key in Contents.of(maps, Family.IPV4).front_ends()


def test_a_full_map_is_planned_for_and_never_met() -> None:
    maps = fake_maps(services=12, slots=400, backends=5)
    store = store_of(maps)
    many = [front_end(f"10.96.0.{n}", f"s{n}", "10.0.0.1", f"10.0.1.{n}") for n in range(1, 9)]
    store.resync({each.key: each for each in many})
    served = {each.key: each for each in many if each.key not in store.unfit}
    assert served
    check_holds(Contents.of(maps, Family.IPV4), served)


def test_counters_of_a_service_id_start_from_0_for_its_next_owner() -> None:
    maps = fake_maps()
    store = store_of(maps)
    store.sync({DNS.key: DNS})
    maps["service_counters"].update(b"\1\0\0\0", struct.pack("=5Q", 1, 2, 3, 4, 5) * CPUS)
    assert store.service_counters()[1] == (2, 4, 6, 8, 10)
    store.sync({DNS.key: None})
    store.sync({WEB.key: WEB})
    assert store.names() == {1: WEB.service}
    assert store.service_counters()[1] == (0, 0, 0, 0, 0)


def test_counters_are_summed_over_the_cpus() -> None:
    maps = fake_maps()
    maps["counters"].update(b"\2\0\0\0", struct.pack("=4Q", 1, 100, 2, 300))
    assert store_of(maps).counters()[2] == (3, 400)


def test_settings_are_written_once_and_leave_clock_and_trace_alone() -> None:
    maps = fake_maps()
    store = store_of(maps)
    maps["settings"].update(bytes(4), struct.pack("=Q6I", 7, 0, 0, 0, 0, 0, 1))
    wanted = Settings({FlowState.OPEN: 5}, sctp_timeout=6, unknown_port=Choice.REJECT, echo=Choice.DROP)
    assert store.write_settings(wanted)
    assert not store.write_settings(wanted)
    found = struct.unpack("=Q6I", maps["settings"].content[bytes(4)])
    now, fragment, opening, unknown_port, echo, rejects, trace = found
    assert (now, fragment, opening, unknown_port, echo, rejects, trace) == (7, 30, 60, 2, 1, 1000, 1)
    timeouts = {struct.unpack("=I", key)[0]: struct.unpack("=I", v)[0] for key, v in maps["timeouts"].items()}
    assert timeouts == {**DEFAULT_TIMEOUTS, FlowState.OPEN: 5, len(FlowState): 6}
    assert store.read_settings() == replace(wanted, timeouts={**DEFAULT_TIMEOUTS, FlowState.OPEN: 5})


def test_usage_counts_what_the_agent_fills() -> None:
    store = store_of(fake_maps(services=100, slots=1000, backends=50))
    store.sync({DNS.key: DNS})
    assert store.usage() == {"services": (4, 100), "slots": (2, 1000), "backends": (1, 49)}


def test_a_draining_front_end_stays_as_long_as_it_has_a_flow() -> None:
    maps = fake_maps()
    store = store_of(maps)
    store.sync({WEB.key: WEB})
    store.sync({WEB.key: None})
    entry = flow_entry("10.1.0.1:40000", "10.96.0.1:80", "10.0.0.1:8080", seen=1000, timeout=50)
    maps["flows"].update(*entry)
    assert store.drain(1050) == 0
    assert store.drain(1051) == 1
    assert not maps["services"].content


def test_a_reply_half_or_another_front_ends_flow_keeps_nothing_draining() -> None:
    maps = fake_maps()
    store = store_of(maps)
    store.sync({WEB.key: WEB})
    store.sync({WEB.key: None})
    ends = "10.1.0.1:40000", "10.96.0.1:80", "10.0.0.1:8080"
    maps["flows"].update(*flow_entry(*ends, direction=Direction.REPLY))
    maps["flows_new"].update(*flow_entry("10.1.0.1:40000", "10.96.0.1:81", "10.0.0.1:8080"))
    assert store.drain(0) == 1


@pytest.fixture
def kernel_maps(request: pytest.FixtureRequest) -> Iterator[dict[str, Map]]:
    raise_memlock()
    family = request.param
    names = "services", "ports", "slots", "backends", "flows", "flows_new", "service_counters"
    maps = {
        name: Map.create(
            MAPS[name].type,
            MAPS[name].key_size(family),
            MAPS[name].value_size(family),
            min(MAPS[name].entries, 4096),
            flags=MAPS[name].flags,
            name=name,
            mappable=MAPS[name].mappable,
        )
        for name in names
    }
    yield maps
    for each in maps.values():
        each.close()


@pytest.mark.root
@pytest.mark.parametrize("kernel_maps", [Family.IPV4], indirect=True)
@pytest.mark.parametrize(("memory", "batches"), [(True, True), (False, True), (False, False)])
def test_the_kernels_maps_are_written_and_read_as_dicts_are(
    kernel_maps: dict[str, Map], memory: bool, batches: bool
) -> None:
    for each in kernel_maps.values():
        each._batches = each._batches and batches
        each._mappable = each._mappable and memory
    store = store_of(kernel_maps)
    assert store.resync(ALL)
    fakes = fake_maps(slots=4096, backends=4096, services=4096)
    store_of(fakes).resync(ALL)
    assert dict(kernel_maps["services"].items()) == fakes["services"].content
    for name in ("slots", "backends"):
        written = {key: value for key, value in kernel_maps[name].items() if any(value)}
        assert written == {key: value for key, value in fakes[name].content.items() if any(value)}
    assert store_of(kernel_maps).resync(ALL) == 0


@pytest.mark.root
@pytest.mark.parametrize("first", [0, 1, 511, 512, 70_001])
@pytest.mark.parametrize("count", [1, 2, 513, 131_073])
def test_what_is_written_as_memory_is_read_entry_by_entry(first: int, count: int) -> None:
    there = Map.create(MapType.ARRAY, 4, 4, 201_083, mappable=True)
    plain = there.duplicate()
    plain._mappable = plain._batches = False
    values = array("I", range(1, count + 1))
    there.update_array(first, values.tobytes())
    assert there._mappable
    expected = (array("I", bytes(4 * first)) + values + array("I", [0] * 9)).tobytes()
    assert there.read_array(first + count + 9) == plain.read_array(first + count + 9) == expected


@pytest.mark.root
@pytest.mark.parametrize("mappable", [True, False])
def test_runs_near_and_far_are_written_together_and_nothing_else(mappable: bool) -> None:
    there = Map.create(MapType.ARRAY, 4, 4, 301_083, mappable=mappable)
    expected = array("I", range(1, 301_084))
    there.update_array(0, expected.tobytes())
    runs = [(0, 3), (3, 700), (5000, 251), (5252, 251), (30_000, 70_001), (101_000, 1), (300_000, 1083)]
    numbers = [array("I", range(1 << 20, (1 << 20) + count)) for _, count in runs]
    there.update_runs([(first, padded(each.tobytes())) for (first, _), each in zip(runs, numbers, strict=True)])
    assert there._mappable == mappable
    for (first, count), each in zip(runs, numbers, strict=True):
        expected[first : first + count] = each
    assert there.read_array(301_083) == expected.tobytes()


@pytest.mark.root
@pytest.mark.parametrize("missing", [0, 5000])
def test_entries_go_in_batches_and_one_by_one_where_that_fails(missing: int) -> None:
    there = Map.create(MapType.HASH, 4, 4, 16384)
    keys = [number.to_bytes(4, "little") for number in range(6000)]
    there.update_many([key for key in keys if key != keys[missing - 1] or not missing], keys[: 6000 - (missing > 0)])
    assert there.delete_many(keys) == (not missing)
    assert len(list(there.keys())) == (1000 if missing else 0)
    assert sum(map(there.delete, keys)) == (1000 if missing else 0)
    assert not list(there.keys())


@pytest.mark.root
@pytest.mark.parametrize("mappable", [True, False])
def test_elements_past_the_end_are_refused_as_the_kernel_refuses_them(mappable: bool) -> None:
    there = Map.create(MapType.ARRAY, 4, 4, 1001, mappable=mappable)
    with pytest.raises(MapFull):
        there.update_array(1000, bytes(4 * 1000))
    assert there.lookup((999).to_bytes(4, sys.byteorder)) == bytes(4)


@pytest.mark.root
@pytest.mark.parametrize("kernel_maps", [Family.IPV6], indirect=True)
def test_a_full_kernel_map_is_told_and_what_fits_works(kernel_maps: dict[str, Map]) -> None:
    store = store_of(kernel_maps, Family.IPV6)
    wanted = {}
    for n in range(1, 1200):
        key = FrontEndKey(parse_address(f"fd00::{n:x}"), 80, Protocol.TCP)
        backends = (Backend(parse_address(f"fd00:1::{n:x}"), 8080),)
        wanted[key] = FrontEnd(key, ServicePortName("default", f"s{n}", "", Protocol.TCP), Verdict.DNAT, backends)
    store.resync(wanted)
    assert len(store.unfit) == 1199 - 1024
    assert {each.map for each in store.unfit.values()} == {"services"}
    assert len(list(kernel_maps["services"].keys())) == 4096
    store.resync(dict(list(wanted.items())[-500:]))
    assert not store.unfit
    flags = [struct.unpack("=5I", value)[4] for _, value in kernel_maps["services"].items()]
    assert sum(flag & ServiceFlag.FRONT_END > 0 for flag in flags) == 1024 + (500 - (1024 - 699))
