"""Reads API objects once, from files, directories and standard input, for commands that do not follow them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tcnat.errors import TcnatError
from tcnat.inventory import Inventory
from tcnat.objects import Problem, parse_documents
from tcnat.sources.roots import counts


def load_inventory(names: Sequence[str]) -> Inventory:
    """Every object in files, directories and (``-``) standard input, a later one of the same name replacing an earlier.

    TcnatError names the first object that cannot be used.
    """
    inventory = Inventory()
    problems: list[Problem] = []
    for name in _files(names):
        with open_input(name) as file:
            text = file.read()
        for found in parse_documents(text, name):
            if isinstance(found, Problem):
                problems.append(found)
            else:
                inventory.put(found)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise TcnatError(f"{problems[0]}{more}")
    return inventory


def _files(names: Sequence[str]) -> Iterator[str]:
    """The files that ``--objects`` names; a directory stands for its YAML and JSON files by name."""
    for name in names:
        for part in [name] if "," not in name or Path(name).exists() else name.split(","):
            path = Path(part)
            if path.is_dir():
                yield from sorted(str(file) for file in path.iterdir() if counts(file.name))
            else:
                yield part


@contextmanager
def open_input(name: str) -> Iterator[BinaryIO]:
    """A file, or for ``-`` standard input; TcnatError if it cannot be read."""
    try:
        if name == "-":
            yield sys.stdin.buffer
        else:
            with Path(name).open("rb") as file:
                yield file
    except OSError as error:
        raise TcnatError(f"{name}: {error.strerror}") from None
