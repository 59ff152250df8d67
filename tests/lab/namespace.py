"""Network namespaces: made by name, entered, and removed with all that runs in them."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from tcnat import netns

from .commands import Program, run


class Namespace:
    """A network namespace known to ``ip netns``.

    Programs enter it with nsenter and not with ``ip netns exec``, which would hide /sys/fs/bpf from them.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = Path("/run/netns", name)

    def create(self) -> None:
        """Make it, with its loopback up."""
        run(["ip", "netns", "add", self.name])
        self.ip("link set lo up")

    def delete(self) -> None:
        """Kill what runs in it and remove it; nothing happens when it is not there."""
        if not self.path.exists():
            return
        for pid in run(["ip", "netns", "pids", self.name], check=False).split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        run(["ip", "netns", "delete", self.name], check=False)

    def command(self, args: Sequence[str | Path]) -> list[str]:
        """The words that run a program in here."""
        return ["nsenter", f"--net={self.path}", *(str(arg) for arg in args)]

    def run(self, *args: str | Path, text: str | None = None, check: bool = True, timeout: float = 60) -> str:
        """Run a program in here to its end; its output."""
        return run(self.command(args), text=text, check=check, timeout=timeout)

    def start(self, *args: str | Path, log: Path) -> Program:
        """Start a program in here that stays."""
        return Program(self.command(args), log)

    def ip(self, *lines: str) -> None:
        """Give lines to one ``ip -batch``."""
        run(["ip", "-n", self.name, "-batch", "-"], text="".join(f"{line}\n" for line in lines))

    def sysctl(self, values: Mapping[str, int]) -> None:
        """Set sysctls, by their paths below /proc/sys/net."""
        with self.entered():
            for name, value in values.items():
                Path("/proc/sys/net", name).write_text(f"{value}\n")

    def entered(self) -> AbstractContextManager[None]:
        """Put the calling thread in here: sockets made meanwhile stay in here for good, wherever they are used."""
        return netns.entered(self.name)

    def socket(self, family: socket.AddressFamily, kind: socket.SocketKind, protocol: int = 0) -> socket.socket:
        """A new socket in here, with a time-out so that no test hangs."""
        with self.entered():
            made = socket.socket(family, kind, protocol)
        made.settimeout(10)
        return made
