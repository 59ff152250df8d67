"""Which directories the file source hears of, through watchdog (inotify)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.observers.inotify import InotifyObserver

_EVENTS: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
]
"""A file counts as written when its writer closes it: before that it may be half there."""

log = logging.getLogger(__name__)


class _Watched(NamedTuple):
    """A watch, and the directory's identity when it was made: a new directory of the same name needs a new one."""

    watch: ObservedWatch
    device: int
    inode: int


class Watcher(FileSystemEventHandler):
    """Calls ``changed`` with the path of each entry that came, went, or was written, in any directory it follows.

    The call comes from watchdog's thread. What cannot be watched is said once and left to the resync.
    """

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self._observer: BaseObserver | None = None
        self._watched: dict[str, _Watched] = {}
        self._failed: set[str] = set()

    def follow(self, directories: Iterable[str]) -> None:
        """Follow exactly these directories (real paths). Those that are not there are left out; ask again later."""
        wanted = set(directories)
        for directory in [known for known in self._watched if known not in wanted]:
            self._forget(directory)
        for directory in sorted(wanted):
            self._follow(directory)

    def stop(self) -> None:
        """End watchdog's threads."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(timeout=2)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Watchdog's hook."""
        if event.src_path:
            self._changed(os.fsdecode(event.src_path))
        if event.dest_path:
            self._changed(os.fsdecode(event.dest_path))

    def _follow(self, directory: str) -> None:
        known = self._watched.get(directory)
        try:
            status = os.stat(directory)
        except OSError:
            if known:
                self._forget(directory)
            return
        if known and (known.device, known.inode) == (status.st_dev, status.st_ino):
            return
        if known:
            self._forget(directory)
        try:
            watch = self._started().schedule(self, directory, event_filter=_EVENTS)
        except OSError as error:
            self._say_once(directory, error)
            return
        self._failed.discard(directory)
        self._watched[directory] = _Watched(watch, status.st_dev, status.st_ino)

    def _say_once(self, directory: str, error: OSError) -> None:
        if directory not in self._failed:
            self._failed.add(directory)
            log.warning("cannot watch directory=%s: %s; changes are seen at each resync", directory, error.strerror)

    def _started(self) -> BaseObserver:
        if self._observer is None:
            self._observer = InotifyObserver()
            self._observer.start()
        return self._observer

    def _forget(self, directory: str) -> None:
        if self._observer is not None:
            self._observer.unschedule(self._watched.pop(directory).watch)
