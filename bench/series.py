"""What the comparison leaves behind: for each measurement, peer and number of Services its runs, in the order they were
made. Runs of one round stand at one index, so that ratios are those of runs made side by side.
"""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import Any

NO_PROXY = "no proxy"
"""The peer that every other is compared with: the client speaks to the backends themselves."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What is measured. ``work``: what one unit of it is, for CPU time ("request"); "" where CPU time means nothing."""

    key: str
    title: str
    unit: str
    work: str = ""
    more_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Series:
    """The runs of one measure for one peer. ``services``: how many there were; 0 where it does not matter.

    ``cpu``: CPU seconds of the whole machine for one unit of the measure's work, run by run; may be empty.
    ``note``: why there are no runs, or what has to be known of them.
    """

    measure: str
    peer: str
    services: int
    runs: tuple[float, ...] = ()
    cpu: tuple[float, ...] = ()
    note: str = ""

    @property
    def median(self) -> float:
        """The median of the runs. StatisticsError without any."""
        return statistics.median(self.runs)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def ratios(series: Series, other: Series) -> tuple[float, ...]:
    """Round by round, ``series`` ÷ ``other``."""
    return tuple(own / others for own, others in zip(series.runs, other.runs, strict=False) if others)


def cpu_ratios(series: Series, other: Series) -> tuple[float, ...]:
    """Round by round, CPU time for a unit of work: ``series`` ÷ ``other``."""
    return tuple(own / others for own, others in zip(series.cpu, other.cpu, strict=False) if others)
