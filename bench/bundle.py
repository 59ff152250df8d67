"""The bundle: its size, its memory, and how soon it writes the maps, on a machine that holds nothing else."""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from deploy.bundle.__main__ import pack
from deploy.bundle.modules import needed
from deploy.bundle.tree import lay_out
from tcnat.bpf import BpfError, Map
from tcnat.layout import MAPS, Family
from tcnat.lock import holder
from tcnat.pins import family_directory
from tests.lab.bare import BareMachine
from tests.lab.lab import Lab

from .agent import PATIENCE, SETTLE, running
from .figures import Figure
from .objects import as_list, made_up_endpoints, service, write

SERVICES = 10


def figures(runs: int) -> list[Figure]:
    """Size, and of an agent with ten Services memory and its start."""
    with tempfile.TemporaryDirectory() as scratch, Lab(backends=0) as lab:
        bundle = Path(scratch, "tcnat")
        lay_out(bundle, needed())
        size = pack(bundle).stat().st_size / 1e6
        machine = BareMachine(lab, bundle)
        program = machine.command([machine.content / "tcnat"])
        objects = lab.directory / "objects.json"
        write(objects, as_list([service(number, made_up_endpoints(number)) for number in range(SERVICES)]))
        first, first_cpu, whole, whole_cpu, memory = [], [], [], [], []
        for _ in range(runs):
            with ThreadPoolExecutor(1) as watcher:
                written = watcher.submit(_first_write, lab.pins, machine.root / "run" / "tcnat")
                with running(lab, objects, program) as run:
                    whole.append(run.seconds_to_sync)
                    whole_cpu.append(_cpu_seconds(run.pid))
                    when, cpu = written.result()
                    first.append(when - run.began)
                    first_cpu.append(cpu)
                    time.sleep(SETTLE)
                    memory.append(run.resident())
    return [
        Figure("bundle, packed", "MB", (size,), at_most=10),
        Figure("bundle's resident memory, 10 Services", "MB", tuple(memory), at_most=32),
        Figure("bundle, start to first map write", "s", tuple(first), at_most=0.5),
        Figure("bundle, start to first map write, CPU time", "s", tuple(first_cpu)),
        Figure("bundle, start to last map write, 10 Services", "s", tuple(whole)),
        Figure("bundle, start to last map write, CPU time", "s", tuple(whole_cpu)),
    ]


def _first_write(pins: Path, locks: Path) -> tuple[float, float]:
    """When a new agent has written its settings, its first entry of any map (of CLOCK_MONOTONIC), and the CPU time that
    it has taken by then; RuntimeError when that does not come about."""
    family, layout = Family.IPV4, MAPS["settings"]
    path = family_directory(pins, family) / layout.name
    sizes = {"key_size": layout.key_size(family), "value_size": layout.value_size(family)}
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with suppress(BpfError):
            settings = Map.open(path, type=layout.type, name=layout.name, **sizes)
            while not any(settings.lookup(bytes(4)) or b""):
                time.sleep(0.0005)
            return time.monotonic(), _cpu_seconds(holder(pins, locks) or 0)
        time.sleep(0.0005)
    raise RuntimeError(f"nothing was written to {path} in {PATIENCE:g} s")


def _cpu_seconds(pid: int) -> float:
    """Seconds that a process's first thread has been on a CPU (/proc/PID/schedstat)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
