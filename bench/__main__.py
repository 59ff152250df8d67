"""``make bench``: measure, print, and keep the results as JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import click

from . import agent, bundle, devices, kubernetes, programs, replay, scale
from .comparison import compare, found_slow
from .figures import Figure, table
from .goals import VM_MARKS
from .loads.servers import serving
from .machine import machine
from .marks import verdicts
from .packets import results as packets
from .peers.control import COMPARED, control, measures
from .peers.control import FULL as CONTROL
from .peers.lineup import LineUp
from .peers.nftables import NFTABLES
from .peers.tcnat import TCNAT_NAME
from .plans import FULL, QUICK
from .results import QUICK_REPORT, REPORT, Results, add, read, same
from .series import NO_PROXY
from .tables import comparison, marks
from .vm.host import VmPlan, measure

Part = Callable[[], Results]
_Plan = TypeVar("_Plan")


@click.command()
@click.option("--runs", default=5, show_default=True, help="Runs of each measurement that is no comparison.")
@click.option("--quick", is_flag=True, help="Packets, and the comparison without Kubernetes, in three minutes.")
@click.option(
    "--patience", type=float, default=FULL.patience, show_default=True, help="Seconds that peers may take to load."
)
@click.option("--services", type=int, multiple=True, help="Compare with that many Services alone.")
@click.option("--only", multiple=True, metavar="PART", help="A part of it; --only '' tells which there are.")
def main(runs: int, quick: bool, patience: float, services: tuple[int, ...], only: tuple[str, ...]) -> None:
    """Measure tcnat on this machine: medians of several runs, beside the same of others where there are any."""
    parts = _quick() if quick else _parts(runs, patience, services)
    if strange := set(only) - parts.keys():
        raise click.BadParameter(f"no part {', '.join(map(repr, strange))}; there are: {', '.join(parts)}")
    for name in only or parts:
        began = time.monotonic()
        _tell(f"measuring: {name} …")
        results = parts[name]()
        results.machine = machine() | results.machine
        add(results, QUICK_REPORT if quick else REPORT)
        _show(results)
        _tell(f"  done in {time.monotonic() - began:.0f} s")


def _parts(runs: int, patience: float, services: Sequence[int]) -> dict[str, Part]:
    return {
        "programs": _programs,
        "packets": lambda: packets.measure(packets.FULL),
        "comparison": lambda: _full(patience, services),
        "control": lambda: _control(patience, services),
        "vm": _vm,
        "agent": lambda: _of(agent.starts(runs)),
        "changes": lambda: _of([agent.changes(5000, runs, 50), agent.changes(50000, runs, 20)]),
        "scale": lambda: _of(scale.figures(runs)),
        "kubernetes": lambda: _of(kubernetes.figures(runs)),
        "devices": lambda: _of(devices.attaching(runs)),
        "replay": lambda: _of(replay.figures(runs)),
        "bundle": lambda: _of(bundle.figures(runs)),
    }


def _quick() -> dict[str, Part]:
    return {"packets": lambda: packets.measure(packets.QUICK), "comparison": _few}


def _full(patience: float, services: Sequence[int]) -> Results:
    plan = replace(FULL, works=_chosen(FULL.works, services), patience=patience)
    with LineUp(cluster=True) as lineup, serving(lineup.lab):
        return compare(lineup, plan)


def _control(patience: float, services: Sequence[int]) -> Results:
    """Who was too slow where all loaded at the same time is not tried again."""
    plans = {count: replace(plan, patience=patience) for count, plan in _chosen(CONTROL, services).items()}
    earlier = read(REPORT) if REPORT.exists() else Results()
    slow = found_slow(earlier) if same(earlier.machine, machine()) else {}
    with LineUp(cluster=True, only=COMPARED, slow=slow) as lineup:
        series = control(lineup, plans, _tell)
    return Results(measures=measures(plans.values()), series=series)


def _chosen(plans: Mapping[int, _Plan], services: Sequence[int]) -> dict[int, _Plan]:
    """Of plans for numbers of Services those that were asked for; all if none were."""
    chosen = {count: plan for count, plan in plans.items() if not services or count in services}
    if not chosen:
        raise click.BadParameter(f"--services: there are {', '.join(map(str, plans))}")
    return chosen


def _vm() -> Results:
    results = measure(VmPlan())
    results.verdicts = verdicts(VM_MARKS, results.series)
    return results


def _few() -> Results:
    with LineUp(cluster=False, only=(NO_PROXY, TCNAT_NAME, NFTABLES)) as lineup, serving(lineup.lab):
        return compare(lineup, QUICK)


def _programs() -> Results:
    text, most = programs.sizes()
    click.echo(text + "\n")
    return _of([Figure("instructions of the largest program", "", (most,), at_most=programs.MOST_INSTRUCTIONS)])


def _of(figures: Iterable[Figure]) -> Results:
    return Results(figures=list(figures))


def _show(results: Results) -> None:
    if results.series:
        click.echo(comparison(results) + "\n")
    if results.verdicts:
        click.echo(marks(results.verdicts) + "\n")
    if results.figures:
        click.echo(table(results.figures) + "\n")


def _tell(words: str) -> None:
    if sys.stderr.isatty():
        click.echo(words, err=True)


if __name__ == "__main__":
    main()
