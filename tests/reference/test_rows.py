"""The model says of every row of the packet tests what the row says: both are held against scapy's packets alike.

No kernel is needed for that: model and rows can be read, changed and tried by anybody.
"""

from __future__ import annotations

import importlib

import pytest

from tests.packets.table import Row, play
from tests.reference.bench import ModelBench

CONCERNS = (
    "checksums",
    "clashes",
    "echo",
    "fragments",
    "hairpin",
    "icmp_errors",
    "passing",
    "recent",
    "reject",
    "sctp",
    "services",
    "shapes",
    "source",
    "tcp",
    "udp",
)


def rows_of(concern: str) -> list[Row]:
    """Every row of a concern's file."""
    module = importlib.import_module(f"tests.packets.test_{concern}")
    tables = [value for name, value in vars(module).items() if name.endswith("ROWS")]
    return [row for table in tables for row in table]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("concern", CONCERNS)
def test_the_model_agrees_with_the_rows(concern: str, family: int) -> None:
    rows = [row for row in rows_of(concern) if family in row.families]
    assert rows
    for row in rows:
        play(row, ModelBench(family))
