"""What a load is, and what one run of it gives."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.peers.stand import Stand
from bench.series import Measure


class LoadFailed(Exception):
    """A run that gave nothing to measure: the generator said something else than expected, or no work was done."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run: the value of each measure by its key, CPU seconds of the whole machine for one unit of work, and how
    many units of work were tried in vain."""

    values: Mapping[str, float]
    cpu: float
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """Something to do to a stand. ``run``: makes one run of so many seconds, on a client whose neighbours and flows may
    be cold. LoadFailed, CommandFailed where it comes to nothing.

    The first of ``measures`` is the one that has CPU time.
    """

    name: str
    measures: tuple[Measure, ...]
    run: Callable[[Stand, float], Outcome]


@dataclass(slots=True)
class Spent:
    """CPU seconds of the whole machine, and the seconds that passed meanwhile."""

    cpu: float = 0.0
    seconds: float = 0.0


@contextmanager
def spending() -> Iterator[Spent]:
    """What is spent while the block runs; known behind it."""
    spent = Spent()
    began, before = time.monotonic(), unused()
    yield spent
    spent.seconds = time.monotonic() - began
    spent.cpu = max(0.0, spent.seconds * (os.cpu_count() or 1) - (unused() - before))


def unused() -> float:
    """Seconds, since the machine's start and of all CPUs together, in which they had nothing to do for anybody here:
    idle, waiting for a disk, or lent to others by the hypervisor (proc(5): the fields idle, iowait and steal of stat).

    A kernel without CONFIG_VIRT_CPU_ACCOUNTING_GEN samples who has a CPU at its ticks, and a softirq that is shorter
    than a tick may be charged to anybody. Idle time it does not sample but measure (NO_HZ), interrupts taken off it, so
    what is not idle is the better figure for work.
    """
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (fields[3] + fields[4] + fields[7]) / os.sysconf("SC_CLK_TCK")


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which that share of the ordered values lies: an observed one, the nearest rank."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
