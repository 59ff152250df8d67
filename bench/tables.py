"""Results as people read them on a terminal."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from tabulate import tabulate

from .figures import short
from .interval import Interval, interval
from .marks import Said, Verdict
from .results import Results
from .series import NO_PROXY, Measure, Series, cpu_ratios, ratios


def comparison(results: Results) -> str:
    """A line for each measure, number of Services and peer: the median and its spread, CPU time of the whole machine
    for one unit of work; of both the ratio to no proxy with its interval."""
    headings = ("MEASURE", "SERVICES", "PEER", "MEDIAN", "UNIT", "SPREAD", "÷ NO PROXY", "CPU", "÷ NO PROXY", "NOTE")
    measures = {each.key: each for each in results.measures}
    places = {key: place for place, key in enumerate(measures)}
    ordered = sorted(results.series, key=lambda each: (places[each.measure], each.services))
    rows = [_row(results, measures[each.measure], each) for each in ordered]
    return tabulate(rows, headings, tablefmt="plain", disable_numparse=True)


def _row(results: Results, measure: Measure, series: Series) -> tuple[str, ...]:
    head = (measure.key, f"{series.services:,}", series.peer)
    if not series.runs:
        return (*head, "-", measure.unit, "", "", "", "", series.note)
    spread = f"{short(min(series.runs))}-{short(max(series.runs))}"
    other = None if series.peer == NO_PROXY else results.one(series.measure, NO_PROXY, series.services)
    ratio = cpu_ratio = ""
    if other is not None and other.runs:
        ratio = _interval(interval(ratios(series, other)))
        cpu_ratio = _interval(interval(cpu_ratios(series, other))) if series.cpu else ""
    figures = (short(series.median), measure.unit, spread, ratio, _cpu(measure, series), cpu_ratio)
    return (*head, *figures, series.note)


def _cpu(measure: Measure, series: Series) -> str:
    if not series.cpu:
        return ""
    found = statistics.median(series.cpu)
    return f"{found:.3g} s/{measure.work}" if found >= 0.1 else f"{short(found * 1e6)} µs/{measure.work}"


def _interval(found: Interval) -> str:
    return f"{found.median:.2f} ({found.low:.2f}-{found.high:.2f})"


def marks(verdicts: Iterable[Verdict]) -> str:
    """A line for each mark: the ratio, its interval and its confidence, and what that says."""
    headings = ("RATIO", "SERVICES", "MEDIAN (INTERVAL)", "CONFIDENCE", "MARK", "VERDICT")
    rows = [_verdict(each) for each in verdicts]
    return tabulate(rows, headings, tablefmt="plain", disable_numparse=True)


def _verdict(verdict: Verdict) -> tuple[str, ...]:
    mark, ratio = verdict.mark, verdict.ratio
    name = f"{mark.measure}: {mark.peer} ÷ {mark.against}"
    services = f"{mark.services:,} ÷ {mark.than:,}" if mark.than else f"{mark.services:,}"
    low = "" if mark.at_least is None else f"≥ {mark.at_least:g}"
    high = "" if mark.at_most is None else f"≤ {mark.at_most:g}"
    said = verdict.said.upper() if verdict.said is Said.MISSED else str(verdict.said)
    wanted = " ".join(filter(None, (low, high)))
    if ratio is None:
        return name, services, "", "", wanted, said
    return name, services, _interval(ratio), f"{ratio.confidence:.0%}", wanted, said
