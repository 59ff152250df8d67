"""The real programs with maps of their own, and a clock that follows the capture."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Protocol

from tcnat.bpf import Map
from tcnat.layout import SETTINGS, Family
from tcnat.loader import Loaded
from tcnat.replay.engine import Ran
from tcnat.replay.side import Side
from tcnat.replay.tally import REDIRECT, SHOT, Counters, Tally
from tcnat.sweep import Sweeper

SWEPT_PER_SECOND = 10_000
"""Entries of each map that are looked at in a second of the capture's clock, where the kernel has no LRU maps."""
_START = 1_000_000_000_000
_STEP = 1_000_000
_SECOND = 1_000_000_000
_ZERO = bytes(4)
_NOW = SETTINGS.offsets(Family.IPV4)["now"]

Send = Callable[[bytes], tuple[int, bytes]]
"""Runs a program over a frame -> (the program's verdict, the frame as it left)."""


class Runner(Protocol):
    """Brings frames to the programs."""

    def way(self, side: Side, family: Family) -> Send:
        """The way to one program."""


class Clock:
    """Nanoseconds for ``settings.now``, in steps of a millisecond: never 0, which would be the kernel's clock, and
    never backwards. The first packet has ``_START``; a time stamp that lies before an earlier one counts as that."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._now = _START

    def at(self, time: int) -> int:
        """The clock for a packet stamped ``time``."""
        if self._first is None:
            self._first = time
        if (now := time - self._first + _START) >= self._now + _STEP:
            self._now = now // _STEP * _STEP
        return self._now


class _FamilyClock:
    """Tells one family's programs what time it is, and sweeps its maps where they have to be swept."""

    def __init__(self, settings: Map, sweeper: Sweeper | None) -> None:
        self.now = 0
        self._settings = settings
        self._value = bytearray(settings.lookup(_ZERO) or b"")
        self._sweeper = sweeper

    def set(self, now: int) -> None:
        """It is ``now``."""
        start, size = _NOW
        self._value[start : start + size] = now.to_bytes(size, sys.byteorder)
        self._settings.update(_ZERO, bytes(self._value))
        if self._sweeper is not None and now // _SECOND != self.now // _SECOND:
            self._sweeper.sweep(now // _SECOND, SWEPT_PER_SECOND)
        self.now = now


class _Lane:
    """One program: the way to it, its reasons, and its family's clock."""

    __slots__ = ("clock", "send", "tally")

    def __init__(self, send: Send, tally: Tally, clock: _FamilyClock) -> None:
        self.send = send
        self.tally = tally
        self.clock = clock


class KernelDatapath:
    """The two programs of each family, run by ``runner``; maps and settings must have been written before.

    The process is held on one CPU: the limit on rejects is one for each CPU, and a replay must give the same twice.
    """

    def __init__(
        self, loaded: Mapping[Family, Loaded], runner: Runner, sweepers: Mapping[Family, Sweeper] | None = None
    ) -> None:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        self._loaded = loaded  # the tail-call map is emptied when its last descriptor closes
        self._clock = Clock()
        self._egress: dict[int, _Lane] = {}
        self._ingress: dict[int, _Lane] = {}
        for family, one in loaded.items():
            counters = Counters(one.maps["counters"])
            clock = _FamilyClock(one.maps["settings"], (sweepers or {}).get(family))
            for side, lanes in ((Side.EGRESS, self._egress), (Side.INGRESS, self._ingress)):
                lanes[family.value] = _Lane(runner.way(side, family), Tally(side, counters), clock)

    def run(self, side: Side, family: Family, frame: bytes, time: int, plain: bool) -> Ran:
        """See :class:`tcnat.replay.engine.Datapath`."""
        lane = (self._egress if side is Side.EGRESS else self._ingress)[family.value]
        now = self._clock.at(time)
        if now != lane.clock.now:
            lane.clock.set(now)
        verdict, leaving = lane.send(frame)
        reason = lane.tally.reason(verdict, leaving != frame, plain)
        return (None if verdict == SHOT else leaving), reason, verdict == REDIRECT
