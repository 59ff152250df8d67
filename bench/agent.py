"""The agent's own figures: its memory, its first programming, and how soon a change is in the maps."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tcnat.layout import Family, service_key
from tcnat.loader import open_pinned
from tcnat.model import Protocol, parse_address
from tcnat.notes import Notes
from tcnat.view import View
from tests.lab.lab import Lab
from tests.lab.versions import CHECKOUT

from .figures import Figure
from .objects import as_list, cluster_ip, file_name, made_up_endpoints, service, write, write_directory
from .processes import resident

TCNAT = tuple(CHECKOUT.command())
PATIENCE = 120.0
SETTLE = 2.0
"""Seconds until an agent has given back what its start took."""
LONE = 1.1
"""Seconds between changes that are each a sync of their own: more than the least time between syncs."""


class Run:
    """One agent in a lab's client, with the options that name its source; ``program``: the words that start tcnat."""

    def __init__(self, lab: Lab, source: Sequence[str], program: Sequence[str] = TCNAT) -> None:
        self._lab = lab
        self.began = time.monotonic()
        options = ["--network-device", "eth0", "--pin-path", str(lab.pins), *source]
        words = [*program, "agent", "--datapath=tc", *options]
        self._process = subprocess.Popen(lab.client.command(words), stderr=subprocess.PIPE, text=True)
        self.seconds_to_sync = self._first_sync()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def _first_sync(self) -> float:
        """Seconds from the process's start to the word that the maps are written."""
        assert self._process.stderr is not None
        said = []
        for line in self._process.stderr:
            if " synced " in line:
                return time.monotonic() - self.began
            said.append(line)
        raise RuntimeError(f"the agent ended with {self._process.wait()} before its first sync: {''.join(said)}")

    def resident(self) -> float:
        """Resident memory in MB."""
        return resident(self.pid)

    def stop(self) -> None:
        """End it and take its pins away."""
        self._process.terminate()
        self._process.wait()
        subprocess.run(["rm", "-rf", str(self._lab.pins)], check=True)


@contextmanager
def following(lab: Lab, *source: str, program: Sequence[str] = TCNAT) -> Iterator[Run]:
    """An agent that ends with the block; ``source``: the options that name where its objects come from."""
    run = Run(lab, source, program)
    try:
        yield run
    finally:
        run.stop()


def running(lab: Lab, path: Path, program: Sequence[str] = TCNAT) -> AbstractContextManager[Run]:
    """An agent on a file or directory of objects, that ends with the block."""
    return following(lab, "--objects", str(path), "--sync-period", "1h", program=program)


def starts(runs: int) -> list[Figure]:
    """Memory and first programming, with 10 and with 5,000 Services of 3 endpoints in one file."""
    counts = (10, 5000)
    memory: dict[int, list[float]] = {count: [] for count in counts}
    seconds: dict[int, list[float]] = {count: [] for count in counts}
    with Lab(backends=0) as lab, tempfile.TemporaryDirectory() as scratch:
        for count in counts:
            path = Path(scratch, f"{count}.json")
            write(path, as_list([service(number, made_up_endpoints(number)) for number in range(count)]))
            for _ in range(runs):
                with running(lab, path) as run:
                    seconds[count].append(run.seconds_to_sync)
                    time.sleep(SETTLE)
                    memory[count].append(run.resident())
    return [
        Figure("agent's resident memory, 10 Services", "MB", tuple(memory[10]), at_most=48),
        Figure("agent's resident memory, 5,000 x 3", "MB", tuple(memory[5000]), at_most=80),
        Figure("start to last map write, 10 Services", "s", tuple(seconds[10])),
        Figure("start to last map write, 5,000 x 3", "s", tuple(seconds[5000]), at_most=3),
    ]


def changes(count: int, runs: int, at_most: float) -> Figure:
    """One endpoint of one Service changes in its file, in a directory of ``count``: milliseconds until it is in the
    maps."""
    taken: list[float] = []
    with Lab(backends=0) as lab, tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch, "objects")
        write_directory(directory, count)
        with running(lab, directory):
            time.sleep(SETTLE)
            for run in range(runs):
                number = (run * 7919) % count
                taken.append(_change(lab, directory, number, run + 1))
                time.sleep(LONE)
    return Figure(f"endpoint change in a file to the maps, {count:,} Services", "ms", tuple(taken), at_most=at_most)


def _change(lab: Lab, directory: Path, number: int, change: int) -> float:
    data = as_list([service(number, made_up_endpoints(number, change=change))])
    fresh = directory.parent / file_name(number)
    fresh.write_bytes(data)
    return until_in_maps(lab, number, lambda: os.replace(fresh, directory / file_name(number)))


def lost(lab: Lab, last: Mapping[int, int], endpoints: int) -> int:
    """How many of these Services have other backends in the maps than their last change (by its number) gave them."""
    rows = View(open_pinned(lab.pins)[Family.IPV4], Notes()).services()
    held = {row.address: {(each.address, each.port) for each in row.backends} for row in rows}
    return sum(
        held.get(cluster_ip(number)) != set(made_up_endpoints(number, endpoints, change))
        for number, change in last.items()
    )


def until_in_maps(lab: Lab, number: int, change: Callable[[], object]) -> float:
    """Milliseconds from the beginning of a change to a Service's endpoints until it is in the maps."""
    return until_all_in_maps(lab, [number], change)


def until_all_in_maps(lab: Lab, numbers: Sequence[int], change: Callable[[], object]) -> float:
    """The same of a change to several Services: until each of them is. They need not be written in the order in which
    they were told."""
    services = open_pinned(lab.pins)[Family.IPV4].maps["services"]
    keys = [service_key(parse_address(cluster_ip(number)), 80, Protocol.TCP) for number in numbers]
    before = [services.lookup(key) for key in keys]
    began = time.monotonic()
    change()
    for number, key, old in zip(numbers, keys, before, strict=True):
        while services.lookup(key) == old:
            if time.monotonic() - began > PATIENCE:
                raise RuntimeError(f"the change of service {number} did not reach the maps in {PATIENCE:g} s")
            time.sleep(0.0002)
    return (time.monotonic() - began) * 1000
