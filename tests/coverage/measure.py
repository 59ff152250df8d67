"""Runs the tests on marked programs, and tells which ways of the C nobody took."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tcnat.reasons import reasons
from tests.coverage.instrument import Branch, mark
from tests.coverage.known import UNREACHED, UNSEEN_REASONS
from tests.mutants.nursery import PASSED, nursery, run

TABLE = 'BPF_TABLE("array", __u32, __u32, coverage, 1);\n'
LAYOUT = 'MAPS["coverage"] = MapLayout("coverage", MapType.ARRAY, U32, U32, {entries})\n'
LANES = ("tests/packets", "tests/stateful", "-m", "not slow")


@dataclass(frozen=True, slots=True)
class Report:
    """What there is and what was met."""

    branches: frozenset[Branch]
    met: frozenset[Branch]
    reasons: frozenset[str]
    counted: frozenset[str]

    def not_met(self) -> list[Branch]:
        """Ways that nobody took."""
        return sorted(self.branches - self.met)

    def surprises(self) -> list[str]:
        """What is not as ``known`` says, a line each."""
        lines = [f"not met, and nobody says why: {branch}" for branch in self.not_met() if not why(branch)]
        unseen = self.reasons - self.counted
        lines += [f"no test has this reason: {name}" for name in sorted(unseen - UNSEEN_REASONS.keys())]
        lines += [f"said to be unseen, but counted: {name}" for name in sorted(UNSEEN_REASONS.keys() - unseen)]
        told = [str(branch) for branch in self.not_met()]
        stale = [pattern for pattern in UNREACHED if not any(re.search(pattern, each) for each in told)]
        return [*lines, *(f"said to be out of reach, but there is no such way: {pattern}" for pattern in stale)]

    def lines(self) -> Iterable[str]:
        """The report."""
        yield f"reasons: {len(self.counted)} of {len(self.reasons)} counted"
        for name, told in UNSEEN_REASONS.items():
            yield f"    {name}: {told}"
        yield f"ways through an if: {len(self.met)} of {len(self.branches)} taken"
        causes: dict[str, list[Branch]] = {}
        for branch in self.not_met():
            causes.setdefault(why(branch) or "?", []).append(branch)
        for cause, branches in causes.items():
            yield f"    {cause}:"
            yield from (f"        {branch}" for branch in branches)


def why(branch: Branch) -> str:
    """Why a way is not taken, if that is known."""
    return next((told for pattern, told in UNREACHED.items() if re.search(pattern, str(branch))), "")


def measure() -> Report:
    """Mark, build, run. RuntimeError if the tests fail."""
    with nursery() as place:
        branches = mark_all(place)
        where = place / "met.json"
        os.environ["TCNAT_COVERAGE"] = str(where)
        done = run(place, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "tests.coverage.plugin", *LANES)
        if done.returncode != PASSED:
            raise RuntimeError(f"the tests fail on marked programs: {done.stdout[-2000:]}{done.stderr[-500:]}")
        met = json.loads(where.read_text())
    return Report(
        frozenset(branches),
        frozenset(branches[number] for number in met["marks"]),
        frozenset(reason.name.upper() for reason in reasons()),
        frozenset(met["reasons"]),
    )


def mark_all(place: Path) -> list[Branch]:
    """Mark every C file of a copy of the checkout, and give its programs the map that counts."""
    branches: list[Branch] = []
    for path in sorted((place / "bpf").glob("*.[ch]")):
        marked = mark(path.read_text(), path.name, len(branches))
        path.write_text(marked.text)
        branches += marked.branches
    maps = place / "bpf" / "maps.h"
    anchor = 'BPF_TABLE("hash", struct service_key'
    maps.write_text(maps.read_text().replace(anchor, TABLE + anchor, 1))
    layout = place / "tcnat" / "layout.py"
    layout.write_text(f"{layout.read_text()}\n\n{LAYOUT.format(entries=len(branches))}")
    return branches
