"""The API objects as they stand in JSON or YAML: only the fields that tcnat uses; all others are skipped unread.

Go's decoder takes ``null`` for a field that is not there, so every optional field allows it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
PortOrNone = Annotated[int, msgspec.Meta(ge=0, le=65535)]
ProtocolName = Literal["TCP", "UDP", "SCTP"]
Policy = Literal["Cluster", "Local", ""]


class Labels(
    msgspec.Struct,
    frozen=True,
    gc=False,
    rename={
        "service": "kubernetes.io/service-name",
        "proxy_name": "service.kubernetes.io/service-proxy-name",
        "headless": "service.kubernetes.io/headless",
        "zone": "topology.kubernetes.io/zone",
        "old_zone": "failure-domain.beta.kubernetes.io/zone",
    },
):
    """The labels that a Service proxy looks at; None (or unset, where any value counts) where there is none."""

    service: str | None = None
    proxy_name: str | msgspec.UnsetType | None = msgspec.UNSET
    headless: str | msgspec.UnsetType | None = msgspec.UNSET
    zone: str | None = None
    old_zone: str | None = None


class Annotations(
    msgspec.Struct, frozen=True, gc=False, rename={"trigger_time": "endpoints.kubernetes.io/last-change-trigger-time"}
):
    """The annotation of rule 36: when what changed the endpoints happened."""

    trigger_time: str | None = None


class Metadata(msgspec.Struct, frozen=True, gc=False):
    """``metadata`` of any object."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    namespace: str | None = None
    labels: Labels | None = None
    annotations: Annotations | None = None


class ServicePort(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One of a Service's ``spec.ports``."""

    port: Port
    name: str | None = None
    protocol: ProtocolName | None = None
    node_port: PortOrNone | None = None


class ClientIP(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """``sessionAffinityConfig.clientIP``."""

    timeout_seconds: Annotated[int, msgspec.Meta(ge=1, le=86400)] | None = None


class AffinityConfig(msgspec.Struct, frozen=True, gc=False):
    """``sessionAffinityConfig``."""

    client_ip: ClientIP | None = msgspec.field(name="clientIP", default=None)


class ServiceSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A Service's ``spec``."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] | None = None
    cluster_ip: str | None = msgspec.field(name="clusterIP", default=None)
    cluster_ips: tuple[str, ...] | None = msgspec.field(name="clusterIPs", default=None)
    external_ips: tuple[str, ...] | None = msgspec.field(name="externalIPs", default=None)
    ports: tuple[ServicePort, ...] | None = None
    session_affinity: Literal["None", "ClientIP", ""] | None = None
    session_affinity_config: AffinityConfig | None = None
    internal_traffic_policy: Policy | None = None
    external_traffic_policy: Policy | None = None
    load_balancer_source_ranges: tuple[str, ...] | None = None
    health_check_node_port: PortOrNone | None = None


class Ingress(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One of ``status.loadBalancer.ingress``."""

    ip: str | None = None
    ip_mode: str | None = None


class LoadBalancerStatus(msgspec.Struct, frozen=True, gc=False):
    """``status.loadBalancer``."""

    ingress: tuple[Ingress, ...] | None = None


class ServiceStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A Service's ``status``."""

    load_balancer: LoadBalancerStatus | None = None


class Service(msgspec.Struct, frozen=True, gc=False):
    """``v1`` Service."""

    metadata: Metadata
    spec: ServiceSpec | None = None
    status: ServiceStatus | None = None


class EndpointPort(msgspec.Struct, frozen=True, gc=False):
    """One port of a slice, or of an Endpoints' subset."""

    name: str | None = None
    protocol: ProtocolName | None = None
    port: PortOrNone | None = None


class Conditions(msgspec.Struct, frozen=True, gc=False):
    """``conditions`` of an endpoint; None where unset."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Hint(msgspec.Struct, frozen=True, gc=False):
    """A zone or node that an endpoint is meant for."""

    name: str


class Hints(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """``hints`` of an endpoint."""

    for_zones: tuple[Hint, ...] | None = None
    for_nodes: tuple[Hint, ...] | None = None


class Topology(msgspec.Struct, frozen=True, gc=False, rename={"hostname": "kubernetes.io/hostname"}):
    """``topology`` of a v1beta1 endpoint."""

    hostname: str | None = None


class Endpoint(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One endpoint of a slice, ``v1`` or ``v1beta1``."""

    addresses: tuple[str, ...] | None = None
    conditions: Conditions | None = None
    node_name: str | None = None
    hints: Hints | None = None
    topology: Topology | None = None


class EndpointSlice(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """``discovery.k8s.io/v1`` or ``v1beta1`` EndpointSlice."""

    metadata: Metadata
    address_type: Literal["IPv4", "IPv6", "FQDN"]
    ports: tuple[EndpointPort, ...] | None = None
    endpoints: tuple[Endpoint, ...] | None = None


class EndpointAddress(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One address of an Endpoints' subset."""

    ip: str
    node_name: str | None = None


class Subset(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One of an Endpoints' ``subsets``."""

    addresses: tuple[EndpointAddress, ...] | None = None
    not_ready_addresses: tuple[EndpointAddress, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None


class Endpoints(msgspec.Struct, frozen=True, gc=False):
    """``v1`` Endpoints."""

    metadata: Metadata
    subsets: tuple[Subset, ...] | None = None


class NodeAddress(msgspec.Struct, frozen=True, gc=False):
    """One of a Node's ``status.addresses``."""

    type: str
    address: str


class NodeStatus(msgspec.Struct, frozen=True, gc=False):
    """A Node's ``status``."""

    addresses: tuple[NodeAddress, ...] | None = None


class Taint(msgspec.Struct, frozen=True, gc=False):
    """One of a Node's ``spec.taints``."""

    key: str


class NodeSpec(msgspec.Struct, frozen=True, gc=False):
    """A Node's ``spec``."""

    taints: tuple[Taint, ...] | None = None


class DeletableMetadata(Metadata, frozen=True, gc=False, rename="camel"):
    """``metadata`` where it matters that the object is being deleted."""

    deletion_timestamp: str | None = None


class Node(msgspec.Struct, frozen=True, gc=False):
    """``v1`` Node."""

    metadata: DeletableMetadata
    spec: NodeSpec | None = None
    status: NodeStatus | None = None
