"""Damaged maps: what is read from them, and how it is mended."""

from __future__ import annotations

import struct
from array import array

from hypothesis import given
from hypothesis import strategies as st

from tcnat.layout import ServiceFlag
from tcnat.model import Protocol, parse_address
from tcnat.plan import difference, plan
from tcnat.steps import WriteRun

from .fakes import Contents, raw_key
from .front_ends import changes
from .plan_bench import OTHER, WEB, Bench, Changed, full_plan, served, writes


@given(st.lists(changes(), min_size=1, max_size=3), st.data())
def test_damaged_maps_are_mended_by_the_next_full_plan(rounds: list[Changed], data: st.DataObject) -> None:
    bench = Bench(slots=5000)
    for changed in rounds:
        bench.apply(changed)
    for _ in range(data.draw(st.integers(1, 4))):
        damage(bench.contents, data.draw)
    bench.restart()
    # The generations that the damage wrote may be those of flows: nothing can tell. What follows must still be sound.
    bench.carriers = {}
    decided = full_plan(bench)
    if decided.unfit:  # there was no room while damaged front ends might still name most of the slots
        assert decided.frees
        full_plan(bench)
    bench.check()
    assert not writes(plan(bench.present, difference(bench.present, bench.wanted)).steps)


def damage(contents: Contents, draw) -> None:
    """Write something into one of the maps that tcnat would not."""
    kind = draw(st.sampled_from(("services", "slots", "backends", "removal")))
    if kind == "slots" and contents.slots:
        contents.slots[draw(st.integers(0, len(contents.slots) - 1))] = draw(st.sampled_from((0, 1, 2, 999, 1 << 31)))
    elif kind == "backends" and contents.backends:
        number = draw(st.sampled_from(sorted(contents.backends)))
        contents.backends[number] = draw(st.sampled_from((bytes(12), b"\n\0\0\1\0\x50" + bytes(6))))
    elif kind == "removal" and contents.services:
        del contents.services[draw(st.sampled_from(sorted(contents.services)))]
    else:
        values = st.tuples(*[st.sampled_from((0, 1, 2, 127, 5000, 1 << 31))] * 4, st.integers(0, 127))
        address, port = draw(st.sampled_from(("10.96.0.1", "10.0.0.1"))), draw(st.sampled_from((0, 80)))
        key = raw_key(parse_address(address), port, draw(st.sampled_from((0, 6, 17, 99))))
        contents.services[key] = struct.pack("=5I", *draw(values))


def test_a_front_end_that_names_a_part_of_anothers_run_is_mended() -> None:
    bench = served(WEB, OTHER)
    slots = bench.contents.slots
    pair = next(at for at in range(1, 162) if slots[at] == slots[at + 1])  # looks like the table of one backend
    key = raw_key(OTHER.key.address, 80, Protocol.TCP)
    bench.contents.services[key] = struct.pack("=5I", pair, 2, 1, 0, ServiceFlag.FRONT_END)
    bench.restart()
    assert set(bench.present.damaged) == {key}
    full_plan(bench)
    bench.check()


def test_a_slot_that_is_not_as_it_should_be_makes_its_front_ends_run_be_written_anew() -> None:
    bench = served(WEB)
    right = bench.contents.slots[:127]
    wrong = bench.contents.slots[5] = next(number for number in (1, 2, 3) if number != right[5])
    bench.restart()
    assert bench.present.backend_numbers.left == bench.limits[2] - 1 - 3
    steps = full_plan(bench).steps
    [run] = [step for step in steps if isinstance(step, WriteRun)]
    assert array("I", run.slots(bench.present.preferences(run.numbers)))[::2] == right
    assert wrong in right


def test_a_table_of_another_size_than_a_new_one_would_have_stands() -> None:
    """As an earlier version made it: of 3 backends with 163 slots."""
    bench = served(WEB)
    [run] = bench.present.runs.values()
    bench.contents.write_slots(0, WriteRun(0, 163, run.numbers).slots(bench.present.preferences(run.numbers)))
    key = raw_key(WEB.key.address, 80, Protocol.TCP)
    bench.contents.services[key] = struct.pack("=5I", 0, 163, 1, 0, ServiceFlag.FRONT_END)
    bench.wanted[WEB.key] = WEB
    bench.restart()
    assert not writes(full_plan(bench).steps)
    bench.check()


def test_a_table_whose_size_is_no_prime_is_damaged() -> None:
    bench = served(WEB)
    key = raw_key(WEB.key.address, 80, Protocol.TCP)
    bench.contents.services[key] = struct.pack("=5I", 0, 126, 1, 0, ServiceFlag.FRONT_END)
    bench.restart()
    assert set(bench.present.damaged) == {key}
    full_plan(bench)
    bench.check()


def test_a_damaged_front_end_stays_as_it_is_until_somebody_tells_what_is_wanted() -> None:
    bench = served(WEB, OTHER)
    bench.contents.slots[5] = 0
    bench.restart()
    assert bench.present.damaged
    for step in plan(bench.present, {OTHER.key: None}).steps:
        bench.run(step)
    assert set(bench.contents.slots[:127]) == {0, 1, 2, 3}
    assert all(bench.contents.backend(number)[0] in WEB.backends for number in (1, 2, 3))
    key = raw_key(WEB.key.address, 80, Protocol.TCP)
    assert struct.unpack("=5I", bench.contents.services[key])[1] == 127
    for step in plan(bench.present, {WEB.key: None}).steps:
        bench.run(step)
    assert not any(any(bench.contents.backend(number)[0].address) for number in bench.contents.backends)


def test_a_front_end_with_anothers_backend_ids_gets_its_own() -> None:
    bench = served(WEB, OTHER)
    web, other = (raw_key(each.key.address, 80, Protocol.TCP) for each in (WEB, OTHER))
    base, count, _, _, flags = struct.unpack("=5I", bench.contents.services[web])
    bench.contents.services[other] = struct.pack("=5I", base, count, 2, 0, flags)
    bench.restart()
    assert set(bench.present.damaged) == {other}
    full_plan(bench)
    bench.check()


def test_slots_that_a_damaged_front_end_names_are_not_used_before_it_is_mended() -> None:
    bench = served(WEB)
    key = raw_key(OTHER.key.address, 80, Protocol.TCP)
    bench.contents.services[key] = struct.pack("=5I", 100, 300, 9, 0, ServiceFlag.FRONT_END)
    bench.restart()
    assert bench.present.quarantine == [(127, 273)]  # what of it is not WEB's
    bench.wanted[OTHER.key] = OTHER
    [run] = [step for step in full_plan(bench).steps if isinstance(step, WriteRun)]
    assert run.base >= 400
    assert bench.present.free_slots.left == bench.limits[1] - 127 - 2
    bench.check()


def test_backend_0_is_nobodys_whatever_the_map_says() -> None:
    bench = served(OTHER)
    bench.contents.backends[0] = bench.contents.backends[1]
    bench.contents.write_slots(0, bytes(16))
    bench.restart()
    assert set(bench.present.damaged) == {raw_key(OTHER.key.address, 80, Protocol.TCP)}
