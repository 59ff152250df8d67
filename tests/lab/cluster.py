"""Nodes at work: an agent on each, an echo server on each pod, and Services made on the spot."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from tcnat.layout import Family

from .agent import Agent
from .clients import Tcp, Udp
from .echo import Echo
from .nodes import Node, Nodes, Pod
from .objects import Port, Service
from .site import Host
from .stage import ECHO, ECHO_PORT, ECHO_TARGET, PROMPT


class Cluster:
    """Nodes with their agents and echo servers (by their pods' roles)."""

    def __init__(self, nodes: Nodes, stack: ExitStack, options: Iterable[str]) -> None:
        self.nodes = nodes
        self.agents = [
            Agent(nodes.ground(node), options=[*PROMPT, f"--hostname-override={node.role}", *options]) for node in nodes
        ]
        self.echoes: dict[str, Echo] = {}
        self._stack = stack
        self._numbers = itertools.count(1)

    def add_pod(self, node: Node) -> Pod:
        """One more pod, with an echo server."""
        pod = node.add_pod()
        self.echoes[pod.role] = self._stack.enter_context(Echo(pod, pod.role, ECHO_TARGET))
        return pod

    def service(self, *hosts: Host, ports: tuple[Port, ...] = ECHO) -> Service:
        """A new Service on these hosts, in force on all nodes when this returns."""
        addresses = tuple(host.addresses for host in hosts)
        service = Service(next(self._numbers), ports, addresses, nodes=tuple(map(self._node_of, hosts)))
        for agent in self.agents:
            agent.put(service)
        return service

    @staticmethod
    def tcp(client: Host, to: Service, family: Family, source_port: int = 0) -> Tcp:
        """A host's connection to a Service's echo port."""
        return Tcp(client, to.addresses, family, ECHO_PORT, source_port)

    @staticmethod
    def udp(client: Host, to: Service, family: Family, *, connected: bool = True) -> Udp:
        """A UDP socket of a host's for a Service's echo port."""
        return Udp(client, to.addresses, family, ECHO_PORT, connected=connected)

    def _node_of(self, host: Host) -> str:
        """The name of the node that a host is on, or is."""
        return next((node.role for node in self.nodes if host is node or host in node.pods), "")


@contextmanager
def cluster(nodes: Nodes, options: Iterable[str] = ()) -> Iterator[Cluster]:
    """Put agents on nodes that stand already, each with so many options."""
    with ExitStack() as stack:
        yield Cluster(nodes, stack, options)
