"""The peers' control plane, one peer at a time: what loading takes, what it then holds, and how it follows changes."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench.processes import kernel_memory, resident
from bench.series import NO_PROXY, Measure, Series

from .following import change_latency, rolling_restarts
from .kubeproxy import LEGACY, NFT
from .lineup import LineUp
from .nftables import NFTABLES
from .stand import PATIENCE, Peer, Stand, TooSlow
from .tcnat import TCNAT_NAME

STILL, EVERY, AT_MOST = 0.25, 1.0, 10.0
"""The kernel has given back what was removed, and a program what its start took, when the kernel's memory moves by less
than so many MB between two looks that are so many seconds apart; at the latest after so many seconds."""
SYNC = Measure("sync", "Full sync: from the start until all is in force", "s", more_is_better=False)
SYNC_CPU = Measure("sync_cpu", "CPU time of a full sync", "s", more_is_better=False)
RESIDENT = Measure("resident", "Resident memory of the program that follows", "MB", more_is_better=False)
KERNEL = Measure("kernel_memory", "Kernel memory of maps or rules", "MB", more_is_better=False)
CHANGE = Measure("change", "An endpoint's change to traffic going there", "ms", more_is_better=False)


@dataclass(frozen=True, slots=True)
class ControlPlan:
    """What is measured with one number of Services."""

    loadings: int
    changes: int
    """After the last loading."""
    loading: float = 40.0
    """Seconds of loading after which none is begun."""
    following: float = 60.0
    """Seconds after which no change but the first is begun."""
    restarts: float = 0.0
    """For how many seconds backends restart, with all peers at the same time; 0: not at all."""
    patience: float = PATIENCE


FULL = {
    10: ControlPlan(5, 5),
    1000: ControlPlan(3, 5, restarts=60),
    5000: ControlPlan(5, 5),
    50000: ControlPlan(1, 5, following=30),
}
COMPARED = (NO_PROXY, TCNAT_NAME, NFTABLES, LEGACY, NFT)
"""Peers with a control plane of their own, and the limit."""


def restarts_failed(seconds: float) -> Measure:
    """Requests that failed while backends restarted for so long."""
    title = f"Requests failed in {seconds:g} s of rolling restarts"
    return Measure("restarts_failed", title, "requests", more_is_better=False)


def measures(plans: Iterable[ControlPlan]) -> list[Measure]:
    """All that these plans measure."""
    seconds = {plan.restarts for plan in plans if plan.restarts}
    return [SYNC, SYNC_CPU, RESIDENT, KERNEL, CHANGE, *map(restarts_failed, seconds)]


def control(
    line_up: LineUp, plans: Mapping[int, ControlPlan] = FULL, tell: Callable[[str], None] = lambda _: None
) -> list[Series]:
    """The series of all peers that have a control plane, with each number of Services. ``tell`` is told of each part.

    Nothing else must be at work in the lab, and nothing on the machine: the kernel memory of rules is what the
    machine's grows by while they are loaded.
    """
    found: list[Series] = []
    for services, plan in plans.items():
        line_up.resize(services)
        for peer in line_up.peers:
            tell(f"{peer.name}, {services:,} Services")
            found += _of_peer(line_up, peer, services, plan)
        if plan.restarts:
            tell(f"rolling restarts, {services:,} Services")
            found += _restarts(line_up, services, plan)
    return found


def _restarts(line_up: LineUp, services: int, plan: ControlPlan) -> list[Series]:
    """Of all peers side by side: what is counted is what fails, not how fast anything is."""
    measure = restarts_failed(plan.restarts)
    with line_up.at_work(services, plan.patience) as at_work, ThreadPoolExecutor(len(at_work.stands)) as pool:
        counted = list(pool.map(lambda stand: rolling_restarts(stand, plan.restarts), at_work.stands))
    return [
        Series(measure.key, stand.name, services, (failed,), note=f"of {asked:,}")
        for stand, (asked, failed) in zip(at_work.stands, counted, strict=True)
    ]


def _of_peer(line_up: LineUp, peer: Peer, services: int, plan: ControlPlan) -> Iterator[Series]:
    runs: dict[Measure, list[float]] = defaultdict(list)
    notes: dict[Measure, str] = {}
    try:
        before = settled()
        for left in reversed(range(plan.loadings)):
            with line_up.standing(peer, services, plan.patience) as stand:
                holds = _loaded(stand, runs)
                last = not left or not holds or sum(runs[SYNC]) >= plan.loading
                if last:
                    changes = change_latency(stand, plan.changes, plan.following)
                    runs[CHANGE] += changes.taken
                    notes[CHANGE] = changes.ended
            after = settled(EVERY / 2)
            if holds:
                runs[KERNEL].append(grown(before, holds.kernel, after) if holds.accounted is None else holds.accounted)
            if last:
                notes[SYNC] = f"no more than {plan.loadings - left} in {plan.loading:g} s" if holds and left else ""
                break
            before = after
    except TooSlow as error:
        notes[SYNC] = error.note
    for measure in {**runs, **{measure: note for measure, note in notes.items() if note}}:
        yield Series(measure.key, peer.name, services, tuple(runs[measure]), note=notes.get(measure, ""))


@dataclass(frozen=True, slots=True)
class _Holding:
    """MB that the kernel holds for itself with all loaded, and those that it accounts to the peer."""

    kernel: float
    accounted: float | None


def _loaded(stand: Stand, runs: dict[Measure, list[float]]) -> _Holding | None:
    """Note what loading took, and what there is now; None where nothing is loaded."""
    loading = stand.proxy.loading
    if loading is None:
        return None
    runs[SYNC].append(loading.seconds)
    runs[SYNC_CPU].append(loading.cpu)
    kernel = settled()
    if stand.proxy.pid is not None:
        runs[RESIDENT].append(resident(stand.proxy.pid))
    return _Holding(kernel, stand.proxy.kernel_memory)


def grown(before: float, loaded: float, after: float) -> float:
    """What loading holds: the mean of what memory grew by and of what it shrank by when that was removed. What else
    comes or goes at an even rate is not in it."""
    return loaded - (before + after) / 2


def settled(every: float = EVERY) -> float:
    """The kernel's memory (:func:`bench.processes.kernel_memory`), once it holds still."""
    end = time.monotonic() + AT_MOST
    now, before = kernel_memory(), math.inf
    while abs(now - before) >= STILL and time.monotonic() < end:
        time.sleep(every)
        now, before = kernel_memory(), now
    return now
