"""Pictures: panels put together, as SVG. Each function gives None where the results have nothing of what it draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from ..series import Measure
from .outcome import Outcome
from .panels import Bars, Lines, Tails
from .style import LEGEND_COLUMNS, PALE, WIDTH, legend, percentiles, styled, written
from .wording import services

PANEL, LEGEND, FOOT = 2.6, 0.22, 0.3
"""Inches: a panel's height, that of a row of the legend above the panels, and of what has to be said below them."""


@dataclass(frozen=True, slots=True)
class Picture:
    """``name``.svg. ``alt``: what it shows, for who cannot see it; ``caption`` stands below it."""

    name: str
    svg: str
    alt: str
    caption: str

    @property
    def inline(self) -> str:
        """The SVG as an element within a page of HTML."""
        return self.svg[self.svg.index("<svg") :]


def lines(
    name: str, alt: str, caption: str, panels: Sequence[Lines], outcome: Outcome, columns: int = 2
) -> Picture | None:
    """Panels against the number of Services, side by side and below each other, with one legend above them all."""
    if not panels:
        return None
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    lost = _lost(panels, outcome)
    named = all(panel.named for panel in panels)
    peers = {peer for panel in panels for peer in outcome.peers(panel.measure)}
    head = 0 if named else LEGEND * math.ceil(len(peers) / LEGEND_COLUMNS) + 0.1
    foot = FOOT * bool(lost)
    height = head + rows * PANEL + foot
    with styled(name):
        figure = Figure(figsize=(WIDTH, height))
        for at, panel in enumerate(panels, start=1):
            panel.draw(figure.add_subplot(rows, columns, at), outcome)
        if not named:
            legend(figure, peers, outcome.everyone)
        if lost:
            figure.text(0.008, 0.06 / height, lost, fontsize=8, color=PALE, va="bottom")
        figure.tight_layout(rect=(0.006, foot / height, 1, 1 - head / height), pad=0.5, h_pad=1.6, w_pad=2.2)
        return Picture(name, written(figure, name), alt, caption)


def _lost(panels: Sequence[Lines], outcome: Outcome) -> str:
    """Who could not be measured where, and why: one sentence for each reason."""
    why: dict[str, dict[str, set[int]]] = {}
    for panel in panels:
        for cell in outcome.cells(panel.measure):
            if cell.value is None and cell.note:
                why.setdefault(cell.note, {}).setdefault(cell.peer, set()).add(cell.services)
    told = [
        f"✕ {note}: "
        + ", ".join(f"{peer} ({_and(sorted(sizes))})" for peer, sizes in peers.items())
        for note, peers in why.items()
    ]  # fmt: skip
    return "   ".join(told)


def _and(sizes: Sequence[int]) -> str:
    return " and ".join(services(each) for each in sizes)


def tails(
    name: str, alt: str, caption: str, title: str, measures: Sequence[Measure], outcome: Outcome
) -> Picture | None:
    """The percentiles of one thing, ``title``, for each number of Services."""
    cells = [cell for measure in measures for cell in outcome.cells(measure)]
    values = [cell.value for cell in cells if cell.value and cell.value.low > 0]
    if not values:
        return None
    sizes, peers = outcome.sizes(measures[0]), outcome.peers(measures[0])
    limits = (min(each.low for each in values) / 1.4, max(each.high for each in values) * 1.4)
    columns = min(2, len(sizes))
    rows = math.ceil(len(sizes) / columns)
    with styled(name):
        height = 0.35 + rows * (0.95 + 0.33 * len(peers))
        figure = Figure(figsize=(WIDTH, height))
        for at, size in enumerate(sizes, start=1):
            axes = figure.add_subplot(rows, columns, at)
            where = f"{services(size)} Services" if size else "Any number of Services"
            Tails(measures, size, where, measures[0].unit).draw(axes, outcome, peers, limits)
            if (at - 1) % columns:
                axes.set_yticklabels([])
        percentiles(figure, title, len(measures))
        figure.tight_layout(rect=(0, 0, 1, 1 - 0.35 / height), pad=0.5, h_pad=1.4, w_pad=1.4)
        return Picture(name, written(figure, name), alt, caption)


def bars(name: str, alt: str, caption: str, panels: Sequence[Bars], columns: int = 2) -> Picture | None:
    """Panels of bars."""
    if not panels:
        return None
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    longest = max(len(panel.names) for panel in panels)
    with styled(name):
        figure = Figure(figsize=(WIDTH, rows * (0.95 + 0.3 * longest)))
        for at, panel in enumerate(panels, start=1):
            panel.draw(figure.add_subplot(rows, columns, at))
        figure.tight_layout(pad=0.5, h_pad=1.6, w_pad=2)
        return Picture(name, written(figure, name), alt, caption)
