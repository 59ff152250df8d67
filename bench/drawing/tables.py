"""Tables: the rows of text that the page and the Markdown show alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from ..figures import Figure
from ..marks import Mark, Said, Verdict
from ..series import Measure
from .looks import OURS, look
from .outcome import Cell, Outcome, Spread
from .wording import NOT_MEASURED, NOTHING, number, ratio, services, spread

SHORT = 0.1
"""CPU time of one unit of work in seconds: what is shorter is told in microseconds."""


@dataclass(frozen=True, slots=True)
class Row:
    """``group``: what neighbours have in common. ``note`` stands in the place of cells that are empty, ``remark``
    below the table."""

    group: str
    name: str
    cells: tuple[str, ...]
    colour: str = ""
    note: str = ""
    remark: str = ""
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """``heads``: of the name and of the cells. ``over``: the groups' head; empty without groups."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    over: str = ""

    @property
    def remarks(self) -> list[str]:
        """What is said below the table of rows that have figures."""
        return [
            f"{row.name}{f', {row.group} {self.over}' if row.group else ''}: {row.remark}."
            for row in self.rows
            if row.remark
        ]

    @property
    def groups(self) -> list[tuple[str, list[Row]]]:
        """The rows by their groups."""
        return [(group, list(rows)) for group, rows in groupby(self.rows, key=lambda row: row.group)]


def of_measure(measure: Measure, outcome: Outcome) -> Table:
    """A measure, peer by peer for each number of Services, with the columns that it has anything in."""
    grouped = any(outcome.sizes(measure))
    found = [
        (size, peer, outcome.cell(measure, peer, size))
        for size in outcome.sizes(measure)
        for peer in outcome.peers(measure)
        if outcome.awaited(measure, peer, size)
    ]
    cells = [cell for _, _, cell in found if cell and cell.value]
    columns = [column for column in _columns(measure, cells) if any(column.text(cell) for cell in cells)]
    rows = [_row(services(size) if grouped else "", peer, cell, columns, outcome) for size, peer, cell in found]
    counts = {cell.value.runs for cell in cells if cell.value}
    title = measure.title + (f" ({of_runs(counts.pop())})" if len(counts) == 1 else "")
    return Table(title, ("Peer", *[column.head for column in columns]), tuple(rows), "Services" if grouped else "")


@dataclass(frozen=True, slots=True)
class _Column:
    head: str
    text: Callable[[Cell], str]


def _columns(measure: Measure, cells: Sequence[Cell]) -> list[_Column]:
    """All that there could be."""
    short = all(cell.cpu is None or cell.cpu.median < SHORT for cell in cells)
    unit, factor = ("µs", 1e6) if short else ("s", 1)
    several = len({cell.value.runs for cell in cells if cell.value}) > 1
    return [
        _Column(measure.unit, lambda cell: with_spread(cell.value)),
        _Column("runs", lambda cell: str(cell.value.runs) if cell.value and several else ""),
        _Column("÷ no proxy", lambda cell: ratios(cell.to_limit)),
        _Column("tcnat’s lead", lambda cell: ratios(cell.ahead)),
        _Column(f"CPU {unit} per {measure.work}", lambda cell: with_spread(cell.cpu, factor)),
        _Column("CPU ÷ no proxy", lambda cell: ratios(cell.cpu_to_limit)),
    ]


def _row(group: str, peer: str, cell: Cell | None, columns: Sequence[_Column], outcome: Outcome) -> Row:
    note = "" if cell and cell.value else (cell.note if cell else "") or NOT_MEASURED
    texts = tuple(column.text(cell) if cell and not note else "" for column in columns)
    remark = cell.note if cell and not note else ""
    return Row(group, peer, texts, look(peer, outcome.everyone).colour, note, remark, peer == OURS)


def with_spread(value: Spread | None, factor: float = 1) -> str:
    """A median, and from where to where; nothing of nothing."""
    if value is None:
        return ""
    among = f" ({spread(value.low * factor, value.high * factor)})"
    return number(value.median * factor) + (among if value.runs > 1 else "")


def ratios(value: Spread | None) -> str:
    """Ratios of runs made side by side: their median, and from where to where; nothing of nothing."""
    if value is None:
        return ""
    if value.low == value.high:
        return "1" if value.median == 1 else ratio(value.median)
    return f"{ratio(value.median)} ({ratio(value.low)}\N{EN DASH}{ratio(value.high)})"


def of_runs(count: int) -> str:
    """So many runs, in words."""
    return f"{count} run{'s' * (count != 1)}"


def of_figures(title: str, figures: Iterable[Figure]) -> Table:
    """Figures of tcnat's own."""
    rows = tuple(
        Row("", each.name, (number(found.median), each.unit, spread(found.low, found.high), str(found.runs)))
        for each in figures
        if (found := Spread.of(each.runs))
    )
    return Table(title, ("Figure", "median", "unit", "least\N{EN DASH}greatest", "runs"), rows)


@dataclass(frozen=True, slots=True)
class Judged:
    """A mark as people read it. ``found`` is a median; ``among`` its interval, and how sure that is."""

    what: str
    wanted: str
    found: str
    among: str
    said: Said


def judged(outcome: Outcome) -> list[Judged]:
    """All marks: ratios between peers with so many Services, ratios where that does not matter, single figures."""
    titles = {each.key: each.title for each in outcome.results.measures}
    by_size = sorted(outcome.results.verdicts, key=lambda each: not each.mark.services)
    against = [_of_verdict(each, titles) for each in by_size]
    return against + [_of_figure(each) for each in outcome.results.figures if each.reached is not None]


def _of_verdict(verdict: Verdict, titles: dict[str, str]) -> Judged:
    mark, found = verdict.mark, verdict.ratio
    title = titles.get(mark.measure, mark.measure).replace(": ", ", ")
    what = f"{title}: {mark.peer} ÷ {mark.against}"
    if mark.services:
        what += f", {mark.services:,} Services"
    if mark.than:
        what += f" ÷ the same with {mark.than:,}"
    if not found:
        return Judged(what, _wanted(mark), NOTHING, "", verdict.said)
    among = f"{found.low:.3f}\N{EN DASH}{found.high:.3f} ({found.confidence * 100:.0f} %, {of_runs(found.runs)})"
    return Judged(what, _wanted(mark), f"{found.median:.3f}", among, verdict.said)


def _wanted(mark: Mark) -> str:
    if mark.at_least is not None and mark.at_most is not None:
        return f"{mark.at_least:.2f}\N{EN DASH}{mark.at_most:.2f}"
    return f"≥ {mark.at_least:.2f}" if mark.at_least is not None else f"≤ {mark.at_most or 0:.2f}"


def _of_figure(figure: Figure) -> Judged:
    unit = f" {figure.unit}" if figure.unit not in ("", "ratio") else ""
    wanted = f"≤ {number(figure.at_most)}" if figure.at_most is not None else f"≥ {number(figure.at_least or 0)}"
    found = Spread.of(figure.runs)
    return Judged(
        figure.name, wanted + unit, number(found.median) + unit if found else NOTHING,
        f"{spread(found.low, found.high)} ({of_runs(found.runs)})" if found else "",
        Said.REACHED if figure.reached else Said.MISSED,
    )  # fmt: skip
