"""From changed objects to changed maps: the part of the agent that owns the maps. One thread, no waiting."""

from __future__ import annotations

import datetime
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from tcnat.bpf import BpfError
from tcnat.errors import TcnatError
from tcnat.health import Health
from tcnat.layout import Family
from tcnat.metrics import Metrics
from tcnat.model import FrontEnd, FrontEndKey, Verdict
from tcnat.objects import Problem
from tcnat.plan import Unfit
from tcnat.resources import ServiceRef
from tcnat.sources import Changes
from tcnat.translate import Unserved
from tcnat.wanted import Effect, Wanted

MANY = 10
"""Lines about one thing that are logged at once."""

log = logging.getLogger(__name__)


class Store(Protocol):
    """What is asked of one family's maps; see :class:`tcnat.maps.MapStore`."""

    unfit: dict[FrontEndKey, Unfit]

    def read(self) -> object: ...
    def sync(self, changed: Mapping[FrontEndKey, FrontEnd | None], /) -> int: ...
    def resync(self, wanted: Mapping[FrontEndKey, FrontEnd], /) -> int: ...


class Node(Protocol):
    """What is asked of one family's maps about the node; see :class:`tcnat.nodemaps.NodeMaps`."""

    def write(self, local: Collection[bytes], /) -> int: ...


class Syncer:
    """Keeps the maps in step with what the objects want.

    A family whose maps were never read, or whose last sync failed, is *stale*: its next sync reads the maps and goes by
    the difference. While there are problems with the objects, a stale family keeps the front ends that nobody is known
    to want: they may belong to the broken ones.
    """

    def __init__(
        self,
        wanted: Wanted,
        metrics: Metrics,
        health: Health,
        clock: Callable[[], float],
        steady: Callable[[], float],
    ) -> None:
        """``clock`` gives seconds since the epoch, ``steady`` of a clock that nobody sets."""
        self._wanted = wanted
        self._metrics = metrics
        self._health = health
        self._clock = clock
        self._steady = steady
        self._started = clock()
        self._stores: dict[Family, Store] = {}
        self._nodes: Mapping[Family, Node] = {}
        self._pending: dict[Family, dict[FrontEndKey, FrontEnd | None]] = {family: {} for family in Family}
        self._triggers: list[str] = []
        self._stale: set[Family] = set()
        self._keeping: set[Family] = set()  # families with front ends that were kept for the sake of broken objects
        self._unfit: dict[FrontEndKey, Unfit] = {}
        self._note: Callable[[], object] = lambda: None
        self._local_drops: set[FrontEndKey] = set()
        self.unserved: dict[ServiceRef, tuple[Unserved, ...]] = {}
        self.news = True  # whether ``unserved`` changed; for whoever passes it on, who also unsets it
        self._unserved: Counter[str] = Counter()  # by kind
        self._failure = ""
        self._note_failure = ""

    def open(
        self,
        stores: Mapping[Family, Store],
        nodes: Mapping[Family, Node],
        note: Callable[[], object] = lambda: None,
    ) -> None:
        """From now on these are the maps. ``note`` is called behind each sync, to write down what the maps do not tell;
        it may raise TcnatError."""
        self._stores = dict(stores)
        self._nodes = nodes
        self._note = note
        self._stale = set(stores)

    def take(self, changes: Changes) -> None:
        """Work out what changed objects want; :meth:`sync` writes it."""
        effect = self._wanted.apply(changes)
        for key, front_end in effect.front_ends.items():
            self._pending[Family(key.family)][key] = front_end
            drops = front_end is not None and front_end.verdict is Verdict.DROP
            (self._local_drops.add if drops else self._local_drops.discard)(key)
        self._triggers += effect.triggers
        self._count(effect)
        self._tell_unserved(effect)

    def sync(self, problems: Sequence[Problem]) -> bool:
        """Write what is pending. False if a map could not be written: it is to be tried again. ``problems`` are those
        of the objects at present."""
        started = self._steady()
        written = {family: self._sync_family(family, bool(problems)) for family in self._stores}
        seconds = self._steady() - started
        self._metrics.sync_seconds.observe(seconds)
        self._metrics.object_errors.set(len(problems))
        self._tell_unfit()
        self._write_notes()
        if None in written.values():
            self._metrics.sync_failures.inc()
            return False
        self._failure = ""
        self._health.node_eligible = not self._wanted.node_leaves
        self._metrics.last_sync.set(self._clock())
        self._observe_programming(self._clock())
        total = sum(filter(None, written.values()))
        level = logging.INFO if total else logging.DEBUG
        log.log(level, "synced front_ends=%d written=%d ms=%.1f", len(self._wanted.front_ends), total, seconds * 1000)
        return True

    def _sync_family(self, family: Family, broken_objects: bool) -> int | None:
        """Entries written; None if that failed."""
        store = self._stores[family]
        try:
            told = self._nodes[family].write(self._wanted.local_addresses)
            if family in self._stale:
                store.read()
                written = self._sync_stale(family, store, keep=broken_objects)
            elif family in self._keeping and not broken_objects:
                written = store.resync(self._of(family))
                self._keeping.discard(family)
            else:
                written = store.sync(self._pending[family]) if self._pending[family] else 0
        except BpfError as error:
            self._stale.add(family)
            if str(error) != self._failure:
                self._failure = str(error)
                log.error("sync failed: %s; it is tried again", error)
            return None
        self._stale.discard(family)
        self._pending[family].clear()
        return told + written

    def _sync_stale(self, family: Family, store: Store, *, keep: bool) -> int:
        wanted = self._of(family)
        if not keep:
            self._keeping.discard(family)
            return store.resync(wanted)
        self._keeping.add(family)
        gone = {key: None for key, front_end in self._pending[family].items() if front_end is None}
        return store.sync({**wanted, **gone})

    def _write_notes(self) -> None:
        try:
            self._note()
        except TcnatError as error:
            if str(error) != self._note_failure:
                self._note_failure = str(error)
                log.warning("%s", error)
        else:
            self._note_failure = ""

    def _of(self, family: Family) -> dict[FrontEndKey, FrontEnd]:
        return {key: front_end for key, front_end in self._wanted.front_ends.items() if key.family == family}

    def _count(self, effect: Effect) -> None:
        metrics = self._metrics
        metrics.services_changed.inc(effect.services)
        metrics.slices_changed.inc(effect.slices)
        metrics.front_ends.set(len(self._wanted.front_ends))
        metrics.no_local_endpoints.labels("internal").set(len(self._local_drops))

    def _tell_unserved(self, effect: Effect) -> None:
        """Name, once for each Service, what of it is not served, and what two Services claim."""
        for ref, them in effect.unserved.items():
            self.news = True
            self._unserved.subtract(each.kind for each in self.unserved.pop(ref, ()))
            if them:
                self._unserved.update(each.kind for each in them)
                self.unserved[ref] = them
        for kind, number in self._unserved.items():
            self._metrics.unserved.labels(kind).set(number)
        _log_some(
            logging.WARNING,
            [f"not served service={ref} {', '.join(map(str, them))}" for ref, them in effect.unserved.items() if them],
        )
        claims = self._wanted.claims if effect.contested else {}
        contested = [(key, claims[key]) for key in effect.contested if key in claims]
        _log_some(
            logging.WARNING,
            [f"front_end={key} is claimed by {', '.join(map(str, by))}; {by[0]} gets it" for key, by in contested],
        )

    def _tell_unfit(self) -> None:
        """Name the front ends that came to be without room, and say when they have it."""
        unfit = {key: each for store in self._stores.values() for key, each in store.unfit.items()}
        if unfit == self._unfit:
            return
        fresh = [each for key, each in unfit.items() if self._unfit.get(key) != each]
        _log_some(logging.ERROR, [_no_room(each) for each in fresh])
        _log_some(logging.INFO, [f"room again front_end={key}" for key in self._unfit if key not in unfit])
        for name in {each.map for each in (*unfit.values(), *self._unfit.values())}:
            self._metrics.unfit.labels(name).set(sum(each.map == name for each in unfit.values()))
        self._unfit = unfit

    def _observe_programming(self, now: float) -> None:
        """Rule 36: how long it took from the change that a slice's annotation tells of."""
        for trigger in self._triggers:
            try:
                began = datetime.datetime.fromisoformat(trigger).timestamp()
            except ValueError:
                continue
            if began >= self._started:
                self._metrics.programming_seconds.observe(max(now - began, 0))
        self._triggers = []


def _no_room(unfit: Unfit) -> str:
    front_end = unfit.front_end
    return f"no room front_end={front_end.key} service={front_end.service} map={unfit.map} entries={unfit.entries}"


def _log_some(level: int, lines: Sequence[str]) -> None:
    """Log the first lines, and how many more there are."""
    for line in lines[:MANY]:
        log.log(level, "%s", line)
    if len(lines) > MANY:
        log.log(level, "and %d more like the last", len(lines) - MANY)
