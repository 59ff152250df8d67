"""Plans, carried out step by step on plain dicts."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcnat.layout import Family, ServiceFlag
from tcnat.model import Backend, FrontEnd, FrontEndKey, Protocol, Verdict, parse_address
from tcnat.plan import Plan, difference, plan, plan_drained
from tcnat.present import Present
from tcnat.recover import recover
from tcnat.steps import (
    ForgetService,
    FreeBackend,
    NameService,
    RemoveService,
    Step,
    WriteBackend,
    WriteRun,
    WriteService,
)

from .fakes import Contents, expected_flags, helper_flags, raw_key
from .front_ends import changes, front_end

Changed = dict[FrontEndKey, FrontEnd | None]
HELPERS = ServiceFlag.DIRECT | ServiceFlag.SERVICE_ADDRESS | ServiceFlag.BACKEND_ADDRESS


class Bench:
    """Dicts for the maps, and the planner's own idea of them."""

    def __init__(self, services: int = 1000, slots: int = 100_000, backends: int = 1000) -> None:
        self.limits = services, slots, backends
        self.present = Present(Family.IPV4, *self.limits)
        self.contents = Contents(Family.IPV4, {}, array("I"), {})
        self.wanted: dict[FrontEndKey, FrontEnd] = {}
        self.carriers: dict[tuple[int, int], bytes] = {}
        """(backend id, generation) -> the value that it had: what a flow that carries both relies on."""

    def run(self, step: Step) -> None:
        """Carry out a step."""
        services, backends = self.contents.services, self.contents.backends
        match step:
            case WriteBackend():
                assert 0 < step.number < self.limits[2]
                assert step.generation != self.contents.backend(step.number)[1]
                value = step.endpoint[:4] + step.endpoint[4:6] + bytes(2) + struct.pack("=I", step.generation)
                assert self.carriers.setdefault((step.number, step.generation), value) == value
                backends[step.number] = value
            case FreeBackend():
                backends[step.number] = bytes(8) + struct.pack("=I", step.generation)
                assert (step.number, step.generation) not in self.carriers
            case WriteRun():
                assert step.base + step.count <= self.limits[1]
                self.contents.write_slots(step.base, step.slots())
            case WriteService():
                services[step.key] = step.value
            case RemoveService():
                del services[step.key]
        assert len(services) <= self.limits[0]
        self.present.record(step)

    def apply(self, changed: Changed) -> Plan:
        """Plan and carry out, looking at the maps after each step."""
        before = self.front_end_backends()
        decided = plan(self.present, changed)
        for step in decided.steps:
            self.run(step)
            self.check_prefix(before, changed)
        for key, wanted in changed.items():
            self.wanted.pop(key, None)
            if wanted is not None:
                self.wanted[key] = wanted
        return decided

    def front_end_backends(self) -> dict[FrontEndKey, set[Backend]]:
        return {key: set(seen.shares) for key, seen in self.contents.front_ends().items()}

    def check_prefix(self, before: Mapping[FrontEndKey, set[Backend]], changed: Changed) -> None:
        """Every front end is served as it was or as it is to be: never by a part of either."""
        for key, now in self.front_end_backends().items():
            to_be = changed.get(key)
            assert now in (before.get(key), set(to_be.backends) if to_be else set())

    def check(self) -> None:
        """The maps hold what is wanted, and beside it only front ends that drain."""
        check_holds(self.contents, self.wanted)

    def restart(self) -> None:
        """Forget everything but the maps."""
        self.present = recovered(self.contents, *self.limits)


def recovered(contents: Contents, services: int, slots: int, backends: int) -> Present:
    present = Present(contents.family, services, slots, backends)
    empty = bytes(contents.family.address_size + 8)
    values = [contents.backends.get(number, empty) for number in range(backends)]
    recover(present, contents.services, lambda n: (contents.slots + array("I", [0] * n))[:n], values)
    return present


def check_holds(contents: Contents, wanted: Mapping[FrontEndKey, FrontEnd]) -> None:
    seen = contents.front_ends()
    draining = {key for key, found in seen.items() if found.flags & ServiceFlag.DRAINING}
    assert seen.keys() - draining == wanted.keys()
    names, owners = {}, {}
    for key, front in wanted.items():
        found = seen[key]
        assert found.flags & ~HELPERS == expected_flags(front)
        assert found.affinity == front.affinity_seconds
        assert set(found.shares) == set(front.backends)
        if found.shares:
            assert max(found.shares.values()) - min(found.shares.values()) <= 1
        assert names.setdefault(found.service, front.service) == front.service
        assert owners.setdefault(("id", front.service), found.service) == found.service
        for backend, number in found.ids.items():
            assert owners.setdefault(number, (found.service, backend)) == (found.service, backend)
    assert all(seen[key].service for key in seen)
    helpers = helper_flags(wanted)
    for key in contents.services.keys() | helpers.keys():
        assert contents.flags(key) & HELPERS == helpers.get(key, 0)
    used = {number for found in seen.values() for number in found.ids.values()}
    assert used == {number for number in contents.backends if any(contents.backend(number)[0].address)}


def comparable(present: Present) -> dict[str, object]:
    """What two Presents of the same maps must agree on."""
    return {
        "services": {key: (present.services.value(key), present.services.users(key)) for key in present.services},
        "entries": len(present.services),
        "draining": present.draining,
        "runs": {base: (run.count, run.numbers, run.users) for base, run in present.runs.items()},
        "free slots": present.free_slots.left,
        "backends": {number: end for number, end in enumerate(present.endpoints) if end},
        "free backends": present.backend_numbers.left,
        "generations": list(present.generations).__str__().rstrip("], 0"),
        "owners": {service: sorted(numbers) for service, numbers in present.backends_of.items()},
        "services used": present.service_uses,
        "addresses": present.front_addresses,
        "to mend": (present.dirty, present.damaged, present.idle_runs, present.idle_backends, present.idle_services),
    }


def writes(steps: Iterable[Step]) -> list[Step]:
    return [step for step in steps if not isinstance(step, NameService)]


@given(st.lists(changes(), max_size=6))
def test_no_prefix_of_the_steps_leaves_half_a_front_end(rounds: list[Changed]) -> None:
    bench = Bench()
    for changed in rounds:
        bench.apply(changed)
        bench.check()
        assert not writes(plan(bench.present, difference(bench.present, bench.wanted)).steps)
        assert comparable(bench.present) == comparable(recovered(bench.contents, *bench.limits))


@given(st.lists(changes(), min_size=1, max_size=5), st.data())
def test_a_crash_after_any_step_is_mended_by_the_next_full_plan(rounds: list[Changed], data: st.DataObject) -> None:
    bench = Bench()
    for changed in rounds:
        steps = plan(bench.present, changed).steps
        for step in steps[: data.draw(st.integers(0, len(steps)))]:
            bench.run(step)
        bench.restart()
        bench.wanted = {key: wanted for key, wanted in changed.items() if wanted}
        full_plan(bench)
        bench.check()
        assert not writes(plan(bench.present, difference(bench.present, bench.wanted)).steps)


@given(st.lists(changes(), min_size=1, max_size=4))
def test_a_restart_with_nothing_changed_writes_nothing(rounds: list[Changed]) -> None:
    bench = Bench()
    for changed in rounds:
        bench.apply(changed)
    bench.restart()
    steps = plan(bench.present, difference(bench.present, bench.wanted)).steps
    assert not writes(steps)
    for step in steps:
        bench.run(step)
    assert bench.present.service_ids.keys() == {wanted.service for wanted in bench.wanted.values()}


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


def full_plan(bench: Bench) -> Plan:
    decided = plan(bench.present, difference(bench.present, bench.wanted))
    for step in decided.steps:
        bench.run(step)
    return decided


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
        values = st.tuples(*[st.sampled_from((0, 1, 2, 163, 5000, 1 << 31))] * 4, st.integers(0, 127))
        address, port = draw(st.sampled_from(("10.96.0.1", "10.0.0.1"))), draw(st.sampled_from((0, 80)))
        key = raw_key(parse_address(address), port, draw(st.sampled_from((0, 6, 17, 99))))
        contents.services[key] = struct.pack("=5I", *draw(values))


@given(st.lists(changes(most=4), min_size=1, max_size=6), st.data())
def test_what_fits_works_and_what_does_not_is_told(rounds: list[Changed], data: st.DataObject) -> None:
    limits = data.draw(st.tuples(st.integers(1, 30), st.sampled_from((2, 100, 400, 900)), st.integers(1, 20)))
    bench = Bench(*limits)
    for changed in rounds:
        decided = plan(bench.present, changed)
        for step in decided.steps:
            bench.run(step)
        unfit = {each.front_end.key: each.front_end for each in decided.unfit}
        seen = bench.contents.front_ends()
        for key, wanted in changed.items():
            live = key in seen and not seen[key].flags & ServiceFlag.DRAINING
            if wanted is None:
                assert not live
            elif key in unfit:
                assert unfit[key] == wanted
                assert not live or set(seen[key].shares) <= set(wanted.backends)
            else:
                assert set(seen[key].shares) == set(wanted.backends)
                assert seen[key].flags & ~HELPERS == expected_flags(wanted)


@given(changes(), changes())
def test_planning_changes_nothing(first: Changed, second: Changed) -> None:
    bench = Bench()
    bench.apply(first)
    once, again = plan(bench.present, second), plan(bench.present, second)
    assert once == again
    assert comparable(bench.present) == comparable(recovered(bench.contents, *bench.limits))


WEB = front_end("10.96.0.1", "web", "10.0.0.1", "10.0.0.2", "10.0.0.3")
OTHER = front_end("10.96.0.2", "other", "10.0.0.1")


def served(*front_ends: FrontEnd, **limits: int) -> Bench:
    bench = Bench(**limits)
    bench.apply({each.key: each for each in front_ends})
    bench.check()
    return bench


def numbers(bench: Bench, front_end: FrontEnd) -> dict[Backend, tuple[int, int]]:
    """Backend -> (id, generation), as a flow carries them."""
    ids = bench.contents.front_ends()[front_end.key].ids
    return {backend: (number, bench.contents.backend(number)[1]) for backend, number in ids.items()}


def test_an_endpoint_that_goes_from_one_service_keeps_its_generation_in_another() -> None:
    bench = served(WEB, OTHER)
    of_web, of_other = numbers(bench, WEB), numbers(bench, OTHER)
    bench.apply({WEB.key: replace(WEB, backends=WEB.backends[1:])})
    bench.check()
    gone = of_web[WEB.backends[0]]
    assert bench.contents.backend(gone[0])[1] != gone[1]
    assert numbers(bench, OTHER) == of_other
    assert numbers(bench, WEB) == {backend: of_web[backend] for backend in WEB.backends[1:]}


def test_an_endpoint_that_comes_back_is_not_taken_for_the_one_that_went() -> None:
    bench = served(WEB)
    before = numbers(bench, WEB)
    bench.apply({WEB.key: replace(WEB, backends=WEB.backends[1:])})
    bench.apply({WEB.key: WEB})
    after = numbers(bench, WEB)
    assert after[WEB.backends[0]] != before[WEB.backends[0]]
    assert after[WEB.backends[1]] == before[WEB.backends[1]]


def test_generations_go_on_after_a_restart() -> None:
    bench = served(WEB)
    bench.apply({WEB.key: None})
    bench.restart()
    bench.apply({WEB.key: WEB})
    bench.check()  # Bench.run has seen that no id had the same generation twice


def test_front_ends_of_a_service_share_one_run_of_slots() -> None:
    twin = front_end("10.96.0.7", "web", "10.0.0.1", "10.0.0.2", "10.0.0.3", port=81)
    bench = served(WEB, twin)
    assert len(bench.present.runs) == 1
    bench.apply({twin.key: None})
    bench.check()
    assert len(bench.present.runs) == 1


def test_a_run_that_was_freed_is_not_shared_any_more() -> None:
    both = replace(WEB, backends=WEB.backends[:2])
    first, second = (front_end(f"10.96.0.{n}", "web", f"10.0.0.{n - 10}") for n in (11, 12))
    bench = served(both, first, second)  # whose backends stand while the run of both goes
    bench.apply({WEB.key: replace(WEB, backends=WEB.backends[:1])})
    bench.apply({WEB.key: both})
    bench.check()


@pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.SCTP])
def test_a_front_end_that_goes_drains_until_it_has_no_flow(protocol: Protocol) -> None:
    web = front_end("10.96.0.1", "web", "10.0.0.1", protocol=protocol)
    key = raw_key(web.key.address, 80, protocol)
    bench = served(web)
    bench.apply({web.key: None})
    assert bench.contents.flags(key) == ServiceFlag.FRONT_END | ServiceFlag.DRAINING
    assert set(bench.contents.services) == {key}
    assert not plan_drained(bench.present, {key}).steps
    for step in plan_drained(bench.present, set()).steps:
        bench.run(step)
    assert not bench.contents.services
    assert ForgetService(1) in plan_drained_of(served(web), web)


def plan_drained_of(bench: Bench, gone: FrontEnd) -> tuple[Step, ...]:
    bench.apply({gone.key: None})
    return plan_drained(bench.present, ()).steps


def test_a_udp_front_end_that_goes_is_removed_at_once() -> None:
    dns = front_end("10.96.0.10", "dns", "10.0.0.1", port=53, protocol=Protocol.UDP)
    bench = served(dns)
    bench.apply({dns.key: None})
    assert not bench.contents.services
    assert not bench.present.service_uses


def test_a_draining_front_end_that_comes_back_is_a_front_end_again() -> None:
    bench = served(WEB)
    bench.apply({WEB.key: None})
    bench.apply({WEB.key: WEB})
    bench.check()
    assert not bench.present.draining


def test_an_address_that_is_front_end_and_backend_says_both() -> None:
    chained = front_end("10.96.0.9", "chained", "10.96.0.1")
    chained = replace(chained, backends=(Backend(WEB.key.address, 80),))
    bench = served(WEB, chained)
    both = raw_key(WEB.key.address, 80, Protocol.TCP)
    assert bench.contents.flags(both) == ServiceFlag.FRONT_END | ServiceFlag.DIRECT
    address = raw_key(WEB.key.address)
    assert bench.contents.flags(address) == ServiceFlag.SERVICE_ADDRESS | ServiceFlag.BACKEND_ADDRESS
    bench.apply({WEB.key: None})
    for step in plan_drained(bench.present, ()).steps:
        bench.run(step)
    assert bench.contents.flags(both) == ServiceFlag.DIRECT
    assert bench.contents.flags(address) == ServiceFlag.BACKEND_ADDRESS


def test_a_service_that_is_made_anew_under_another_name_takes_the_front_end_over() -> None:
    renamed = replace(WEB, service=OTHER.service)
    bench = served(WEB)
    bench.apply({WEB.key: renamed})
    bench.check()
    assert set(bench.present.service_ids) == {OTHER.service}


def test_service_ids_are_kept_over_a_restart_even_if_a_new_front_end_is_met_first() -> None:
    first = front_end("10.96.0.0", "web", "10.0.0.1", "10.0.0.2", "10.0.0.3")
    bench = served(WEB, OTHER)
    before = numbers(bench, WEB)
    bench.restart()
    wanted = {each.key: each for each in (first, WEB, OTHER)}
    bench.apply(difference(bench.present, wanted))
    bench.check()
    assert numbers(bench, WEB) == before


def test_after_a_restart_one_service_id_never_goes_to_two_services() -> None:
    twin = front_end("10.96.0.7", "web", "10.0.0.1", "10.0.0.2", "10.0.0.3")
    bench = served(WEB, twin)
    bench.restart()
    bench.apply({WEB.key: WEB, twin.key: replace(twin, service=OTHER.service)})
    bench.check()


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
    right = bench.contents.slots[:163]
    wrong = bench.contents.slots[5] = next(number for number in (1, 2, 3) if number != right[5])
    bench.restart()
    steps = full_plan(bench).steps
    assert [step.slots() for step in steps if isinstance(step, WriteRun)] == [right]
    assert wrong in right


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
    assert bench.present.quarantine == [(163, 237)]  # what of it is not WEB's
    bench.wanted[OTHER.key] = OTHER
    [run] = [step for step in full_plan(bench).steps if isinstance(step, WriteRun)]
    assert run.base >= 400
    assert bench.present.free_slots.left == bench.limits[1] - 163 - 2
    bench.check()


def test_backend_0_is_nobodys_whatever_the_map_says() -> None:
    bench = served(OTHER)
    bench.contents.backends[0] = bench.contents.backends[1]
    bench.contents.write_slots(0, [0, 0])
    bench.restart()
    assert set(bench.present.damaged) == {raw_key(OTHER.key.address, 80, Protocol.TCP)}


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
    bench = served(replace(WEB, backends=two), slots=400)
    decided = plan(bench.present, {WEB.key: replace(WEB, backends=six)})
    assert [(each.map, each.entries) for each in decided.unfit] == [("slots", 400)]
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
    bench = Bench(slots=64 * 163)
    decided = plan(bench.present, {each.key: each for each in many})
    assert len(decided.unfit) == 80 - 63
    for step in decided.steps:
        bench.run(step)
    moved = replace(many[0], backends=(*many[0].backends[:1], Backend(parse_address("10.0.0.9"), 8080)))
    assert not plan(bench.present, {moved.key: moved}).unfit


def test_a_front_end_that_is_not_for_the_datapath_has_no_entry() -> None:
    bench = served(WEB)
    plan_ = plan(bench.present, {WEB.key: replace(WEB, verdict=Verdict.PASS, backends=())})
    assert plan_ == plan(bench.present, {WEB.key: None})


def test_a_change_costs_as_much_as_it_is_large() -> None:
    many = [front_end(f"10.96.{n // 250}.{n % 250}", f"s{n}", f"10.1.{n // 250}.{n % 250}") for n in range(1000)]
    bench = Bench(services=10_000, backends=2000)
    for step in plan(bench.present, {each.key: each for each in many}).steps:
        bench.run(step)
    changed = replace(many[500], backends=(Backend(parse_address("10.2.0.1"), 8080),))
    steps = writes(plan(bench.present, {changed.key: changed}).steps)
    assert len(steps) == 9  # backend, run; its two keys, front end; run and backend freed, their two keys gone
