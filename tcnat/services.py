"""From a Service and its endpoints to its service ports: rules 1–8, 16, 17 and 22. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tcnat.endpoints import Candidates, PortKey, candidates_by_port
from tcnat.model import Network, ServicePortName
from tcnat.resources import EndpointSlice, Port, Service


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service in one address family; every address is of that family."""

    name: ServicePortName
    port: int
    cluster_ip: bytes
    external_ips: tuple[bytes, ...]
    ingress_ips: tuple[bytes, ...]
    """Load balancer's addresses that are front ends (rule 17)."""
    node_port: int
    """0: none."""
    source_ranges: tuple[Network, ...]
    """Who may send to ``ingress_ips`` (rule 18); empty: all."""
    affinity_seconds: int
    """0: no affinity."""
    internal_local: bool
    external_local: bool
    """Never True without an external front end (rule 22)."""
    endpoints: Candidates
    """All of its endpoints, whether they serve or not."""


def why_skipped(service: Service) -> tuple[int, str] | None:
    """The rule, and in words why a Service is none of ours; None if it is."""
    if not service.watched:
        return 1, "its labels give it to another proxy"
    if service.type == "ExternalName":
        return 2, "it is an ExternalName Service"
    if service.cluster_ip in {"", "None"}:
        return 2, "it is headless" if service.cluster_ip else "it has no clusterIP"
    return None


def service_ports(service: Service, slices: Iterable[EndpointSlice]) -> tuple[ServicePort, ...]:
    """The Service's ports, first all of IPv4 and then all of IPv6; none where it is skipped (rules 1, 2).

    ``slices`` are those that name the Service, in any order. A family without a cluster IP has no front end at all.
    """
    if why_skipped(service) is not None:
        return ()
    candidates = candidates_by_port(slices)
    ports: list[ServicePort] = []
    for size in (4, 16):
        cluster_ips = _of_size(service.cluster_ips, size)
        if cluster_ips:
            ports += [_service_port(service, port, cluster_ips[0], candidates) for port in service.ports]
    return tuple(ports)


def _service_port(
    service: Service, port: Port, cluster_ip: bytes, candidates: dict[PortKey, Candidates]
) -> ServicePort:
    size = len(cluster_ip)
    external_ips = _of_size(service.external_ips, size)
    ingress_ips = _of_size(service.ingress_ips, size)
    return ServicePort(
        name=ServicePortName(service.namespace, service.name, port.name, port.protocol),
        port=port.port,
        cluster_ip=cluster_ip,
        external_ips=external_ips,
        ingress_ips=ingress_ips,
        node_port=port.node_port,
        source_ranges=tuple(each for each in service.source_ranges if len(each.address) == size),
        affinity_seconds=service.affinity_seconds,
        internal_local=service.internal_local,
        external_local=service.external_local and bool(external_ips or ingress_ips or port.node_port),
        endpoints=candidates.get((port.name, port.protocol, size), {}),
    )


def _of_size(addresses: tuple[bytes, ...], size: int) -> tuple[bytes, ...]:
    return tuple(address for address in addresses if len(address) == size)
