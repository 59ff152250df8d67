"""What the agent's writer of maps sustains, on its own: it is given front ends that changed, a second's worth of them
at a time, as it is when changes come that fast, and plans, works out slot tables and writes the kernel's maps.

The maps are those of the real datapath, with its programs, of a process that does nothing else.
"""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections.abc import Iterable
from dataclasses import dataclass

from tcnat.layout import Family
from tcnat.loader import Loaded, load_private
from tcnat.maps import MapStore
from tcnat.model import (
    Backend,
    FrontEnd,
    FrontEndKey,
    Protocol,
    ServicePortName,
    Verdict,
    format_address,
    parse_address,
)
from tcnat.notes import Notes
from tcnat.sizing import map_entries
from tcnat.view import View

from .figures import Figure
from .objects import cluster_ip, made_up_endpoints

RATE = 10_000
"""Changes that a second brings, each of another Service: none can be left out for a later one."""


@dataclass(frozen=True, slots=True)
class Sustained:
    """What became of some seconds' changes. ``rates``: changes per second, second by second; ``cpu``: microseconds of
    CPU time for each change; ``lost``: front ends that do not serve what they were told last."""

    rates: tuple[float, ...]
    cpu: tuple[float, ...]
    lost: int


def figures(services: int, endpoints: int, seconds: int) -> list[Figure]:
    """So many seconds' worth of changes, among so many Services of so many endpoints each."""
    found = sustained(services, endpoints, seconds)
    name = f"map writer, {services:,} x {endpoints}: "
    return [
        Figure(f"{name}endpoint changes per second", "1/s", found.rates, at_least=RATE),
        Figure(f"{name}CPU time of an endpoint change", "us", found.cpu),
        Figure(f"{name}changes that were lost", "", (found.lost,), at_most=0),
    ]


def sustained(services: int, endpoints: int, seconds: int) -> Sustained:
    """Measured in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_sustained, (services, endpoints, seconds))


def _sustained(services: int, endpoints: int, seconds: int) -> Sustained:
    wanted = {each.key: each for each in (_front_end(number, endpoints) for number in range(services))}
    loaded = load_private(Family.IPV4, map_entries(wanted.values(), 1024))
    store = MapStore(Family.IPV4, loaded.maps)
    store.read()
    store.resync(wanted)
    gc.collect()
    gc.freeze()  # as the agent does when it has started
    rates, cpu = [], []
    for second in range(seconds):
        numbers = ((second * RATE + at) * 7919 % services for at in range(RATE))
        changed = {each.key: each for each in (_front_end(number, endpoints, second + 1) for number in numbers)}
        began, worked = time.perf_counter(), time.process_time()
        store.sync(changed)
        rates.append(len(changed) / (time.perf_counter() - began))
        cpu.append((time.process_time() - worked) / len(changed) * 1e6)
        wanted.update(changed)
    return Sustained(tuple(rates), tuple(cpu), _lost(loaded, wanted.values()))


def _front_end(number: int, endpoints: int, change: int = 0) -> FrontEnd:
    ends = made_up_endpoints(number, endpoints, change)
    key = FrontEndKey(parse_address(cluster_ip(number)), 80, Protocol.TCP)
    name = ServicePortName("bench", f"service-{number}", "http", Protocol.TCP)
    backends = tuple(sorted(Backend(parse_address(address), port) for address, port in ends))
    return FrontEnd(key, name, Verdict.DNAT, backends)


def _lost(loaded: Loaded, wanted: Iterable[FrontEnd]) -> int:
    """Read from the maps."""
    rows = View(loaded, Notes()).services()
    held = {row.address: {(each.address, each.port) for each in row.backends} for row in rows}
    served = {address: {Backend(parse_address(ip), port) for ip, port in them} for address, them in held.items()}
    return sum(served.get(format_address(each.key.address)) != set(each.backends) for each in wanted)
