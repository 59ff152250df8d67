"""The agent on a real API server with many Services, and kube-proxy 1.20 on the same: first programming, memory, idle
and busy CPU time, and how soon one endpoint's change is in force.
"""

from __future__ import annotations

import statistics
import threading
import time

from tests.cluster import binaries
from tests.cluster.apiserver import ApiServer
from tests.cluster.kubeproxy import NODE, KubeProxy
from tests.cluster.objects import node
from tests.lab.lab import Lab

from .agent import LONE, SETTLE, following, lost, until_in_maps
from .apiwriter import ENDPOINTS, NETWORK, Writer, changed_slice, fill
from .figures import Figure
from .processes import cpu_seconds, cpu_share, resident, waiting_seconds

SERVICES = 5000
CHANGES, PROXY_CHANGES = 50, 3
IDLE_SECONDS, BUSY_SECONDS, BUSY_RATE, BUSY_THREADS = 20, 30, 100, 4
PROXY_PATIENCE = 600.0
_SIZE = f"{SERVICES:,} x {ENDPOINTS}"


def figures(runs: int) -> list[Figure]:
    """All of them; some five minutes with 5 runs."""
    with Lab(backends=0) as lab:
        host = lab.add_host("apiserver")
        server = ApiServer(lab, host, binaries.found(), services=f"{NETWORK},fd96::/112")
        fill(host, SERVICES)
        writer = Writer(server)
        ours = _tcnat(lab, server, writer, runs)
        theirs = _kube_proxy(lab, server, writer)
    return [*ours, *theirs]


def _tcnat(lab: Lab, server: ApiServer, writer: Writer, runs: int) -> list[Figure]:
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
        with cpu_share(run.pid) as idle:
            time.sleep(IDLE_SECONDS)
        lone = _changes(lab, writer)
        with cpu_share(run.pid) as busy:
            last = _storm(writer)
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
        Figure(f"{name}agent's CPU, idle", "% core", (idle.percent,), at_most=0.5),
        *_latency(_SIZE, lone),
        Figure(f"{name}agent's CPU at {BUSY_RATE} changes/s", "% core", (busy.percent,), at_most=20),
        Figure(f"{name}Services without the last of these changes", "", (without_last,), at_most=0),
    ]


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


def _kube_proxy(lab: Lab, server: ApiServer, writer: Writer) -> list[Figure]:
    server.apply(node(NODE))
    host = lab.add_host("proxied")
    began = time.time()
    proxy = KubeProxy(
        lab, host, server, binaries.found(), dual_stack=False, legacy=True, min_sync_period="1s", wait=PROXY_PATIENCE
    )
    first = proxy.last_sync() - began
    time.sleep(SETTLE)
    memory = resident(proxy.program.pid)
    with cpu_share(proxy.program.pid) as idle:
        time.sleep(IDLE_SECONDS)
    taken = []
    for at in range(PROXY_CHANGES):
        changed = time.time()
        _write(writer, 1 + at, 9000 + at)
        proxy.wait_for_sync(changed, PROXY_PATIENCE)
        taken.append((proxy.last_sync() - changed) * 1000)
        time.sleep(LONE)
    with cpu_share(proxy.program.pid) as busy:
        _storm(writer)
    proxy.program.stop()
    name = f"kube-proxy 1.20 (iptables-legacy), {_SIZE}: "
    return [
        Figure(f"{name}start to the rules", "s", (first,)),
        Figure(f"{name}resident memory", "MB", (memory,)),
        Figure(f"{name}CPU, idle", "% core", (idle.percent,)),
        Figure(f"{name}API server's write to the rules", "ms", tuple(taken)),
        Figure(f"{name}CPU at {BUSY_RATE} changes/s", "% core", (busy.percent,)),
    ]
