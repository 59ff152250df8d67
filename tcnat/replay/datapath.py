"""The real programs with maps of their own, a clock that follows the capture, and reasons told by the counters."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Protocol

from tcnat.bpf import Map
from tcnat.layout import SETTINGS, Family
from tcnat.loader import Loaded
from tcnat.reasons import Reason, reasons
from tcnat.replay.engine import Ran
from tcnat.replay.side import Side
from tcnat.sweep import Sweeper

UNSPEC, SHOT, REDIRECT = -1, 2, 7
"""TC_ACT_UNSPEC, TC_ACT_SHOT, TC_ACT_REDIRECT."""
_START = 1_000_000_000_000
_STEP = 1_000_000
_SECOND = 1_000_000_000
SWEPT_PER_SECOND = 10_000
"""Entries of each map that are looked at in a second of the capture's clock, where the kernel has no LRU maps."""
_ZERO = bytes(4)
_NOW = SETTINGS.offsets(Family.IPV4)["now"]


class Runner(Protocol):
    """Runs a program over a frame."""

    def run(self, side: Side, family: Family, frame: bytes) -> tuple[int, bytes]:
        """(the program's verdict, the frame as it left)."""


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


class _Tally:
    """Tells which reason was counted by which counter moved. Only those that could be are looked at, the last one
    that was first, so that most packets cost one look-up."""

    def __init__(self, counters: Map) -> None:
        self._counters = counters
        self._keys = [reason.number.to_bytes(4, sys.byteorder) for reason in reasons()]
        self._last = [counters.lookup(key) for key in self._keys]
        self._candidates: dict[tuple[Side, int, bool, bool], list[Reason]] = {}

    def moved(self, side: Side, verdict: int, changed: bool, plain: bool) -> Reason | None:
        """The reason that was counted since the last call; None if none was."""
        kind = (side, verdict, changed, plain)
        candidates = self._candidates.get(kind)
        if candidates is None:
            candidates = self._candidates[kind] = _candidates(side, verdict, changed, plain)
        for index, reason in enumerate(candidates):
            value = self._counters.lookup(self._keys[reason.number])
            if value != self._last[reason.number]:
                self._last[reason.number] = value
                if index:
                    candidates.insert(0, candidates.pop(index))
                return reason
        return None


def _candidates(side: Side, verdict: int, changed: bool, plain: bool) -> list[Reason]:
    """Reasons that a verdict can have. A packet that is passed unchanged may still have been counted: as malformed, or
    as one that goes straight to a backend or comes from it."""
    by_verdict = {
        SHOT: {"drop"},
        REDIRECT: {"answer", "rewrite"},
        UNSPEC: {"rewrite"} if changed else {"rewrite", "pass"},
    }
    kinds = by_verdict.get(verdict, {"rewrite", "answer", "drop", "pass"})
    likely = "forwarded" if side is Side.EGRESS else "reversed"
    if plain and verdict == UNSPEC and not changed:
        return [reason for reason in reasons() if reason.name == likely]
    found = [reason for reason in reasons() if reason.verdict in kinds]
    return sorted(found, key=lambda reason: (reason.name != likely, reason.number))


class KernelDatapath:
    """The two programs of each family, run by ``runner``; maps and settings must have been written before.

    The process is held on one CPU: the limit on rejects is one for each CPU, and a replay must give the same twice.
    """

    def __init__(
        self, loaded: Mapping[Family, Loaded], runner: Runner, sweepers: Mapping[Family, Sweeper] | None = None
    ) -> None:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        self._loaded = loaded  # the tail-call map is emptied when its last descriptor closes
        self._runner = runner
        self._sweepers = sweepers or {}
        self._clock = Clock()
        self._tallies = {family: _Tally(one.maps["counters"]) for family, one in loaded.items()}
        self._settings = {family: one.maps["settings"] for family, one in loaded.items()}
        self._values = {family: bytearray(settings.lookup(_ZERO) or b"") for family, settings in self._settings.items()}
        self._written = dict.fromkeys(loaded, 0)

    def run(self, side: Side, family: Family, frame: bytes, time: int, plain: bool) -> Ran:
        """See :class:`tcnat.replay.engine.Datapath`."""
        now = self._clock.at(time)
        if now != self._written[family]:
            self._set_clock(family, now)
        verdict, leaving = self._runner.run(side, family, frame)
        reason = self._tallies[family].moved(side, verdict, leaving != frame, plain)
        return Ran(None if verdict == SHOT else leaving, reason, verdict == REDIRECT)

    def _set_clock(self, family: Family, now: int) -> None:
        start, size = _NOW
        value = self._values[family]
        value[start : start + size] = now.to_bytes(size, sys.byteorder)
        self._settings[family].update(_ZERO, bytes(value))
        if family in self._sweepers and now // _SECOND != self._written[family] // _SECOND:
            self._sweepers[family].sweep(now // _SECOND, SWEPT_PER_SECOND)
        self._written[family] = now
