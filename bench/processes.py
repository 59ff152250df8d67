"""What processes take: memory and CPU time, from /proc."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.lab.commands import CommandFailed

TICK = 1 / os.sysconf("SC_CLK_TCK")
"""Seconds: CPU time is told in multiples of it."""
_PAUSE = 0.002
_NETFILTER = ("nf_", "nft_", "xt_", "ip_set", "ip_vs", "bucket_table_alloc")
"""How functions of the kernel are called that hold rules, sets and their hash tables."""


def resident(pid: int) -> float:
    """A process's resident memory in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def kernel_memory() -> float:
    """MB that the kernel holds for itself and cannot take back, as far as rules of netfilter's may be in it: slabs and
    per-CPU memory (proc(5), meminfo), and what netfilter has of vmalloc's."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    held = sum(int(lines[name].split()[0]) for name in ("SUnreclaim", "Percpu")) / 1024
    return held + netfilter_areas(Path("/proc/vmallocinfo").read_text()) / 1024**2


def netfilter_areas(vmallocinfo: str) -> int:
    """Bytes of the areas that netfilter's functions have asked for (proc(5), vmallocinfo: a line has addresses, bytes,
    the caller). All of vmalloc's would have BPF maps, programs and stacks of others in them, and what is to be given
    back yet."""
    areas = (line.split() for line in vmallocinfo.splitlines())
    return sum(int(size) for _, size, caller, *_ in areas if caller.startswith(_NETFILTER))


def map_memory(fd: int) -> float:
    """MB that the kernel holds for the BPF map of that descriptor of this process."""
    said = Path(f"/proc/self/fdinfo/{fd}").read_text()
    return int(said.split("memlock:")[1].split()[0]) / 1024**2


def children(pid: int) -> list[int]:
    """The processes that a process has started and that have not ended (proc(5), children: CONFIG_PROC_CHILDREN)."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended meanwhile
            found += map(int, file.read_text().split())
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, and of those of its children that have ended (proc(5), fields 14 to 17 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def waiting_seconds(pid: int) -> float:
    """How long a process's threads have waited for a CPU (/proc/PID/task/TID/schedstat)."""
    files = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(file.read_text().split()[1]) for file in files) / 1e9


def run_measured(words: Sequence[str], patience: float) -> tuple[float, float]:
    """Run a program to its end: seconds, and CPU seconds. TimeoutError (it is killed) after ``patience`` seconds;
    CommandFailed with what it said where it ends otherwise than with 0."""
    with tempfile.TemporaryFile() as said:
        began = time.monotonic()
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        ended = 0
        while not ended:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if not ended and time.monotonic() - began > patience:
                process.kill()
                process.wait()
                raise TimeoutError(f"{words[-1]}: not done after {patience:g} s")
            time.sleep(0 if ended else _PAUSE)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            text = said.read(2000).decode(errors="replace")
            raise CommandFailed(f"{shlex.join(words)}: status {process.returncode}\n{text}")
    return seconds, usage.ru_utime + usage.ru_stime


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
