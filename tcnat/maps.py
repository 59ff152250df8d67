"""The maps of one address family: the only place that writes them for the agent, and reads them back.

What is written is what :mod:`tcnat.plan` decides; :class:`tcnat.present.Present` remembers what was. See docs/maps.md.
"""

from __future__ import annotations

import errno
import sys
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any, ClassVar

from tcnat.bpf import BpfError, Map
from tcnat.counts import Count, ServiceCount, read_count, read_service_count
from tcnat.flows import live_front_ends
from tcnat.layout import BACKEND, Family, number_bytes, service_key
from tcnat.model import FrontEnd, FrontEndKey, ServicePortName
from tcnat.plan import Plan, Unfit, difference, plan, plan_drained
from tcnat.ports import Ports
from tcnat.present import Present
from tcnat.recover import recover
from tcnat.settings import Settings
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
from tcnat.sweep import Sweeper

SLOTS_AT_ONCE = 32768
"""Slots that are worked out before they are written: more would only take memory."""
FRONT_ENDS_AT_ONCE = 64
"""Front ends that are planned for at a time, few enough for what a plan has looked at to be in a cache still when it is
carried out."""
Portion = tuple[Collection[FrontEndKey], Callable[[], Plan]]
"""Front ends, and what decides about them."""
_FULL = {errno.E2BIG, errno.ENOMEM, errno.ENOSPC}


class MapStore:
    """One family's maps by name. :meth:`read` comes first; from then on nobody else may write services, slots and
    backends."""

    def __init__(self, family: Family, maps: Mapping[str, Map]) -> None:
        self.family = family
        self.unfit: dict[FrontEndKey, Unfit] = {}
        """The front ends that there is no room for; they are tried again when something was freed."""
        self.news = True
        """Whether names or ``unfit`` changed. For whoever passes them on, who also unsets it."""
        self.written = 0
        """Entries written and removed so far, ports left out: those go with services."""
        self._maps = maps
        self._ports = Ports(maps["ports"])
        self._backend = BACKEND.codec(family)
        self.present = self._nothing()

    def _nothing(self) -> Present:
        return Present(self.family, *(self._maps[name].max_entries for name in ("services", "slots", "backends")))

    def read(self) -> Present:
        """Learn what the maps hold."""
        backends = self._maps["backends"]
        raw = backends.read_array(backends.max_entries)
        written = len(raw.rstrip(b"\0"))  # behind that no id was ever given out
        present = self._nothing()
        services = dict(self._maps["services"].items())
        recover(
            present,
            services,
            lambda slots: array("I", self._maps["slots"].read_array(slots)),
            (bytes(raw[at : at + backends.value_size]) for at in range(0, written, backends.value_size)),
        )
        self.present = present
        self._ports.become(services)
        return present

    def sync(self, changed: Mapping[FrontEndKey, FrontEnd | None]) -> int:
        """Bring the maps in step with changed front ends of this family (None: gone). Returns how many entries were
        written and removed. BpfError where the kernel fails for another reason than that a map is full."""
        return self._settle(self._portions(changed))

    def resync(self, wanted: Mapping[FrontEndKey, FrontEnd]) -> int:
        """As :meth:`sync`, but ``wanted`` is all that there is to be."""
        return self.sync({**dict.fromkeys(self.unfit), **difference(self.present, wanted)})

    def remove_drained(self, live: Collection[bytes]) -> int:
        """Remove the draining front ends whose services keys are not in ``live``. Returns as :meth:`sync`."""
        return self._settle([((), lambda: plan_drained(self.present, live))])

    def drain(self, now: int) -> int:
        """Remove the draining front ends that have no flow any more. ``now`` is in seconds of the programs' clock.
        Returns as :meth:`sync`."""
        return self.remove_drained(live_front_ends(self.family, self._maps, self.present.draining, now))

    def _portions(self, changed: Mapping[FrontEndKey, FrontEnd | None]) -> Iterator[Portion]:
        """Some of the changed front ends at a time. First those that are there, for by them service ids are known
        again, in the order of their runs: what some of them free lies together, and is what the next ones are written
        to."""
        keys = sorted(changed, key=self._place)
        for start in range(0, len(keys), FRONT_ENDS_AT_ONCE):
            some = {key: changed[key] for key in keys[start : start + FRONT_ENDS_AT_ONCE]}
            yield some, partial(plan, self.present, some)

    def _place(self, key: FrontEndKey) -> int:
        """Where a front end's run begins, behind all others if there is none."""
        front = self.present.front(service_key(*key))
        return self.present.free_slots.capacity if front is None else front.base

    def _settle(self, portions: Iterable[Portion]) -> int:
        """Carry all of it out, and when something was freed try what did not fit again."""
        before = self.written
        self.present.services_limit = self._maps["services"].max_entries
        frees = False
        for tried, decide in portions:
            frees |= self._carry_out(tried, decide)
        while frees and self.unfit:
            waiting = {key: each.front_end for key, each in self.unfit.items()}
            frees = self._carry_out(waiting, partial(plan, self.present, waiting))
        return self.written - before

    def _carry_out(self, tried: Collection[FrontEndKey], decide: Callable[[], Plan]) -> bool:
        """Plan and apply; returns whether that freed something."""
        decided = decide()
        while not self._applied(decided.steps):
            decided = decide()
        self._note_unfit(tried, {each.front_end.key: each for each in decided.unfit})
        return decided.frees

    def _note_unfit(self, tried: Collection[FrontEndKey], unfit: dict[FrontEndKey, Unfit]) -> None:
        noted = {key: each for key, each in self.unfit.items() if key not in tried} | unfit
        self.news = self.news or noted != self.unfit
        self.unfit = noted

    def _applied(self, steps: Sequence[Step]) -> bool:
        """Carry the steps out. False, after as many as went, where the kernel has no more memory for the services map
        (its entries are not allocated in advance): then there is room for as many as there are now."""
        try:
            self.apply(steps)
        except BpfError as error:
            present = self.present
            if error.errno not in _FULL or present.services_limit <= len(present.services):
                raise
            present.services_limit = len(present.services)
            return False
        return True

    def apply(self, steps: Iterable[Step]) -> None:
        """Carry steps out, in order. After a BpfError :attr:`present` tells which were."""
        try:
            for kind, some in groupby(steps, key=type):
                self._writers[kind](self, list(some))
        except BpfError:
            self.present.inspect()
            raise

    def _record(self, steps: Iterable[Step], entries: int) -> None:
        self.present.record(*steps)
        self.written += entries

    def _write_backends(self, steps: Sequence[WriteBackend]) -> None:
        keys = [number_bytes(step.number) for step in steps]
        pack = self._backend.pack
        values = [pack(step.endpoint[:-4], step.endpoint[-4:-2], 0, step.generation) for step in steps]
        self._maps["backends"].update_many(keys, values)
        self._record(steps, len(steps))

    def _free_backends(self, steps: Sequence[FreeBackend]) -> None:
        nowhere = bytes(self.family.address_size)
        values = [self._backend.pack(nowhere, b"\0\0", 0, step.generation) for step in steps]
        self._maps["backends"].update_many([number_bytes(step.number) for step in steps], values)
        self._record(steps, len(steps))

    def _write_runs(self, steps: Sequence[WriteRun]) -> None:
        preferences = self.present.preferences
        for some in _portions_of(sorted(steps, key=attrgetter("base"))):
            self._maps["slots"].update_runs([(step.base, step.slots(preferences(step.numbers))) for step in some])
            self._record(some, sum(step.count for step in some))

    def _write_services(self, steps: Sequence[WriteService]) -> None:
        services = self._maps["services"]
        self._ports.add([step.key for step in steps if step.new])
        try:
            services.update_many([step.key for step in steps], [step.value for step in steps])
        except BpfError:  # nobody knows how many went in: again, one by one, up to the one that fails
            for step in steps:
                services.update(step.key, step.value)
                self._record((step,), 1)
            return
        self._record(steps, len(steps))

    def _remove_services(self, steps: Sequence[RemoveService]) -> None:
        services = self._maps["services"]
        gone = [step.key for step in steps]
        if services.delete_many(gone):
            self._record(steps, len(steps))
        else:
            for step in steps:
                services.delete(step.key)
                self._record((step,), 1)
        self._ports.remove(gone)

    def _forget_services(self, steps: Sequence[ForgetService]) -> None:
        counters = self._maps["service_counters"]
        for step in steps:
            counted = counters.lookup(number_bytes(step.service))
            if counted is not None and any(counted):
                counters.update(number_bytes(step.service), bytes(len(counted)))
                self.written += 1
        self._record(steps, 0)
        self.news = True

    def _name_services(self, steps: Sequence[NameService]) -> None:
        self._record(steps, 0)
        self.news = True

    def _free_runs(self, steps: Sequence[FreeRun]) -> None:
        self._record(steps, 0)

    _writers: ClassVar[dict[type, Callable[[MapStore, Any], None]]] = {
        NameService: _name_services,
        WriteBackend: _write_backends,
        WriteRun: _write_runs,
        WriteService: _write_services,
        RemoveService: _remove_services,
        FreeRun: _free_runs,
        FreeBackend: _free_backends,
        ForgetService: _forget_services,
    }

    def write_settings(self, settings: Settings) -> bool:
        """Have the programs go by these settings. Returns whether they were others."""
        entry = self._maps["settings"]
        old = entry.lookup(number_bytes(0)) or bytes(entry.value_size)
        changes = [(entry, 0, settings.replacing(old))] if settings.replacing(old) != old else []
        timeouts, known = self._maps["timeouts"], self._read_timeouts()
        changes += [
            (timeouts, at, number_bytes(value)) for at, value in settings.pack_timeouts().items() if known[at] != value
        ]
        for where, index, value in changes:
            where.update(number_bytes(index), value)
        self.written += len(changes)
        return bool(changes)

    def read_settings(self) -> Settings:
        """The settings that the programs go by."""
        entry = self._maps["settings"]
        return Settings.unpack(entry.lookup(number_bytes(0)) or bytes(entry.value_size), self._read_timeouts())

    def _read_timeouts(self) -> dict[int, int]:
        timeouts = self._maps["timeouts"]
        found = ((index, timeouts.lookup(number_bytes(index))) for index in range(timeouts.max_entries))
        return {index: int.from_bytes(value or b"", sys.byteorder) for index, value in found}

    def sweeper(self) -> Sweeper:
        """For kernels without LRU maps: what removes entries that are past their time-outs."""
        fragment_timeout = self.read_settings().fragment_timeout
        return Sweeper(self.family, self._maps, self.affinity_timeouts, lambda: fragment_timeout)

    def affinity_timeouts(self) -> dict[int, int]:
        """Service id -> seconds, of those that have affinity."""
        return {front.service: front.affinity for _, front in self.present.fronts() if front.affinity}

    def names(self) -> dict[int, ServicePortName]:
        """Service id -> its name, as far as it is known."""
        return self.present.names.copy()

    def usage(self) -> dict[str, tuple[int, int]]:
        """Entries in use, and how many there can be, of the maps that the agent fills."""
        present = self.present
        slots, backends = present.free_slots, present.backend_numbers
        return {
            "services": (len(present.services), self._maps["services"].max_entries),
            "slots": (slots.capacity - slots.left, slots.capacity),
            "backends": (backends.limit - 1 - backends.left, backends.limit - 1),
        }

    def counters(self) -> tuple[Count, ...]:
        """What became of packets, by the reason's number."""
        counters = self._maps["counters"]
        return tuple(read_count(counters, number) for number in range(counters.max_entries))

    def service_counters(self) -> dict[int, ServiceCount]:
        """By service id."""
        return {
            service: read_service_count(self._maps["service_counters"], service)
            for service in self.present.service_uses
        }


def _portions_of(steps: Iterable[WriteRun]) -> Iterator[list[WriteRun]]:
    """The same runs in groups of not too many slots."""
    group: list[WriteRun] = []
    slots = 0
    for step in steps:
        if group and slots + step.count > SLOTS_AT_ONCE:
            yield group
            group, slots = [], 0
        group.append(step)
        slots += step.count
    if group:
        yield group
