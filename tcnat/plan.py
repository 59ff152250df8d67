"""Wanted − present = steps. Pure: decides what to write, and what does not fit; :mod:`tcnat.order` puts it in order.

When a map has no room, front ends that are served already come before new ones:

* a new front end must leave one part in :data:`HEADROOM` of the slots free, to switch those that are there;
* a front end whose backends changed is served by those of them that have an id already;
* failing that, it stays as it is, or, where a backend of its has gone, is rejected.

What a plan frees is used by a later one at the earliest: after a plan that frees, try again what did not fit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import msgspec

from tcnat import maglev
from tcnat.entries import Front, address_key, front_end_key
from tcnat.layout import ServiceFlag, service_key, service_keys
from tcnat.model import FrontEnd, FrontEndKey, Protocol, ServicePortName, Verdict
from tcnat.order import Decision, next_generation, ordered
from tcnat.present import Present
from tcnat.steps import FreeBackend, FreeRun, NameService, RemoveService, Step, WriteBackend, WriteRun

HEADROOM = 64
_FREEING = frozenset({FreeRun, FreeBackend, RemoveService})

_FRONT_END = int(ServiceFlag.FRONT_END)
_REJECT = _FRONT_END | int(ServiceFlag.REJECT)
_DROP = _FRONT_END | int(ServiceFlag.DROP)
_DRAINING = _FRONT_END | int(ServiceFlag.DRAINING)


@dataclass(frozen=True, slots=True)
class Unfit:
    """A front end that a map (its name, and the entries it can have) has no room for."""

    front_end: FrontEnd
    map: str
    entries: int


@dataclass(frozen=True, slots=True)
class Plan:
    """``steps`` in order, and the front ends that do not get all of their backends by them. ``frees``: there is more
    room afterwards."""

    steps: tuple[Step, ...]
    unfit: tuple[Unfit, ...] = ()
    frees: bool = False


def plan(present: Present, changed: Mapping[FrontEndKey, FrontEnd | None]) -> Plan:
    """The steps after which each changed front end is as wanted (None: gone). Costs as much as the change is large.

    A TCP or SCTP front end that goes becomes draining first (see :func:`plan_drained`); UDP has nothing to drain
    (rule 31).
    """
    planner = _Planner(present)
    planner.recognise(front_end for front_end in changed.values() if front_end is not None)
    for key, front_end in changed.items():
        if front_end is None or front_end.verdict is Verdict.PASS:
            planner.retire(service_key(*key))
        else:
            planner.serve(front_end)
    return planner.plan()


def plan_drained(present: Present, live: Collection[bytes]) -> Plan:
    """The steps that remove the draining front ends whose services keys are not in ``live``: those have flows."""
    gone: dict[bytes, Front | None] = dict.fromkeys(sorted(present.draining.difference(live)))
    return _plan(present, Decision(fronts=gone))


def difference(present: Present, wanted: Mapping[FrontEndKey, FrontEnd]) -> dict[FrontEndKey, FrontEnd | None]:
    """What :func:`plan` has to look at so that the maps come to hold ``wanted`` and nothing else."""
    changed: dict[FrontEndKey, FrontEnd | None] = dict(wanted)
    for key, _ in present.fronts():
        changed.setdefault(front_end_key(key), None)
    return changed


def _plan(present: Present, decision: Decision, unfit: Iterable[Unfit] = ()) -> Plan:
    steps = ordered(present, decision)
    frees = not _FREEING.isdisjoint(map(type, steps))
    mends = bool(present.damaged.keys() & decision.fronts.keys())  # which ends the quarantine of what they name
    return Plan(steps, tuple(unfit), frees or mends)


class _Need(msgspec.Struct, frozen=True, gc=False):
    """What it takes to serve a front end with these backends."""

    key: bytes  # the front end's
    endpoints: list[bytes]  # the backends'
    missing: list[bytes]  # the endpoints without a backend id
    base: int | None  # of a run that holds them already
    count: int  # slots

    @property
    def entries(self) -> int:
        """How many services entries may be new."""
        return 2 + 2 * len(self.missing)

    @property
    def keys(self) -> list[bytes]:
        """Those entries' keys."""
        ends = [self.key, *self.missing]
        return [*ends, *map(address_key, ends)]


class _Planner:
    def __init__(self, present: Present) -> None:
        self._present = present
        self._decision = Decision()
        self._unfit: list[Unfit] = []
        self._free_slots = present.free_slots.free()
        self._backend_numbers = present.backend_numbers.free()
        self._service_numbers = present.service_numbers.free()
        self._table_size = cache(maglev.table_size)
        # What this plan has added to the present's.
        self._entries: set[bytes] = set()
        self._perhaps_new: list[_Need] = []  # needs whose entries were not looked at yet
        self._most_new = 0  # how many entries those are
        self._service_ids: dict[ServicePortName, int] = {}
        self._backends_of: dict[int, dict[bytes, int]] = {}  # service id -> endpoint -> backend id, with the present's
        self._run_of: dict[tuple[int, ...], WriteRun] = {}

    def plan(self) -> Plan:
        """What was decided."""
        return _plan(self._present, self._decision, self._unfit)

    def recognise(self, front_ends: Iterable[FrontEnd]) -> None:
        """Name the service ids that are there without a name (as after a restart) by the front ends that have them."""
        present = self._present
        if len(present.names) == len(present.service_uses):
            return
        taken = set(present.names)
        for front_end in front_ends:
            front = present.front(service_key(*front_end.key))
            name = front_end.service
            if front and front.service and front.service not in taken and self._service_id(name) is None:
                taken.add(front.service)
                self._name(front.service, name)

    def retire(self, key: bytes) -> None:
        """Let a front end go."""
        front = self._present.front(key)
        if front is not None:
            drains = front.service and key[-2] != Protocol.UDP
            self._decision.fronts[key] = Front(0, 0, front.service, 0, _DRAINING) if drains else None

    def serve(self, front_end: FrontEnd) -> None:
        """Serve a front end as well as there is room."""
        key = service_key(*front_end.key)
        old = self._present.front(key)
        new = old is None or old.draining
        service = self._service_id(front_end.service)
        numbers = {} if service is None else self._numbers(service)
        backends = front_end.backends if front_end.verdict is Verdict.DNAT else ()
        need = self._need(key, numbers, service_keys(backends, front_end.key.protocol), old)
        lacks = self._lacks(need, new)
        if lacks is None:
            self._decision.fronts[key] = self._front(front_end, service, need)
            return
        self._unfit.append(Unfit(front_end, *lacks))
        if old is not None:
            fewer = None if new else self._fewer(need, numbers, old)
            front = self._front(front_end, service, fewer) if fewer else self._unchanged(front_end, old)
            self._decision.fronts[key] = front

    def _fewer(self, need: _Need, numbers: dict[bytes, int], old: Front) -> _Need | None:
        """What it takes to serve a front end with those of its backends that have an id, if there is room for that."""
        kept = [endpoint for endpoint in need.endpoints if endpoint in numbers]
        if not kept or len(kept) == len(need.endpoints):
            return None
        fewer = self._need(need.key, numbers, kept, old)
        return fewer if self._lacks(fewer, new=False) is None else None

    def _need(self, key: bytes, numbers: dict[bytes, int], endpoints: list[bytes], old: Front | None) -> _Need:
        missing = [endpoint for endpoint in endpoints if endpoint not in numbers]
        base, count = self._run([numbers[endpoint] for endpoint in endpoints], old) if not missing else (None, 0)
        if base is None:
            count = self._table_size(len(endpoints), old.slots if old else 0)
        return _Need(key, endpoints, missing, base, count)

    def _run(self, numbers: list[int], old: Front | None) -> tuple[int | None, int]:
        """Base and count of a run of these backend ids; no base if there is none, or none is needed."""
        wanted = tuple(numbers)
        if not wanted:
            return None, 0
        if old and old.slots and self._present.runs[old.base].numbers == wanted:
            return old.base, old.slots
        if wanted in self._run_of:
            return self._run_of[wanted].base, self._run_of[wanted].count
        base = self._present.run_of.get(wanted)
        return base, self._present.runs[base].count if base is not None else 0

    def _lacks(self, need: _Need, new: bool) -> tuple[str, int] | None:
        """The map that has no room for it, and that map's entries; None if all have."""
        slots = self._free_slots
        if not self._has_entries(need):
            return "services", self._present.services_limit
        if len(need.missing) > self._backend_numbers.left:
            return "backends", self._present.backend_numbers.limit
        if need.base is None and need.count:
            capacity = self._present.free_slots.capacity
            spare = capacity // HEADROOM if new else 0
            if slots.left - need.count < spare or not slots.fits(need.count):
                return "slots", capacity
        return None

    def _has_entries(self, need: _Need) -> bool:
        """Whether the services map has room for it. Which entries it has already is only looked at where it matters:
        its mirror is large, and slow to look into."""
        there, limit = self._present.services, self._present.services_limit
        if len(there) + len(self._entries) + self._most_new + need.entries <= limit:
            return True
        self._entries.update(key for each in self._perhaps_new for key in each.keys if key not in there)
        self._perhaps_new.clear()
        self._most_new = 0
        new = {key for key in need.keys if key not in self._entries and key not in there}
        return not new or len(there) + len(self._entries) + len(new) <= limit

    def _front(self, front_end: FrontEnd, service: int | None, need: _Need) -> Front:
        """Take what is needed, and say how the front end is then to be."""
        self._perhaps_new.append(need)
        self._most_new += need.entries
        if service is None:
            service = self._service_numbers.take()
            self._name(service, front_end.service)
        if not need.endpoints:
            flags = _DROP if front_end.verdict is Verdict.DROP else _REJECT
            return Front(0, 0, service, front_end.affinity_seconds, flags)
        base = need.base if need.base is not None else self._write_run(service, need)
        return Front(base, need.count, service, front_end.affinity_seconds, _FRONT_END)

    def _write_run(self, service: int, need: _Need) -> int:
        numbers = self._numbers(service)
        for endpoint in need.missing:
            number = numbers[endpoint] = self._backend_numbers.take()
            generation = next_generation(self._present.generation(number))
            self._decision.backends.append(WriteBackend(number, generation, service, endpoint))
        held = tuple(map(numbers.__getitem__, need.endpoints))
        run = WriteRun(self._free_slots.take(need.count), need.count, held)
        self._run_of[held] = run
        self._decision.runs.append(run)
        return run.base

    def _unchanged(self, front_end: FrontEnd, old: Front) -> Front:
        """What becomes of a front end that there is no room to change."""
        wanted = {*service_keys(front_end.backends, front_end.key.protocol)}
        held = {self._present.endpoints[number] for number in self._present.numbers_of(old)}
        return old if held <= wanted else Front(0, 0, old.service, old.affinity, _REJECT)

    def _service_id(self, name: ServicePortName) -> int | None:
        return self._service_ids.get(name) or self._present.service_ids.get(name)

    def _name(self, service: int, name: ServicePortName) -> None:
        self._service_ids[name] = service
        self._decision.names.append(NameService(service, name))

    def _numbers(self, service: int) -> dict[bytes, int]:
        if service not in self._backends_of:
            self._backends_of[service] = self._present.endpoint_numbers(service)
        return self._backends_of[service]
