"""CASES.md names tests that are there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
_FILE = re.compile(r"`([\w/]+\.py)`((?:[\s,]*\"[^\"]+\")*)")


def named() -> list[tuple[str, list[str]]]:
    """Each file of the list with the sentences that follow it."""
    text = (HERE / "CASES.md").read_text().split("\n\n", 2)[2]
    return [(file, re.findall(r'"([^"]+)"', " ".join(rows.split()))) for file, rows in _FILE.findall(text)]


@pytest.mark.parametrize(("file", "sentences"), named(), ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_named_is_there(file: str, sentences: list[str]) -> None:
    if "/" in file:
        assert (HERE.parents[1] / file).exists()
        return
    module = importlib.import_module(f"tests.packets.{file.removesuffix('.py')}")
    rows = [row.sentence for name, table in vars(module).items() if name.endswith("ROWS") for row in table]
    assert [sentence for sentence in sentences if sentence not in rows] == []


def test_every_case_names_a_test() -> None:
    _, *cases = re.split(r"^- ", (HERE / "CASES.md").read_text(), flags=re.MULTILINE)
    assert all(_FILE.search(case) for case in cases)
    assert len(cases) > 20
