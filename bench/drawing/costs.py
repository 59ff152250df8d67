"""What one packet costs: a panel of bars for each IP family, with strokes for what other programs take for it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from ..series import Measure
from .looks import OURS, in_order, look
from .outcome import Outcome
from .pictures import LEGEND, Picture
from .style import FAINT, INK, WIDTH, styled, written
from .wording import number, tick

ROW, AROUND = 0.27, 0.75
"""Inches: of a kind of packet, and of a panel's title and axis."""
_FAMILY = re.compile(r",? *\(?\b(IPv[46])\b\)?,?")


@dataclass(frozen=True, slots=True)
class Costs:
    """Kinds of packets of one family: a bar of tcnat's cost, and a stroke for each other program's.

    ``most``: where the axis ends.
    """

    title: str
    measures: Sequence[Measure]
    most: float

    def draw(self, axes: Axes, outcome: Outcome) -> None:
        """Horizontal, the first kind on top."""
        for row, measure in enumerate(self.measures):
            self._row(axes, row, measure, outcome)
        names = [textwrap.fill(kind_of(each), 40) for each in self.measures]
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(0, self.most * 1.12)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=FAINT)
        axes.set_title(self.title)
        axes.set_xlabel(f"{self.measures[0].unit} for a packet")

    def _row(self, axes: Axes, row: int, measure: Measure, outcome: Outcome) -> None:
        """The number stands behind all that is drawn."""
        values = {cell.peer: cell.value for cell in outcome.cells(measure) if cell.value}
        for peer, value in values.items():
            colour = look(peer, outcome.everyone).colour
            if peer == OURS:
                axes.barh(row, value.median, height=0.62, color=colour, zorder=2)
                axes.hlines(row, value.low, value.high, color=INK, lw=1, zorder=3)
                place = max(value.high, *(other.median for other in values.values())) + self.most * 0.012
                axes.text(place, row, number(value.median), va="center", fontsize=8, zorder=4)
            else:
                axes.vlines(value.median, row - 0.4, row + 0.4, color=INK, lw=3.4, zorder=3)
                axes.vlines(value.median, row - 0.4, row + 0.4, color=colour, lw=2, zorder=3)


def costs(name: str, alt: str, caption: str, measures: Sequence[Measure], outcome: Outcome) -> Picture | None:
    """One panel for each family below the other, with one scale. None without tcnat's figures."""
    cells = [cell for measure in measures for cell in outcome.cells(measure) if cell.value]
    if not any(cell.peer == OURS for cell in cells):
        return None
    most = max(cell.value.high for cell in cells if cell.value)
    families = {
        family_of(each): [other for other in measures if family_of(other) == family_of(each)] for each in measures
    }
    panels = [Costs(family, own, most) for family, own in families.items()]
    heights = [AROUND + ROW * len(panel.measures) for panel in panels]
    height = LEGEND + 0.1 + sum(heights)
    with styled(name):
        figure = Figure(figsize=(WIDTH, height))
        grid = figure.add_gridspec(len(panels), 1, height_ratios=heights)
        for at, panel in enumerate(panels):
            panel.draw(figure.add_subplot(grid[at, 0]), outcome)
        _legend(figure, in_order(cell.peer for cell in cells), outcome)
        figure.tight_layout(rect=(0, 0, 1, 1 - (LEGEND + 0.1) / height), pad=0.5, h_pad=1.4)
        return Picture(name, written(figure, name), alt, caption)


def _legend(figure: Figure, peers: Sequence[str], outcome: Outcome) -> None:
    handles = [
        Patch(color=look(peer, outcome.everyone).colour, label=peer)
        if peer == OURS
        else Line2D([], [], ls="", marker="|", ms=9, mew=3, color=look(peer, outcome.everyone).colour, label=peer)
        for peer in peers
    ]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.0, 1.0), ncol=len(handles), borderaxespad=0.2)


def family_of(measure: Measure) -> str:
    """The IP family that a measure's title names; empty if none."""
    found = _FAMILY.search(measure.title)
    return found[1] if found else ""


def kind_of(measure: Measure) -> str:
    """A measure's title without the family."""
    return _FAMILY.sub("", measure.title).strip(" ,:")
