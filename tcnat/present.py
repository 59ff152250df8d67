"""What one family's services, slots and backends maps hold now, compactly: 5,000 front ends take a few megabytes.

:func:`tcnat.recover.recover` builds it from the maps alone; each :mod:`step <tcnat.steps>` that was carried out is told
to :meth:`Present.record`, so that the maps need not be read again. Pure.

Where steps were not carried out to the end, :meth:`Present.inspect` finds what is *idle*, having no user, and what is
*dirty*, not in the services map as it should be: the next plan frees and writes it. What is *damaged* cannot be served
as it stands: a plan that is told of the front end mends it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from tcnat import maglev
from tcnat.allocate import Numbers, Runs
from tcnat.entries import Front, address_key, extra_flags, serves, service_of, service_value
from tcnat.layout import Family
from tcnat.mirror import ServicesMirror
from tcnat.model import ServicePortName
from tcnat.steps import (
    ForgetService,
    FreeBackend,
    FreeRun,
    NameService,
    RemoveService,
    Step,
    WriteBackend,
    WriteRun,
    WriteService,
)


@dataclass(slots=True)
class Run:
    """A front end's slots, or several's of one service port. ``numbers``: backend ids in the order of the backends."""

    count: int
    numbers: tuple[int, ...]
    users: int = 0


class Present:
    """See the module. Attributes are for reading; only :meth:`record` (and recovery) changes them."""

    def __init__(self, family: Family, services: int, slots: int, backends: int) -> None:
        """The numbers are the entries that each map can have."""
        self.family = family
        self.services_limit = services
        self.services = ServicesMirror()
        self.draining: set[bytes] = set()
        self.damaged: dict[bytes, Front] = {}  # the front ends that are, as what they are taken for
        self.quarantine: list[tuple[int, int]] = []  # runs that damaged front ends may still name
        self.spared: set[int] = set()  # backend ids that only damaged front ends may still name
        self.dirty: set[bytes] = set()
        self.runs: dict[int, Run] = {}  # by base
        self.run_of: dict[tuple[int, ...], int] = {}  # backend ids -> base
        self.idle_runs: set[int] = set()
        self.free_slots = Runs(slots)
        self.endpoints: list[bytes | None] = [None]  # by backend id; None: free, or nobody knows whose it is
        self.generations = array("I", [0])
        self.run_counts = array("I", [0])  # by backend id: runs that hold it
        self.offsets, self.skips = array("Q", [0]), array("Q", [0])  # by backend id: the two numbers of its preference
        self.idle_backends: set[int] = set()  # also those that nobody knows the owner of
        self.backend_numbers = Numbers(1, backends)  # 0 is what a slot that was never written names
        self.owners = array("I", [0])  # by backend id: service id, 0 if nobody knows
        self.backends_of: dict[int, array[int]] = {}  # service id -> backend ids
        self.names: dict[int, ServicePortName] = {}  # by service id
        self.service_ids: dict[ServicePortName, int] = {}
        self.service_uses: dict[int, int] = {}  # service id -> services entries
        self.idle_services: set[int] = set()
        self.service_numbers = Numbers(1, 1 << 32)
        self.front_addresses: dict[bytes, int] = {}  # address key -> front ends, without draining ones

    def front(self, key: bytes) -> Front | None:
        """The front end under a services key."""
        return self._front(key, self.services.fronts.get(key))

    def _front(self, key: bytes, value: bytes | None) -> Front | None:
        return None if value is None else self._read(key, value)

    def _read(self, key: bytes, value: bytes) -> Front:
        return self.damaged.get(key) or Front.read(value)

    def fronts(self) -> Iterator[tuple[bytes, Front]]:
        """Every front end."""
        for key, value in self.services.fronts.items():
            yield key, self._read(key, value)

    def numbers_of(self, front: Front) -> tuple[int, ...]:
        """The backend ids of a front end."""
        return self.runs[front.base].numbers if front.slots else ()

    def endpoint_numbers(self, service: int) -> dict[bytes, int]:
        """Endpoint -> backend id, of one service."""
        numbers = self.backends_of.get(service, ())
        return {endpoint: number for number in numbers if (endpoint := self.endpoints[number]) is not None}

    def endpoint(self, number: int) -> bytes | None:
        """Whose a backend id is; None if it is free, or nobody knows."""
        return self.endpoints[number] if number < len(self.endpoints) else None

    def preferences(self, numbers: Iterable[int]) -> list[maglev.Preference]:
        """Those of the backends that have these ids: hashed once, when they got them."""
        offsets, skips = self.offsets, self.skips
        return [(offsets[number], skips[number]) for number in numbers]

    def run_users(self, base: int) -> int | None:
        """How many front ends have the run at ``base``; None if there is none."""
        return self.runs[base].users if base in self.runs else None

    def run_count(self, number: int) -> int:
        """How many runs hold a backend id."""
        return self.run_counts[number] if number < len(self.run_counts) else 0

    def generation(self, number: int) -> int:
        """The generation that ``backends[number]`` has in the map."""
        return self.generations[number] if number < len(self.generations) else 0

    def expected(self, key: bytes) -> bytes | None:
        """What the services map should hold under ``key``, going by its front end and its users."""
        extra = extra_flags(key, self.services.users(key), self.front_addresses, {})
        return service_value(self.front(key), extra)

    def record(self, *steps: Step) -> None:
        """Follow steps that were carried out."""
        recorders = self._recorders
        for step in steps:
            recorders[type(step)](self, step)

    def use_endpoint(self, endpoint: bytes, change: int) -> None:
        """Count a backend id more or less for an endpoint."""
        self.services.use(endpoint, change)
        self.services.use(address_key(endpoint), change)

    def use_front(self, key: bytes, old: Front | None, new: Front | None) -> None:
        """Count what a services entry's front end uses, in place of what the one before it used."""
        if old is not None and old.slots:
            self.runs[old.base].users -= 1
        if new is not None and new.slots:
            self.runs[new.base].users += 1
            self.idle_runs.discard(new.base)
        if service_of(old) != service_of(new):
            self._use_service(service_of(old), -1)
            self._use_service(service_of(new), 1)
        if serves(old) != serves(new):
            self._use_address(address_key(key), serves(new) - serves(old))
        if new is not None and new.draining:
            self.draining.add(key)
        else:
            self.draining.discard(key)

    def _use_address(self, address: bytes, change: int) -> None:
        users = self.front_addresses.get(address, 0) + change
        if users:
            self.front_addresses[address] = users
        else:
            del self.front_addresses[address]

    def _use_service(self, service: int, change: int) -> None:
        if not service:
            return
        if service not in self.service_uses:
            self.service_numbers.claim(service)
        self.service_uses[service] = self.service_uses.get(service, 0) + change
        self.idle_services.discard(service)

    def numbers_without_run(self) -> set[int]:
        """The backend ids that no run holds, though it is known whose they are."""
        return {number for number, end in enumerate(self.endpoints) if end and not self.run_counts[number]}

    def inspect(self) -> None:
        """See what is idle and dirty. It takes as long as there is much in the maps."""
        self.idle_runs = {base for base, run in self.runs.items() if not run.users}
        self.idle_services = {service for service, users in self.service_uses.items() if not users}
        self.idle_backends.update(self.numbers_without_run().difference(self.spared))
        keys = {*self.services, *self.front_addresses}.difference(self.damaged)
        self.dirty = {key for key in keys if self.expected(key) != self.services.value(key)}

    def use_run(self, base: int, run: Run) -> None:
        """A run that stands in the slots map, whose slots are taken already."""
        self.runs[base] = run
        self.run_of[run.numbers] = base
        counts = self.run_counts
        for number in run.numbers:
            counts[number] += 1
        for unused in (self.idle_backends, self.spared):
            if unused:
                unused.difference_update(run.numbers)

    def _name_service(self, step: NameService) -> None:
        self.names[step.service] = step.name
        self.service_ids[step.name] = step.service
        self._use_service(step.service, 0)

    def _write_backend(self, step: WriteBackend) -> None:
        self.backend_numbers.claim(step.number)
        self.keep_backend(step)

    def keep_backend(self, step: WriteBackend) -> None:
        """A backend that stands in the backends map, whose number is taken already."""
        number = step.number
        self.grow(number)
        self.endpoints[number] = step.endpoint
        self.generations[number] = step.generation
        self.owners[number] = step.service
        self.offsets[number], self.skips[number] = maglev.preference(step.endpoint[:-2])
        numbers = self.backends_of.get(step.service)
        if numbers is None:
            self.backends_of[step.service] = array("I", (number,))
        else:
            numbers.append(number)
        self.use_endpoint(step.endpoint, 1)

    def grow(self, number: int) -> None:
        """Make room for a backend id."""
        more = number + 1 - len(self.endpoints)
        if more > 0:
            self.endpoints.extend([None] * more)
            for numbers in (self.generations, self.run_counts, self.owners, self.offsets, self.skips):
                numbers.extend([0] * more)

    def _write_run(self, step: WriteRun) -> None:
        self.free_slots.claim(step.base, step.count)
        self.use_run(step.base, Run(step.count, step.numbers))

    def _write_service(self, step: WriteService) -> None:
        self._replace(step.key, step.value)

    def _remove_service(self, step: RemoveService) -> None:
        self._replace(step.key, None)

    def _replace(self, key: bytes, value: bytes | None) -> None:
        self.dirty.discard(key)
        before, now = self.services.replace(key, value)
        if before is None and now is None:
            return
        old = self._front(key, before)
        if key in self.damaged:
            self._repaired(key)
        new = self._front(key, now)
        if old != new:
            self.use_front(key, old, new)

    def _repaired(self, key: bytes) -> None:
        del self.damaged[key]
        if not self.damaged:
            for base, count in self.quarantine:
                self.free_slots.give(base, count)
            self.quarantine = []

    def _free_run(self, step: FreeRun) -> None:
        run = self.runs.pop(step.base)
        self.idle_runs.discard(step.base)
        self.free_slots.give(step.base, run.count)
        if self.run_of.get(run.numbers) == step.base:
            del self.run_of[run.numbers]
        counts = self.run_counts
        for number in run.numbers:
            counts[number] -= 1

    def _free_backend(self, step: FreeBackend) -> None:
        number, endpoint, owner = step.number, self.endpoints[step.number], self.owners[step.number]
        self.endpoints[number] = None
        self.generations[number] = step.generation
        self.owners[number] = 0
        self.idle_backends.discard(number)
        self.spared.discard(number)
        self.backend_numbers.give(number)
        if endpoint is not None:
            self.use_endpoint(endpoint, -1)
            self.backends_of[owner].remove(number)
            if not self.backends_of[owner]:
                del self.backends_of[owner]

    def _forget_service(self, step: ForgetService) -> None:
        service = step.service
        del self.service_uses[service]
        self.idle_services.discard(service)
        self.service_numbers.give(service)
        name = self.names.pop(service, None)
        if name is not None:
            del self.service_ids[name]

    _recorders: ClassVar[dict[type, Callable[[Present, Any], None]]] = {
        NameService: _name_service,
        WriteBackend: _write_backend,
        WriteRun: _write_run,
        WriteService: _write_service,
        RemoveService: _remove_service,
        FreeRun: _free_run,
        FreeBackend: _free_backend,
        ForgetService: _forget_service,
    }
