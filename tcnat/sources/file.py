"""API objects in files: single ones, or a directory of them, followed as they change.

Only what changed is read again. What is broken keeps its last good state and is a :class:`Problem` until it is mended:
the one object that is invalid, or all of a broken file that cannot be told apart. Editors remove a file before they
write it anew, and some write it in pieces: a file counts as gone, or as broken, when it has been so for ``SETTLE``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

from tcnat.errors import TcnatError
from tcnat.objects import Problem
from tcnat.sources import Changes
from tcnat.sources.holdings import Holdings
from tcnat.sources.reading import read, signature
from tcnat.sources.roots import FileId, Root, Roots
from tcnat.sources.watch import Watcher

SETTLE = 1.0
"""Seconds for which a file may be missing or half-written before that is believed."""
SLICE = 1000
"""Files that one poll of a resync looks at, so that changes do not wait for it."""
MANY = 10
"""Problems of one file that are logged one by one."""

log = logging.getLogger(__name__)


class _Doubt(NamedTuple):
    """A file that is missing or broken, or that changed without a word: when to look again, and its status now."""

    due: float
    status: int


class FileSource:
    """A :class:`tcnat.sources.Source` over files and directories; an object in several files is taken from the last."""

    def __init__(self, given: Sequence[Path]) -> None:
        self._given = given
        self._roots = Roots([])
        self._watcher = Watcher(self._on_change)
        self._wake: Callable[[], None] = lambda: None
        self._inbox: SimpleQueue[str] = SimpleQueue()
        self._holdings = Holdings()
        self._signatures: list[dict[str, int]] = []  # by root: name -> status when it was read
        self._problems: dict[FileId, tuple[Problem, ...]] = {}
        self._lost: dict[int, Problem] = {}  # directories that cannot be listed, by root
        self._doubts: dict[FileId, _Doubt] = {}
        self._scan: Iterator[None] | None = None
        self._read_once = False

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to watch; TcnatError if a path is not there. Everything is read by the first poll."""
        try:
            self._roots = Roots(self._given)
        except OSError as error:
            raise TcnatError(f"{error.filename}: {error.strerror}; --objects names files or directories") from None
        self._signatures = [{} for _ in self._roots.all]
        self._wake = wake
        self._watcher.follow(self._roots.index())

    def stop(self) -> None:
        """End the threads that watch."""
        self._watcher.stop()

    @property
    def synced(self) -> bool:
        """Whether the first poll was made."""
        return self._read_once

    @property
    def problems(self) -> Sequence[Problem]:
        """What is wrong now, in the order of the files."""
        broken = [problem for _, problems in sorted(self._problems.items()) for problem in problems]
        return [*self._lost.values(), *broken]

    def deadline(self) -> float | None:
        """When a file that is missing or broken is to be looked at again; 0 (at once) while a resync is under way."""
        return 0.0 if self._scan is not None else min((doubt.due for doubt in self._doubts.values()), default=None)

    def resync(self, now: float) -> None:
        """Compare every file's status with what it was when it was read, in slices, with the next polls."""
        self._scan = self._scan or self._scan_all(now)

    def poll(self, now: float) -> Changes:
        """Read what changed; the first time, everything."""
        if not self._read_once:
            self._read_once = True
            for root in self._roots.all:
                for file in sorted(self._differing(root)):
                    self._refresh(file, now, believe=True)
        for file in sorted(self._drain()):
            self._refresh(file, now, believe=False)
        for file in sorted(file for file, doubt in self._doubts.items() if doubt.due <= now):
            self._settle(file, now)
        if self._scan is not None and next(self._scan, self) is self:
            self._scan = None
        return self._holdings.take_changes()

    def _on_change(self, path: str) -> None:
        """From watchdog's thread."""
        self._inbox.put(path)
        self._wake()

    def _drain(self) -> set[FileId]:
        """The files that the watcher told of since the last call."""
        files: set[FileId] = set()
        whole: set[Root] = set()
        while True:
            try:
                named, roots = self._roots.touched(self._inbox.get_nowait())
            except Empty:
                break
            files.update(named)
            whole.update(roots)
        if whole:
            self._watcher.follow(self._roots.index())
        for root in whole:
            files.update(self._differing(root) if root.is_directory else [FileId(root.number, "")])
        return files

    def _scan_all(self, now: float) -> Iterator[None]:
        looked = 0
        for root in self._roots.all:
            for file in self._names(root):
                if file not in self._doubts and self._differs(root, file):
                    self._doubt(file, now)
                looked += 1
                if looked % SLICE == 0:
                    yield
        self._watcher.follow(self._roots.index())

    def _differing(self, root: Root) -> list[FileId]:
        """Its files that came, changed or went."""
        return [file for file in self._names(root) if self._differs(root, file)]

    def _names(self, root: Root) -> Iterator[FileId]:
        """Its files that are there, then those that were. Of a directory that cannot be listed none: they stay."""
        try:
            names = root.names()
        except OSError as error:
            self._lose(root, error.strerror or str(error))
            return
        self._lost.pop(root.number, None)
        for name in names:
            yield FileId(root.number, name)
        for name in self._signatures[root.number].keys() - set(names):
            yield FileId(root.number, name)

    def _differs(self, root: Root, file: FileId) -> bool:
        try:
            now = signature(os.stat(root.file_path(file.name)))
        except FileNotFoundError:
            now = 0
        except OSError:
            return True
        return now != self._signatures[root.number].get(file.name, 0)

    def _doubt(self, file: FileId, now: float) -> None:
        """Look again when it has had time to settle."""
        self._doubts[file] = _Doubt(now + SETTLE, self._status(file))

    def _settle(self, file: FileId, now: float) -> None:
        """Believe what is there, unless it has changed meanwhile: then somebody is at it still."""
        if self._doubts[file].status != self._status(file):
            self._doubt(file, now)
        else:
            self._refresh(file, now, believe=True)

    def _status(self, file: FileId) -> int:
        try:
            return signature(os.stat(self._roots.all[file.root].file_path(file.name)))
        except OSError:
            return 0

    def _refresh(self, file: FileId, now: float, *, believe: bool) -> None:
        """Read one file. ``believe``: what is missing or broken is so, and not about to be written."""
        root = self._roots.all[file.root]
        reading = read(root.file_path(file.name))
        if not believe and (reading is None or reading.unsure):
            self._doubt(file, now)
            return
        self._doubts.pop(file, None)
        if reading is None:
            self._forget(root, file)
            return
        self._signatures[root.number][file.name] = reading.signature
        self._holdings.put(file, reading.with_last_good(self._holdings.of(file)))
        self._tell(file, reading.problems)

    def _forget(self, root: Root, file: FileId) -> None:
        if root.is_directory and not os.path.isdir(root.path):
            self._lose(root, "the directory is gone")
            return
        if self._signatures[root.number].pop(file.name, None) is not None:
            log.info("file=%s is gone, and its %d objects", root.file_path(file.name), len(self._holdings.of(file)))
        self._holdings.put(file, {})
        self._tell(file, ())

    def _lose(self, root: Root, why: str) -> None:
        if root.number not in self._lost:
            self._lost[root.number] = Problem(root.path, f"{why}; its objects stay as they were")
            log.error("%s", self._lost[root.number])

    def _tell(self, file: FileId, problems: tuple[Problem, ...]) -> None:
        """Log the problems that are new, and that there are none any more."""
        before = self._problems.pop(file, ())
        if problems:
            self._problems[file] = problems
        elif before:
            log.info("%s is in order again", self._roots.all[file.root].file_path(file.name))
        fresh = [problem for problem in problems if problem not in before]
        for problem in fresh[:MANY]:
            log.error("%s", problem)
        if len(fresh) > MANY:
            log.error("%s: and %d more", fresh[0].where, len(fresh) - MANY)
