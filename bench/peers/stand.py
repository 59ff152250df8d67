"""Peers, and what they are at work: stands. Everything that loads a stand or measures it needs no more than this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from bench.objects import cluster_ip
from tcnat.errors import TcnatError
from tests.lab.nodes import Pod
from tests.lab.objects import Port
from tests.lab.site import Host

from .lab import PeerLab, Place
from .services import PORTS

PATIENCE = 600.0
"""Seconds that a peer may take to load its Services, unless told otherwise."""


class TooSlow(TcnatError):
    """A peer did not load its Services within ``seconds``."""

    def __init__(self, peer: str, services: int, seconds: float) -> None:
        super().__init__(f"{peer}: {services:,} Services were not loaded within {seconds:g} s")
        self.peer = peer
        self.services = services
        self.seconds = seconds

    @property
    def note(self) -> str:
        """As series without runs have it."""
        return f"not loaded within {self.seconds:g} s"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a client sends to."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Loading:
    """What it took from the proxy's start until all Services were in force: seconds, and CPU seconds of the proxy and
    of the programs that it ran."""

    seconds: float
    cpu: float


class Proxy(Protocol):
    """What makes a place's Services serve: a program and what it put into the kernel, or that alone."""

    @property
    def loading(self) -> Loading | None:
        """Of its last start; None where nothing is loaded."""

    @property
    def pid(self) -> int | None:
        """The program that follows the Services; None where there is none."""

    @property
    def kernel_memory(self) -> float | None:
        """MB that the kernel holds for it, by the kernel's own account; None where it keeps none."""

    def serve(self, backends: Sequence[Pod]) -> None:
        """Let the place's own Service have these backends alone; returns when that is written where the proxy reads it,
        or is in force where nobody reads it."""


@dataclass(frozen=True, slots=True)
class Stand:
    """A peer at work."""

    name: str
    lab: PeerLab
    place: Place
    services: int
    proxy: Proxy
    targets: Mapping[Port, Target]
    """Of the backends on the node."""
    away_targets: Mapping[Port, Target]
    """Of the backends on the other node."""

    @property
    def node(self) -> Host:
        """Where the proxy works."""
        return self.place.node

    @property
    def client(self) -> Host:
        """A pod on the node."""
        return self.place.client

    @property
    def backends(self) -> Sequence[Pod]:
        """The pods behind :meth:`target`, on the same node."""
        return self.place.backends

    def target(self, port: Port, *, away: bool = False) -> Target:
        """Where the client sends to for one of :data:`bench.peers.services.PORTS`: it then reaches the node's own
        backends, or with ``away`` those of another node."""
        return (self.away_targets if away else self.targets)[port]


class Peer(Protocol):
    """A way to make Services serve."""

    @property
    def name(self) -> str:
        """As it stands in figures."""

    def standing(self, lab: PeerLab, services: int, patience: float = PATIENCE) -> AbstractContextManager[Stand]:
        """Be at work with so many Services while the block runs. The lab must have been built with the peer's name.

        TooSlow when they are not loaded within ``patience`` seconds. Behind the block nothing is left of it.
        """


def by_service(number: int) -> dict[Port, Target]:
    """Where a client sends to that speaks to the real Service of that number."""
    return {port: Target(cluster_ip(number), port.port) for port in PORTS}
