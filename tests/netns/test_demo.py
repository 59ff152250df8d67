"""The demo cleans up after itself when it is interrupted; that it ends well is shown by ``make demo``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.lab import stale
from tests.lab.commands import Program


def left_by(pid: int) -> list[str]:
    """What labs of that process are there."""
    places = (stale.NAMESPACES, stale.DIRECTORIES, stale.BPFFS)
    return [name for place in places for name in os.listdir(place) if name.startswith(f"tcnat-lab-{pid}-")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    demo = Program([sys.executable, "-m", "tests.lab.demo"], tmp_path / "log")
    demo.wait_for(lambda: "the Services were in force" in demo.output(), "the agent's start", timeout=90)
    assert left_by(demo.pid)
    demo.send(number)
    assert demo.wait() == 130
    assert left_by(demo.pid) == []
