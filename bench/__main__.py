"""``make bench``: measure, print, and keep the figures as JSON."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from . import agent, bundle, devices, kubernetes, programs, replay, traffic
from .figures import Figure, table

PARTS = ["agent", "changes", "kubernetes", "traffic", "devices", "replay", "programs", "bundle"]
REPORT = Path("build/bench.json")


@click.command()
@click.option("--runs", default=5, show_default=True, help="Runs of each measurement.")
@click.option("--seconds", default=4.0, show_default=True, help="Seconds of each load.")
@click.option("--only", type=click.Choice(PARTS), multiple=True)
def main(runs: int, seconds: float, only: tuple[str, ...]) -> None:
    """Measure tcnat on this machine: medians of several runs, ratios where another way of doing it can be paired."""
    parts: dict[str, Callable[[], list[Figure]]] = {
        "agent": lambda: agent.starts(runs),
        "changes": lambda: [agent.changes(5000, runs, 50), agent.changes(50000, runs, 100)],
        "kubernetes": lambda: kubernetes.figures(runs),
        "traffic": lambda: traffic.compare(runs, seconds),
        "devices": lambda: devices.attaching(runs),
        "replay": lambda: replay.figures(runs),
        "bundle": lambda: bundle.figures(runs),
    }
    figures: list[Figure] = []
    if not only or "programs" in only:
        text, most = programs.sizes()
        click.echo(text + "\n")
        figures.append(Figure("instructions of the largest program", "", (most,), at_most=programs.MOST_INSTRUCTIONS))
    for name, measure in parts.items():
        if only and name not in only:
            continue
        began = time.monotonic()
        if sys.stderr.isatty():
            click.echo(f"measuring: {name} …", err=True)
        figures += measure()
        if sys.stderr.isatty():
            click.echo(f"  done in {time.monotonic() - began:.0f} s", err=True)
    click.echo(table(figures))
    REPORT.parent.mkdir(exist_ok=True)
    machine = {"kernel": platform.release(), "machine": platform.machine(), "python": platform.python_version()}
    REPORT.write_text(json.dumps({"machine": machine, "figures": [each.as_dict() for each in figures]}, indent=1))


if __name__ == "__main__":
    main()
