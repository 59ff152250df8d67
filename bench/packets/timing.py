"""Nanoseconds of each kind of packet, by BPF_PROG_TEST_RUN with a rewrite cycle, in turns with the calibration.

What a run of one program takes depends on where in memory the kernel puts its code, by some percent. So all programs
are loaded anew several times, and the rounds are spread over these *placements*.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tcnat.layout import Family
from tests.packets.harness import on_one_cpu

from .kinds import KINDS, Device, Kind, counted, driver, forget_new, open_flows
from .programs import Rig
from .world import settle

SERVICES = 10
TCNAT, CALIBRATION, EMPTY = "tcnat", "calibration", "empty tc program"
Key = tuple[Kind, Family, Device]


class CycleBroken(RuntimeError):
    """A packet was not served as its kind is, so that its time is another kind's."""


@dataclass(frozen=True, slots=True)
class Effort:
    """``placements`` of all programs, with ``rounds`` on each; ``repeat``: packets of an open flow in a run,
    ``begun``: flows that are begun in one."""

    placements: int
    rounds: int
    repeat: int
    begun: int = 2000


FULL = Effort(placements=6, rounds=10, repeat=10_000)
QUICK = Effort(placements=2, rounds=5, repeat=5_000, begun=1000)


class Stage:
    """One kind of packets at one device: drivers for tcnat's program, the calibration and the empty one."""

    def __init__(self, rig: Rig, kind: Kind, device: Device) -> None:
        self.kind = kind
        self._rig = rig
        self._frame = kind.make(rig.family, device)
        self._tcnat = driver(rig, kind, device, kind.program(rig))
        self._calibration = driver(rig, kind, device, rig.calibration)
        self._empty = driver(rig, kind, device, rig.empty)
        self._bare = self._driven = float("inf")  # the least of all rounds: what disturbs a run only adds to it

    def run(self, effort: Effort) -> dict[str, float]:
        """Nanoseconds a packet by program, less what the driver takes. CycleBroken if a packet was not served."""
        repeat = effort.begun if self.kind.begins else effort.repeat
        bare = self._rig.empty.test_run(self._frame, repeat).nanoseconds
        self._bare = min(self._bare, bare)
        self._driven = min(self._driven, self._empty.run(self._frame, repeat))
        costs = self._driven - self._bare
        served = self._served(repeat)
        return {TCNAT: served - costs, CALIBRATION: self._calibration.run(self._frame, repeat) - costs, EMPTY: bare}

    def _served(self, repeat: int) -> int:
        before = counted(self._rig)
        nanoseconds = self._tcnat.run(self._frame, repeat)
        after = counted(self._rig)
        new = {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)}
        wanted = {self.kind.reason: repeat} if self.kind.reason else {}
        if new != wanted:
            raise CycleBroken(f"{self.kind.title}: counted {new or 'nothing'}, not {wanted or 'nothing'}")
        if self.kind.begins:
            self._forget()
        return nanoseconds

    def _forget(self) -> None:
        forget_new(self._rig)
        self._tcnat.begin_again()


def staged(rig: Rig) -> Iterator[tuple[Key, Stage]]:
    """Every kind at each device, with all its flows standing."""
    settle(rig.maps, rig.family, SERVICES)
    for device in Device:
        open_flows(rig, device)
        for kind in KINDS:
            yield (kind, rig.family, device), Stage(rig, kind, device)


def times(effort: Effort) -> dict[Key, dict[str, tuple[float, ...]]]:
    """Kind, family and device -> program -> nanoseconds a packet, round by round."""
    found: dict[Key, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with on_one_cpu(), undisturbed():
        for _ in range(effort.placements):
            rigs = [Rig(family) for family in Family]
            stages = dict(stage for rig in rigs for stage in staged(rig))
            for _ in range(effort.rounds):
                for key, stage in stages.items():
                    for program, nanoseconds in stage.run(effort).items():
                        found[key][program].append(nanoseconds)
            for rig in rigs:
                rig.close()
    return {key: {name: tuple(runs) for name, runs in each.items()} for key, each in found.items()}


@contextmanager
def undisturbed() -> Iterator[None]:
    """Go before other processes, as far as one may."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)
