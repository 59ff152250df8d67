"""Telling people and programs what became of the packets: a table, JSON lines, or a summary alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from tcnat.replay.compare import Result
from tcnat.replay.fate import Fate
from tcnat.replay.summary import Group, Summary
from tcnat.tables import table

Write = Callable[[str], object]
"""Takes one line."""

_COLUMNS = (
    ("PACKET", 6),
    ("TIME", 10),
    ("DIRECTION", 9),
    ("VERDICT", 7),
    ("REASON", 18),
    ("LENGTH", 6),
    ("FRONT-END", 22),
    ("BACKEND", 22),
    ("SERVICE", 0),
)
_HEADINGS = ("VERDICT", "REASON", "FRONT-END", "BACKEND", "SERVICE", "PACKETS", "BYTES", "MEANING")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The sums; if there was a golden capture, its name, what comparing gave, and the first differences in words."""

    summary: Summary
    golden: str = ""
    result: Result | None = None
    words: tuple[str, ...] = ()

    def verdict(self) -> str:
        """One line on the comparison; "" if there was none."""
        if self.result is None:
            return ""
        if not self.result.differences:
            return f"{self.result.equal} packets as in {self.golden}"
        counts = ", ".join(f"{count} {kind.name.lower()}" for kind, count in self.result.counts.items() if count)
        return f"{self.result.differences} differences from {self.golden}: {counts}; {self.result.equal} packets equal"


class Report(Protocol):
    """Is told of each packet, and at the end of the sums."""

    def add(self, fate: Fate) -> None:
        """One packet."""

    def finish(self, outcome: Outcome) -> None:
        """The end, after the last packet."""


class SummaryReport:
    """The sums alone."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def add(self, fate: Fate) -> None:
        """Nothing is said of a packet."""

    def finish(self, outcome: Outcome) -> None:
        """One sentence, a table of what became of the packets, and how they differ from what was expected."""
        summary = outcome.summary
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in summary.by_verdict().items())
        self._write(f"{summary.packets} packets over {summary.seconds():.6f} s: {verdicts}; {summary.left} leave")
        rows = [_summary_row(*row) for row in summary.rows()]
        if rows:
            self._write(table(_HEADINGS, rows))
        for words in outcome.words:
            self._write(f"\n{words}")
        if outcome.result is not None:
            self._write(f"\n{outcome.verdict()}")


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
                    fate.front_end_text or "-",
                    str(fate.backend or "-"),
                    str(fate.service or "-"),
                ]
            )
        )

    def finish(self, outcome: Outcome) -> None:
        """The sums, below an empty line."""
        if self._first is not None:
            self._write("")
        SummaryReport(self._write).finish(outcome)


class JsonReport:
    """A JSON object on a line for each packet, then one with the sums under "summary", then, with a golden capture,
    one under "comparison"."""

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
                "frontend": fate.front_end_text or None,
                "backend": str(fate.backend) if fate.backend else None,
                "service": str(fate.service) if fate.service else None,
                "sent_back": fate.sent_back,
                "length": fate.packet.length,
                "length_after": None if fate.data is None else fate.length,
            }
        )

    def finish(self, outcome: Outcome) -> None:
        """The objects with the sums and the comparison."""
        summary, result = outcome.summary, outcome.result
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
        if result is not None:
            first = [
                {
                    "kind": kind.name.lower(),
                    "packet": fate and fate.packet.number,
                    "golden_packet": golden and golden.number,
                    "words": words,
                }
                for (kind, fate, golden), words in zip(result.first, outcome.words, strict=True)
            ]
            counts = {kind.name.lower(): count for kind, count in result.counts.items()}
            self._put({"comparison": {"golden": outcome.golden, "equal": result.equal, **counts, "first": first}})

    def _put(self, value: dict[str, Any]) -> None:
        self._write(self._encode(value).decode())


REPORTS: dict[str, Callable[[Write], Report]] = {"table": TableReport, "json": JsonReport, "summary": SummaryReport}
"""By the name of the output format."""


def _line(cells: list[str]) -> str:
    return "  ".join(cell.ljust(width) for cell, (_, width) in zip(cells, _COLUMNS, strict=True)).rstrip()


def _summary_row(group: Group, packets: int, size: int) -> tuple[str, ...]:
    reason = group.reason
    texts = (str(text or "") for text in (group.front_end_text, group.backend, group.service))
    return (reason.verdict, reason.name, *texts, str(packets), str(size), reason.words)


def _group(group: Group, packets: int, size: int) -> dict[str, Any]:
    return {
        "verdict": group.reason.verdict,
        "reason": group.reason.name,
        "meaning": group.reason.words,
        "frontend": group.front_end_text or None,
        "backend": str(group.backend) if group.backend else None,
        "service": str(group.service) if group.service else None,
        "packets": packets,
        "bytes": size,
    }
