"""pytest plugin: tests from all files in turn, and none begun any more after so many seconds.

``pytest -p tests.vm.guest.within --within 150``: what there is no time for is skipped, and counted as such.
"""

from __future__ import annotations

import itertools
import time

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take ``--within``."""
    parser.addoption("--within", type=float, default=float("inf"), help="Seconds after which no test begins any more.")


def pytest_configure(config: pytest.Config) -> None:
    """The clock starts here."""
    config.pluginmanager.register(Within(time.monotonic() + config.getoption("--within")))


class Within:
    """Skips what begins after ``end``."""

    def __init__(self, end: float) -> None:
        self._end = end

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """One test of each file, then the next of each, so that a short run has seen them all."""
        files: dict[str, list[pytest.Item]] = {}
        for item in items:
            files.setdefault(item.nodeid.partition("::")[0], []).append(item)
        turns = itertools.zip_longest(*files.values())
        items[:] = [item for turn in turns for item in turn if item is not None]

    def pytest_runtest_setup(self) -> None:
        """Begin it, or not."""
        if time.monotonic() > self._end:
            pytest.skip("no time left")
