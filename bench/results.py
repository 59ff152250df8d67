"""``build/bench.json``: what a measurement leaves behind, to which later parts add theirs.

    {"machine": {name: value}, "measures": […], "series": […], "figures": […], "verdicts": […]}

A part reads nothing of the file but through :func:`read`, and writes nothing but through :func:`add`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from .figures import Figure
from .marks import Verdict
from .series import Measure, Series

REPORT, QUICK_REPORT = Path("build/bench.json"), Path("build/bench-quick.json")
SAME = ("kernel", "cpu", "cores")
"""Entries of ``machine``: what was measured where one of them is another does not belong in the same file."""
_Thing = TypeVar("_Thing")


class ResultsError(click.ClickException):
    """A file that is not there, or does not hold results; the message says where and why."""


@dataclass(slots=True)
class Results:
    """All that a file holds. ``machine``: what it was measured on and with, with versions."""

    machine: dict[str, str] = field(default_factory=dict)
    measures: list[Measure] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    def merged(self, newer: Results) -> Results:
        """These and the newer ones; of two for the same thing the newer, in the older's place."""
        return Results(
            machine={**self.machine, **newer.machine},
            measures=_merged(self.measures, newer.measures, lambda each: each.key),
            series=_merged(self.series, newer.series, lambda each: (each.measure, each.peer, each.services)),
            figures=_merged(self.figures, newer.figures, lambda each: (each.name, each.unit)),
            verdicts=_merged(self.verdicts, newer.verdicts, lambda each: each.mark),
        )

    def one(self, measure: str, peer: str, services: int = 0) -> Series | None:
        """The series of a measure's key, a peer and a number of Services."""
        wanted = (measure, peer, services)
        return next((each for each in self.series if (each.measure, each.peer, each.services) == wanted), None)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; figures and series with their medians, for those who read the file without this module."""
        return {
            "machine": self.machine,
            "measures": [asdict(each) for each in self.measures],
            "series": [each.as_dict() for each in self.series],
            "figures": [each.as_dict() for each in self.figures],
            "verdicts": [asdict(each) for each in self.verdicts],
        }


def _merged(older: Iterable[_Thing], newer: Iterable[_Thing], key: Callable[[_Thing], Hashable]) -> list[_Thing]:
    return list({key(each): each for each in (*older, *newer)}.values())


def read(path: Path = REPORT) -> Results:
    """What a file holds. ResultsError where it is missing or is something else."""
    try:
        results = msgspec.json.decode(path.read_bytes(), type=Results)
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}; `make bench` writes it") from error
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ResultsError(f"{path} does not hold results of the bench: {error}") from error
    known = {each.key for each in results.measures}
    if strange := sorted({each.measure for each in results.series} - known):
        raise ResultsError(f"{path} has series of measures that it does not describe: {', '.join(strange)}")
    return results


def write(results: Results, path: Path = REPORT) -> None:
    """Put results in the place of a file at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(results.as_dict()), indent=1))
    os.replace(fresh, path)


def same(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether what was measured on these machines may stand in one file."""
    return all(one.get(name) == other.get(name) for name in SAME)


def add(results: Results, path: Path = REPORT) -> Results:
    """Add results to a file and return all it holds then. What the file had of another machine or kernel goes."""
    older = read(path) if path.exists() else Results()
    if not same(older.machine, results.machine):
        older = Results()
    merged = older.merged(results)
    write(merged, path)
    return merged
