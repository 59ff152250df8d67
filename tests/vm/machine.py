"""QEMU without KVM: boots a kernel with this machine's root shared read only, and follows its reports."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tcnat.errors import TcnatError

from .report import Report, read_reports

QEMU = "qemu-system-x86_64"
VIRTIOFSD = Path("/usr/lib/qemu/virtiofsd")
COMMAND_LINE = (
    "console=ttyS0 loglevel=5 softlockup_all_cpu_backtrace=1 panic=-1 mitigations=off random.trust_cpu=on tcnat_guest=1"
)
POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a guest: its reports in order, whether it was stopped for taking too long, what its console said."""

    reports: tuple[Report, ...]
    timed_out: bool
    console: Path
    seconds: float

    @property
    def booted(self) -> bool:
        """The suite began."""
        return bool(self.reports)

    @property
    def failed(self) -> list[Report]:
        """The commands that ended with another exit code than 0."""
        return [report for report in self.reports if report.kind == "end" and report.status != 0]

    @property
    def good(self) -> bool:
        """Every command was run, and none failed."""
        return bool(self.reports) and self.reports[-1].kind == "done" and not self.failed


@dataclass(frozen=True, slots=True)
class Guest:
    """What to boot. ``directory`` takes the console's log, the reports and the sockets."""

    image: Path
    initramfs: Path
    directory: Path
    cpu: str = "max"
    virtiofs: bool = True
    processors: int = 2
    memory: str = "1G"
    shared: Path = Path("/")


def boot(guest: Guest, timeout: float, follow: Callable[[list[Report]], None]) -> Run:
    """Run the guest to its end, or for ``timeout`` seconds; ``follow`` gets the reports so far, again and again."""
    if shutil.which(QEMU) is None:
        raise TcnatError(f"{QEMU} is missing: install the package qemu-system-x86")
    console, reports = guest.directory / "console.log", guest.directory / "reports"
    console.write_bytes(b"")
    reports.write_bytes(b"")
    start = time.monotonic()
    timed_out = False
    with _virtiofsd(guest) as socket, (guest.directory / "qemu.log").open("wb") as log:
        command = qemu_command(guest, console, reports, socket)
        qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            while qemu.poll() is None and not timed_out:
                follow(read_reports(reports.read_bytes()))
                time.sleep(POLL_SECONDS)
                timed_out = time.monotonic() - start > timeout
        finally:
            qemu.kill()
            qemu.wait()
    return Run(tuple(read_reports(reports.read_bytes())), timed_out, console, time.monotonic() - start)


def qemu_command(guest: Guest, console: Path, reports: Path, socket: Path | None) -> list[str]:
    """The emulator's command line: the root over 9p, and over virtiofs too where ``socket`` leads to it."""
    command = [QEMU, "-M", "pc", "-accel", "tcg,thread=multi", "-cpu", guest.cpu, "-smp", str(guest.processors)]
    command += ["-m", guest.memory, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none"]
    command += ["-serial", f"file:{console}", "-serial", f"file:{reports}"]
    command += ["-device", "virtio-rng-pci"]
    command += [
        "-virtfs",
        f"local,path={guest.shared},mount_tag=host9p,security_model=none,readonly=on,multidevs=remap",
    ]
    if socket is not None:
        command += [
            "-object",
            f"memory-backend-memfd,id=memory,size={guest.memory},share=on",
            "-numa",
            "node,memdev=memory",
        ]
        command += ["-chardev", f"socket,id=fs,path={socket}", "-device", "vhost-user-fs-pci,chardev=fs,tag=hostfs"]
    return [*command, "-kernel", str(guest.image), "-initrd", str(guest.initramfs), "-append", COMMAND_LINE]


@contextlib.contextmanager
def _virtiofsd(guest: Guest) -> Iterator[Path | None]:
    """The socket of a virtiofs server for the shared tree; None where it is not wanted, or the machine has none."""
    if not guest.virtiofs or not VIRTIOFSD.exists():
        yield None
        return
    socket = guest.directory / "virtiofs"
    socket.unlink(missing_ok=True)
    options = ["-o", f"source={guest.shared}", "-o", "cache=always", "-o", "sandbox=chroot"]
    with (guest.directory / "virtiofsd.log").open("wb") as log:
        server = subprocess.Popen([VIRTIOFSD, f"--socket-path={socket}", *options], stdout=log, stderr=log)
        try:
            for _ in range(300):
                if socket.exists() or server.poll() is not None:
                    break
                time.sleep(0.1)
            yield socket if socket.exists() else None
        finally:
            server.kill()
            server.wait()
