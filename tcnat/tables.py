"""How results are printed: tables for people (upper-case headings, two-space gutters), JSON and YAML for programs.

A row is a dataclass of plain values, which JSON and YAML show in full under its fields' names. A column of a table
takes its text from the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

import msgspec

Row = TypeVar("Row")
CLEAR = "\x1b[H\x1b[2J\x1b[3J"
"""Cursor home, screen and scroll-back cleared."""


class Output(StrEnum):
    """The values of ``--output``."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """A column of a table; ``wide`` ones are shown by ``-o wide`` only."""

    heading: str
    text: Callable[[Row], object]
    wide: bool = False


def render(rows: Sequence[Row], columns: Sequence[Column[Row]], output: Output) -> str:
    """The rows in that format, without a newline at the end. Where there are none: a table of its headings, []."""
    if output in {Output.TABLE, Output.WIDE}:
        shown = [column for column in columns if output is Output.WIDE or not column.wide]
        return table([column.heading for column in shown], [[column.text(row) for column in shown] for row in rows])
    return document(rows, output)


def document(content: object, output: Output) -> str:
    """JSON or YAML of dataclasses, lists and plain values."""
    plain: Any = msgspec.to_builtins(content)
    if output is Output.YAML:
        import yaml  # noqa: PLC0415

        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        return str(yaml.dump(plain, Dumper=dumper, sort_keys=False, allow_unicode=True)).rstrip("\n")
    return msgspec.json.format(msgspec.json.encode(plain), indent=2).decode()


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; an empty text is shown as ``-``, so that columns can be cut apart."""
    import tabulate  # noqa: PLC0415

    texts = [[str(cell) or "-" for cell in row] for row in rows]
    shown = tabulate.tabulate([headings, *texts] if headings else texts, tablefmt="plain", disable_numparse=True)
    return "\n".join(line.rstrip() for line in shown.splitlines())


def watch(
    draw: Callable[[], str],
    *,
    seconds: float,
    clear: bool,
    echo: Callable[[str], object],
    sleep: Callable[[float], object],
) -> None:
    """Print what ``draw`` gives again and again, until interrupted. ``clear`` begins each time on an empty screen;
    without it, what has not changed is not printed again."""
    before = None
    while True:
        text = draw()
        if clear:
            echo(CLEAR + text)
        elif text != before:
            echo(text)
        before = text
        sleep(seconds)


def human_bytes(number: int) -> str:
    """``1.5M`` and the like, by powers of 1024."""
    amount = float(number)
    for unit in ("", "K", "M", "G", "T"):
        if amount < 1024:
            return f"{amount:.0f}{unit}" if not unit or amount >= 10 else f"{amount:.1f}{unit}"
        amount /= 1024
    return f"{amount:.0f}P"


def human_seconds(seconds: int) -> str:
    """``45s``, ``3m20s``, ``5h12m``, ``2d3h``, as kubectl has it."""
    for size, unit, smaller, small_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= size:
            rest = seconds % size // smaller
            return f"{seconds // size}{unit}" + (f"{rest}{small_unit}" if rest else "")
    return f"{seconds}s"
