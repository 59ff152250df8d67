"""What the verifier of the kernel at hand makes of each program: ``python -m tests.floor.verifier_budget [--write]``.

A verifier walks every way through a program and gives up after so many steps: 98,304 in 4.9.115 (65,536 in 4.9.0),
131,072 in 4.14 and 4.19, a million from 5.2 on. How many it takes differs from kernel to kernel, so the budget file
holds what a recent one took, with some room, and keeps it from growing unseen; older ones are held to their own limits.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import click
from tabulate import tabulate

from tcnat.bpf import BpfError, Program, raise_memlock, verifier_statistics
from tcnat.errors import TcnatError
from tcnat.layout import Family
from tcnat.loader import has_lru

from .programs import programs, small_maps
from .since import MAX_INSTRUCTIONS

BUDGET = Path(__file__).with_name("budget.json")
ROOM = 1.2
"""What ``--write`` adds to what it measures."""
OLD_LIMIT = 65536
"""Of 4.9.0, the strictest."""
COUNTED_BY = (6, 10)
"""The release from which on the budget file's steps are those of the kernel at hand."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One program: slots of instructions, and the verifier's steps (None where it gave no number), or its refusal."""

    name: str
    instructions: int
    steps: int | None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Allowed:
    """A program's budget."""

    instructions: int
    steps: int


def measure() -> list[Measured]:
    """Load every program on its own, with maps of its family."""
    raise_memlock()
    found = []
    lru = has_lru()
    maps = {family: small_maps(family, lru) for family in Family}
    for family, program in programs():
        name = f"{program.name} IPv{int(family)}"
        count = len(program.instructions) // 8
        code = program.relocated({name: made.fd for name, made in maps[family].items()})
        try:
            Program.load(code, name).close()
        except BpfError as error:
            found.append(Measured(name, count, None, str(error)))
        else:
            found.append(Measured(name, count, read_steps(verifier_statistics(code))))
    return found


def read_steps(log: str) -> int | None:
    """The number in a verifier log's "processed N insns"; None if it has none."""
    match = re.search(r"^processed (\d+) insns", log, re.MULTILINE)
    return int(match[1]) if match else None


def read_budget(path: Path = BUDGET) -> dict[str, Allowed]:
    """Program -> what it may take."""
    return {name: Allowed(*numbers) for name, numbers in json.loads(path.read_text()).items()}


def faults(measured: list[Measured], budget: dict[str, Allowed]) -> list[str]:
    """What is over its budget, one line each."""
    found = []
    for program in measured:
        allowed = budget.get(program.name)
        if program.refusal:
            found.append(program.refusal)
        elif allowed is None:
            found.append(f"{program.name}: has no budget; python -m tests.floor.verifier_budget --write gives it one")
        elif program.instructions > min(allowed.instructions, MAX_INSTRUCTIONS):
            found.append(f"{program.name}: {program.instructions} instructions, {allowed.instructions} allowed")
        elif program.steps is not None and program.steps > allowed.steps:
            found.append(f"{program.name}: {program.steps} verifier steps, {allowed.steps} allowed")
    return found


def table(measured: list[Measured], budget: dict[str, Allowed]) -> str:
    """For people and CI's log."""
    rows = []
    for program in measured:
        allowed = budget.get(program.name)
        steps = "refused" if program.refusal else "?" if program.steps is None else program.steps
        limits = (allowed.instructions, allowed.steps) if allowed else ("-", "-")
        rows.append((program.name, program.instructions, limits[0], steps, limits[1]))
    headers = ["PROGRAM", "INSTRUCTIONS", "ALLOWED", "VERIFIER STEPS", "ALLOWED"]
    return tabulate(rows, headers=headers, tablefmt="plain")


def budget_here() -> dict[str, Allowed]:
    """The budget as this kernel's verifier counts: one before ``COUNTED_BY`` takes other ways through a program (5.10
    three times as many steps), and is held to the strictest limit that there was."""
    budget = read_budget()
    major, minor = (int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
    if (major, minor) >= COUNTED_BY:
        return budget
    return {name: Allowed(allowed.instructions, OLD_LIMIT) for name, allowed in budget.items()}


@click.command()
@click.option("--write", is_flag=True, help="Make what is measured now, with some room, the new budget.")
def command(write: bool) -> None:
    """Print each program's instructions and verifier steps; fail when one is over its budget."""
    try:
        measured = measure()
    except TcnatError as error:
        raise click.ClickException(str(error)) from None
    if write:
        numbers = {m.name: [int(m.instructions * ROOM), int((m.steps or 0) * ROOM)] for m in measured}
        BUDGET.write_text(json.dumps(numbers, indent=2) + "\n")
    budget = budget_here()
    click.echo(table(measured, budget))
    over = faults(measured, budget)
    for line in over:
        click.echo(f"over budget: {line}", err=True)
    sys.exit(1 if over else 0)


if __name__ == "__main__":
    command()
