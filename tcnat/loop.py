"""The agent's loop: waits for events and times, and has everything done by one thread, which owns maps and filters."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from enum import Enum
from queue import Empty, SimpleQueue
from typing import Protocol

from tcnat.errors import TcnatError
from tcnat.health import Health
from tcnat.metrics import Metrics
from tcnat.objects import Object, ObjectRef, Problem
from tcnat.pace import Pace
from tcnat.sources import Source
from tcnat.sync import Syncer

SWEEP_PERIOD = 5.0
"""Seconds from sweep to sweep where the kernel has no LRU maps."""

log = logging.getLogger(__name__)


class Event(Enum):
    """What can wake the loop."""

    OBJECTS = "objects"
    """The source has something to be polled."""
    DEVICES = "devices"
    """Network devices came, went or changed."""
    NEIGHBOURS = "neighbours"
    """Workloads on this node are reached in another way than before, or the programs want to hear that they are not."""
    RESYNC = "resync"
    """Look at everything now (SIGHUP)."""
    STOP = "stop"


class Inbox:
    """Events from other threads and from signal handlers."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Event] = SimpleQueue()

    def poster(self, event: Event) -> Callable[[], None]:
        """A function that posts the event, from wherever it is called."""
        return lambda: self._queue.put(event)

    def take(self, timeout: float | None) -> set[Event]:
        """Everything that was posted; waits up to ``timeout`` seconds for the first."""
        events: set[Event] = set()
        try:
            events.add(self._queue.get(timeout=timeout) if timeout is None or timeout > 0 else self._queue.get_nowait())
            while True:
                events.add(self._queue.get_nowait())
        except Empty:
            return events


class Devices(Protocol):
    """What is asked of the part that attaches the programs to devices."""

    def start(self) -> None:
        """Attach to the devices that there are. TcnatError if not one of them can be served."""

    def sync(self) -> None:
        """Attach to the devices that came."""

    def resync(self) -> None:
        """See to it that every device carries what it should."""

    def follow_neighbours(self) -> None:
        """Tell the programs how workloads on this node are reached."""


class Upkeep(Protocol):
    """What the maps need from time to time; see :class:`tcnat.upkeep.Upkeep`."""

    @property
    def sweeps(self) -> bool: ...
    def run(self, now: float, /) -> int: ...


class Loop:
    """Runs until :data:`Event.STOP`. ``clock`` gives seconds of a steady clock, ``wall`` since the epoch."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        source: Source,
        syncer: Syncer,
        devices: Devices,
        upkeep: Upkeep,
        pace: Pace,
        health: Health,
        metrics: Metrics,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._inbox = inbox
        self._source = source
        self._syncer = syncer
        self._devices = devices
        self._upkeep = upkeep
        self._pace = pace
        self._health = health
        self._metrics = metrics
        self._clock = clock
        self._wall = wall
        self._changes: dict[ObjectRef, Object | None] = {}  # polled, and not given to the syncer yet
        self._unwritten: set[ObjectRef] = set()  # polled, and not in the maps yet
        self._problems: Sequence[Problem] = ()
        self._failed = False
        self._sweep_at = clock() + SWEEP_PERIOD if upkeep.sweeps else math.inf

    def run(self) -> None:
        """The loop itself."""
        while True:
            events = self._inbox.take(self._patience(self._clock()))
            if Event.STOP in events:
                return
            self.turn(self._clock(), events)

    def begin(self, now: float) -> None:
        """Bring the maps in step with what the syncer was given already, and only then attach the programs."""
        self._problems = self._source.problems
        self._write(now)
        self._devices.start()
        self._tell_health()

    def turn(self, now: float, events: set[Event]) -> None:
        """Do what is due."""
        if Event.OBJECTS in events:
            self._want(now)
        deadline = self._source.deadline()
        if deadline is not None and deadline <= now:
            self._poll(now)
            if self._changes or self._source.problems != self._problems:
                self._want(now)
        if self._pace.sync_due(now):
            self._sync(now)
        if Event.DEVICES in events:
            self._attach(self._devices.sync)
        if Event.NEIGHBOURS in events:
            self._devices.follow_neighbours()
        if Event.RESYNC in events or self._pace.resync_due(now):
            self._resync(now)
        if self._sweep_at <= now:
            self._keep_up(now)

    def _patience(self, now: float) -> float:
        deadlines = (self._pace.deadline(now), self._sweep_at, self._source.deadline())
        return max(0.0, min(deadline for deadline in deadlines if deadline is not None) - now)

    def _want(self, now: float) -> None:
        self._pace.want(now)
        self._health.waits()
        self._metrics.last_queued.set(self._wall())

    def _poll(self, now: float) -> None:
        self._changes.update(self._source.poll(now))
        self._unwritten.update(self._changes)
        self._metrics.set_pending(self._unwritten)

    def _sync(self, now: float) -> None:
        self._poll(now)
        problems = self._source.problems
        if self._changes or problems != self._problems or self._failed:
            self._problems = problems
            changes, self._changes = self._changes, {}
            self._syncer.take(changes)
            self._pace.synced(now)
            self._write(now)
        else:
            self._pace.nothing_changed()
        self._tell_health()

    def _write(self, now: float) -> None:
        self._failed = not self._syncer.sync(self._problems)
        if self._failed:
            self._pace.want(now)
            return
        self._unwritten.clear()
        self._metrics.set_pending(())

    def _tell_health(self) -> None:
        if not self._failed:
            self._health.synced(self._wall(), self._problems)

    def _resync(self, now: float) -> None:
        self._source.resync(now)
        self._attach(self._devices.resync)
        self._pace.resynced(now)
        self._keep_up(now)

    def _keep_up(self, now: float) -> None:
        """Have what drained and what is past its time removed; again soon where that means sweeping."""
        self._sweep_at = now + SWEEP_PERIOD if self._upkeep.sweeps else math.inf
        try:
            self._upkeep.run(now)
        except TcnatError as error:
            log.error("upkeep of the maps: %s; tried again later", error)

    def _attach(self, work: Callable[[], None]) -> None:
        try:
            work()
        except TcnatError as error:
            log.error("devices: %s; tried again at the next resync", error)
