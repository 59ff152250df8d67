"""What the report shows, and in which order: measures are put into chapters by what they are, so that a measure that is
new to the bench has its table and mostly its picture, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..figures import Figure
from ..series import NO_PROXY, Measure
from .outcome import Outcome
from .panels import Lines
from .pictures import Picture, lines, peer_bars, tails
from .pictures import bars as drawn_bars
from .tables import Table, of_figures, of_measure

_TAIL = re.compile(r"^(?P<stem>.+)_(p50|p99|p999)$")
"""Keys of measures that are one percentile of a distribution."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """``key`` is its anchor on the page."""

    key: str
    title: str
    words: str
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()


def chapters(outcome: Outcome) -> list[Chapter]:
    """All chapters that have something to show. Each measure and figure is in exactly one of them."""
    left = outcome.measures(each.key for each in outcome.results.measures)
    made: list[Chapter] = []
    for build, belongs in _CHAPTERS:
        own = [each for each in left if belongs(each, outcome)]
        left = [each for each in left if each not in own]
        if own:
            made.append(build(own, outcome))
    if figures := [each for each in outcome.results.figures if each.runs]:
        made.append(_own(figures))
    return made


def _rates(measures: Sequence[Measure], outcome: Outcome) -> Chapter:
    sized = [each for each in measures if any(outcome.sizes(each))]
    relative = [Lines(each, bare(each), "÷ no proxy", lambda cell: cell.to_limit, relative=True) for each in sized]
    costs = [
        Lines(each, bare(each), f"CPU time per {each.work} ÷ no proxy", lambda cell: cell.cpu_to_limit, relative=True)
        for each in sized
        if any(cell.cpu_to_limit for cell in outcome.cells(each))
    ]
    pictures = (
        lines(
            "rates",
            "Rates as ratios to no proxy against the number of Services; a panel for a load, a line for a peer.",
            "How much gets through, ÷ no proxy. Higher is better; strokes reach from the least to the greatest round.",
            relative,
            outcome,
        ),
        lines(
            "cpu",
            "CPU time as ratios to no proxy against the number of Services; a panel for a load, a line for a peer.",
            "What that costs: CPU time of the whole machine for one unit of work, ÷ no proxy. Lower is better. It is "
            "steadier than rates are.",
            costs,
            outcome,
        ),
    )
    words = "Clients on the node, backends on the node, and between them what the peer does."
    return Chapter("rates", "Throughput, and what it costs", words, _there(pictures), _tables(measures, outcome))


def _latency(measures: Sequence[Measure], outcome: Outcome) -> Chapter:
    by_stem: dict[str, list[Measure]] = {}
    for each in measures:
        by_stem.setdefault(_stem(each), []).append(each)
    for own in by_stem.values():
        own.sort(key=lambda each: each.key)
    pictures = [
        tails(
            f"latency-{re.sub(r'[^a-z0-9]+', '-', stem.lower()).strip('-')}",
            f"{bare(own[0])}: median and tail of each peer's times, one panel for each number of Services.",
            f"{bare(own[0])}. Further left is better; dashed lines are those of no proxy.",
            own,
            outcome,
        )
        for stem, own in by_stem.items()
    ]
    words = "The median of many single times, and their tail. Axes are logarithmic."
    return Chapter("latency", "Latency", words, _there(pictures), _tables(measures, outcome))


def _memory(measures: Sequence[Measure], outcome: Outcome) -> Chapter:
    picture = lines(
        "memory",
        "Memory against the number of Services, one line for each peer, logarithmic axes.",
        "Lower is better. Both axes are logarithmic.",
        _plain(measures, outcome),
        outcome,
    )
    words = "What the process holds that follows the cluster, and what the kernel holds for the maps or rules."
    return Chapter("memory", "Memory", words, _there([picture]), _tables(measures, outcome))


def _control(measures: Sequence[Measure], outcome: Outcome) -> Chapter:
    picture = lines(
        "control",
        "Times of the control plane against the number of Services, one line for each peer, logarithmic axes.",
        "Lower is better for times, higher for rates. Both axes are logarithmic.",
        _plain(measures, outcome),
        outcome,
    )
    words = "How long it takes until the kernel does what the cluster says, and what that costs."
    return Chapter("control", "Control plane", words, _there([picture]), _tables(measures, outcome))


def _restarts(measures: Sequence[Measure], outcome: Outcome) -> Chapter:
    panels = [
        peer_bars(each, size, each.title + (f", {size:,} Services" if size else ""), outcome)
        for each in measures
        for size in outcome.sizes(each)
    ]
    picture = drawn_bars(
        "restarts",
        "Requests that failed during rolling restarts, one bar for each peer.",
        "Lower is better.",
        panels,
    )
    words = "Backends go and come again one after the other, under load."
    return Chapter("restarts", "Rolling restarts", words, _there([picture]), _tables(measures, outcome))


def _others(measures: Sequence[Measure], outcome: Outcome) -> Chapter:
    return Chapter("others", "What else was measured", "", (), _tables(measures, outcome))


def _own(figures: Sequence[Figure]) -> Chapter:
    words = "Figures of tcnat alone, without a peer to compare them with."
    return Chapter("own", "tcnat’s own figures", words, (), (of_figures("Figures", figures),))


def _plain(measures: Sequence[Measure], outcome: Outcome) -> list[Lines]:
    sized = [each for each in measures if any(outcome.sizes(each))]
    return [Lines(each, each.title, each.unit, lambda cell: cell.value) for each in sized]


def _tables(measures: Sequence[Measure], outcome: Outcome) -> tuple[Table, ...]:
    return tuple(of_measure(each, outcome) for each in measures)


def _there(pictures: Sequence[Picture | None]) -> tuple[Picture, ...]:
    return tuple(each for each in pictures if each)


def _stem(measure: Measure) -> str:
    found = _TAIL.match(measure.key)
    return found["stem"] if found else measure.key


def bare(measure: Measure) -> str:
    """A measure's title without what its picture says anyway: that it is a rate, or which part of the latency."""
    return re.sub(r"(: rate|: median latency|: latency, [\d.]+ %)$", "", measure.title)


def _is_rate(measure: Measure, outcome: Outcome) -> bool:
    return measure.more_is_better and NO_PROXY in outcome.peers(measure)


def _is_tail(measure: Measure, _: Outcome) -> bool:
    return _TAIL.match(measure.key) is not None


def _is_memory(measure: Measure, _: Outcome) -> bool:
    return measure.unit.lower().removesuffix("ib").removesuffix("b") in ("k", "m", "g") and not measure.more_is_better


def _is_failure(measure: Measure, _: Outcome) -> bool:
    return "fail" in measure.key or "fail" in measure.title


def _is_control(measure: Measure, outcome: Outcome) -> bool:
    return measure.unit in ("s", "ms", "changes/s") and any(outcome.sizes(measure)) and "fail" not in measure.key


_CHAPTERS: tuple[tuple[Callable[[Sequence[Measure], Outcome], Chapter], Callable[[Measure, Outcome], bool]], ...] = (
    (_rates, _is_rate),
    (_latency, _is_tail),
    (_control, _is_control),
    (_restarts, _is_failure),
    (_memory, _is_memory),
    (_others, lambda *_: True),
)
