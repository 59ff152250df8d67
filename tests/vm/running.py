"""One kernel, booted with a suite of commands to run."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import initramfs, machine
from .kernel import Kernel
from .report import Report

CHECKOUT = Path(__file__).resolve().parents[2]
CPUS = ("max", "qemu64")
"""Tried in turn: a very old kernel may not start on the first."""


@dataclass(frozen=True, slots=True)
class Options:
    """How each kernel is to be run. ``memory``: the guest's, as QEMU takes it."""

    suite: Path
    timeout: float
    virtiofs: bool = True
    memory: str = "1G"


def cache_directory() -> Path:
    """Where kernels are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tcnat" / "vm"


def run_suite(
    kernel: Kernel, options: Options, logs: Path, follow: Callable[[list[Report]], None] = lambda _: None
) -> machine.Run:
    """Boot it and run the suite to its end; ``logs`` takes what the guest says, ``follow`` gets its reports so far."""
    modules = str(kernel.modules or "")
    variables = {
        "CHECKOUT": str(CHECKOUT),
        "PYTHON": str(Path(sys.prefix) / "bin/python"),
        "SUITE": str(options.suite),
        "MODULES": modules,
        "VISIBLE": f"{CHECKOUT} {sys.prefix} {options.suite.parent} {modules}",
    }
    with tempfile.TemporaryDirectory(prefix="tcnat-vm-") as scratch:
        archive = Path(scratch) / "initramfs"
        initramfs.build(archive, kernel, variables)
        for cpu in CPUS:
            guest = machine.Guest(kernel.image, archive, logs, cpu, options.virtiofs, memory=options.memory)
            run = machine.boot(guest, options.timeout, follow)
            if run.booted or run.timed_out:
                break
    return run
