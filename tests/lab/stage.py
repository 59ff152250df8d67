"""What most tests stand on: a lab with an echo server on each backend, the agent, and Services made on the spot."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tcnat.layout import Family

from .addresses import Addresses
from .agent import Agent
from .clients import Tcp, Udp
from .echo import Echo
from .lab import Host, Lab
from .objects import Port, Service
from .versions import CHECKOUT, Runnable

ECHO_PORT = 7
ECHO_TARGET = 7007
"""The Services' port and the servers' own, for TCP and UDP."""
ECHO = (Port("tcp", ECHO_PORT, ECHO_TARGET, "TCP"), Port("udp", ECHO_PORT, ECHO_TARGET, "UDP"))

PROMPT = ("--sync-period=1h", "--min-sync-period=0s")
"""The agent's options for tests that change objects often: every change at once, and no sync without a change."""


@dataclass(slots=True)
class Stage:
    """A lab with its agent and echo servers (by their hosts' roles)."""

    lab: Lab
    agent: Agent
    echoes: dict[str, Echo]
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def client(self) -> Host:
        """Where the requests come from."""
        return self.lab.client

    @property
    def backends(self) -> list[Host]:
        """The hosts behind the router, each with an echo server."""
        return self.lab.backends

    def service(self, hosts: Iterable[Host] | None = None, **options: Any) -> Service:
        """A new Service on these hosts (all backends unless told otherwise), in force when this returns."""
        chosen = self.backends if hosts is None else hosts
        return self.service_on([host.addresses for host in chosen], **options)

    def service_on(
        self, endpoints: Iterable[Addresses], ports: tuple[Port, ...] = ECHO, affinity_seconds: int = 0
    ) -> Service:
        """A new Service on these addresses, in force when this returns."""
        service = Service(next(self._numbers), ports, tuple(endpoints), affinity_seconds)
        self.agent.put(service)
        return service

    def tcp(self, to: Service, family: Family, source_port: int = 0) -> Tcp:
        """The client's connection to a Service's echo port."""
        return Tcp(self.client, to.addresses, family, ECHO_PORT, source_port)

    def udp(self, to: Service, family: Family, source_port: int = 0, *, connected: bool = True) -> Udp:
        """A UDP socket of the client's for a Service's echo port."""
        return Udp(self.client, to.addresses, family, ECHO_PORT, source_port=source_port, connected=connected)

    def tcp_to_backend(self, backend: Host, family: Family, source_port: int = 0) -> Tcp:
        """The client's connection straight to a backend's echo server."""
        return Tcp(self.client, backend.addresses, family, ECHO_TARGET, source_port)

    def udp_to_backend(self, backend: Host, family: Family, source_port: int = 0, *, connected: bool = True) -> Udp:
        """A UDP socket of the client's for a backend's echo server."""
        return Udp(self.client, backend.addresses, family, ECHO_TARGET, source_port=source_port, connected=connected)


@contextmanager
def stage(lab: Lab, options: Iterable[str] = (), version: Runnable = CHECKOUT) -> Iterator[Stage]:
    """Echo servers and the agent, of that version, in a lab that stands already."""
    with ExitStack() as stack:
        hosts = [*lab.backends, *(lab.pods or [lab.client])]
        echoes = {host.role: stack.enter_context(Echo(host, host.role, ECHO_TARGET)) for host in hosts}
        yield Stage(lab, Agent(lab, options=[*PROMPT, *options], version=version), echoes)
