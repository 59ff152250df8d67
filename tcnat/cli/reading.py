"""What the commands share that show what the maps hold: their options, and the screen."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Any, TypeVar

import click

from tcnat.cli.options import output_option
from tcnat.loader import DEFAULT_PINS
from tcnat.tables import Column, Output, render, watch

Row = TypeVar("Row")

pin_path_option = click.option(
    "--pin-path",
    type=click.Path(path_type=Path),
    default=DEFAULT_PINS,
    show_default=True,
    help="Where in the bpffs the datapath is pinned.",
)


@dataclass(frozen=True, slots=True)
class Screen:
    """Where results are shown: once, or again and again every ``seconds``."""

    output: Output
    seconds: float | None

    @property
    def is_table(self) -> bool:
        """Whether it is for people, not programs."""
        return self.output in {Output.TABLE, Output.WIDE}

    def show_rows(self, read: Callable[[], Iterable[Row]], columns: Sequence[Column[Row]]) -> None:
        """Show rows as a table with these columns, or as JSON or YAML."""
        self.show(lambda: render(list(read()), columns, self.output))

    def show(self, draw: Callable[[], str]) -> None:
        """Show a text."""
        if self.seconds is None:
            click.echo(draw())
        else:
            watch(draw, seconds=self.seconds, clear=self.is_table and sys.stdout.isatty(), echo=click.echo, sleep=sleep)


def on_screen(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options ``--output``, ``--watch`` and ``--interval``: the command gets a :class:`Screen` for them."""

    @output_option
    @click.option("-w", "--watch", "watching", is_flag=True, help="Go on showing, until interrupted.")
    @click.option(
        "--interval",
        type=click.FloatRange(min=0.1),
        default=2.0,
        show_default=True,
        metavar="SECONDS",
        help="How long --watch waits between two readings.",
    )
    @functools.wraps(command)
    def with_screen(*args: Any, output: str, watching: bool, interval: float, **options: Any) -> Any:
        return command(Screen(Output(output), interval if watching else None), *args, **options)

    return with_screen
