"""How the demo prints: coloured on a terminal, plain in a pipe; and what it found wrong."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import click

from tcnat.tables import table

BAR_WIDTH = 30


@dataclass(slots=True)
class Paper:
    """Prints section by section. ``wrong`` are the checks that failed."""

    wrong: list[str] = field(default_factory=list)
    _sections: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def section(self, title: str) -> None:
        """Start a numbered section."""
        click.echo()
        click.secho(f"{next(self._sections)}  {title}", fg="cyan", bold=True)

    def text(self, words: str) -> None:
        """Indented lines of text."""
        for line in words.rstrip().splitlines():
            click.echo(f"   {line}".rstrip())

    def gap(self) -> None:
        """An empty line."""
        click.echo()

    def command(self, words: str) -> None:
        """A command as one would type it."""
        click.secho(f"   $ {words}", bold=True)

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table, as tcnat prints its own."""
        self.text(table([heading.upper() for heading in headings], rows))

    def bars(self, title: str, counts: Mapping[str, int]) -> None:
        """How a whole spreads, a bar for each part."""
        self.gap()
        total = sum(counts.values()) or 1
        for number, (name, count) in enumerate(counts.items()):
            bar = click.style("█" * round(BAR_WIDTH * count / total), fg="green")
            padding = " " * (BAR_WIDTH - round(BAR_WIDTH * count / total))
            label = title if number == 0 else ""
            click.echo(f"   {label:<14}  {name:<8}  {bar}{padding} {count:>4}  {100 * count / total:4.1f} %")

    def check(self, right: bool, words: str) -> None:
        """Say whether something is as it must be."""
        click.secho(f"   ✔ {words}" if right else f"   ✘ {words}", fg="green" if right else "red")
        if not right:
            self.wrong.append(words)
