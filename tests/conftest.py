"""What every test can rely on: who needs root says so, and what killed runs left behind is swept away."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import hypothesis
import pytest

from tests.lab import stale
from tests.lab.commands import run

NEED_ROOT = ("netns", "packets")
"""Directories of tests that need root, all of them."""

_repeatable = "CI" in os.environ
"""In CI the same examples each time: a change is judged by what it changed. Elsewhere chance finds more."""
hypothesis.settings.register_profile("default", deadline=None, derandomize=_repeatable)
hypothesis.settings.register_profile("long", deadline=None, max_examples=300, derandomize=_repeatable)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need root by where they stand, and skip them where there is none."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in NEED_ROOT:
            item.add_marker(pytest.mark.root)
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Be able to pin maps, and start from a clean machine; a SIGTERM ends the tests as Ctrl-C does, with their
    cleaning up."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if os.geteuid() == 0:
        mount_bpffs()
        stale.sweep()


def mount_bpffs() -> None:
    """See to it that /sys/fs/bpf is a bpffs, as systemd does where it runs."""
    if " /sys/fs/bpf bpf " not in Path("/proc/self/mounts").read_text():
        run(["mount", "-t", "bpf", "bpf", "/sys/fs/bpf"])
