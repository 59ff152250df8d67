"""The files and directories that the file source was given, and which of them a change in the file system touches.

A directory stands for the files in it that end in .yaml, .yml or .json and do not begin with a dot; directories in it
are not entered. A ConfigMap's files are symbolic links through ``..data``, which is swapped as a whole: an entry that
begins with two dots touches everything beside it.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SUFFIXES = (".yaml", ".yml", ".json")


class FileId(NamedTuple):
    """One file of the source. Their order is that of precedence: an object in a later file wins."""

    root: int
    """Which of the given paths it belongs to, in their order."""
    name: str
    """Its name in a directory; "" where the file itself was given."""


@dataclass(frozen=True, slots=True)
class Root:
    """One given path, absolute, as it is spelled."""

    number: int
    path: str
    is_directory: bool

    def file_path(self, name: str) -> str:
        """The path of one of its files."""
        return os.path.join(self.path, name) if self.is_directory else self.path

    def names(self) -> list[str]:
        """Its files that are there now, in no order; OSError if they cannot be listed."""
        if not self.is_directory:
            return [""]
        return [name for name in os.listdir(self.path) if counts(name)]

    def directories(self) -> set[str]:
        """The real directories in which a change may touch it."""
        beside = os.path.realpath(os.path.dirname(self.path))
        target = os.path.realpath(self.path)
        inside = target if self.is_directory else os.path.dirname(target)
        return {beside} if os.path.basename(inside).startswith("..") else {beside, inside}


class Roots:
    """All given paths, with an index of what the entries of their directories mean to them."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Raises FileNotFoundError for a path that is not there."""
        self.all = tuple(
            Root(number, os.path.abspath(path), stat.S_ISDIR(os.stat(path).st_mode))
            for number, path in enumerate(paths)
        )
        self._inside: dict[str, list[Root]] = {}
        self._beside: dict[str, list[Root]] = {}
        self._named: dict[tuple[str, str], list[Root]] = {}
        self.index()

    def index(self) -> set[str]:
        """Look anew where the paths really lead; gives the directories to be watched."""
        inside, beside, named = defaultdict(list), defaultdict(list), defaultdict(list)
        directories: set[str] = set()
        for root in self.all:
            directories |= root.directories()
            parent, target = os.path.realpath(os.path.dirname(root.path)), os.path.realpath(root.path)
            beside[parent].append(root)
            named[parent, os.path.basename(root.path)].append(root)
            if root.is_directory:
                inside[target].append(root)
            elif target != os.path.join(parent, os.path.basename(root.path)):
                named[os.path.dirname(target), os.path.basename(target)].append(root)
        self._inside, self._beside, self._named = dict(inside), dict(beside), dict(named)
        return directories

    def touched(self, changed: str) -> tuple[list[FileId], list[Root]]:
        """What a change of the entry at ``changed`` (in a watched directory) touches: single files, and whole roots."""
        directory, name = os.path.split(changed)
        if name.startswith(".."):
            return [], [*self._inside.get(directory, ()), *self._beside.get(directory, ())]
        whole = self._named.get((directory, name), [])
        files = [FileId(root.number, name) for root in self._inside.get(directory, ()) if counts(name)]
        return files, whole


def counts(name: str) -> bool:
    """Whether a directory's entry of this name is a file of the source."""
    return name.endswith(SUFFIXES) and not name.startswith(".")
