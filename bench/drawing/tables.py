"""Tables: the rows of text that the page and the Markdown show alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from ..figures import Figure
from ..marks import Mark, Said, Verdict
from ..series import Measure
from .looks import OURS, look
from .outcome import Cell, Outcome, Spread
from .wording import NOTHING, number, ratio, services, spread

NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Row:
    """``group``: what neighbours have in common. ``note`` stands in the place of cells that are empty."""

    group: str
    name: str
    cells: tuple[str, ...]
    colour: str = ""
    note: str = ""
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """``heads``: of the name and of the cells. ``over``: the groups' head; empty without groups."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    over: str = ""

    @property
    def groups(self) -> list[tuple[str, list[Row]]]:
        """The rows by their groups."""
        return [(group, list(rows)) for group, rows in groupby(self.rows, key=lambda row: row.group)]


def of_measure(measure: Measure, outcome: Outcome) -> Table:
    """A measure, peer by peer for each number of Services, with the columns that it has anything in."""
    rows = [(size, peer, outcome.cell(measure, peer, size)) for size in outcome.sizes(measure) for peer in
            outcome.peers(measure)]  # fmt: skip
    cells = [cell for _, _, cell in rows if cell]
    counts = {cell.value.runs for cell in cells if cell.value}
    columns = [column for column in _COLUMNS if column.always or any(column.text(cell) for cell in cells)]
    if len(counts) == 1:
        columns.remove(_RUNS)
    heads = [column.head.format(unit=measure.unit, work=measure.work or "unit") for column in columns]
    grouped = any(outcome.sizes(measure))
    return Table(
        measure.title + (f" ({of_runs(counts.pop())})" if len(counts) == 1 else ""),
        ("Peer", *heads),
        tuple(_row(services(size) if grouped else "", peer, cell, columns, outcome) for size, peer, cell in rows),
        "Services" if grouped else "",
    )


@dataclass(frozen=True, slots=True)
class _Column:
    head: str
    pick: str
    write: str
    always: bool = False

    def text(self, cell: Cell) -> str:
        """What stands in the cell; empty if there is nothing."""
        value: Spread | None = getattr(cell, self.pick)
        if value is None:
            return ""
        return {"runs": str(value.runs), "ratio": ratios(value), "both": with_spread(value)}[self.write]


_RUNS = _Column("runs", "value", "runs", always=True)
_COLUMNS = (
    _Column("{unit}", "value", "both", always=True),
    _RUNS,
    _Column("÷ no proxy", "to_limit", "ratio"),
    _Column("tcnat’s lead", "ahead", "ratio"),
    _Column("CPU µs per {work}", "cpu", "both"),
    _Column("CPU ÷ no proxy", "cpu_to_limit", "ratio"),
)


def _row(group: str, peer: str, cell: Cell | None, columns: Sequence[_Column], outcome: Outcome) -> Row:
    note = "" if cell and cell.value else (cell.note if cell else "") or NOT_MEASURED
    texts = tuple(column.text(cell) if cell and not note else "" for column in columns)
    return Row(group, peer, texts, look(peer, outcome.everyone).colour, note, peer == OURS)


def with_spread(value: Spread) -> str:
    """A median, and from where to where."""
    return f"{number(value.median)} ({spread(value.low, value.high)})" if value.runs > 1 else number(value.median)


def ratios(value: Spread) -> str:
    """Ratios of runs made side by side: their median, and from where to where."""
    if value.low == value.high:
        return "1" if value.median == 1 else ratio(value.median)
    among = f" ({ratio(value.low)}\N{EN DASH}{ratio(value.high)})"
    return ratio(value.median) + among


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
    """All marks: the ratios between peers first, then tcnat's own figures."""
    titles = {each.key: each.title for each in outcome.results.measures}
    against = [_of_verdict(each, titles) for each in outcome.results.verdicts]
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
    unit = f" {figure.unit}" if figure.unit else ""
    wanted = f"≤ {number(figure.at_most)}" if figure.at_most is not None else f"≥ {number(figure.at_least or 0)}"
    found = Spread.of(figure.runs)
    return Judged(
        figure.name, wanted + unit, number(found.median) + unit if found else NOTHING,
        f"{spread(found.low, found.high)} ({of_runs(found.runs)})" if found else "",
        Said.REACHED if figure.reached else Said.MISSED,
    )  # fmt: skip
