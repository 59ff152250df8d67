"""The reasons for what becomes of a packet, read from the one list there is: ``bpf/verdict.h``."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tcnat.bytecode import source_directory

_ROW = re.compile(r'REASON\((\d+),\s*(\w+),\s*(\w+),\s*"([^"]*)"\)')


class Reason(NamedTuple):
    """One row of the list."""

    number: int
    """The index into the counters map."""
    name: str
    """Lower case, as metric labels and the command line have it."""
    verdict: str
    """rewrite | answer | drop | pass"""
    words: str


def parse_reasons(text: str) -> tuple[Reason, ...]:
    """The rows of a ``verdict.h``, by number."""
    rows = (Reason(int(number), name.lower(), verdict, words) for number, name, verdict, words in _ROW.findall(text))
    return tuple(sorted(rows))


@cache
def reasons(path: Path | None = None) -> tuple[Reason, ...]:
    """Every reason, by number."""
    return parse_reasons((path or source_directory() / "verdict.h").read_text())
