"""The order in which a decision is carried out. Pure.

After *any* of the steps every front end in the services map names a run that is written whole, of backends that are
written: backends, slots, services; then what nobody uses any more, in reverse.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain

from tcnat.entries import Front, address_key, extra_flags, serves, service_of, service_value
from tcnat.layout import ServiceFlag
from tcnat.present import Present
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

_SERVICE_ADDRESS = int(ServiceFlag.SERVICE_ADDRESS)


@dataclass(slots=True)
class Decision:
    """What is to be new, and how front ends (by services key) are to be: None is gone."""

    names: list[NameService] = field(default_factory=list)
    backends: list[WriteBackend] = field(default_factory=list)
    runs: list[WriteRun] = field(default_factory=list)
    fronts: dict[bytes, Front | None] = field(default_factory=dict)


# When an entry of the services map is written, among the others: the last ones behind the backends themselves. Plain
# numbers, for every entry asks for one.
_RANKS = _BACKEND, _FRONT_END, _ADDRESS, _ADDRESS_GONE, _FRONT_END_GONE, _BACKEND_GONE = range(6)


def ordered(present: Present, decision: Decision) -> tuple[Step, ...]:
    """The steps of a decision, and those that free what is idle and mend what is dirty."""
    change = _Change(present, decision)
    runs = change.unused_runs()
    backends = change.unused_backends(runs)
    entries = change.entries(backends)
    return (
        *decision.names,
        *decision.backends,
        *decision.runs,
        *chain.from_iterable(entries[:_BACKEND_GONE]),
        *(FreeRun(base) for base in runs),
        *(FreeBackend(number, next_generation(present.generation(number))) for number in backends),
        *entries[_BACKEND_GONE],
        *(ForgetService(service) for service in change.unused_services()),
    )


def next_generation(generation: int) -> int:
    """The generation after this one, modulo 2³², without 0: that is a backend's which was never written."""
    return generation % 0xFFFFFFFF + 1


class _Change:
    """How the numbers of users differ once the decision is carried out."""

    def __init__(self, present: Present, decision: Decision) -> None:
        self._present = present
        self._decision = decision
        self._run_users: defaultdict[int, int] = defaultdict(int)  # by base
        self._service_users: defaultdict[int, int] = defaultdict(int)  # by service id
        self._front_addresses: defaultdict[bytes, int] = defaultdict(int)  # by address key
        for key, new in decision.fronts.items():
            old = present.front(key)
            if old != new:
                self._count_front(key, old, new)

    def _count_front(self, key: bytes, old: Front | None, new: Front | None) -> None:
        if old is not None and old.slots:
            self._run_users[old.base] -= 1
        if new is not None and new.slots:
            self._run_users[new.base] += 1
        if service_of(old) != service_of(new):
            self._service_users[service_of(old)] -= 1
            self._service_users[service_of(new)] += 1
        if serves(old) != serves(new):
            self._front_addresses[address_key(key)] += serves(new) - serves(old)

    def unused_runs(self) -> list[int]:
        """Bases of the runs that have no front end afterwards."""
        return _unused(self._run_users, self._present.run_users, self._present.idle_runs)

    def unused_services(self) -> list[int]:
        """Service ids that no entry has afterwards."""
        return _unused(self._service_users, self._present.service_uses.get, self._present.idle_services)

    def unused_backends(self, runs: Iterable[int]) -> list[int]:
        """Backend ids that no run holds once ``runs`` are freed."""
        present = self._present
        held: set[int] = set()
        for run in self._decision.runs:
            held.update(run.numbers)
        fewer: defaultdict[int, int] = defaultdict(int)
        for base in runs:
            for number in present.runs[base].numbers:
                if number not in held:
                    fewer[number] -= 1
        mends_all = present.damaged.keys() <= self._decision.fronts.keys()
        idle = present.idle_backends | present.spared if mends_all else present.idle_backends
        return _unused(fewer, present.run_count, idle - held)

    def entries(self, freed: Iterable[int]) -> list[list[Step]]:
        """The services entries to write or remove when the ``freed`` backend ids go, by rank. There is room for the new
        ones of the decision, which has seen to it."""
        present, decided = self._present, self._decision.fronts
        users = self._backend_users(freed)
        services, addresses, changed = present.services, present.front_addresses, self._front_addresses
        room = present.services_limit - len(services)
        found: list[list[Step]] = [[] for _ in _RANKS]
        for key in dict.fromkeys((*decided, *changed, *users, *sorted(present.dirty))):
            old, is_front_end, backends = services.entry(key)
            extra = extra_flags(key, backends + users.get(key, 0), addresses, changed)
            front = decided[key] if key in decided else present.front(key) if is_front_end else None
            value = service_value(front, extra)
            is_new = old is None and value is not None
            if value == old or (is_new and room <= 0):  # without room, what is dirty stays so
                continue
            room -= is_new
            step = RemoveService(key) if value is None else WriteService(key, value, is_new)
            found[self._rank(key, front, extra)].append(step)
        return found

    def _backend_users(self, freed: Iterable[int]) -> dict[bytes, int]:
        users: defaultdict[bytes, int] = defaultdict(int)
        for backend in self._decision.backends:
            users[backend.endpoint] += 1
            users[address_key(backend.endpoint)] += 1
        for number in freed:
            endpoint = self._present.endpoints[number]
            if endpoint is not None:
                users[endpoint] -= 1
                users[address_key(endpoint)] -= 1
        return users

    def _rank(self, key: bytes, front: Front | None, extra: int) -> int:
        if front is not None:
            return _FRONT_END_GONE if front.draining else _FRONT_END
        if key in self._decision.fronts:
            return _FRONT_END_GONE
        if extra & _SERVICE_ADDRESS:
            return _ADDRESS
        if self._front_addresses and self._front_addresses.get(key, 0) < 0:
            return _ADDRESS_GONE
        return _BACKEND if extra else _BACKEND_GONE


def _unused(changes: Mapping[int, int], users: Callable[[int], int | None], idle: Iterable[int]) -> list[int]:
    """The numbers that exist (``users`` is not None) and have no users after the ``changes``; only those that get fewer
    and the idle ones can be that."""
    fewer = {number for number, change in changes.items() if change < 0}
    return sorted(number for number in fewer.union(idle) if users(number) == -changes.get(number, 0))
