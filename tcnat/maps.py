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
from typing import Any, ClassVar, NamedTuple

from tcnat.bpf import BpfError, Map
from tcnat.layout import BACKEND, COUNTER, SERVICE_COUNTER, Family, Struct
from tcnat.model import FrontEnd, FrontEndKey
from tcnat.plan import Plan, Unfit, difference, plan, plan_drained
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

SLOTS_AT_ONCE = 65536
"""Slots that are worked out before they are written: more would only take memory."""
_FULL = {errno.E2BIG, errno.ENOMEM, errno.ENOSPC}


class Count(NamedTuple):
    """Packets and bytes, of all CPUs."""

    packets: int
    bytes: int


class ServiceCount(NamedTuple):
    """What went from clients to a service port's backends and back, and the flows that began; of all CPUs."""

    forward_packets: int
    forward_bytes: int
    reply_packets: int
    reply_bytes: int
    flows: int


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
        """Entries written and removed so far."""
        self._maps = maps
        self._backend = BACKEND.codec(family)
        self.present = self._nothing()

    def _nothing(self) -> Present:
        return Present(self.family, *(self._maps[name].max_entries for name in ("services", "slots", "backends")))

    def read(self) -> Present:
        """Learn what the maps hold."""
        backends = self._maps["backends"]
        raw = backends.read_array(backends.max_entries)
        present = self._nothing()
        recover(
            present,
            dict(self._maps["services"].items()),
            lambda slots: array("I", self._maps["slots"].read_array(slots)),
            (raw[at : at + backends.value_size] for at in range(0, len(raw), backends.value_size)),
        )
        self.present = present
        return present

    def sync(self, changed: Mapping[FrontEndKey, FrontEnd | None]) -> int:
        """Bring the maps in step with changed front ends of this family (None: gone). Returns how many entries were
        written and removed. BpfError where the kernel fails for another reason than that a map is full."""
        before = self.written
        self._settle(changed, lambda: plan(self.present, changed))
        return self.written - before

    def resync(self, wanted: Mapping[FrontEndKey, FrontEnd]) -> int:
        """As :meth:`sync`, but ``wanted`` is all that there is to be."""
        for key in self.unfit.keys() - wanted.keys():
            del self.unfit[key]
        return self.sync(difference(self.present, wanted))

    def remove_drained(self, live: Collection[bytes]) -> int:
        """Remove the draining front ends whose services keys are not in ``live``. Returns as :meth:`sync`."""
        before = self.written
        self._settle({}, lambda: plan_drained(self.present, live))
        return self.written - before

    def _settle(self, changed: Iterable[FrontEndKey], decide: Callable[[], Plan]) -> None:
        """Plan and apply, and after a plan that freed something try what did not fit again."""
        self.present.services_limit = self._maps["services"].max_entries
        while True:
            decided = decide()
            if not self._applied(decided.steps):
                continue
            unfit = {each.front_end.key: each for each in decided.unfit}
            self._note_unfit(changed, unfit)
            if not self.unfit or not decided.frees:
                return
            waiting = {key: each.front_end for key, each in self.unfit.items()}
            changed, decide = waiting, partial(plan, self.present, waiting)

    def _note_unfit(self, tried: Iterable[FrontEndKey], unfit: dict[FrontEndKey, Unfit]) -> None:
        tried = set(tried)
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
        for step in steps:
            self.present.record(step)
        self.written += entries

    def _write_backends(self, steps: Sequence[WriteBackend]) -> None:
        keys = [_u32(step.number) for step in steps]
        pack = self._backend.pack
        values = [pack(step.endpoint[:-4], step.endpoint[-4:-2], 0, step.generation) for step in steps]
        self._maps["backends"].update_many(keys, values)
        self._record(steps, len(steps))

    def _free_backends(self, steps: Sequence[FreeBackend]) -> None:
        nowhere = bytes(self.family.address_size)
        values = [self._backend.pack(nowhere, b"\0\0", 0, step.generation) for step in steps]
        self._maps["backends"].update_many([_u32(step.number) for step in steps], values)
        self._record(steps, len(steps))

    def _write_runs(self, steps: Sequence[WriteRun]) -> None:
        for some in _adjacent(steps):
            slots = array("I")
            for step in some:
                slots += step.slots()
            self._maps["slots"].update_array(some[0].base, slots.tobytes())
            self._record(some, len(slots))

    def _write_services(self, steps: Sequence[WriteService]) -> None:
        services = self._maps["services"]
        try:
            services.update_many([step.key for step in steps], [step.value for step in steps])
        except BpfError:  # nobody knows how many went in: again, one by one, up to the one that fails
            for step in steps:
                services.update(step.key, step.value)
                self._record((step,), 1)
            return
        self._record(steps, len(steps))

    def _remove_services(self, steps: Sequence[RemoveService]) -> None:
        for step in steps:
            self._maps["services"].delete(step.key)
            self._record((step,), 1)

    def _forget_services(self, steps: Sequence[ForgetService]) -> None:
        counters = self._maps["service_counters"]
        for step in steps:
            counted = counters.lookup(_u32(step.service))
            if counted is not None and any(counted):
                counters.update(_u32(step.service), bytes(len(counted)))
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
        old = entry.lookup(_u32(0)) or bytes(entry.value_size)
        changes = [(entry, 0, settings.replacing(old))] if settings.replacing(old) != old else []
        timeouts, known = self._maps["timeouts"], self._read_timeouts()
        changes += [(timeouts, at, _u32(value)) for at, value in settings.pack_timeouts().items() if known[at] != value]
        for where, index, value in changes:
            where.update(_u32(index), value)
        self.written += len(changes)
        return bool(changes)

    def read_settings(self) -> Settings:
        """The settings that the programs go by."""
        entry = self._maps["settings"]
        return Settings.unpack(entry.lookup(_u32(0)) or bytes(entry.value_size), self._read_timeouts())

    def _read_timeouts(self) -> dict[int, int]:
        timeouts = self._maps["timeouts"]
        found = ((index, timeouts.lookup(_u32(index))) for index in range(timeouts.max_entries))
        return {index: int.from_bytes(value or b"", sys.byteorder) for index, value in found}

    def counters(self) -> tuple[Count, ...]:
        """What became of packets, by the reason's number."""
        counters = self._maps["counters"]
        return tuple(Count(*_sum(counters, COUNTER, number)) for number in range(counters.max_entries))

    def service_counters(self) -> dict[int, ServiceCount]:
        """By service id, as far as there are counters (those of higher ids are not counted)."""
        counters = self._maps["service_counters"]
        counted = (service for service in self.present.service_uses if service < counters.max_entries)
        return {service: ServiceCount(*_sum(counters, SERVICE_COUNTER, service)) for service in counted}


def _u32(number: int) -> bytes:
    return number.to_bytes(4, sys.byteorder)


def _sum(counters: Map, layout: Struct, index: int) -> Iterator[int]:
    """The fields of a per-CPU entry, which are all 64 bits wide, each added up over the CPUs."""
    values = memoryview(counters.lookup(_u32(index)) or b"").cast("Q")
    fields = len(layout.fields)
    return (sum(values[field::fields]) for field in range(fields))


def _adjacent(steps: Iterable[WriteRun]) -> Iterator[list[WriteRun]]:
    """The same runs in groups that lie next to each other, of not too many slots."""
    group: list[WriteRun] = []
    slots = 0
    for step in steps:
        if group and (group[-1].base + group[-1].count != step.base or slots >= SLOTS_AT_ONCE):
            yield group
            group, slots = [], 0
        group.append(step)
        slots += step.count
    if group:
        yield group
