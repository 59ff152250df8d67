"""What labs are called, and the removal of what a killed process left behind.

A name holds the maker's process id and the time at which that process started, so that a process id that is used again
does not keep a dead lab alive.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from .namespace import Namespace

DIRECTORIES = Path("/tmp")
"""Where a lab's directory (configurations, logs, captures) is made."""
BPFFS = Path("/sys/fs/bpf")
NAMESPACES = Path("/run/netns")
RUN = Path("/run/tcnat")
"""Where agents keep a lock and notes for each place of pins, named after it."""

_OWNED = re.compile(r"tcnat-lab-(?P<pid>\d+)-(?P<started>\d+)-")


def owned_name(number: int) -> str:
    """A name that no other process gives: the same process must give each of its labs another number."""
    pid = os.getpid()
    return f"tcnat-lab-{pid}-{_started(pid)}-{number}"


def sweep() -> list[str]:
    """Remove the namespaces (with what runs in them), directories and pins of makers that are no more; what was
    removed."""
    gone = [path for path in _everything("tcnat-lab-") if _is_stale(path.name)]
    gone += [path for path in _run_files() if _is_stale(_pins_of(path))]
    for path in gone:
        _remove(path)
    return [str(path) for path in gone]


def remove(name: str) -> None:
    """Remove all that a lab of this name made, whoever made it."""
    for path in _everything(f"{name}-"):
        _remove(path)
    for parent in (DIRECTORIES, BPFFS):
        _remove(parent / name)
    for path in _run_files():
        if _pins_of(path) == name:
            _remove(path)


def _everything(prefix: str) -> Iterator[Path]:
    """Namespaces first: their programs must end before their files go."""
    for parent in (NAMESPACES, DIRECTORIES, BPFFS):
        if parent.is_dir():
            yield from sorted(path for path in parent.iterdir() if path.name.startswith(prefix))


def _run_files() -> list[Path]:
    return sorted(RUN.iterdir()) if RUN.is_dir() else []


def _pins_of(run_file: Path) -> str:
    """The last part of the pins' path that a file of an agent's is named after."""
    return Path(unquote(run_file.stem)).name


def _is_stale(name: str) -> bool:
    match = _OWNED.match(f"{name}-")
    return match is not None and _started(int(match["pid"])) != int(match["started"])


def _started(pid: int) -> int | None:
    """When a process started, in clock ticks since boot (proc(5), field 22 of stat); None when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def _remove(path: Path) -> None:
    if path.parent == NAMESPACES:
        Namespace(path.name).delete()
    elif path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    elif path.parent == RUN:
        path.unlink(missing_ok=True)
