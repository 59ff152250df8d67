"""Figures: several runs of one measurement, shown by their median and spread beside the mark that was set."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate


@dataclass(frozen=True, slots=True)
class Figure:
    """Runs of one measurement. ``at_most`` and ``at_least`` are the marks for the median."""

    name: str
    unit: str
    runs: tuple[float, ...]
    at_most: float | None = None
    at_least: float | None = None

    @property
    def median(self) -> float:
        """The median of the runs."""
        return statistics.median(self.runs)

    @property
    def reached(self) -> bool | None:
        """Whether the median is where it was to be; None if no mark was set."""
        if self.at_most is not None:
            return self.median <= self.at_most
        if self.at_least is not None:
            return self.median >= self.at_least
        return None

    def row(self) -> tuple[str, ...]:
        """The figure's row of the table."""
        mark = ""
        if self.at_most is not None:
            mark = f"≤ {self.at_most:g}"
        if self.at_least is not None:
            mark = f"≥ {self.at_least:g}"
        verdict = {None: "", True: "reached", False: "MISSED"}[self.reached]
        spread = f"{short(min(self.runs))}-{short(max(self.runs))}"
        return self.name, short(self.median), self.unit, spread, str(len(self.runs)), mark, verdict

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        marks = {"at_most": self.at_most, "at_least": self.at_least, "reached": self.reached}
        return {"name": self.name, "unit": self.unit, "median": self.median, "runs": list(self.runs), **marks}


def short(value: float) -> str:
    """A value with three digits, or without a fraction."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(figures: Sequence[Figure]) -> str:
    """The figures as people read them."""
    headings = ("FIGURE", "MEDIAN", "UNIT", "SPREAD", "RUNS", "MARK", "VERDICT")
    return tabulate([figure.row() for figure in figures], headings, tablefmt="plain", disable_numparse=True)
