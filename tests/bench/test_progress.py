"""The bar: on a terminal, and nowhere else."""

from __future__ import annotations

import io
import sys

import pytest

from bench.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def walk() -> None:
    with Progress(4) as progress:
        progress.stage("10 Services: loading")
        progress.step("10 Services, dns")
        progress.skip(3)


def test_nothing_is_said_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    walk()
    assert capsys.readouterr() == ("", "")


def test_a_terminal_is_told_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    walk()
    said = terminal.getvalue()
    assert all(words in said for words in ("10 Services: loading", "10 Services, dns", "25%", "100%")), said
