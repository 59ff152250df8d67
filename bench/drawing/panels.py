"""Panels: pairs of axes that pictures are put together from. Each takes its axes and what to draw, and draws it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ..series import NO_PROXY, Measure
from .looks import ONCE, OURS, Look, look
from .outcome import Cell, Outcome, Spread
from .style import FAINT, INK, PALE, TAIL, along_services, line, logarithmic
from .wording import NOT_MEASURED, number, tick

APART = 0.045
"""How far two peers' points for the same number of Services stand apart, as a power of ten."""
TITLE_WIDTH = 46
"""Letters that fit above a panel that has another beside it."""
_BARE = {"facecolor": "white", "linewidth": 0, "pad": 0.8}
"""Behind letters that lines run through."""
Chosen = Callable[[Cell], Spread | None]
"""Which of a cell's numbers is drawn."""


@dataclass(frozen=True, slots=True)
class Lines:
    """A measure against the number of Services.

    ``relative``: what is drawn are ratios to "no proxy", which then is a line across at 1. ``named``: peers' names and
    last values stand at the ends of their lines.
    """

    measure: Measure
    title: str
    label: str
    chosen: Chosen
    relative: bool = False
    named: bool = False

    def draw(self, axes: Axes, outcome: Outcome) -> None:
        """Draw all peers of the measure."""
        peers = outcome.peers(self.measure)
        lines = {peer: self._points(outcome, peer) for peer in peers if peer not in self.left_out}
        along_services(axes, outcome.sizes(self.measure))
        for at, (peer, points) in enumerate(lines.items()):
            self._line(axes, points, look(peer, outcome.everyone), _aside(at, len(lines), APART))
        if self.relative:
            axes.axhline(1, zorder=2, **_stroke(look(NO_PROXY)))
        self._range(axes, [each for points in lines.values() for _, each in points])
        self._lost(axes, outcome, list(lines))
        axes.set_title(textwrap.fill(self.title, TITLE_WIDTH))
        axes.set_ylabel(self.label)
        axes.set_xlabel("Services")
        if self.named:
            name_ends(axes, {peer: points[-1] for peer, points in lines.items() if points}, self.relative)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Peers without a line: what is a line across, and in a picture of names what has nothing but a beginning."""
        return (NO_PROXY,) * self.relative + ONCE * self.named

    def _points(self, outcome: Outcome, peer: str) -> list[tuple[int, Spread]]:
        cells = ((cell.services, self.chosen(cell)) for cell in outcome.along(self.measure, peer))
        return [(services, spread) for services, spread in cells if spread]

    def _line(self, axes: Axes, points: Sequence[tuple[int, Spread]], each: Look, aside: float) -> None:
        """Least and greatest as a thin stroke behind the median's marker."""
        along = [services * aside for services, _ in points]
        low, high = [spread.low for _, spread in points], [spread.high for _, spread in points]
        over = 4 if each.width > 2 else 3
        axes.vlines(along, low, high, color=each.colour, lw=1, zorder=over)
        axes.plot(along, [spread.median for _, spread in points], zorder=over, **line(each))

    def _range(self, axes: Axes, spreads: Sequence[Spread]) -> None:
        """Ratios: linear, from a tenth below the least, so that a few percent can be seen. Else logarithmic."""
        lows, highs = [each.low for each in spreads], [each.high for each in spreads]
        if self.relative:
            low, high = min([1.0, *lows]), max([1.0, *highs])
            axes.set_ylim(max(0.0, math.floor(low * 10 - 1) / 10), high + 0.06 * (high - low) + 0.02)
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2f}".removesuffix("0")))
            axes.grid(axis="y")
        elif lows and min(lows) > 0:
            axes.set_ylim(min(lows) / 1.6, max(highs) * 1.4)
            logarithmic(axes, "y")
        else:
            axes.set_ylim(min([0.0, *lows]), max(highs, default=1) * 1.1 or 1)
            axes.grid(axis="y")

    def _lost(self, axes: Axes, outcome: Outcome, peers: Sequence[str]) -> None:
        """A cross at the foot where a peer could not be measured; words below the picture tell why."""
        lost = [
            (cell.services, peer)
            for peer in peers
            for cell in outcome.along(self.measure, peer)
            if cell.value is None and cell.note
        ]
        for services in sorted({services for services, _ in lost}):
            there = [peer for size, peer in lost if size == services]
            for at, peer in enumerate(there):
                axes.plot(
                    services * _aside(at, len(there), 2.2 * APART), 0.05, "x", ms=5.5, mew=1.8, clip_on=False,
                    color=look(peer, outcome.everyone).colour, transform=axes.get_xaxis_transform(),
                )  # fmt: skip


def _aside(at: int, count: int, apart: float) -> float:
    """By what the place of one of several points for the same number of Services is multiplied."""
    return float(10 ** (apart * (at - (count - 1) / 2)))


def _stroke(each: Look) -> dict[str, Any]:
    return {"color": each.colour, "linestyle": each.line, "linewidth": each.width}


def name_ends(axes: Axes, ends: Mapping[str, tuple[int, Spread]], limit: bool) -> None:
    """Write peers' names with their last values right of where their lines end, none over another; of a line that ends
    early a little lower, as others go on there."""
    low, high = axes.get_ylim()
    apart = (high - low) / 11
    for services in sorted({services for services, _ in ends.values()}):
        here = {peer: spread.median for peer, (size, spread) in ends.items() if size == services}
        words = {peer: f"{peer}\N{EN SPACE}{value:.2f}" for peer, value in here.items()}
        last = services == max(size for size, _ in ends.values())
        if limit and last:
            here[NO_PROXY], words[NO_PROXY] = 1.0, NO_PROXY
        for peer, place in spread_out(here, apart).items():
            axes.annotate(
                words[peer], (axes.get_xlim()[1] if last else services * 1.25, place), (6, 0 if last else -9),
                textcoords="offset points", va="center", annotation_clip=False,
                fontweight="bold" if peer == OURS else "normal",
                color=[0.65 * part for part in to_rgb(look(peer, ends).colour)],
            )  # fmt: skip


def spread_out(places: Mapping[str, float], apart: float) -> dict[str, float]:
    """The same in the same order, moved as little as can be so that any two are ``apart``."""
    groups: list[tuple[list[str], float]] = []
    for name, place in sorted(places.items(), key=lambda each: each[1]):
        names, middle = [name], place
        while groups and middle - apart * len(names) / 2 < groups[-1][1] + apart * len(groups[-1][0]) / 2:
            before, of_before = groups.pop()
            middle = (middle * len(names) + of_before * len(before)) / (len(names) + len(before))
            names = before + names
        groups.append((names, middle))
    return {
        name: middle + apart * (at - (len(names) - 1) / 2) for names, middle in groups for at, name in enumerate(names)
    }


@dataclass(frozen=True, slots=True)
class Tails:
    """How long things take, for one number of Services: for each peer its median, and how far its tail reaches."""

    measures: Sequence[Measure]
    services: int
    title: str
    label: str

    def draw(self, axes: Axes, outcome: Outcome, peers: Sequence[str], limits: tuple[float, float]) -> None:
        """One row for each of ``peers``, the first on top, with the same ``limits`` in each panel."""
        axes.set_xlim(*limits)
        for row, peer in enumerate(peers):
            colour = look(peer, outcome.everyone).colour
            found = [outcome.cell(measure, peer, self.services) for measure in self.measures]
            spreads = [cell.value for cell in found if cell and cell.value and cell.value.low > 0]
            if not spreads:
                note = next((cell.note for cell in found if cell and cell.note), NOT_MEASURED)
                if not outcome.awaited(self.measures[0], peer, self.services):
                    note = f"with {outcome.sizes(self.measures[0])[0]:,} alone"
                axes.text(limits[0] * 1.15, row, note, va="center", fontsize=8, color=PALE, style="italic", bbox=_BARE)
                continue
            if peer == NO_PROXY:
                for each in spreads:
                    axes.axvline(each.median, color=colour, lw=0.8, ls=(0, (3, 3)), zorder=1)
            axes.hlines(row, spreads[0].median, spreads[-1].median, color=colour, lw=1.6, alpha=0.45, zorder=2)
            for each, (marker, filled, _) in zip(spreads, TAIL, strict=False):
                axes.hlines(row, each.low, each.high, color=colour, lw=4, alpha=0.3, zorder=2)
                face = colour if filled else "white"
                axes.plot(each.median, row, marker, ms=6, color=colour, mfc=face, mew=1.4, zorder=3)
            if len(spreads) > 1:
                axes.annotate(
                    number(spreads[1].median), (spreads[1].median, row), (0, 7), textcoords="offset points",
                    ha="center", fontsize=7.5, color=INK, bbox=_BARE,
                )  # fmt: skip
        logarithmic(axes, "x")
        axes.set_xlim(*limits)
        axes.set_yticks(range(len(peers)), peers)
        axes.set_ylim(len(peers) - 0.4, -0.75)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_title(self.title)
        axes.set_xlabel(self.label)


@dataclass(frozen=True, slots=True)
class Bars:
    """One bar for each of some names, with its number at its end. ``marks``: lines across, with their words."""

    title: str
    label: str
    names: Sequence[str]
    values: Sequence[Spread | None]
    colours: Sequence[str]
    marks: Sequence[tuple[float, str]] = ()

    def draw(self, axes: Axes) -> None:
        """Horizontal, the first on top."""
        greatest = max([each.high for each in self.values if each] + [at for at, _ in self.marks], default=0) or 1.0
        for row, (each, colour) in enumerate(zip(self.values, self.colours, strict=True)):
            if each is None:
                axes.text(greatest * 0.01, row, NOT_MEASURED, va="center", fontsize=8, color=PALE, style="italic")
                continue
            axes.barh(row, each.median, height=0.62, color=colour, zorder=2)
            axes.hlines(row, each.low, each.high, color=INK, lw=1, zorder=3)
            axes.text(
                max(each.high, each.median) + greatest * 0.012,
                row,
                number(each.median),
                va="center",
                fontsize=8,
                bbox=_BARE,
                zorder=5,
            )
        for at, words in self.marks:
            axes.axvline(at, color=INK, lw=0.9, ls=(0, (4, 3)), zorder=4)
            axes.annotate(
                words, (at, 1), (0, 3), xycoords=axes.get_xaxis_transform(), textcoords="offset points", ha="center",
                fontsize=7.5, color=PALE,
            )  # fmt: skip
        axes.set_yticks(range(len(self.names)), self.names)
        axes.set_ylim(len(self.names) - 0.5, -0.5)
        axes.set_xlim(0, greatest * 1.1)
        if all(each.median == int(each.median) for each in self.values if each):
            axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=FAINT)
        axes.set_title(textwrap.fill(self.title, TITLE_WIDTH))
        axes.set_xlabel(self.label)
