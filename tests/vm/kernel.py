"""A kernel to boot."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tcnat.errors import TcnatError

BOOT_MODULES = ("virtio_pci", "virtiofs", "9pnet_virtio", "9p")
"""What the guest needs to reach its root; a kernel has them built in, as modules, or in part not at all."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """An image, and the directory whose ``lib/modules/<release>`` holds its modules (None: all is built in)."""

    name: str
    image: Path
    modules: Path | None = None

    @property
    def release(self) -> str:
        """What ``uname -r`` will say, as the image itself has it."""
        return image_release(self.image)


def image_release(image: Path) -> str:
    """The release of a bzImage, by the boot protocol's kernel_version field (Documentation/x86/boot.rst)."""
    try:
        with image.open("rb") as file:
            head = file.read(0x10000)
    except OSError as error:
        raise TcnatError(f"cannot read the kernel {image}: {error.strerror}") from None
    if len(head) < 0x210 or head[0x202:0x206] != b"HdrS":
        raise TcnatError(f"{image} is not a bzImage: give the compressed image of an x86_64 kernel")
    (offset,) = struct.unpack_from("<H", head, 0x20E)
    words = head[offset + 0x200 :].split(b"\0", 1)[0].split()
    return words[0].decode(errors="replace") if words else "unknown"


def boot_modules(kernel: Kernel) -> list[Path]:
    """The module files that reach the guest's root, in the order in which they have to be loaded."""
    if kernel.modules is None:
        return []
    found: dict[Path, None] = {}
    for name in BOOT_MODULES:
        command = ["modprobe", "-d", str(kernel.modules), "-S", kernel.release, "--show-depends", name]
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
        for line in shown.stdout.splitlines():
            word, _, path = line.strip().partition(" ")
            if word == "insmod":
                found[Path(path.split()[0])] = None
    return list(found)
