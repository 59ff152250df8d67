"""``python -m tests.vm``: boot older kernels and run the guest suite in each."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
from tabulate import tabulate

from tcnat.bytecode import bytecode
from tcnat.errors import TcnatError
from tcnat.layout import Family

from . import debian, machine
from .kernel import Kernel
from .report import Report
from .running import CHECKOUT, Options, cache_directory, run_suite

SUITE = CHECKOUT / "tests/vm/guest-suite"
LOGS = CHECKOUT / "build/vm"
TAIL_LINES = 60

Row = tuple[str, str, str, str]
"""Kernel, result, seconds, command."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice([release.name for release in debian.RELEASES]))
@click.option("--kernel", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A bzImage of one's own.")
@click.option("--modules", type=click.Path(exists=True, path_type=Path), help="The directory that has its lib/modules.")
@click.option("--virtiofs/--9p", default=True, help="Offer the root over virtiofs too, or over 9p alone.")
@click.option("--suite", type=click.Path(exists=True, path_type=Path), default=SUITE, help="The commands to run.")
@click.option("--timeout", type=float, default=1200, show_default=True, help="Seconds for each kernel.")
def command(
    *,
    names: tuple[str, ...],
    kernel: Path | None,
    modules: Path | None,
    virtiofs: bool,
    suite: Path,
    timeout: float,
) -> None:
    """Boot older kernels in QEMU and run the guest suite in each: Debian's, unless --kernel names one."""
    if os.geteuid() != 0:
        raise TcnatError("sharing this machine's root with a guest needs root")
    if kernel and names:
        raise click.UsageError("give either names of Debian releases or --kernel")
    for family in Family:
        bytecode(family)  # so that the guest finds it in the cache, where bcc would take minutes
    options = Options(suite.resolve(), timeout, virtiofs)
    if kernel:
        rows, good = _try(Kernel(kernel.name, kernel.resolve(), modules and modules.resolve()), options)
    else:
        rows, good = _try_debian(
            [release for release in debian.RELEASES if not names or release.name in names], options
        )
    click.echo(tabulate(rows, headers=["KERNEL", "RESULT", "SECONDS", "COMMAND"], tablefmt="plain"))
    sys.exit(0 if good else 1)


def _try_debian(releases: list[debian.Release], options: Options) -> tuple[list[Row], bool]:
    """Each release in turn; one whose kernel cannot be had is a row of its own, and not good."""
    rows: list[Row] = []
    all_good = True
    for release in releases:
        try:
            more, good = _try(debian.fetch(release, cache_directory()), options)
        except TcnatError as error:
            more, good = [(release.name, "not run", "", str(error))], False
        rows += more
        all_good = all_good and good
    return rows, all_good


def _try(kernel: Kernel, options: Options) -> tuple[list[Row], bool]:
    logs = LOGS / kernel.name
    logs.mkdir(parents=True, exist_ok=True)
    run = run_suite(kernel, options, logs, _follower(kernel.name))
    if not run.good:
        _explain(kernel, run)
    return [(kernel.name, *row) for row in _rows(run)], run.good


def _follower(name: str) -> Callable[[list[Report]], None]:
    """Shows on a terminal what the guest is doing now; says nothing in a pipe."""
    start = time.monotonic()

    def follow(reports: list[Report]) -> None:
        if sys.stderr.isatty():
            doing = reports[-1].text if reports else "booting"
            click.echo(f"\r\033[K{name}  {time.monotonic() - start:4.0f} s  {doing[:80]}", err=True, nl=False)

    return follow


def _rows(run: machine.Run) -> list[tuple[str, str, str]]:
    rows = []
    for report in run.reports:
        seconds = f"{report.seconds:.0f}"
        if report.kind == "boot":
            rows.append(("booted", seconds, report.text))
        elif report.kind == "end":
            rows.append((f"failed ({report.status})" if report.status else "passed", seconds, report.text))
    if not run.good and not run.failed:
        rows.append(("no end" if run.booted else "no boot", f"{run.seconds:.0f}", _unfinished(run)))
    return rows


def _unfinished(run: machine.Run) -> str:
    return run.reports[-1].text if run.booted else ""


def _explain(kernel: Kernel, run: machine.Run) -> None:
    """The console's last lines, to standard error."""
    came = "took too long" if run.timed_out else "failed"
    click.echo(f"\n{kernel.name} ({kernel.release}) {came}; the end of {run.console}:", err=True)
    for line in run.console.read_text(errors="replace").splitlines()[-TAIL_LINES:]:
        click.echo(f"  {line}", err=True)


def main() -> None:
    """Errors that a person can cause end in one line."""
    try:
        command()
    except TcnatError as error:
        click.echo(f"vm: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
