"""Plans where a map is full."""

from __future__ import annotations

from dataclasses import replace

from tcnat.layout import ServiceFlag
from tcnat.model import Backend, parse_address
from tcnat.plan import plan

from .front_ends import front_end
from .plan_bench import OTHER, WEB, Bench, served, writes


def test_no_room_in_services_names_the_map_and_its_size() -> None:
    bench = Bench(services=4)
    decided = bench.apply({OTHER.key: OTHER, WEB.key: WEB})
    assert [(each.front_end, each.map, each.entries) for each in decided.unfit] == [(WEB, "services", 4)]


def test_no_room_in_backends_leaves_a_front_end_with_those_it_has() -> None:
    bench = served(replace(WEB, backends=WEB.backends[:2]), backends=3)
    changed = replace(WEB, backends=WEB.backends[1:])
    decided = plan(bench.present, {WEB.key: changed})
    assert [(each.map, each.entries) for each in decided.unfit] == [("backends", 3)]
    for step in decided.steps:
        bench.run(step)
    assert bench.front_end_backends() == {WEB.key: set(WEB.backends[1:2])}
    bench.apply({WEB.key: changed})  # the first plan freed what this one needs
    bench.check()


def test_no_room_in_slots_leaves_a_front_end_as_it_is_while_its_backends_stand() -> None:
    two, six = WEB.backends[:2], tuple(Backend(parse_address(f"10.0.0.{n}"), 8080) for n in range(1, 7))
    bench = served(replace(WEB, backends=two), slots=300)
    decided = plan(bench.present, {WEB.key: replace(WEB, backends=six)})
    assert [(each.map, each.entries) for each in decided.unfit] == [("slots", 300)]
    assert not writes(decided.steps)


def test_without_any_room_a_front_end_whose_backend_went_is_rejected_not_left_to_it() -> None:
    bench = served(WEB, slots=200)
    decided = plan(bench.present, {WEB.key: replace(WEB, backends=WEB.backends[1:])})
    for step in decided.steps:
        bench.run(step)
    assert bench.contents.front_ends()[WEB.key].flags == ServiceFlag.FRONT_END | ServiceFlag.REJECT
    assert decided.frees
    bench.apply({WEB.key: replace(WEB, backends=WEB.backends[1:])})
    bench.check()


def test_new_front_ends_leave_room_to_switch_those_that_are_served() -> None:
    many = [front_end(f"10.96.1.{n}", f"s{n}", "10.0.0.1", "10.0.0.2") for n in range(80)]
    bench = Bench(slots=64 * 127)
    decided = plan(bench.present, {each.key: each for each in many})
    assert len(decided.unfit) == 80 - 63
    for step in decided.steps:
        bench.run(step)
    moved = replace(many[0], backends=(*many[0].backends[:1], Backend(parse_address("10.0.0.9"), 8080)))
    assert not plan(bench.present, {moved.key: moved}).unfit
