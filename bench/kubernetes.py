"""The agent on a real API server with many Services: first programming, memory, idle and busy CPU time, and how soon
one endpoint's change is in force. :mod:`bench.peers.control` has the same of kube-proxy, side by side with tcnat.
"""

from __future__ import annotations

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tests.cluster import binaries
from tests.cluster.apiserver import ApiServer
from tests.lab.lab import Lab

from .agent import LONE, SETTLE, following, lost, until_in_maps
from .apiwriter import ENDPOINTS, NETWORK, Writer, changed_slice, fill
from .figures import Figure
from .processes import cpu_seconds, cpu_share, waiting_seconds

SERVICES = 5000
CHANGES = 50
IDLE_SECONDS, BUSY_SECONDS, BUSY_RATE, BUSY_THREADS = 20, 20, 100, 4
SPANS = 5
_SIZE = f"{SERVICES:,} x {ENDPOINTS}"


def figures(runs: int) -> list[Figure]:
    """All of them; some two and a half minutes with 5 runs."""
    with Lab(backends=0) as lab:
        host = lab.add_host("apiserver")
        server = ApiServer(lab, host, binaries.found(), services=f"{NETWORK},fd96::/112")
        fill(host, SERVICES)
        return _measured(lab, server, Writer(server), runs)


def _measured(lab: Lab, server: ApiServer, writer: Writer, runs: int) -> list[Figure]:
    source = ("--kubeconfig", str(server.kubeconfig))
    seconds, cpu, waited, memory = [], [], [], []
    for _ in range(runs):
        with following(lab, *source) as run:
            cpu.append(cpu_seconds(run.pid))
            waited.append(waiting_seconds(run.pid))
            seconds.append(run.seconds_to_sync)
            time.sleep(SETTLE)
            memory.append(run.resident())
    with following(lab, *source) as run:
        time.sleep(SETTLE)
        idle = _shares(run.pid, IDLE_SECONDS)
        lone = _changes(lab, writer)
        with ThreadPoolExecutor(1) as pool:
            storm = pool.submit(_storm, writer)
            busy = _shares(run.pid, BUSY_SECONDS)
            last = storm.result()
        time.sleep(SETTLE)
        without_last = lost(lab, last, ENDPOINTS)
        memory_after = run.resident()
    name = f"API server, {_SIZE}: "
    return [
        Figure(f"{name}start to last map write", "s", tuple(seconds), at_most=5),
        Figure(f"{name}CPU time of that", "s", tuple(cpu)),
        Figure(f"{name}time of that in which others had the CPUs", "s", tuple(waited)),
        Figure(f"{name}agent's resident memory", "MB", tuple(memory), at_most=100),
        Figure(f"{name}agent's resident memory after changes", "MB", (memory_after,), at_most=100),
        Figure(f"{name}agent's CPU, idle", "% core", idle, at_most=0.5),
        *_latency(_SIZE, lone),
        Figure(f"{name}agent's CPU at {BUSY_RATE} changes/s", "% core", busy, at_most=20),
        Figure(f"{name}Services without the last of these changes", "", (without_last,), at_most=0),
    ]


def _shares(pid: int, seconds: float) -> tuple[float, ...]:
    """Percent of a core that a process takes, in each of :data:`SPANS` equal spans of so many seconds in all."""
    return tuple(_share(pid, seconds / SPANS) for _ in range(SPANS))


def _share(pid: int, seconds: float) -> float:
    with cpu_share(pid) as share:
        time.sleep(seconds)
    return share.percent


def _latency(size: str, taken: list[float]) -> list[Figure]:
    name = f"API server's write to the maps, {size}"
    slowest = statistics.quantiles(taken, n=100)[98]
    return [
        Figure(name, "ms", tuple(taken), at_most=50),
        Figure(f"{name}, 99 %", "ms", (slowest,), at_most=200),
    ]


def _write(writer: Writer, number: int, change: int) -> None:
    writer.replace(changed_slice(number, change))


def _changes(lab: Lab, writer: Writer) -> list[float]:
    """Milliseconds of lone changes, one after the other, each of another Service."""
    taken = []
    for at in range(1, CHANGES + 1):
        number = 1 + at * 7919 % SERVICES
        taken.append(until_in_maps(lab, number, lambda number=number, at=at: _write(writer, number, at)))
        time.sleep(LONE)
    return taken


def _storm(writer: Writer) -> dict[int, int]:
    """Changes at an even rate for a while, from several threads; the last change of each Service."""
    last: dict[int, int] = {}
    began = time.monotonic()

    def work(thread: int) -> None:
        for at in range(thread, BUSY_SECONDS * BUSY_RATE, BUSY_THREADS):
            number = 1 + at % SERVICES
            time.sleep(max(0.0, began + at / BUSY_RATE - time.monotonic()))
            _write(writer, number, 5 + at)
            last[number] = 5 + at

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(BUSY_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return last
