"""What is to be reached against other peers, and whether it is: a verdict on the interval of a ratio, not on its
median alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from .interval import LEAST, Interval, interval
from .series import Series, ratios


class Said(StrEnum):
    """What can be said of a mark."""

    REACHED = "reached"
    MISSED = "missed"
    UNDECIDED = "undecided"
    """The mark lies within the interval, or there are too few runs for one: these do not tell."""
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark for the ratio of a measure: ``peer`` ÷ ``against`` with ``services`` Services.

    ``than``: where it is not 0, the mark is for that ratio ÷ the same ratio with ``than`` Services.
    """

    measure: str
    peer: str
    against: str
    services: int
    at_least: float | None = None
    at_most: float | None = None
    than: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A mark, the interval of its ratio (None where it was not measured), and what that says."""

    mark: Mark
    ratio: Interval | None
    said: Said


def verdicts(marks: Iterable[Mark], series: Iterable[Series]) -> list[Verdict]:
    """A verdict on each mark, in their order."""
    found = {(each.measure, each.peer, each.services): each for each in series}
    return [_verdict(mark, _ratios(mark, found)) for mark in marks]


def _ratios(mark: Mark, found: dict[tuple[str, str, int], Series]) -> tuple[float, ...]:
    values = _of(mark, mark.services, found)
    if not mark.than:
        return values
    others = _of(mark, mark.than, found)
    return tuple(own / other for own, other in zip(values, others, strict=False) if other)


def _of(mark: Mark, services: int, found: dict[tuple[str, str, int], Series]) -> tuple[float, ...]:
    own = found.get((mark.measure, mark.peer, services))
    other = found.get((mark.measure, mark.against, services))
    return ratios(own, other) if own and other else ()


def _verdict(mark: Mark, values: tuple[float, ...]) -> Verdict:
    if not values:
        return Verdict(mark, None, Said.NOT_MEASURED)
    ratio = interval(values)
    low = 0.0 if mark.at_least is None else mark.at_least
    high = float("inf") if mark.at_most is None else mark.at_most
    if ratio.confidence < LEAST:
        return Verdict(mark, ratio, Said.UNDECIDED)
    if low <= ratio.low and ratio.high <= high:
        return Verdict(mark, ratio, Said.REACHED)
    if ratio.high < low or ratio.low > high:
        return Verdict(mark, ratio, Said.MISSED)
    return Verdict(mark, ratio, Said.UNDECIDED)
