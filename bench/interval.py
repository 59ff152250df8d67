"""How sure a median is: an interval from order statistics, which supposes nothing of how the runs are distributed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

LEAST = 0.9
"""The confidence that an interval is to have, where there are runs enough for it."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The median of ``runs`` values, and where with ``confidence`` (0 to 1) the median of all there could be lies."""

    median: float
    low: float
    high: float
    confidence: float
    runs: int


def interval(values: Sequence[float], least: float = LEAST) -> Interval:
    """The narrowest interval from the k-th smallest to the k-th largest value whose confidence is at least ``least``.

    A value is below the true median with probability ½, so the true median is outside with probability
    2 · P(fewer than k of n are below), which is a sum of binomials. Where even the whole range does not have the
    confidence (fewer than 5 values for 0.9), it is the whole range with the confidence that it has.
    ValueError without any value.
    """
    if not values:
        raise ValueError("an interval needs values")
    ordered, count = sorted(values), len(values)
    at = max((k for k in range(1, (count + 1) // 2 + 1) if _confidence(count, k) >= least), default=1)
    return Interval(statistics.median(ordered), ordered[at - 1], ordered[-at], _confidence(count, at), count)


def _confidence(count: int, at: int) -> float:
    """That the median of all lies between the ``at``-th smallest and the ``at``-th largest of ``count`` values."""
    return 1 - 2 * sum(math.comb(count, below) for below in range(at)) / float(2**count)
