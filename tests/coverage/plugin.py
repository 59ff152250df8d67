"""A pytest plugin: what was met while harnesses were in use goes to the file that ``TCNAT_COVERAGE`` names, as JSON:
the numbers of the marks, and the names of the reasons that were counted."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.packets.harness import Harness

WHERE = "TCNAT_COVERAGE"


class Met:
    """Reads marks and counters whenever a harness begins anew or ends."""

    def __init__(self) -> None:
        self._marks: set[int] = set()
        self._reasons: set[str] = set()

    def watch(self) -> None:
        """Be told of these moments."""
        Harness.reset = self._reading(Harness.reset)  # type: ignore[method-assign]
        Harness.close = self._reading(Harness.close)  # type: ignore[method-assign]

    def pytest_sessionfinish(self) -> None:
        """Write what was met."""
        told = {"marks": sorted(self._marks), "reasons": sorted(self._reasons)}
        Path(os.environ[WHERE]).write_text(json.dumps(told))

    def _reading(self, method: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(method)
        def read_first(harness: Harness, *arguments: Any) -> None:
            self._read(harness)
            method(harness, *arguments)

        return read_first

    def _read(self, harness: Harness) -> None:
        marks = harness.entries("coverage")
        self._marks |= {int.from_bytes(key, "little") for key, value in marks.items() if any(value)}
        self._reasons |= harness.counters().keys()


def pytest_configure(config: pytest.Config) -> None:
    """Begin to watch."""
    met = Met()
    met.watch()
    config.pluginmanager.register(met)
