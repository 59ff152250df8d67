"""Intervals of medians, against what chance makes of them."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from bench.interval import interval


@pytest.mark.parametrize(
    ("count", "at", "confidence"),
    [(1, 1, 0.0), (4, 1, 0.875), (5, 1, 0.9375), (7, 1, 0.984375), (8, 2, 0.9296875), (11, 3, 0.9345703125)],
    ids=str,
)
def test_the_interval_is_between_two_of_the_values(count: int, at: int, confidence: float) -> None:
    values = [float(value) for value in range(1, count + 1)]
    random.Random(count).shuffle(values)
    found = interval(values)
    assert (found.low, found.high) == (at, count + 1 - at)
    assert found.confidence == confidence
    assert found.median == statistics.median(values)
    assert found.runs == count


@pytest.mark.parametrize("count", [5, 6, 7, 8, 15])
def test_the_true_median_is_within_as_often_as_is_said(count: int) -> None:
    chance = random.Random(7)
    within, said = 0, 0.0
    for _ in range(4000):
        found = interval([chance.expovariate(1.0) for _ in range(count)])  # skewed, as latencies are
        within += found.low <= math.log(2) <= found.high
        said = found.confidence
    assert said >= 0.9
    assert abs(within / 4000 - said) < 0.02


def test_there_is_no_interval_of_nothing() -> None:
    with pytest.raises(ValueError, match="needs values"):
        interval([])
