"""Removes what tcnat put into the kernel and on disk for a run: filters, pins, lock files, and nothing else.

Filters are known by priority, handle and name together (:mod:`tcnat.filters`), on every device. A clsact qdisc goes
only with the last filter on it and if that was tcnat's. Below the pin path only what has the layout's own shape goes:
``v<number>-<fingerprint>/ipv4|ipv6/<pin>``; anything else there stays, and is named.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from tcnat.attach import Attacher, DeviceVanished
from tcnat.errors import TcnatError
from tcnat.lock import RUN_DIRECTORY, NamespaceLock, PinsLock, holder
from tcnat.notes import notes_path
from tcnat.pins import SET_NAME

_FAMILIES = ("ipv4", "ipv6")


@dataclass(slots=True)
class Removed:
    """What was removed, and what stands in the pins' place but is not tcnat's."""

    filters: dict[str, int] = field(default_factory=dict)
    """Device -> how many filters."""
    clsact: list[str] = field(default_factory=list)
    """Devices whose clsact went, too."""
    pins: int = 0
    files: list[Path] = field(default_factory=list)
    left: list[Path] = field(default_factory=list)

    def lines(self) -> list[str]:
        """A line for each thing that was done."""
        done = [
            f"{device}: {_count(number, 'filter')} removed{' and its clsact' if device in self.clsact else ''}"
            for device, number in sorted(self.filters.items())
        ]
        if self.pins:
            done.append(f"{_count(self.pins, 'pin')} removed")
        done += [f"{path} removed" for path in self.files]
        return [*(done or ["nothing to remove"]), *(f"{path} is not tcnat's: left alone" for path in self.left)]


def cleanup(
    pins: Path, *, force: bool = False, netns: str | None = None, run_directory: Path = RUN_DIRECTORY
) -> Removed:
    """Remove everything of tcnat's from a network namespace (None: the caller's own) and from ``pins``.

    TcnatError while an agent holds either, unless forced, and where rights are missing. Filters go first, so that
    traffic falls back to what it is without tcnat in one step for each device."""
    removed = Removed()
    lock = PinsLock(pins, run_directory)
    was_there = lock.path.exists()
    with _held(lock, NamespaceLock(netns, run_directory), force=force) as held:
        _remove_filters(removed, netns)
        _remove_pins(pins, removed)
        _remove_file(notes_path(pins, run_directory), removed)
        if held:
            _unlink(lock.path)
    if held and was_there:
        removed.files.append(lock.path)
    return removed


@contextmanager
def _held(lock: PinsLock, namespace: NamespaceLock, *, force: bool) -> Iterator[bool]:
    """Hold the locks, so that no agent starts meanwhile; False if one has the pins and that is not to matter."""
    pid = holder(lock.pins, lock.path.parent)
    if pid is None:
        with lock, nullcontext() if force or not namespace.path.exists() else namespace:
            yield True
    elif force:
        yield False
    else:
        raise TcnatError(
            f"an agent ({f'pid {pid}' if pid else 'pid not known'}) holds the pins at {lock.pins}: stop it first "
            "(--force removes all the same, and the agent puts its filters back)"
        )


def _remove_filters(removed: Removed, netns: str | None) -> None:
    attacher = Attacher(netns)
    try:
        for attachment in attacher.find_ours():
            try:
                detached = attacher.detach(attachment.index)
            except DeviceVanished:
                continue
            removed.filters[attachment.device] = detached.filters
            if detached.clsact:
                removed.clsact.append(attachment.device)
    finally:
        attacher.close()


def _remove_pins(pins: Path, removed: Removed) -> None:
    for version in _children(pins):
        if not (version.is_dir() and SET_NAME.fullmatch(version.name)):
            removed.left.append(version)
            continue
        for family in _children(version):
            if not (family.is_dir() and family.name in _FAMILIES):
                removed.left.append(family)
                continue
            for pin in _children(family):
                if pin.is_dir():
                    removed.left.append(pin)
                    continue
                _unlink(pin)
                removed.pins += 1
            _remove_directory(family)
        _remove_directory(version)
    if not pins.is_mount():
        _remove_directory(pins)


def _children(directory: Path) -> Iterator[Path]:
    try:
        yield from sorted(directory.iterdir())
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise TcnatError(f"{directory} is not a directory: name the agent's --pin-path") from None
    except PermissionError:
        raise TcnatError(f"{directory} cannot be read: run as root") from None


def _remove_file(path: Path, removed: Removed) -> None:
    if path.exists():
        _unlink(path)
        removed.files.append(path)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise TcnatError(f"{path} cannot be removed: {error.strerror}; run as root") from None


def _remove_directory(path: Path) -> None:
    """Remove a directory if nothing is in it."""
    try:
        os.rmdir(path)
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.ENOTDIR}:
            raise TcnatError(f"{path} cannot be removed: {error.strerror}; run as root") from None


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
