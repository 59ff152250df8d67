"""The agent with 50,000 Services of 10 endpoints: how long its start takes until all maps are written, how soon a lone
change is in force, and how many changes a second it and its writer of maps keep up with.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from tests.lab.lab import Lab

from . import writer
from .agent import LONE, SETTLE, Run, following, lost, running, until_all_in_maps, until_in_maps
from .figures import Figure
from .objects import as_list, made_up_endpoints, service, write
from .processes import cpu_seconds
from .standin import Change, StandInServer, standing_in

SERVICES, ENDPOINTS = 50_000, 10
LONE_CHANGES = 20
STREAM, STREAMS = 20_000, 5
"""Changes that are told as fast as the stand-in server can, each of another Service; in so many runs."""
WRITER_SECONDS = 5
_SIZE = f"{SERVICES:,} x {ENDPOINTS}"


def figures(runs: int) -> list[Figure]:
    """All of them; with 5 runs some four minutes."""
    return [*_from_a_file(runs), *_from_a_server(runs), *writer.figures(SERVICES, ENDPOINTS, WRITER_SECONDS)]


def _from_a_file(runs: int) -> list[Figure]:
    with Lab(backends=0) as lab, tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "objects.json")
        write(path, as_list([service(number, made_up_endpoints(number, ENDPOINTS)) for number in range(SERVICES)]))
        return _full_syncs(f"full sync of {_SIZE} from a file", (running(lab, path) for _ in range(runs)))


def _from_a_server(runs: int) -> list[Figure]:
    """Changes are made on the last of the agents."""
    lone: list[float] = []
    streamed: list[Figure] = []
    with Lab(backends=0) as lab, standing_in(lab.client, SERVICES, ENDPOINTS) as server:

        def change(run: Run) -> None:
            lone.extend(_lone_change(lab, server, 1 + at * 7919 % SERVICES) for at in range(LONE_CHANGES))
            streamed.extend(_stream(lab, server, run))

        agents = (following(lab, "--kubeconfig", str(server.kubeconfig)) for _ in range(runs))
        synced = _full_syncs(f"full sync of {_SIZE} from a stand-in server", agents, change)
    name = f"endpoint change at a stand-in server to the maps, {_SIZE}"
    return [*synced, Figure(name, "ms", tuple(lone), at_most=20), *streamed]


def _full_syncs(
    name: str, runs: Iterable[AbstractContextManager[Run]], then: Callable[[Run], None] = lambda _: None
) -> list[Figure]:
    """``then`` is done with the last of them."""
    seconds, cpu, memory = [], [], []
    every = list(runs)
    for number, each in enumerate(every, 1):
        with each as run:
            cpu.append(cpu_seconds(run.pid))
            seconds.append(run.seconds_to_sync)
            time.sleep(SETTLE)
            memory.append(run.resident())
            if number == len(every):
                then(run)
    return [
        Figure(name, "s", tuple(seconds), at_most=20),
        Figure(f"{name}: CPU time", "s", tuple(cpu)),
        Figure(f"{name}: resident memory afterwards", "MB", tuple(memory)),
    ]


def _lone_change(lab: Lab, server: StandInServer, number: int) -> float:
    taken = until_in_maps(lab, number, lambda: server.change(number, 1))
    time.sleep(LONE)
    return taken


def _stream(lab: Lab, server: StandInServer, run: Run) -> list[Figure]:
    """Changes that come without a pause: when all of them are in the maps, and what they took of the agent; some
    thousands, and then others, each of another Service."""
    changes: list[Change] = [(1 + at * 7919 % SERVICES, 2) for at in range(STREAM)]
    rates, cpu = [], []
    for at in range(0, STREAM, STREAM // STREAMS):
        part = changes[at : at + STREAM // STREAMS]
        worked = cpu_seconds(run.pid)
        numbers = [number for number, _ in part]
        taken = until_all_in_maps(lab, numbers, lambda part=part: server.change_all(part)) / 1000
        cpu.append((cpu_seconds(run.pid) - worked) / len(part) * 1e6)
        rates.append(len(part) / taken)
    name = f"a stream of endpoint changes from a stand-in server, {_SIZE}: "
    return [
        Figure(f"{name}changes per second, whole agent", "1/s", tuple(rates)),
        Figure(f"{name}CPU time of a change, whole agent", "us", tuple(cpu)),
        Figure(f"{name}changes that were lost", "", (lost(lab, dict(changes), ENDPOINTS),), at_most=0),
    ]
