"""What all pictures have in common: ink, letters, axes, and how they are written: the same data gives the same file.

Letters stay letters in the SVG: a page can be searched, and a change of one number is a change of one line in git.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from .looks import Look, in_order, look
from .wording import tick

INK, PALE, FAINT = "#1a1a1a", "#666666", "#dddddd"
WIDTH = 9.6
"""Of each picture, in inches at 72 points; a page scales it."""

TAIL = (("o", True, "median"), ("D", True, "p99, written above"), ("o", False, "p99.9"))
"""Marker, whether it is filled, and what it is, for the median of many times and for its tail."""
LEGEND_COLUMNS = 4
_FONT = "DejaVu Sans"
"""It comes with matplotlib, so that letters are measured alike everywhere. Where it is missing, Verdana is as wide."""

_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": [_FONT],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.7,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": PALE,
    "ytick.color": PALE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
}


@contextmanager
def styled(name: str) -> Iterator[None]:
    """Draw and write the picture of this name within."""
    with matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": name}):
        yield


def written(figure: Figure, name: str) -> str:
    """The picture's SVG. Every id in it begins with the name, so that pictures can stand together in one page."""
    into = io.StringIO()
    figure.savefig(into, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", into.getvalue())
    text = text.replace(f"'{_FONT}'", f"'{_FONT}', Verdana, sans-serif")
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def legend(figure: Figure, peers: Iterable[str], everyone: Iterable[str]) -> None:
    """The peers, above the panels."""
    everyone = list(everyone)
    shown = [(peer, look(peer, everyone)) for peer in in_order(peers)]
    handles = [Line2D([], [], **line(each), label=peer) for peer, each in shown]
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0.0, 1.0), ncol=min(LEGEND_COLUMNS, len(handles)),
        handlelength=2.6, columnspacing=1.8, borderaxespad=0.2,
    )  # fmt: skip


def percentiles(figure: Figure, title: str, count: int) -> None:
    """What it is, and what the first so many markers of a tail are, above the panels."""
    figure.text(0.008, 1 - 0.07 / figure.get_figheight(), title, fontsize=11, fontweight="bold", va="top")
    handles = [
        Line2D([], [], linestyle="", marker=marker, color=INK, mfc=INK if filled else "white", ms=6, label=label)
        for marker, filled, label in TAIL[:count]
    ]
    figure.legend(
        handles=handles, loc="upper right", bbox_to_anchor=(1.0, 1.0), ncol=3, handlelength=1, borderaxespad=0.2
    )


def line(each: Look) -> dict[str, Any]:
    """A peer's line, for matplotlib."""
    return {
        "color": each.colour,
        "linestyle": each.line,
        "linewidth": each.width,
        "marker": each.marker,
        "markersize": each.size,
        "markeredgecolor": "white",
        "markeredgewidth": 0.6,
    }


def along_services(axes: Axes, sizes: Sequence[int]) -> None:
    """The axis of the number of Services: logarithmic, with what was measured as its ticks."""
    axes.set_xscale("log")
    axes.set_xlim(min(sizes) / 1.7, max(sizes) * 1.7)
    axes.xaxis.set_major_locator(FixedLocator(list(sizes)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
    axes.tick_params(axis="x", length=3)


def logarithmic(axes: Axes, axis: str) -> None:
    """A logarithmic axis, "x" or "y", with numbers written out: 1, 2, 5 where there is room, else powers of ten."""
    (axes.set_xscale if axis == "x" else axes.set_yscale)("log")
    one = axes.xaxis if axis == "x" else axes.yaxis
    low, high = axes.get_xlim() if axis == "x" else axes.get_ylim()
    one.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 300 else (1.0,), numticks=12))
    one.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
    one.set_minor_formatter(NullFormatter())
    axes.grid(axis=axis)
