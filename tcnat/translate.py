"""From a Service and its endpoints to what the datapath serves, one Service at a time. Pure.

    translate(service, slices, node) -> Translation(front_ends, unserved, health_check)

Only cluster IPs are served; the other front ends of rule 16 are named in ``unserved``, so that none is served by half.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tcnat.endpoints import any_usable, candidates_by_port, cluster_set, local_set
from tcnat.model import FrontEnd, FrontEndKey, NodeInfo, ServicePortName, Verdict, format_endpoint
from tcnat.resources import EndpointSlice, Service
from tcnat.services import ServicePort, service_ports


class Unserved(NamedTuple):
    """A front end that the Service has and the datapath does not serve."""

    service: ServicePortName
    kind: str
    """``externalIP``, ``loadBalancer`` or ``nodePort``."""
    address: bytes
    """The unspecified one for a node port, which answers on the node's addresses."""
    port: int

    def __str__(self) -> str:
        where = format_endpoint(self.address, self.port) if any(self.address) else str(self.port)
        return f"{self.kind} {where}/{self.service.protocol.name}"


class HealthCheck(NamedTuple):
    """What a Service's health-check node port answers (rule 32)."""

    port: int
    local_endpoints: int


@dataclass(frozen=True, slots=True)
class Translation:
    """What one Service wants of the datapath, both families together."""

    front_ends: tuple[FrontEnd, ...] = ()
    unserved: tuple[Unserved, ...] = ()
    health_check: HealthCheck | None = None


def translate(service: Service, slices: Sequence[EndpointSlice], node: NodeInfo) -> Translation:
    """What ``service`` wants on ``node``; ``slices`` are those that name it, in any order."""
    ports = service_ports(service, slices)
    return Translation(
        front_ends=tuple(front_end(port, node) for port in ports),
        unserved=tuple(each for port in ports for each in unserved(port)),
        health_check=health_check(service, slices, node) if ports else None,
    )


def front_end(port: ServicePort, node: NodeInfo) -> FrontEnd:
    """The cluster IP's front end (rules 12–15, 22, 24)."""
    choose = local_set if port.internal_local else cluster_set
    backends = choose(port.endpoints, node).backends
    return FrontEnd(
        key=FrontEndKey(port.cluster_ip, port.port, port.name.protocol),
        service=port.name,
        verdict=Verdict.DNAT if backends else without_backends(port),
        backends=backends,
        affinity_seconds=port.affinity_seconds,
    )


def without_backends(port: ServicePort) -> Verdict:
    """What a packet gets where no backend is in reach: DROP if one serves elsewhere, else REJECT (rule 24)."""
    return Verdict.DROP if any_usable(port.endpoints) else Verdict.REJECT


def unserved(port: ServicePort) -> tuple[Unserved, ...]:
    """The front ends of a service port other than its cluster IP (rule 16)."""
    anywhere = bytes(len(port.cluster_ip))
    node_port = (Unserved(port.name, "nodePort", anywhere, port.node_port),) if port.node_port else ()
    return (
        *(Unserved(port.name, "externalIP", address, port.port) for address in port.external_ips),
        *(Unserved(port.name, "loadBalancer", address, port.port) for address in port.ingress_ips),
        *node_port,
    )


def health_check(service: Service, slices: Iterable[EndpointSlice], node: NodeInfo) -> HealthCheck | None:
    """The health-check node port of a LoadBalancer Service with externalTrafficPolicy Local; None for any other.

    Counted are this node's ready addresses of the Service's first family.
    """
    if service.type != "LoadBalancer" or not service.external_local or not service.health_check_node_port:
        return None
    size = len(service.cluster_ips[0])
    here = {
        endpoint.address
        for candidates in candidates_by_port(slices).values()
        for endpoint in candidates.values()
        if endpoint.ready and not endpoint.terminating and node.name and endpoint.node == node.name
    }
    return HealthCheck(service.health_check_node_port, sum(len(address) == size for address in here))
