"""How far a measurement is: a bar on a terminal, nothing where nobody looks."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Self

import click


class Progress:
    """Of ``length`` steps, between entering and leaving ``with``."""

    def __init__(self, length: int) -> None:
        self._bar = click.progressbar(length=length, file=sys.stderr, width=20) if sys.stderr.isatty() else None
        self._ended = ExitStack()

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._ended.enter_context(self._bar)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.close()

    def stage(self, words: str) -> None:
        """What is being done now."""
        if self._bar is not None:
            self._bar.label = f"{words:50}"
            self._bar.render_progress()

    def step(self, words: str) -> None:
        """One step more has been done, and what it was of."""
        self.stage(words)
        self.skip(1)

    def skip(self, steps: int) -> None:
        """Steps that need not be done."""
        if self._bar is not None:
            self._bar.update(steps)
