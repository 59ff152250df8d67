"""Verdicts: what a ratio's interval says of a mark."""

from __future__ import annotations

import pytest

from bench.marks import Mark, Said, verdicts
from bench.series import NO_PROXY, Series

RATE = "rate"


def series(peer: str, services: int, *runs: float) -> Series:
    return Series(RATE, peer, services, runs)


@pytest.mark.parametrize(
    ("runs", "at_least", "at_most", "said"),
    [
        pytest.param((102, 103, 105, 101, 102), 1.0, None, Said.REACHED, id="the whole interval is above"),
        pytest.param(
            (102, 99, 105, 101, 102), 1.0, None, Said.UNDECIDED, id="the median is above, the interval is not"
        ),
        pytest.param((95, 99, 98, 97, 96), 1.0, None, Said.MISSED, id="the whole interval is below"),
        pytest.param((104, 99, 98, 97, 96), None, 1.05, Said.REACHED, id="no more than"),
        pytest.param((104, 99, 98, 97, 106), None, 1.05, Said.UNDECIDED, id="perhaps more than"),
        pytest.param((98, 99, 101, 102, 100), 0.97, 1.03, Said.REACHED, id="the same, give or take"),
        pytest.param((106, 107, 104, 105, 105), 0.97, 1.03, Said.MISSED, id="not the same"),
        pytest.param((95, 96, 97), 1.0, None, Said.UNDECIDED, id="too few runs"),
        pytest.param((), 1.0, None, Said.NOT_MEASURED, id="no runs"),
    ],
)
def test_a_verdict_is_on_the_interval(
    runs: tuple[float, ...], at_least: float | None, at_most: float | None, said: Said
) -> None:
    mark = Mark(RATE, "tcnat", NO_PROXY, 10, at_least, at_most)
    [verdict] = verdicts([mark], [series("tcnat", 10, *runs), series(NO_PROXY, 10, *[100] * 5)])
    assert verdict.said == said
    assert verdict.mark == mark


def test_ratios_are_those_of_runs_side_by_side() -> None:
    drifting = (100.0, 50.0, 25.0, 200.0, 10.0)
    own = series("tcnat", 10, *(1.1 * run for run in drifting))
    [verdict] = verdicts([Mark(RATE, "tcnat", NO_PROXY, 10, 1.0)], [own, series(NO_PROXY, 10, *drifting)])
    assert verdict.ratio is not None
    assert (verdict.ratio.low, verdict.ratio.high) == pytest.approx((1.1, 1.1))
    assert verdict.said == Said.REACHED


def test_two_numbers_of_services_are_compared_by_their_ratios() -> None:
    held = [
        series("tcnat", 10, *[110] * 5),
        series(NO_PROXY, 10, *[100] * 5),
        series("tcnat", 50000, *[55] * 5),  # all went half as fast meanwhile
        series(NO_PROXY, 50000, *[50] * 5),
    ]
    [verdict] = verdicts([Mark(RATE, "tcnat", NO_PROXY, 50000, 0.97, 1.03, than=10)], held)
    assert verdict.ratio is not None
    assert verdict.ratio.median == pytest.approx(1.0)
    assert verdict.said == Said.REACHED
