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
from tcnat.loader import family_directory
from tests.lab.bare import BareMachine
from tests.lab.lab import Lab

from .agent import PATIENCE, SETTLE, Run, running
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
        first, whole, cpu, waited, memory = [], [], [], [], []
        for _ in range(runs):
            with ThreadPoolExecutor(1) as watcher:
                written = watcher.submit(_first_write, lab.pins)
                with running(lab, objects, program) as run:
                    on_cpu, waiting = _scheduled(run)
                    cpu.append(on_cpu)
                    waited.append(waiting)
                    whole.append(run.seconds_to_sync)
                    first.append(written.result() - run.began)
                    time.sleep(SETTLE)
                    memory.append(run.resident())
    return [
        Figure("bundle, packed", "MB", (size,), at_most=10),
        Figure("bundle's resident memory, 10 Services", "MB", tuple(memory), at_most=32),
        Figure("bundle, start to first map write", "s", tuple(first), at_most=0.5),
        Figure("bundle, start to last map write, 10 Services", "s", tuple(whole)),
        Figure("bundle, CPU time of that", "s", tuple(cpu)),
        Figure("bundle, time of that in which other programs had the CPUs", "s", tuple(waited)),
    ]


def _first_write(pins: Path) -> float:
    """When a new agent's settings are written, its first entry of any map (of CLOCK_MONOTONIC); RuntimeError when that
    does not come about."""
    family, layout = Family.IPV4, MAPS["settings"]
    path = family_directory(pins, family) / layout.name
    sizes = {"key_size": layout.key_size(family), "value_size": layout.value_size(family)}
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with suppress(BpfError):
            settings = Map.open(path, type=layout.type, name=layout.name, **sizes)
            while not any(settings.lookup(bytes(4)) or b""):
                time.sleep(0.0005)
            return time.monotonic()
        time.sleep(0.0005)
    raise RuntimeError(f"nothing was written to {path} in {PATIENCE:g} s")


def _scheduled(run: Run) -> tuple[float, float]:
    """Seconds that the agent's first thread has been on a CPU, and has waited for one (/proc/PID/schedstat)."""
    fields = Path(f"/proc/{run.pid}/schedstat").read_text().split()
    return int(fields[0]) / 1e9, int(fields[1]) / 1e9
