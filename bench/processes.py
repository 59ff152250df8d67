"""What processes take: memory and CPU time, from /proc."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


def resident(pid: int) -> float:
    """A process's resident memory in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, and of those of its children that have ended (proc(5), fields 14 to 17 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def waiting_seconds(pid: int) -> float:
    """How long a process's threads have waited for a CPU (/proc/PID/task/TID/schedstat)."""
    files = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(file.read_text().split()[1]) for file in files) / 1e9


@dataclass(slots=True)
class Share:
    """How much of a core a process took, in percent."""

    percent: float = 0.0


@contextmanager
def cpu_share(pid: int) -> Iterator[Share]:
    """The share of a core that a process takes while the block runs; known behind it."""
    share = Share()
    began, before = time.monotonic(), cpu_seconds(pid)
    yield share
    share.percent = 100 * (cpu_seconds(pid) - before) / (time.monotonic() - began)
