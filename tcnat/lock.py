"""One agent for each set of pins: an advisory lock (flock) on a file that is named after the pins.

The kernel gives the lock back when its holder ends, however that comes about, so there is nothing stale to clean. The
file stays; what it says is only meant for people.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from tcnat.errors import TcnatError

RUN_DIRECTORY = Path("/run/tcnat")
"""Where the lock files lie. Containers that share a bpffs share this directory, too."""


class PinsLock:
    """Holds the pins at ``pins`` for this process from :meth:`acquire` to :meth:`release` (or its end)."""

    def __init__(self, pins: Path, directory: Path = RUN_DIRECTORY) -> None:
        self.pins = pins
        self.path = lock_path(pins, directory)
        self._fd = -1

    def acquire(self) -> PinsLock:
        """Take the lock; TcnatError that names the holder if another process has it."""
        while self._fd < 0:
            self._fd = self._try()
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        return self

    def _try(self) -> int:
        """The locked file's descriptor; -1 if the file was removed while it was being locked."""
        try:
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise TcnatError(f"cannot make the lock file {self.path}: {error.strerror}; run as root") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _written_pid(fd)
            os.close(fd)
            raise TcnatError(
                f"the pins at {self.pins} are held by another agent ({_process(holder)}, lock {self.path}); "
                "stop it first, or choose other pins with --pin-path"
            ) from None
        if _is_at(fd, self.path):
            return fd
        os.close(fd)
        return -1

    def release(self) -> None:
        """Give the lock back; without effect if it is not held."""
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> PinsLock:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lock_path(pins: Path, directory: Path = RUN_DIRECTORY) -> Path:
    """The lock file of the pins at ``pins``: its path in percent encoding, so that no two pins share one."""
    return directory / f"{quote(os.path.realpath(pins), safe='')}.lock"


def holder(pins: Path, directory: Path = RUN_DIRECTORY) -> int | None:
    """The process id of the agent that holds the pins now; None if nobody does."""
    try:
        fd = os.open(lock_path(pins, directory), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _written_pid(fd) or 0
    finally:
        os.close(fd)
    return None


def _is_still(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def _is_at(fd: int, path: Path) -> bool:
    """Whether the open file is still the one at that path."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _written_pid(fd: int) -> int | None:
    text = os.pread(fd, 32, 0).strip()
    return int(text) if text.isdigit() else None


def _process(pid: int | None) -> str:
    return f"pid {pid}" if pid else "pid not known"
