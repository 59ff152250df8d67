"""Every front end of every Service, and which of them a packet's destination is: rules 16–21. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from tcnat.model import FrontEndKey, Network, NodeInfo, Protocol, is_loopback
from tcnat.resources import EndpointSlice, Service
from tcnat.services import ServicePort, service_ports, why_skipped


class Kind(StrEnum):
    """What sort of front end (rule 16)."""

    CLUSTER_IP = "clusterIP"
    EXTERNAL_IP = "externalIP"
    LOAD_BALANCER = "load balancer IP"
    NODE_PORT = "node port"


class Found(NamedTuple):
    """A destination that is a front end: of which service port, and of what sort."""

    port: ServicePort
    kind: Kind


class NotFound(NamedTuple):
    """Why a destination is no front end: the rule, and in words."""

    rule: int
    reason: str


@dataclass(frozen=True, slots=True)
class NodePortSettings:
    """On which of the node's addresses node ports answer.

    ``networks`` are those of ``--nodeport-addresses``, ``primary`` already resolved; no network of a family stands for
    all of it (rule 19). ``localhost`` lets them answer on 127.0.0.0/8 (rule 20).
    """

    node: NodeInfo
    networks: tuple[Network, ...] = ()
    localhost: bool = False

    def why_not(self, address: bytes) -> NotFound | None:
        """Why node ports do not answer on one of the node's own addresses; None if they do."""
        if is_loopback(address):
            if len(address) == 16:
                return NotFound(20, "node ports never answer on the IPv6 loopback address")
            if not self.localhost:
                return NotFound(20, "node ports answer on 127.0.0.0/8 only with --localhost-nodeports")
        networks = [network for network in self.networks if len(network.address) == len(address)]
        if networks and not any(address in network for network in networks):
            return NotFound(19, "node ports do not answer on this address: it is not in --nodeport-addresses")
        return None

    def is_local(self, address: bytes) -> bool:
        """Whether it is one of the node's own addresses."""
        return address in self.node.addresses or is_loopback(address)


class Catalogue:
    """The front ends of all Services. Where two claim one, the first wins: cluster IPs before external IPs before load
    balancer IPs, and by namespace and name."""

    def __init__(
        self, services: Iterable[tuple[Service, tuple[EndpointSlice, ...]]], node_ports: NodePortSettings
    ) -> None:
        """``services`` come in the order of namespace and name, each with the slices that name it."""
        self._node_port_settings = node_ports
        self._specific: dict[FrontEndKey, Found] = {}
        self._node_ports: dict[tuple[int, int, Protocol], ServicePort] = {}  # bytes of address, port, protocol
        self._skipped: dict[FrontEndKey, NotFound] = {}
        self._cluster_ips: set[bytes] = set()
        ports: list[ServicePort] = []
        for service, slices in services:
            ports += service_ports(service, slices)
            self._note_skipped(service)
        for kind in (Kind.CLUSTER_IP, Kind.EXTERNAL_IP, Kind.LOAD_BALANCER):
            for port in ports:
                self._add(port, kind)
        for port in ports:
            self._cluster_ips.add(port.cluster_ip)
            if port.node_port:
                key = (len(port.cluster_ip), port.node_port, port.name.protocol)
                self._node_ports.setdefault(key, port)

    def find(self, destination: FrontEndKey) -> Found | NotFound:
        """The front end that a destination is: its very address and port before a node port (rule 21)."""
        found = self._specific.get(destination)
        if found is not None:
            return found
        node_port = self._node_ports.get((len(destination.address), destination.port, destination.protocol))
        if node_port is not None and self._node_port_settings.is_local(destination.address):
            return self._node_port_settings.why_not(destination.address) or Found(node_port, Kind.NODE_PORT)
        if destination in self._skipped:
            return self._skipped[destination]
        if node_port is not None:
            return NotFound(19, f"{node_port.name} has this node port, but the address is not one of the node's")
        return NotFound(16, f"no Service has the front end {destination}")

    def is_cluster_ip(self, address: bytes) -> bool:
        """Whether some service port has this cluster IP."""
        return address in self._cluster_ips

    def _add(self, port: ServicePort, kind: Kind) -> None:
        addresses = {
            Kind.CLUSTER_IP: (port.cluster_ip,),
            Kind.EXTERNAL_IP: port.external_ips,
            Kind.LOAD_BALANCER: port.ingress_ips,
        }[kind]
        for address in addresses:
            self._specific.setdefault(FrontEndKey(address, port.port, port.name.protocol), Found(port, kind))

    def _note_skipped(self, service: Service) -> None:
        why = why_skipped(service)
        if why is None:
            return
        rule, words = why
        for address in service.cluster_ips:
            for port in service.ports:
                key = FrontEndKey(address, port.port, port.protocol)
                self._skipped[key] = NotFound(rule, f"Service {service.service} is skipped: {words}")
