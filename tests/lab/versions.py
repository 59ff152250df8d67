"""Versions of tcnat that one agent after the other may be of: the tree that is tested, and changed copies of it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

REPOSITORY = Path(__file__).parents[2]
PYTHON = Path(sys.executable)


class Runnable(Protocol):
    """A tcnat that can be run."""

    def command(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Version:
    """A tree that holds tcnat's sources. ``cache``: where its bytecode is kept; None: where it usually is."""

    tree: Path
    cache: Path | None = None

    def command(self) -> list[str]:
        """The words that start this version of ``tcnat``."""
        cache = [f"TCNAT_CACHE={self.cache}"] if self.cache else []
        return ["env", f"--chdir={self.tree}", *cache, str(PYTHON), "-m", "tcnat"]


CHECKOUT = Version(REPOSITORY)
"""The tree that is tested."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A tcnat that is there already, by the words that start it."""

    words: tuple[str, ...]

    def command(self) -> list[str]:
        """The words that start it."""
        return list(self.words)


def variant(directory: Path, edits: Mapping[str, Mapping[str, str]], cache: Path) -> Version:
    """Another version: the present one with texts replaced in some of its files, each of which must be there once."""
    for package in ("tcnat", "bpf"):
        shutil.copytree(REPOSITORY / package, directory / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, replacements in edits.items():
        text = (directory / name).read_text()
        for old, new in replacements.items():
            assert text.count(old) == 1, f"{name} has {text.count(old)} times {old!r}"
            text = text.replace(old, new)
        (directory / name).write_text(text)
    return Version(directory, cache if any(name.startswith("bpf/") for name in edits) else None)
