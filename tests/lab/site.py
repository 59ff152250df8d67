"""What every set-up of hosts has, whatever wires lie between them: a name, a directory, pins, programs, an end."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol, Self

from . import stale
from .addresses import Addresses
from .commands import Program
from .namespace import Namespace

_numbers = itertools.count(1)

_SYSCTLS = {
    "ipv4/conf/all/rp_filter": 0,
    "ipv4/conf/default/rp_filter": 0,
    "ipv6/conf/default/accept_dad": 0,
    "ipv6/conf/default/accept_ra": 0,
    "ipv6/conf/default/router_solicitations": 0,
}
FORWARDING = {"ipv4/ip_forward": 1, "ipv6/conf/all/forwarding": 1}
"""The sysctls of a host that forwards."""


class Host(Namespace):
    """A namespace that has addresses; ``eth0`` is its way to the others."""

    def __init__(self, name: str, role: str, addresses: Addresses) -> None:
        super().__init__(name)
        self.role = role
        self.addresses = addresses

    def create(self) -> None:
        """Make it, with sysctls that keep the host quiet and its addresses usable at once."""
        super().create()
        self.sysctl(_SYSCTLS)

    def offloads(self, device: str, **features: int) -> None:
        """Switch features of a device: ``offloads("eth0", tx=False)``. Devices without one of them keep silent."""
        words = [word for name, on in features.items() for word in (name, "on" if on else "off")]
        self.run("ethtool", "-K", device, *words)


class Ground(Protocol):
    """What an agent needs to run somewhere: the host, the option for the devices that it serves there, a directory and
    pins of its own, and somebody who ends its programs."""

    @property
    def directory(self) -> Path: ...
    @property
    def pins(self) -> Path: ...
    @property
    def node(self) -> Host: ...
    @property
    def served(self) -> tuple[str, str]: ...
    def start(self, host: Namespace, /, *args: str | Path, log: str) -> Program: ...


class Site(ABC):
    """Build with ``with``; whatever happens inside, all of it is removed at the end, unless ``keep`` is called.

    All that it makes carries its ``name``, which is given only to what is to outlive the process.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name or stale.owned_name(next(_numbers))
        self.directory = stale.DIRECTORIES / self.name
        self.files = self.directory / "files"
        self.pins = stale.BPFFS / self.name
        self.kept = False
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as on_failure:
            on_failure.callback(stale.remove, self.name)
            self.files.mkdir(parents=True)
            self._build()
            on_failure.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        if self.kept:
            return
        try:
            self._cleanup.close()
        finally:
            stale.remove(self.name)

    def keep(self) -> None:
        """Leave everything standing and running; ``stale.remove`` takes it away."""
        self.kept = True

    def start(self, host: Namespace, *args: str | Path, log: str) -> Program:
        """Start a program on a host; it is stopped when the site ends. ``log`` is a file name in the site's
        directory."""
        program = host.start(*args, log=self.directory / log)
        self._cleanup.callback(program.stop)
        return program

    @abstractmethod
    def _build(self) -> None:
        """Make the hosts and the wires."""

    def _host(self, role: str, addresses: Addresses) -> Host:
        host = Host(f"{self.name}-{role}", role, addresses)
        host.create()
        return host


def up(host: Namespace, device: str, addresses: Addresses) -> None:
    """Give a device of the host's its addresses (a /24 and a /64), and set it up."""
    host.ip(
        f"address add {addresses.v4}/24 dev {device}",
        f"address add {addresses.v6}/64 dev {device} nodad",
        f"link set {device} up",
    )
