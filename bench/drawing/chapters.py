"""What the report shows, and in which order: measures are put into chapters by what they are, so that a measure that is
new to the bench has its table and mostly its picture, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..figures import Figure
from ..series import NO_PROXY, Measure
from .costs import costs
from .looks import look
from .outcome import Outcome
from .panels import Bars, Chosen, Lines
from .pictures import Picture, bars, lines, tails
from .tables import Table, of_figures, of_measure

SCALES = "Scales are logarithmic where all figures are above 0."
LAST = ("vm", "single")
"""Keys of chapters that come behind all others."""
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
        made.append(_single(figures))
    return sorted(made, key=lambda each: each.key in LAST)


@dataclass(frozen=True, slots=True)
class View:
    """What is drawn of a measure: which of its numbers, and what is written at their axis."""

    label: Callable[[Measure], str]
    chosen: Chosen
    relative: bool = False


RATE = View(lambda _: "÷ no proxy", lambda cell: cell.to_limit, relative=True)
CPU = View(lambda measure: f"CPU time per {measure.work} ÷ no proxy", lambda cell: cell.cpu_to_limit, relative=True)
VALUE = View(lambda measure: measure.unit, lambda cell: cell.value)


def _drawn(
    name: str, alt: str, caption: str, measures: Sequence[Measure], view: View, outcome: Outcome
) -> list[Picture | None]:
    """Measures against the number of Services; bars of those that were made with one number of them."""
    there = [each for each in measures if any(view.chosen(cell) for cell in outcome.cells(each))]
    many = [each for each in there if len(outcome.sizes(each)) > 1]
    few = [(each, outcome.sizes(each)[0]) for each in there if each not in many]
    sizes = {size for _, size in few}
    with_them = "".join(f" With {size:,} Services." for size in sizes if size and len(sizes) == 1)
    panels = [Lines(each, bare(each), view.label(each), view.chosen, view.relative) for each in many]
    return [
        lines(name, f"{alt} against the number of Services; a line for each peer.", caption, panels, outcome),
        bars(
            f"{name}-bars",
            f"{alt}; a bar for each peer.",
            caption + with_them,
            [_bars(each, size, view, outcome, several=len(sizes) > 1) for each, size in few],
        ),
    ]


def _bars(measure: Measure, size: int, view: View, outcome: Outcome, several: bool) -> Bars:
    """A bar for each peer of one measure with one number of Services, one of ``several`` numbers in the picture."""
    peers = [peer for peer in outcome.peers(measure) if not (view.relative and peer == NO_PROXY)]
    cells = [outcome.cell(measure, peer, size) for peer in peers]
    title = bare(measure) + (f", {size:,} Services" if size and several else "")
    colours = [look(peer, outcome.everyone).colour for peer in peers]
    values = [view.chosen(cell) if cell else None for cell in cells]
    return Bars(title, view.label(measure), peers, values, colours, [(1.0, "")] * view.relative)


def _rates(measures: Sequence[Measure], outcome: Outcome) -> Chapter:
    words = "Clients on the node, backends on the node or on another one, and between them what the peer does."
    pictures = _rate_pictures("", measures, outcome)
    return Chapter("rates", "Throughput, and what it costs", words, _there(pictures), _tables(measures, outcome))


def _rate_pictures(prefix: str, measures: Sequence[Measure], outcome: Outcome) -> list[Picture | None]:
    through = "How much gets through, ÷ no proxy. Higher is better; strokes reach from the least to the greatest round."
    costs = (
        "What that costs: CPU time of the whole machine for one unit of work, ÷ no proxy. Lower is better. It is "
        "steadier than rates are."
    )
    return [
        *_drawn(f"{prefix}rates", "Rates as ratios to no proxy", through, measures, RATE, outcome),
        *_drawn(f"{prefix}cpu", "CPU time as ratios to no proxy", costs, measures, CPU, outcome),
    ]


def _latency(measures: Sequence[Measure], outcome: Outcome) -> Chapter:
    words = "The median of many single times, and their tail. Axes are logarithmic."
    pictures = _latency_pictures(measures, outcome)
    return Chapter("latency", "Latency", words, _there(pictures), _tables(measures, outcome))


def _latency_pictures(measures: Sequence[Measure], outcome: Outcome) -> list[Picture | None]:
    """One for each distribution, of which the measures are percentiles."""
    by_stem: dict[str, list[Measure]] = {}
    for each in sorted(measures, key=lambda each: each.key.rpartition("_")[2]):
        by_stem.setdefault(_stem(each), []).append(each)
    stems = list(dict.fromkeys(map(_stem, measures)))
    return [
        tails(
            f"latency-{re.sub(r'[^a-z0-9]+', '-', stem.lower()).strip('-')}",
            f"{bare(by_stem[stem][0])}: median and tail of each peer's times, a panel for each number of Services.",
            "Further left is better. Dashed lines are no proxy's; pale bars reach from the least to the greatest run.",
            bare(by_stem[stem][0]),
            by_stem[stem],
            outcome,
        )
        for stem in stems
    ]


def _virtual(measures: Sequence[Measure], outcome: Outcome) -> Chapter:
    """Measures of the virtual machine: rates, and percentiles."""
    pictures = [
        *_rate_pictures("vm-", [each for each in measures if _is_rate(each, outcome)], outcome),
        *_latency_pictures([each for each in measures if _is_tail(each, outcome)], outcome),
    ]
    words = (
        "Peers once more, on a kernel that has what this machine's may lack, such as IPVS. The machine is emulated and "
        "many times slower: only ratios within this chapter tell something."
    )
    return Chapter("vm", "In a virtual machine", words, _there(pictures), _tables(measures, outcome))


def _memory(measures: Sequence[Measure], outcome: Outcome) -> Chapter:
    pictures = _drawn("memory", "Memory", f"Lower is better. {SCALES}", measures, VALUE, outcome)
    words = "What the process holds that follows the cluster, and what the kernel holds for the maps or rules."
    return Chapter("memory", "Memory", words, _there(pictures), _tables(measures, outcome))


def _control(measures: Sequence[Measure], outcome: Outcome) -> Chapter:
    caption = f"Lower is better for times, higher for rates. {SCALES}"
    pictures = _drawn("control", "Times of the control plane", caption, measures, VALUE, outcome)
    words = "How long it takes until the kernel does what the cluster says, and what that costs."
    return Chapter("control", "Control plane", words, _there(pictures), _tables(measures, outcome))


def _restarts(measures: Sequence[Measure], outcome: Outcome) -> Chapter:
    panels = [_bars(each, size, VALUE, outcome, several=True) for each in measures for size in outcome.sizes(each)]
    alt = "Requests that failed during rolling restarts; a bar for each peer."
    picture = bars("restarts", alt, "Lower is better.", panels)
    words = "Backends go and come again one after the other, under load."
    return Chapter("restarts", "Rolling restarts", words, _there([picture]), _tables(measures, outcome))


def _packets(measures: Sequence[Measure], outcome: Outcome) -> Chapter:
    times = [each for each in measures if each.unit == "ns"]
    picture = costs(
        "packets",
        "Nanoseconds of tcnat's programs for a packet; a bar for each kind of packet, strokes for other programs.",
        "Lower is better.",
        times,
        outcome,
    )
    words = "What tcnat's programs take for one packet, without the kernel around them."
    return Chapter("packets", "One packet", words, _there([picture]), _tables(measures, outcome))


def _others(measures: Sequence[Measure], outcome: Outcome) -> Chapter:
    return Chapter("others", "What else was measured", "", (), _tables(measures, outcome))


def _single(figures: Sequence[Figure]) -> Chapter:
    words = "What is not made in rounds beside others: figures of tcnat alone, and of kube-proxy where that is said."
    return Chapter("single", "Single figures", words, (), (of_figures("Figures", figures),))


def _tables(measures: Sequence[Measure], outcome: Outcome) -> tuple[Table, ...]:
    return tuple(of_measure(each, outcome) for each in measures)


def _there(pictures: Sequence[Picture | None]) -> tuple[Picture, ...]:
    return tuple(each for each in pictures if each)


def _stem(measure: Measure) -> str:
    found = _TAIL.match(measure.key)
    return found["stem"] if found else measure.key


def bare(measure: Measure) -> str:
    """A measure's title without what its picture says anyway: that it is a rate, or which part of the latency."""
    title = re.sub(r"(: rate|: median latency|: latency, (median|[\d.]+ %))$", "", measure.title)
    return title[:1].upper() + title[1:]


def _is_virtual(measure: Measure, _: Outcome) -> bool:
    return measure.key.startswith("vm_")


def _is_rate(measure: Measure, outcome: Outcome) -> bool:
    return measure.more_is_better and NO_PROXY in outcome.peers(measure)


def _is_tail(measure: Measure, _: Outcome) -> bool:
    return _TAIL.match(measure.key) is not None


def _is_memory(measure: Measure, _: Outcome) -> bool:
    return measure.unit.lower().removesuffix("ib").removesuffix("b") in ("k", "m", "g") and not measure.more_is_better


def _is_failure(measure: Measure, _: Outcome) -> bool:
    return "fail" in measure.key or "fail" in measure.title


def _is_packet(measure: Measure, _: Outcome) -> bool:
    return measure.unit in ("ns", "instructions")


def _is_control(measure: Measure, outcome: Outcome) -> bool:
    return measure.unit in ("s", "ms", "µs", "changes/s") and any(outcome.sizes(measure)) and "fail" not in measure.key


_CHAPTERS: tuple[tuple[Callable[[Sequence[Measure], Outcome], Chapter], Callable[[Measure, Outcome], bool]], ...] = (
    (_virtual, _is_virtual),
    (_rates, _is_rate),
    (_packets, _is_packet),
    (_latency, _is_tail),
    (_control, _is_control),
    (_restarts, _is_failure),
    (_memory, _is_memory),
    (_others, lambda *_: True),
)
