"""A bench to carry plans out on, step by step, with plain dicts for maps."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Mapping

from tcnat.layout import Family, ServiceFlag
from tcnat.model import Backend, FrontEnd, FrontEndKey
from tcnat.plan import Plan, difference, plan
from tcnat.present import Present
from tcnat.recover import recover
from tcnat.steps import FreeBackend, NameService, RemoveService, Step, WriteBackend, WriteRun, WriteService

from .fakes import Contents, expected_flags, helper_flags
from .front_ends import front_end

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
                self.contents.write_slots(step.base, step.slots(self.present.preferences(step.numbers)))
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


def full_plan(bench: Bench) -> Plan:
    decided = plan(bench.present, difference(bench.present, bench.wanted))
    for step in decided.steps:
        bench.run(step)
    return decided


WEB = front_end("10.96.0.1", "web", "10.0.0.1", "10.0.0.2", "10.0.0.3")
OTHER = front_end("10.96.0.2", "other", "10.0.0.1")


def served(*front_ends: FrontEnd, **limits: int) -> Bench:
    bench = Bench(**limits)
    bench.apply({each.key: each for each in front_ends})
    bench.check()
    return bench


def numbers(bench: Bench, front: FrontEnd) -> dict[Backend, tuple[int, int]]:
    """Backend -> (id, generation), as a flow carries them."""
    ids = bench.contents.front_ends()[front.key].ids
    return {backend: (number, bench.contents.backend(number)[1]) for backend, number in ids.items()}
