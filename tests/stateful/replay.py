"""Runs a kept run again: ``python -m tests.stateful.replay FILE``; exit code 1 if model and programs differ."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.packets.harness import Harness, on_one_cpu
from tests.packets.names import names_of
from tests.stateful.script import Frame, read
from tests.stateful.twin import Mismatch, Twin, summary
from tests.stateful.worlds import start_world


def main(path: Path) -> int:
    """Play every event, telling what became of each frame."""
    family, events = read(path)
    twin = Twin(Harness.load(family))
    twin.reset(start_world(names_of(family)))
    try:
        for event in events:
            became = twin.play(event)
            told = f"tc_{event.program}: {summary(event.frame)}" if isinstance(event, Frame) else str(event)
            print(told if became is None else f"{told}\n    -> {summary(became)}")
        twin.compare()
    except Mismatch as mismatch:
        print(f"MISMATCH: {mismatch}")
        return 1
    print(f"{len(events)} events, and no difference")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.stateful.replay FILE")
    with on_one_cpu():
        sys.exit(main(Path(sys.argv[1])))
