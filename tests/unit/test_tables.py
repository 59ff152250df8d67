"""Output: tables, JSON, YAML, and watching."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
import yaml

from tcnat.tables import CLEAR, Column, Output, human_bytes, human_seconds, render, table, watch


@dataclass
class Fruit:
    name: str
    ports: tuple[int, ...]


FRUIT = [Fruit("apple", (80, 443)), Fruit("", ())]
COLUMNS = [Column("NAME", lambda fruit: fruit.name), Column("PORTS", lambda fruit: len(fruit.ports), wide=True)]


def test_a_table_has_upper_case_headings_and_gutters_of_two_spaces() -> None:
    assert render(FRUIT, COLUMNS, Output.TABLE) == "NAME\napple\n-"
    assert render(FRUIT, COLUMNS, Output.WIDE) == "NAME   PORTS\napple  2\n-      0"


def test_a_table_of_nothing_is_its_headings() -> None:
    assert render([], COLUMNS, Output.WIDE) == "NAME  PORTS"


def test_numbers_are_left_as_they_are() -> None:
    assert table(("A",), [["007"], ["1e5"]]) == "A\n007\n1e5"


def test_json_and_yaml_hold_every_field() -> None:
    expected = [{"name": "apple", "ports": [80, 443]}, {"name": "", "ports": []}]
    assert json.loads(render(FRUIT, COLUMNS, Output.JSON)) == expected
    assert yaml.safe_load(render(FRUIT, COLUMNS, Output.YAML)) == expected
    assert json.loads(render([], COLUMNS, Output.JSON)) == []
    assert yaml.safe_load(render([], COLUMNS, Output.YAML)) == []


class Enough(Exception):
    pass


def watched(texts: list[str], *, clear: bool) -> list[str]:
    drawn, shown, slept = iter(texts), [], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == len(texts):
            raise Enough

    with pytest.raises(Enough):
        watch(lambda: next(drawn), seconds=3, clear=clear, echo=shown.append, sleep=sleep)
    assert slept == [3] * len(texts)
    return shown


def test_watching_on_a_terminal_clears_the_screen_each_time() -> None:
    assert watched(["a", "a", "b"], clear=True) == [CLEAR + "a", CLEAR + "a", CLEAR + "b"]


def test_watching_into_a_pipe_prints_what_changed() -> None:
    assert watched(["a", "a", "b"], clear=False) == ["a", "b"]


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (1023, "1023"), (1024, "1.0K"), (10 * 1024, "10K"), (3 << 30, "3.0G"), (1 << 60, "1024P")],
)
def test_bytes_for_people(number: int, text: str) -> None:
    assert human_bytes(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (200, "3m20s"), (18720, "5h12m"), (86400, "1d"), (183600, "2d3h")],
)
def test_seconds_for_people(seconds: int, text: str) -> None:
    assert human_seconds(seconds) == text
