"""Boots the virtual machine and brings its results home."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.results import Results
from tcnat.bytecode import bytecode
from tcnat.errors import TcnatError
from tcnat.layout import Family
from tests.cluster import binaries
from tests.vm import debian
from tests.vm.report import Report
from tests.vm.running import CHECKOUT, Options, cache_directory, run_suite

from .guest import lines

LOGS = CHECKOUT / "build/bench-vm"
KERNEL = debian.RELEASES[-1]
MEMORY = "3G"
PREFIX = "vm_"
"""Of the measures' keys: they are not those of the machine itself."""


@dataclass(frozen=True, slots=True)
class VmPlan:
    """What the guest measures, and how many seconds all of it may take."""

    services: tuple[int, ...] = (10, 5000)
    rounds: int = 8
    seconds: float = 1.0
    patience: float = 420.0
    timeout: float = 900.0

    def command(self) -> str:
        """For the guest's shell."""
        words = [*(f"--services={count}" for count in self.services), f"--rounds={self.rounds}"]
        words += [f"--seconds={self.seconds:g}", f"--patience={self.patience:g}"]
        cache = shlex.quote(str(binaries.found().directory.parents[2]))
        return f"XDG_CACHE_HOME={cache} $PYTHON -m bench.vm.guest {shlex.join(words)}"


def measure(plan: VmPlan, follow: Callable[[list[Report]], None] = lambda _: None) -> Results:
    """All that the guest had measured when it ended, or when its time was over. TcnatError where that is nothing, which
    names the console's log."""
    kernel = debian.fetch(KERNEL, cache_directory())
    for family in Family:
        bytecode(family)  # so that the guest finds it in the cache
    LOGS.mkdir(parents=True, exist_ok=True)
    suite = LOGS / "suite"
    suite.write_text(f"{plan.timeout:g} {plan.command()}\n")
    run = run_suite(kernel, Options(suite, plan.timeout + 30, memory=MEMORY), LOGS, follow)
    return told(run.console, kernel.release)


def told(console: Path, release: str) -> Results:
    """What stands on a guest's console, under keys and titles of its own."""
    every = Results()
    for each in lines(console.read_text(errors="replace")):
        every = every.merged(each)
    if not every.series:
        raise TcnatError(f"the guest has measured nothing: see {console}")
    return Results(
        machine={"kernel of the virtual machine": release},
        measures=[
            replace(each, key=PREFIX + each.key, title=f"Linux {release}, emulated: {each.title}")
            for each in every.measures
        ],
        series=[replace(each, measure=PREFIX + each.measure) for each in every.series],
    )
