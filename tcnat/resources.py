"""The API objects as tcnat keeps them: checked, addresses as bytes, and nothing that no rule asks for.

:mod:`tcnat.wire` describes how they stand in JSON and YAML, :mod:`tcnat.objects` reads those, and
:mod:`tcnat.conversion` makes one of the other.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from tcnat.model import Network, Protocol


class ObjectRef(NamedTuple):
    """Which object: its kind, namespace ("" for a Node) and name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class ServiceRef(NamedTuple):
    """A Service's namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Port(msgspec.Struct, frozen=True, gc=False):
    """One port of a Service; ``node_port`` 0 means none."""

    name: str
    protocol: Protocol
    port: int
    node_port: int = 0


class Service(msgspec.Struct, frozen=True, gc=False):
    """A Service, both families together; the addresses of each are told apart by their length."""

    namespace: str
    name: str
    watched: bool
    """False where its labels give it to another proxy (rule 1)."""
    type: str
    cluster_ip: str
    """As it stands: "" or ``None`` too (rule 2)."""
    cluster_ips: tuple[bytes, ...]
    external_ips: tuple[bytes, ...]
    ingress_ips: tuple[bytes, ...]
    """Of the load balancer, only those of mode VIP (rule 17)."""
    ports: tuple[Port, ...]
    affinity_seconds: int
    """0: no affinity."""
    internal_local: bool
    external_local: bool
    """externalTrafficPolicy as it stands; rule 22 says where it means something."""
    source_ranges: tuple[Network, ...]
    health_check_node_port: int

    @property
    def ref(self) -> ObjectRef:
        """Which object this is."""
        return ObjectRef("Service", self.namespace, self.name)

    @property
    def service(self) -> ServiceRef:
        """The Service it belongs to: itself."""
        return ServiceRef(self.namespace, self.name)


class EndpointPort(msgspec.Struct, frozen=True, gc=False):
    """One port of a group of endpoints; ports that no rule lets count are left out (rule 5)."""

    name: str
    protocol: Protocol
    port: int


class Endpoint(msgspec.Struct, frozen=True, gc=False):
    """One address that may serve, its conditions (rule 10), node and hints (rule 14)."""

    address: bytes
    ready: bool
    serving: bool
    terminating: bool
    node: str
    zone_hints: tuple[str, ...] = ()
    node_hints: tuple[str, ...] = ()


class EndpointGroup(msgspec.Struct, frozen=True, gc=False):
    """Endpoints that all have the same ports: a slice, or a subset of Endpoints."""

    ports: tuple[EndpointPort, ...]
    endpoints: tuple[Endpoint, ...]


class EndpointSlice(msgspec.Struct, frozen=True, gc=False):
    """An EndpointSlice, or (``kind``) an Endpoints object taken for one."""

    kind: str
    namespace: str
    name: str
    watched: bool
    """False where its labels give it to another proxy (rule 1)."""
    service_name: str
    """"" where it has no label that names its Service (rule 3)."""
    groups: tuple[EndpointGroup, ...]
    trigger_time: str = ""
    """The annotation of rule 36, as it stands."""

    @property
    def ref(self) -> ObjectRef:
        """Which object this is."""
        return ObjectRef(self.kind, self.namespace, self.name)

    @property
    def service(self) -> ServiceRef:
        """The Service it belongs to."""
        return ServiceRef(self.namespace, self.service_name)


class Node(msgspec.Struct, frozen=True, gc=False):
    """A Node: its zone ("" if none), addresses, and whether it is on its way out (rule 33)."""

    name: str
    zone: str
    addresses: tuple[bytes, ...]
    leaving: bool

    @property
    def ref(self) -> ObjectRef:
        """Which object this is."""
        return ObjectRef("Node", "", self.name)


Object = Service | EndpointSlice | Node
