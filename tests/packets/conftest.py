"""The harness of each family, loaded once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.packets.harness import Harness


@pytest.fixture(scope="session")
def harnesses() -> Iterator[dict[int, Harness]]:
    """Family -> its programs."""
    loaded = {family: Harness.load(family) for family in (4, 6)}
    yield loaded
    for each in loaded.values():
        each.close()


@pytest.fixture
def harness(harnesses: dict[int, Harness], family: int) -> Harness:
    """The programs of the row's family; rows reset them."""
    return harnesses[family]
