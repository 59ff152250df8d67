"""Telling people and programs what became of the packets: a table, JSON lines, or a summary alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from tabulate import tabulate

from tcnat.replay.fate import Fate
from tcnat.replay.summary import Group, Summary, front_end_text

Write = Callable[[str], object]
"""Takes one line."""

_COLUMNS = (
    ("PACKET", 6),
    ("TIME", 10),
    ("DIRECTION", 9),
    ("VERDICT", 7),
    ("REASON", 13),
    ("LENGTH", 6),
    ("FRONT-END", 22),
    ("BACKEND", 22),
    ("SERVICE", 0),
)
_HEADINGS = ("VERDICT", "REASON", "FRONT-END", "BACKEND", "SERVICE", "PACKETS", "BYTES", "MEANING")


class Report(Protocol):
    """Is told of each packet, and at the end of the sums."""

    def add(self, fate: Fate) -> None:
        """One packet."""

    def finish(self, summary: Summary) -> None:
        """The end, after the last packet."""


class SummaryReport:
    """The sums alone."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def add(self, fate: Fate) -> None:
        """Nothing is said of a packet."""

    def finish(self, summary: Summary) -> None:
        """One sentence, and a table of what became of the packets."""
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in summary.by_verdict().items())
        self._write(f"{summary.packets} packets over {summary.seconds():.6f} s: {verdicts}; {summary.left} leave")
        rows = [_summary_row(*row) for row in summary.rows()]
        if rows:
            self._write(tabulate(rows, headers=_HEADINGS, tablefmt="plain", disable_numparse=True))


class TableReport:
    """A line for each packet as it comes, so that nothing is kept; then the sums."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._first: int | None = None

    def add(self, fate: Fate) -> None:
        """One line, under headings before the first."""
        if self._first is None:
            self._first = fate.packet.time
            self._write(_line([name for name, _ in _COLUMNS]))
        self._write(
            _line(
                [
                    str(fate.packet.number),
                    f"{(fate.packet.time - self._first) / 1e9:.6f}",
                    fate.side or "-",
                    fate.verdict,
                    fate.reason.name,
                    str(fate.packet.length),
                    front_end_text(fate) or "-",
                    str(fate.backend or "-"),
                    str(fate.service or "-"),
                ]
            )
        )

    def finish(self, summary: Summary) -> None:
        """The sums, below an empty line."""
        if self._first is not None:
            self._write("")
        SummaryReport(self._write).finish(summary)


class JsonReport:
    """A JSON object on a line for each packet, then one that has the sums under "summary"."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._encode = msgspec.json.Encoder().encode

    def add(self, fate: Fate) -> None:
        """One object."""
        self._put(
            {
                "packet": fate.packet.number,
                "time_ns": fate.packet.time,
                "direction": fate.side,
                "verdict": fate.verdict,
                "reason": fate.reason.name,
                "frontend": front_end_text(fate) or None,
                "backend": str(fate.backend) if fate.backend else None,
                "service": str(fate.service) if fate.service else None,
                "sent_back": fate.sent_back,
                "length": fate.packet.length,
                "length_after": None if fate.data is None else fate.length,
            }
        )

    def finish(self, summary: Summary) -> None:
        """The object with the sums."""
        groups = [_group(*row) for row in summary.rows()]
        self._put(
            {
                "summary": {
                    "packets": summary.packets,
                    "left": summary.left,
                    "seconds": summary.seconds(),
                    "verdicts": summary.by_verdict(),
                    "groups": groups,
                }
            }
        )

    def _put(self, value: dict[str, Any]) -> None:
        self._write(self._encode(value).decode())


REPORTS: dict[str, Callable[[Write], Report]] = {"table": TableReport, "json": JsonReport, "summary": SummaryReport}
"""By the name of the output format."""


def _line(cells: list[str]) -> str:
    return "  ".join(cell.ljust(width) for cell, (_, width) in zip(cells, _COLUMNS, strict=True)).rstrip()


def _summary_row(group: Group, packets: int, size: int) -> tuple[str, ...]:
    reason = group.reason
    texts = (text or "-" for text in (group.front_end, group.backend, group.service))
    return (reason.verdict, reason.name, *texts, str(packets), str(size), reason.words)


def _group(group: Group, packets: int, size: int) -> dict[str, Any]:
    return {
        "verdict": group.reason.verdict,
        "reason": group.reason.name,
        "meaning": group.reason.words,
        "frontend": group.front_end or None,
        "backend": group.backend or None,
        "service": group.service or None,
        "packets": packets,
        "bytes": size,
    }
