"""A root file system that holds nothing but what one directory holds, as a minimal VM's may."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from .site import Ground

_ENTER = """\
set -e
root=$1 shared=$2; shift 2
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --bind /sys/fs/bpf "$root/sys/fs/bpf"
mount --bind "$shared" "$root$shared"
exec chroot "$root" "$@"
"""


class BareMachine:
    """The root of a machine with /proc, /sys, a bpffs, a directory of the lab's, and ``content`` as its only files.

    The mounts are made in a mount namespace of each program's own, and go with it.
    """

    def __init__(self, lab: Ground, content: Path) -> None:
        self._lab = lab
        self.root = lab.directory / "root"
        shutil.copytree(content, self.root / content.name)
        for directory in ("proc", "sys", str(lab.directory).lstrip("/")):
            (self.root / directory).mkdir(parents=True)
        self.content = Path("/", content.name)
        """Where the content is on the machine."""

    def command(self, args: Sequence[str | Path]) -> list[str]:
        """The words that run a program there; the process that they start becomes the program."""
        root, shared = str(self.root), str(self._lab.directory)
        return ["unshare", "--mount", "sh", "-c", _ENTER, "sh", root, shared, *map(str, args)]
