"""What the guest says of its run: one JSON object a line, written to its second serial port."""

from __future__ import annotations

from typing import Literal

import msgspec


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """``boot``: the suite begins, ``text`` tells the kernel and how the root came; ``start``, ``end``: of the command
    ``text``; ``done``: every command was run. ``status`` is an exit code, ``seconds`` is by the guest's clock.
    """

    kind: Literal["boot", "start", "end", "done"]
    text: str = ""
    status: int = 0
    seconds: float = 0.0


def read_reports(raw: bytes) -> list[Report]:
    """The whole lines of ``raw`` as reports; what is no report (a serial port can hold garbage) is left out."""
    reports = []
    for line in raw.split(b"\n")[:-1]:
        try:
            reports.append(msgspec.json.decode(line, type=Report))
        except msgspec.DecodeError:
            continue
    return reports
