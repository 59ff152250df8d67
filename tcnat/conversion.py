"""From the API objects on the wire to those that tcnat keeps. One that cannot be right is :class:`Refused`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from sys import intern
from typing import TypeVar

import msgspec

from tcnat import wire
from tcnat.model import Protocol, parse_address, parse_network
from tcnat.resources import Endpoint, EndpointGroup, EndpointPort, EndpointSlice, Node, Port, Service

DEFAULT_AFFINITY_SECONDS = 10800
"""Rule 29."""
Raw = TypeVar("Raw")
Parsed = TypeVar("Parsed")

_PROTOCOLS: dict[str | None, Protocol] = {None: Protocol.TCP, **{protocol.name: protocol for protocol in Protocol}}


class Refused(ValueError):
    """What is wrong with an object; ``field`` says where, as ``spec.ports[0].port``."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


def service_from(raw: wire.Service) -> Service:
    """A Service as tcnat keeps it; :class:`Refused` if one of its addresses is none."""
    spec = raw.spec or wire.ServiceSpec()
    cluster_ip = spec.cluster_ip or ""
    serves = cluster_ip not in {"", "None"}
    return Service(
        namespace=raw.metadata.namespace or "default",
        name=raw.metadata.name,
        watched=_watched(raw.metadata),
        type=spec.type or "ClusterIP",
        cluster_ip=cluster_ip,
        cluster_ips=_cluster_ips(spec) if serves else (),
        external_ips=_each(parse_address, spec.external_ips, "spec.externalIPs"),
        ingress_ips=_ingress_ips(raw.status),
        ports=tuple(
            Port(intern(port.name or ""), _PROTOCOLS[port.protocol], port.port, port.node_port or 0)
            for port in spec.ports or ()
        ),
        affinity_seconds=_affinity_seconds(spec),
        internal_local=spec.internal_traffic_policy == "Local",
        external_local=spec.external_traffic_policy == "Local",
        source_ranges=_each(parse_network, spec.load_balancer_source_ranges, "spec.loadBalancerSourceRanges"),
        health_check_node_port=spec.health_check_node_port or 0,
    )


def slice_from(raw: wire.EndpointSlice) -> EndpointSlice:
    """An EndpointSlice as tcnat keeps it; one of host names (FQDN) has no groups (rule 3)."""
    labels = raw.metadata.labels
    groups: tuple[EndpointGroup, ...] = ()
    if raw.address_type != "FQDN":
        size = 4 if raw.address_type == "IPv4" else 16
        found = _each(_endpoint, raw.endpoints, "endpoints", suffix=".addresses[0]")
        endpoints = tuple(endpoint for endpoint in found if endpoint is not None and len(endpoint.address) == size)
        groups = (EndpointGroup(_endpoint_ports(raw.ports), endpoints),)
    return EndpointSlice(
        kind="EndpointSlice",
        namespace=raw.metadata.namespace or "default",
        name=raw.metadata.name,
        watched=_watched(raw.metadata),
        service_name=(labels.service if labels else None) or "",
        groups=groups,
        trigger_time=_trigger_time(raw.metadata),
    )


def endpoints_from(raw: wire.Endpoints) -> EndpointSlice:
    """An Endpoints object as if it were a slice of the Service of its name."""
    groups = tuple(_subset_group(subset, f"subsets[{at}]") for at, subset in enumerate(raw.subsets or ()))
    return EndpointSlice(
        kind="Endpoints",
        namespace=raw.metadata.namespace or "default",
        name=raw.metadata.name,
        watched=_watched(raw.metadata),
        service_name=raw.metadata.name,
        groups=groups,
        trigger_time=_trigger_time(raw.metadata),
    )


def node_from(raw: wire.Node) -> Node:
    """A Node as tcnat keeps it; addresses that are host names are left out."""
    labels = raw.metadata.labels or wire.Labels()
    addresses = [
        entry
        for entry in (raw.status and raw.status.addresses) or ()
        if entry.type in {"InternalIP", "ExternalIP"} and entry.address
    ]
    taints = {taint.key for taint in (raw.spec and raw.spec.taints) or ()}
    return Node(
        name=raw.metadata.name,
        zone=labels.zone or labels.old_zone or "",
        addresses=_each(lambda entry: parse_address(entry.address), addresses, "status.addresses"),
        leaving=raw.metadata.deletion_timestamp is not None or "ToBeDeletedByClusterAutoscaler" in taints,
    )


def _cluster_ips(spec: wire.ServiceSpec) -> tuple[bytes, ...]:
    if spec.cluster_ips:
        return _each(parse_address, spec.cluster_ips, "spec.clusterIPs")
    try:
        return (parse_address(spec.cluster_ip or ""),)
    except ValueError as error:
        raise Refused("spec.clusterIP", str(error)) from None


def _watched(metadata: wire.Metadata) -> bool:
    labels = metadata.labels
    return labels is None or labels.proxy_name is labels.headless is msgspec.UNSET


def _trigger_time(metadata: wire.Metadata) -> str:
    return (metadata.annotations and metadata.annotations.trigger_time) or ""


def _affinity_seconds(spec: wire.ServiceSpec) -> int:
    if spec.session_affinity != "ClientIP":
        return 0
    config = spec.session_affinity_config
    return (config and config.client_ip and config.client_ip.timeout_seconds) or DEFAULT_AFFINITY_SECONDS


def _ingress_ips(status: wire.ServiceStatus | None) -> tuple[bytes, ...]:
    entries = (status and status.load_balancer and status.load_balancer.ingress) or ()
    found = _each(_vip, entries, "status.loadBalancer.ingress", suffix=".ip")
    return tuple(address for address in found if address is not None)


def _vip(entry: wire.Ingress) -> bytes | None:
    return parse_address(entry.ip) if entry.ip and entry.ip_mode in {None, "VIP"} else None


def _endpoint_ports(ports: Iterable[wire.EndpointPort] | None) -> tuple[EndpointPort, ...]:
    return tuple(
        EndpointPort(intern(port.name), _PROTOCOLS[port.protocol], port.port)
        for port in ports or ()
        if port.name is not None and port.port
    )


def _endpoint(raw: wire.Endpoint) -> Endpoint | None:
    if not raw.addresses:
        return None
    conditions = raw.conditions or wire.Conditions()
    ready = conditions.ready is not False
    hints = raw.hints
    return Endpoint(
        address=parse_address(raw.addresses[0]),
        ready=ready,
        serving=conditions.serving is not False,
        terminating=conditions.terminating is True,
        node=intern(raw.node_name or (raw.topology and raw.topology.hostname) or ""),
        zone_hints=_names(hints.for_zones) if hints else (),
        node_hints=_names(hints.for_nodes) if hints else (),
    )


def _names(hints: Iterable[wire.Hint] | None) -> tuple[str, ...]:
    return tuple(intern(hint.name) for hint in hints or ())


def _subset_group(subset: wire.Subset, where: str) -> EndpointGroup:
    def parse(ready: bool) -> Callable[[wire.EndpointAddress], Endpoint]:
        return lambda raw: Endpoint(parse_address(raw.ip), ready, ready, False, intern(raw.node_name or ""))

    ready = _each(parse(True), subset.addresses, f"{where}.addresses", suffix=".ip")
    not_ready = _each(parse(False), subset.not_ready_addresses, f"{where}.notReadyAddresses", suffix=".ip")
    ports = tuple(
        EndpointPort(intern(port.name or ""), _PROTOCOLS[port.protocol], port.port)
        for port in subset.ports or ()
        if port.port
    )
    return EndpointGroup(ports, ready + not_ready)


def _each(
    parse: Callable[[Raw], Parsed], values: Iterable[Raw] | None, field: str, suffix: str = ""
) -> tuple[Parsed, ...]:
    """``parse`` of every value; a ValueError of one becomes a :class:`Refused` that names it."""
    parsed: list[Parsed] = []
    for at, value in enumerate(values or ()):
        try:
            parsed.append(parse(value))
        except ValueError as error:
            raise Refused(f"{field}[{at}]{suffix}", str(error)) from None
    return tuple(parsed)
