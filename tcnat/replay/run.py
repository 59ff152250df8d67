"""A whole capture's way: packet by packet through the engine, and what becomes of it to whoever wants to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tcnat.replay.capture import Block, Capture, CaptureError
from tcnat.replay.compare import Comparison
from tcnat.replay.engine import Engine, UnsupportedLinkType
from tcnat.replay.output import CaptureWriter
from tcnat.replay.report import Report
from tcnat.replay.summary import Summary

PROGRESS_EVERY = 1000
"""Packets between two looks at how far the capture has been read."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is told of each packet; ``progress`` is given the bytes of the file read so far, now and then."""

    report: Report
    writer: CaptureWriter | None = None
    comparison: Comparison | None = None
    progress: Callable[[int], None] | None = None


def run(capture: Capture, engine: Engine, audience: Audience) -> tuple[Summary, CaptureError | None]:
    """Replay everything that can be read; the sums, and how the capture is broken if it is."""
    summary = Summary()
    try:
        _run(capture, engine, audience, summary)
    except CaptureError as error:
        return summary, error
    return summary, None


def _run(capture: Capture, engine: Engine, audience: Audience, summary: Summary) -> None:
    report, writer, comparison = audience.report, audience.writer, audience.comparison
    for item in capture:
        if isinstance(item, Block):
            if writer is not None:
                writer.copy(item)
            continue
        try:
            fate = engine.replay(item)
        except UnsupportedLinkType as error:
            raise capture.source.error(str(error), capture.source.offset - len(item.record)) from None
        summary.add(fate)
        report.add(fate)
        if writer is not None:
            writer.put(fate)
        if comparison is not None:
            comparison.put(fate)
        if audience.progress is not None and item.number % PROGRESS_EVERY == 0:
            audience.progress(capture.source.position())
