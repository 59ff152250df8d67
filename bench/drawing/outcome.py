"""What results say by measure, peer and number of Services: medians with their spread, and ratios. Nothing is drawn."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..results import Results
from ..series import NO_PROXY, Measure, Series, cpu_ratios, ratios
from .looks import ONCE, OURS, in_order


@dataclass(frozen=True, slots=True)
class Spread:
    """The median, least and greatest of ``runs`` values."""

    median: float
    low: float
    high: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """None without values."""
        return cls(statistics.median(values), min(values), max(values), len(values)) if values else None


@dataclass(frozen=True, slots=True)
class Cell:
    """One peer with one number of Services. What could not be measured is None; ``note`` may say why, or what has to be
    known of what was measured.

    ``cpu``: seconds of all CPUs together for one unit of the measure's work. ``to_limit``: ÷ "no proxy", round by
    round. ``ahead``: how much better tcnat is, above 1 where it is better, whichever way the measure is good.
    """

    peer: str
    services: int
    note: str
    value: Spread | None
    cpu: Spread | None
    to_limit: Spread | None
    cpu_to_limit: Spread | None
    ahead: Spread | None


class Outcome:
    """Answers about results. Everything is in the order of ``looks.in_order`` and of growing numbers of Services."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self._found = {(each.measure, each.peer, each.services): each for each in results.series}

    @cached_property
    def everyone(self) -> list[str]:
        """All peers that the results speak of."""
        return in_order(each.peer for each in self.results.series)

    def measures(self, keys: Iterable[str]) -> list[Measure]:
        """Those of these measures that were made, in the order of the keys."""
        made = {each.measure for each in self.results.series}
        by_key = {each.key: each for each in self.results.measures if each.key in made}
        return [by_key[key] for key in keys if key in by_key]

    def peers(self, measure: Measure) -> list[str]:
        """The peers that the measure speaks of."""
        return in_order(each.peer for each in self.results.series if each.measure == measure.key)

    def sizes(self, measure: Measure) -> list[int]:
        """The numbers of Services that the measure was made with, 0 left out where there are others."""
        sizes = {each.services for each in self.results.series if each.measure == measure.key}
        return sorted(sizes - {0}) or sorted(sizes)

    def cell(self, measure: Measure, peer: str, services: int) -> Cell | None:
        """None where the results say nothing. Where the number of Services does not matter to a peer, its one cell."""
        own = self._series(measure, peer, services)
        if own is None:
            return None
        limit = self._series(measure, NO_PROXY, services)
        ours = self._series(measure, OURS, services)
        return Cell(
            peer,
            services,
            own.note,
            Spread.of(own.runs),
            Spread.of(own.cpu),
            Spread.of(ratios(own, limit)) if limit else None,
            Spread.of(cpu_ratios(own, limit)) if limit else None,
            _ahead(measure, ours, own) if ours and peer != OURS else None,
        )

    def cells(self, measure: Measure) -> list[Cell]:
        """All of a measure: by number of Services, and for each of them by peer."""
        all_of_them = (
            self.cell(measure, peer, size) for size in self.sizes(measure) for peer in self.peers(measure)
        )  # fmt: skip
        return [each for each in all_of_them if each]

    def awaited(self, measure: Measure, peer: str, services: int) -> bool:
        """Whether there is to be a cell: each peer has one for each number of Services, unless the bench measures it
        with one of them alone."""
        return peer not in ONCE or self.cell(measure, peer, services) is not None

    def along(self, measure: Measure, peer: str) -> list[Cell]:
        """One peer's cells, by growing number of Services."""
        return [each for each in self.cells(measure) if each.peer == peer]

    def _series(self, measure: Measure, peer: str, services: int) -> Series | None:
        return self._found.get((measure.key, peer, services)) or self._found.get((measure.key, peer, 0))


def _ahead(measure: Measure, ours: Series, other: Series) -> Spread | None:
    return Spread.of(ratios(ours, other) if measure.more_is_better else ratios(other, ours))
