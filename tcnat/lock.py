"""One agent for each set of pins, and one for each network namespace: advisory locks.

The pins' is a lock (flock) on a file that is named after them; what the file says is only meant for people. The
namespace's is a lock (fcntl) on one byte of a file for all namespaces, at the namespace's inode number. The kernel
gives both back when their holder ends, however that comes about, so there is nothing stale to clean; the files stay.
"""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import quote, unquote

from tcnat.errors import TcnatError
from tcnat.netns import inode

RUN_DIRECTORY = Path("/run/tcnat")
"""Where the lock files lie. Containers that share a bpffs share this directory, too."""

_FLOCK = "hhqqi4x"
"""struct flock: type, whence, start, length, process id."""


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
        fd = _open(self.path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _written_pid(fd)
            os.close(fd)
            raise TcnatError(
                f"the pins at {self.pins} are held by another agent ({_process(holder)}, lock {self.path}); "
                "stop it first"
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


class NamespaceLock:
    """Holds a network namespace (a name or path; None: the caller's own) for this process, from entering to leaving
    ``with``. Two agents there, on pins of their own, would each take the other's filters away."""

    def __init__(self, netns: str | None = None, directory: Path = RUN_DIRECTORY) -> None:
        self.path = directory / "namespaces.lock"
        self._byte = inode(netns)

    def __enter__(self) -> NamespaceLock:
        """Take the lock; TcnatError that names the holder and its pins if another process has it."""
        self._fd = _open(self.path)
        while True:
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._byte)
                return self
            except (BlockingIOError, PermissionError):
                self._refuse_other()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def _refuse_other(self) -> None:
        """TcnatError unless the other process has given the lock back meanwhile."""
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, self._byte, 1, 0)
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(self._fd, fcntl.F_GETLK, asked))
        if kind != fcntl.F_UNLCK:
            os.close(self._fd)
            pins = self._pins_of(pid)
            whose = f"{_process(pid)}, pins at {pins}" if pins else _process(pid)
            raise TcnatError(
                f"another agent ({whose}) serves the devices of this network namespace, and two would take each "
                "other's filters away: stop it first"
            )

    def _pins_of(self, pid: int) -> str:
        for path in self.path.parent.glob("*.lock"):
            with suppress(FileNotFoundError):
                if path.read_text().strip() == str(pid):
                    return unquote(path.stem)
        return ""


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


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise TcnatError(f"cannot make the lock file {path}: {error.strerror}; run as root") from None


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
